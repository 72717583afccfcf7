"""Requantization in hardware: shift, round half to even, saturate; the twin of `integer.run` for Quantize."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.streams import stream_of


class Requantize(wiring.Component):
    """Each code of a stream in another format, within the same cycle: no registers."""

    def __init__(self, source: FixedPoint, target: FixedPoint, count: int):
        self.source, self.target, self.count = source, target, count
        super().__init__({"i": In(stream_of(source, count)), "o": Out(stream_of(target, count))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
        for lane in range(self.count):
            m.d.comb += self.o.payload[lane].eq(requantized(m, self.i.payload[lane], self.source, self.target))
        return m


def requantized(m: Module, code: Value, source: FixedPoint, target: FixedPoint) -> Value:
    """The code of `target` nearest to a code of `source`, ties to even, saturated."""
    whole = _rounded(m, code, source, source.frac - target.frac)
    return _saturated(m, whole, target)


def _rounded(m: Module, code: Value, source: FixedPoint, shift: int) -> Value:
    """code * 2**-shift, ties to even, signed and wide enough."""
    if shift <= 0:
        return _named(m, "whole", code << -shift, source.bits - shift + 1)
    wide = _named(m, "wide", code, max(source.bits, shift) + 1)
    floor, half, odd = wide >> shift, wide[shift - 1], wide[shift]
    up = half & (odd | wide[: shift - 1].any()) if shift > 1 else half & odd
    return _named(m, "rounded", floor + up, len(wide) - shift + 1)


def _saturated(m: Module, whole: Value, target: FixedPoint) -> Value:
    """Compares the bits above those of the target only: no comparator."""
    magnitude = target.bits - target.signed
    negative, above, kept = whole[-1], whole[magnitude:], whole[:magnitude]
    under = negative if not target.signed else negative & ~above.all()
    if target.symmetric and target.signed:
        under = under | (negative & ~kept.any())
    over = ~negative & above.any()
    return Mux(under, target.lo, Mux(over, target.hi, whole))


def _named(m: Module, name: str, value: Value, bits: int) -> Signal:
    signal = Signal(Shape(bits, signed=True), name=name)
    m.d.comb += signal.eq(value)
    return signal
