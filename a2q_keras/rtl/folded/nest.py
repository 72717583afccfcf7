"""Nested loops in hardware, whose addresses advance by constants: no multiplier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from amaranth.hdl import Module, Mux, Shape, Signal, Value


class Walk(NamedTuple):
    """A number that a nest moves: in this cycle and in the next."""

    now: Signal
    upcoming: Signal


class Nest:
    """Loops around a body that takes a step whenever `enable` is high, for ever; the outermost loop never ends.

    counts: repetitions of the loops inside the endless one, outermost first.  Loops of one repetition cost nothing.
    """

    def __init__(self, m: Module, counts: Sequence[int], enable: Value):
        self.m, self.counts, self.enable = m, counts, enable
        self.indices = [Signal(range(count), name=f"index{depth}") for depth, count in enumerate(counts)]
        self.last = [index == count - 1 for index, count in zip(self.indices, counts)]
        for depth, index in enumerate(self.indices):
            if counts[depth] > 1:
                with m.If(enable & self.ends(depth + 1)):
                    m.d.sync += index.eq(Mux(self.last[depth], 0, index + 1))

    def ends(self, depth: int) -> Value:
        """Whether the loops from `depth` inward are in their last repetition."""
        return _all(self.last[i] for i in range(depth, len(self.counts)) if self.counts[i] > 1)

    def begins(self, depth: int) -> Value:
        """Whether the loops from `depth` inward are in their first repetition."""
        return _all(self.indices[i] == 0 for i in range(depth, len(self.counts)) if self.counts[i] > 1)

    def walk(self, name: str, shape: Shape, steps: Sequence[int], start: int = 0) -> Walk:
        """A number that is start + the sum over all loops of (repetitions done) * step, modulo the width of `shape`.

        steps: the first for the endless loop, then one for each of `counts`.
        """
        value = Signal(shape, init=start, name=name)
        upcoming = Signal(shape, name=f"{name}_upcoming")
        advance, chosen = self._advances(steps), Signal(shape, name=f"{name}_step")
        self.m.d.comb += chosen.eq(advance[0])
        for depth in range(1, len(advance)):
            if self.counts[depth - 1] > 1:
                with self.m.If(~self.last[depth - 1]):
                    self.m.d.comb += chosen.eq(advance[depth])
        self.m.d.comb += upcoming.eq(Mux(self.enable, value + chosen, value))
        self.m.d.sync += value.eq(upcoming)
        return Walk(value, upcoming)

    def _advances(self, steps) -> list[int]:
        """By loop: what its step adds, the loops inside it going back to their starts."""
        spans = [(count - 1) * step for count, step in zip(self.counts, steps[1:])]
        return [step - sum(spans[depth:]) for depth, step in enumerate(steps)]


def _all(values) -> Value:
    result = Value.cast(1)
    for value in values:
        result = result & value
    return result
