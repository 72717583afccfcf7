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

    def pair(total):
        free = ops.cast(projection.above_zero(u, qmax, ops.cast(total, "float32")), "int32")
        above = ops.minimum(ops.maximum(free, total - (upward - hi * total)), downward - hi * total)
        return free - above, ops.cast(ops.stack([above, total - above]), "float32")

    def unsettled(least, most):
        return ops.any(least < most)

    def halve(least, most):
        middle = (least + most) // 2
        fewer, more = (projection.take_units(u, qmax, pair(total)[1]) for total in (middle, middle + 1))
        better = ops.sum((more - fewer) * (u - 0.5 * (more + fewer)), axis=0) > 0
        return ops.where(better, ops.minimum(middle + 1, most), least), ops.where(better, most, middle)

    most = _most(u, qmax, upward, downward, hi)
    moved, _ = pair(most)
    least = ops.maximum(most - (ops.abs(moved) + hi - 1) // hi, 0)  # there every unit may have the sign it wants
    return pair(ops.while_loop(unsettled, halve, (least, most))[0])[1]


def _most(u, qmax, upward, downward, hi):
    """The most units that fit, whatever their signs, or that `u` has: int32 (C,)."""
    wanted = ops.sum(ops.clip(ops.ceil(ops.abs(u) - 0.5), 0.0, qmax), axis=0)
    wanted = ops.cast(ops.minimum(wanted, 2.0**COUNTABLE_BITS), "int32")
    alike = ops.minimum(upward, downward) // hi
    return ops.minimum(wanted, ops.minimum(alike, (upward + downward) // (2 * hi + 1)))
