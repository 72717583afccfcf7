"""How many units go to weights above and below zero, where both draw on the same accumulator and not alike.

Two's complement inputs reach one code further down than up, lo = -hi - 1.  With p units above zero and n below it, and
t = p + n, the exact condition of `numerics.bounds` then is

    hi*t + n <= upward    and    hi*t + p <= downward

so the more units, the less they may differ in sign.  What the best codes of t units are worth is concave in t: the best
t is found by bisection.  Mostly there is nothing to search: the most units that fit leave both signs free enough.
"""

from __future__ import annotations

from keras import ops

from a2q_keras.quantizers import projection
from a2q_keras.quantizers.accumulator import COUNTABLE_BITS
from a2q_keras.quantizers.compiled import compiled


@compiled
def split(u, qmax, upward, downward, hi):
    """The units (p, n) of the codes nearest to `u` (K, C) that fit inputs from -hi - 1 to hi > 0: float32 (2, C).

    upward, downward: what the bias leaves of the accumulator, int32 (C,); neither `hi` is above 2**30 - 1.  Among
    equally good pairs the one of fewer units, then of more above zero; worth is compared in float32.
    """
    u = ops.clip(u, -projection.LARGEST, projection.LARGEST)
    most = _most(u, qmax, upward, downward, hi)
    free = _above(u, qmax, most)
    above = _within(free, most, upward, downward, hi)
    least = ops.maximum(most - (ops.abs(free - above) + hi - 1) // hi, 0)  # there all may have the sign they want

    def unsettled(least, most, above):
        return ops.any(least < most)

    def halve(least, most, above):
        middle = (least + most) // 2
        (fewer, more), better = _compared(u, qmax, middle, upward, downward, hi)
        above = ops.where(least < most, ops.where(better, more, fewer), above)
        return ops.where(better, ops.minimum(middle + 1, most), least), ops.where(better, most, middle), above

    total, _, above = ops.while_loop(unsettled, halve, (least, most, above))
    return ops.cast(ops.stack([above, total - above]), "float32")


def _compared(u, qmax, total, upward, downward, hi):
    """(units above zero of `total` and of `total` + 1 units, whether the latter are worth more), side by side."""
    wide, totals = ops.tile(u, (1, 2)), ops.concatenate([total, total + 1])
    room = (ops.tile(upward, 2), ops.tile(downward, 2))
    above = _within(_above(wide, qmax, totals), totals, *room, hi)
    codes = projection.take_units(wide, qmax, ops.cast(ops.stack([above, totals - above]), "float32"))
    fewer, more = ops.split(codes, 2, axis=1)
    worth = ops.sum((more - fewer) * (u - 0.5 * (more + fewer)), axis=0)
    return ops.split(above, 2), worth > 0


def _above(u, qmax, total):
    """How many of the best `total` units are above zero, were there no other limit: int32 (C,)."""
    return ops.cast(projection.above_zero(u, qmax, ops.cast(total, "float32")), "int32")


def _within(above, total, upward, downward, hi):
    """The nearest count of units above zero to `above` that fits."""
    return ops.minimum(ops.maximum(above, total - (upward - hi * total)), downward - hi * total)


def _most(u, qmax, upward, downward, hi):
    """The most units that fit, whatever their signs, or that `u` has: int32 (C,)."""
    wanted = ops.sum(ops.clip(ops.ceil(ops.abs(u) - 0.5), 0.0, qmax), axis=0)
    wanted = ops.cast(ops.minimum(wanted, 2.0**COUNTABLE_BITS), "int32")
    alike = ops.minimum(upward, downward) // hi
    return ops.minimum(wanted, ops.minimum(alike, (upward + downward) // (2 * hi + 1)))
