"""Streams of codes: their shape, and the units that change how many codes a beat carries."""

from __future__ import annotations

from math import lcm

from amaranth.hdl import Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from a2q_keras.numerics.formats import FixedPoint


def codes(format: FixedPoint, count: int) -> data.ArrayLayout:
    """The shape of `count` codes side by side, the first in the lowest bits."""
    return data.ArrayLayout(Shape(format.bits, format.signed), count)


def stream_of(format: FixedPoint, count: int) -> stream.Signature:
    """A stream of beats of `count` codes."""
    return stream.Signature(codes(format, count))


class Widen(wiring.Component):
    """Beats of `narrow` codes in, beats of `wide` codes out, wide a multiple of narrow; one beat in every cycle."""

    def __init__(self, format: FixedPoint, narrow: int, wide: int):
        self.ratio = wide // narrow
        super().__init__({"i": In(stream_of(format, narrow)), "o": Out(stream_of(format, wide))})

    def elaborate(self, platform):
        m = Module()
        held, filled = Signal(len(self.o.payload.as_value())), Signal(range(self.ratio + 1))
        arriving = self.i.payload.as_value()
        m.d.comb += [
            self.o.payload.as_value().eq(held),
            self.o.valid.eq(filled == self.ratio),
            self.i.ready.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += held.eq(Cat(held, arriving)[len(arriving) :])
            m.d.sync += filled.eq(Mux(self.o.valid, 1, filled + 1))
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += filled.eq(0)
        return m


class Narrow(wiring.Component):
    """Beats of `wide` codes in, beats of `narrow` codes out, wide a multiple of narrow; one beat out every cycle."""

    def __init__(self, format: FixedPoint, wide: int, narrow: int):
        self.ratio = wide // narrow
        super().__init__({"i": In(stream_of(format, wide)), "o": Out(stream_of(format, narrow))})

    def elaborate(self, platform):
        m = Module()
        held, left = Signal(len(self.i.payload.as_value())), Signal(range(self.ratio + 1))
        leaving = self.o.payload.as_value()
        m.d.comb += [
            leaving.eq(held),
            self.o.valid.eq(left != 0),
            self.i.ready.eq((left == 0) | ((left == 1) & self.o.ready)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(self.i.payload.as_value()), left.eq(self.ratio)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [held.eq(held >> len(leaving)), left.eq(left - 1)]
        return m


def resizers(format: FixedPoint, have: int, want: int) -> list[wiring.Component]:
    """The units, in order, between beats of `have` and beats of `want` codes; none where these are equal."""
    both = lcm(have, want)
    widen = [Widen(format, have, both)] if have != both else []
    return widen + ([Narrow(format, both, want)] if want != both else [])


def chain(m: Module, source, units: dict[str, wiring.Component]):
    """Make the units submodules of `m`, each reading the one before it, the first `source`; returns the last stream."""
    for name, unit in units.items():
        m.submodules[name] = unit
        connect(m, source, unit.i)
        source = unit.o
    return source
