"""Max pooling in hardware: the largest code of each window, channel by channel."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.nest import Nest
from a2q_keras.rtl.folded.streams import stream_of


class Largest(wiring.Component):
    """Windows of `beats` beats in, one after the other, the lane-wise largest codes of each out."""

    def __init__(self, format: FixedPoint, lanes: int, beats: int):
        self.lanes, self.beats = lanes, beats
        super().__init__({"i": In(stream_of(format, lanes)), "o": Out(stream_of(format, lanes))})

    def elaborate(self, platform):
        m = Module()
        take = Signal()
        nest = Nest(m, (self.beats,), take)
        m.d.comb += [self.i.ready.eq(~self.o.valid | self.o.ready), take.eq(self.i.valid & self.i.ready)]
        with m.If(take):
            m.d.sync += self.o.valid.eq(nest.ends(0))
            for new, best in ((self.i.payload[lane], self.o.payload[lane]) for lane in range(self.lanes)):
                m.d.sync += best.eq(Mux(nest.begins(0) | (new > best), new, best))
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
