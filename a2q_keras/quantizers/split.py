"""Which units weights above and below zero get, where both draw on the same accumulator and not alike.

Two's complement inputs reach one code further down than up, lo = -hi - 1.  With p units above zero and n below it, and
t = p + n, the exact condition of `numerics.bounds` then is

    hi*t + n <= upward    and    hi*t + p <= downward

so the more units, the less they may differ in sign.  What the best codes of t units are worth is concave in t: the best
t is found by bisection, from the largest that fits in doubling steps, because mostly it is that or one less.
"""

from __future__ import annotations

from keras import ops

from a2q_keras.quantizers import projection
from a2q_keras.quantizers.accumulator import COUNTABLE_BITS
from a2q_keras.quantizers.compiled import compiled

FARTHEST = 2**COUNTABLE_BITS


@compiled
def split(u, qmax, upward, downward, hi):
    """`projection.thresholds` (5, 2, C) of the codes nearest to `u` (K, C) that fit inputs from -hi - 1 to hi > 0.

    upward, downward: what the bias leaves of the accumulator, int32 (C,); neither `hi` is above 2**30 - 1.  Among
    equally good codes those of fewer units, then of more above zero; worth is compared in float32.
    """
    rows = projection.in_rows(u)
    most = _most(rows, qmax, upward, downward, hi)
    least = ops.minimum(most, ops.minimum(upward, downward) // (hi + 1))  # all of these may have one sign

    def unsettled(step, least, most, found):
        return ops.logical_or(ops.equal(step, 1), ops.any(least < most))

    def narrow(step, least, most, found):
        middle = ops.maximum((least + most) // 2, most - step)
        fewer, more, as_wanted, better = _compared(rows, qmax, middle, most, upward, downward, hi)
        better = ops.logical_or(better, least >= most)
        new = ops.logical_or(least < most, ops.equal(step, 1))
        found = ops.where(new, ops.where(better, more, fewer), found)
        least = ops.where(better, ops.minimum(middle + 1, most), ops.where(as_wanted, middle, least))
        return ops.minimum(2 * step, FARTHEST), least, ops.where(better, most, middle), found

    return ops.while_loop(unsettled, narrow, (1, least, most, ops.zeros((5, 2, u.shape[1]))))[-1]


def _compared(rows, qmax, total, most, upward, downward, hi):
    """(fewer, more, as_wanted, better): thresholds (5, 2, C) of `total` units (C,) and of one more, if there may be;
    whether the former have the signs that they want; whether the latter are worth more."""
    totals = ops.stack([total, ops.minimum(total + 1, most)])
    wanted = _above_zero(rows, qmax, totals)
    above = ops.minimum(ops.maximum(wanted, totals - (upward - hi * totals)), downward - hi * totals)
    sides = ops.stack([ops.relu(rows), ops.relu(-rows)])
    budgets = ops.cast(ops.stack([above, totals - above], axis=1), "float32")
    twice = ops.reshape(ops.stack([sides, sides]), (-1, rows.shape[1]))
    found = ops.reshape(projection.search(twice, qmax, ops.reshape(budgets, (-1,))), (5, *budgets.shape))
    fewer, more = found[:, 0], found[:, 1]
    return fewer, more, wanted[0] == above[0], _gain(sides, qmax, fewer, more) > 0


def _above_zero(rows, qmax, totals):
    """How many of the best `totals` (2, C) units of `rows` (C, K) are above zero, of equally good ones as many as there
    are: int32 (2, C)."""
    magnitude, above = ops.tile(ops.abs(rows), (2, 1)), ops.cast(ops.tile(rows > 0, (2, 1)), "float32")
    found = projection.search(magnitude, qmax, ops.cast(ops.reshape(totals, (-1,)), "float32"))
    level, cut, missing = found[0], found[1], found[2]
    codes, ties = projection.surely(magnitude, qmax, level[:, None], cut[:, None])
    ties = projection.total(ops.cast(ties, "float32") * above)
    return ops.reshape(ops.cast(projection.total(codes * above) + ops.minimum(ties, missing), "int32"), totals.shape)


def _gain(sides, qmax, fewer, more):
    """What the codes of thresholds `more` (5, 2, C) are worth beyond those of `fewer`: (C,), the rewards between.

    sides (2, C, K): weights above and below zero, without their sign.
    """
    less, full = (
        projection.surely(sides, qmax, level[..., None], cut[..., None])[0]
        for level, cut in ((fewer[0], fewer[1]), (more[0], more[1]))
    )
    of_ties = more[2] * (more[0] + more[1]) - fewer[2] * (fewer[0] + fewer[1])
    return ops.sum(ops.sum((full - less) * (sides - 0.5 * (full + less)), axis=2) + of_ties, axis=0)


def _most(rows, qmax, upward, downward, hi):
    """The most units that fit, whatever their signs, or that `rows` (C, K) have: int32 (C,)."""
    wanted = projection.total(ops.clip(ops.ceil(ops.abs(rows) - 0.5), 0.0, qmax))
    wanted = ops.cast(ops.minimum(wanted, 2.0**COUNTABLE_BITS), "int32")
    alike = ops.minimum(upward, downward) // hi
    return ops.minimum(wanted, ops.minimum(alike, (upward + downward) // (2 * hi + 1)))
