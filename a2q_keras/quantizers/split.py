"""Which units weights above and below zero get, where both draw on the same accumulator and not alike.

Two's complement inputs reach one code further down than up, lo = -hi - 1.  With p units above zero and n below it, and
t = p + n, the exact condition of `numerics.bounds` then is

    hi*t + n <= upward    and    hi*t + p <= downward

so the more units, the less they may differ in sign.  What the best codes of t units are worth is concave in t: the best
t is found between bounds that close in on it, from the most that fit, because mostly it is these or one or two less.
Mostly the rewards at the thresholds tell that fewer cannot be better.
"""

from __future__ import annotations

from keras import ops

from a2q_keras.quantizers import projection
from a2q_keras.quantizers.accumulator import COUNTABLE_BITS
from a2q_keras.quantizers.compiled import compiled

FARTHEST = 2**COUNTABLE_BITS
DOUBT = 2.0**-20  # of a reward, for what rounding adds to it


@compiled
def split(u, qmax, upward, downward, hi):
    """`projection.thresholds` (5, 2, C) of the codes nearest to `u` (K, C) that fit inputs from -hi - 1 to hi > 0.

    upward, downward: what the bias leaves of the accumulator, int32 (C,); neither `hi` is above 2**30 - 1.  Among
    equally good codes those of fewer units, then of more above zero; worth is compared in float32.
    """
    rows = projection.in_rows(u)
    any_sign, by_sign = (projection.units_and_rewards(part) for part in (ops.abs(rows), projection.by_sign(rows)))
    units = projection.total(ops.minimum(by_sign[0], qmax))
    most = _most(units, upward, downward, hi)
    least = ops.minimum(most, ops.minimum(upward, downward) // (hi + 1))  # all of these may have one sign

    def is_open(low, best, high):
        return ops.logical_or(best - low > 1, high - best > 1)

    def unsettled(step, low, best, high, found):
        return ops.any(is_open(low, best, high))

    def narrow(step, low, best, high, found):
        """Try a total below or above the best; `low` and all below, `high` and all above are known to be no better."""
        active, below = is_open(low, best, high), ops.maximum(best - (step + 3) // 4, (low + best) // 2)
        total = ops.where(best - low >= high - best, below, (best + high) // 2)
        free, wanted = _free(rows, any_sign, qmax, units, ops.where(active, total, FARTHEST))
        above = ops.minimum(ops.maximum(wanted, total - upward + hi * total), downward - hi * total)
        as_wanted, fewer = ops.equal(above, wanted), total < best
        new = _limited(by_sign, qmax, total, above, free, ops.logical_or(as_wanted, ~active))
        gain = _gain(rows, any_sign, qmax, found, new)
        better = ops.logical_and(active, ops.where(fewer, gain >= 0, gain > 0))
        settled = ops.logical_or(as_wanted, _worth_more_than_fewer(new, total, above, upward, downward, hi))
        low_if_better = ops.where(settled, total - 1, ops.where(fewer, low, best))
        return (
            ops.minimum(2 * step, FARTHEST),
            ops.where(better, low_if_better, ops.where(fewer, total, low)),
            ops.where(better, total, best),
            ops.where(ops.equal(better, fewer), ops.where(better, best, total), high),
            ops.where(better, new, found),
        )

    nothing = ops.concatenate([ops.full((1, 2, u.shape[1]), projection.LARGEST), ops.zeros((4, 2, u.shape[1]))])
    return ops.while_loop(unsettled, narrow, (1, least - 1, most + 1, most + 1, nothing))[-1]


def _free(rows, any_sign, qmax, units, total):
    """Thresholds (5, 2, C) of the best `total` (C,) units of `rows` (C, K) of any sign; and how many of them are above
    zero, of equally good ones as many as there are: int32 (C,)."""
    above = ops.cast(rows > 0, "float32")
    found = projection.search(*any_sign, qmax, ops.cast(total, "float32"))
    level, cut, missing, drawing = (found[row] for row in range(4))
    codes, ties = projection.surely(*any_sign, qmax, level[:, None], cut[:, None])
    ties = ops.minimum(projection.total(ops.cast(ties, "float32") * above), missing)
    drawing_above = projection.total(ops.cast(codes > 0, "float32") * above)
    wanted = ops.cast(projection.total(codes * above) + ties, "int32")
    full = ops.cast(units > ops.cast(ops.stack([wanted, total - wanted]), "float32"), "float32")
    sides = [[level, level], [cut, cut], [ties, missing - ties], [drawing_above, drawing - drawing_above]]
    return ops.stack([*(ops.stack(pair) for pair in sides), full]), wanted


def _limited(by_sign, qmax, total, above, free, as_wanted):
    """Thresholds (5, 2, C) of `total` units, `above` of which are above zero; those of `free` where that is as wanted.

    Mostly it is everywhere, and nothing is searched."""

    def searched():
        budget = ops.cast(ops.where(as_wanted, FARTHEST, ops.stack([above, total - above])), "float32")
        return ops.where(as_wanted, free, projection.search(*by_sign, qmax, budget))

    return ops.cond(ops.all(as_wanted), lambda: free, searched)


def _worth_more_than_fewer(new, total, above, upward, downward, hi):
    """Whether no codes of fewer units than `total` can be as good as those of thresholds `new`: bool (C,).

    The least reward that a side takes is the most that it gains by another unit, and the least that it loses by one
    less.  With d units less the side where this is higher has room for `spare` + hi*d more, and the other gives up d
    more than that.  False in doubt.
    """
    least = new[0] + new[1]
    lower, higher = ops.min(least, axis=0), ops.max(least, axis=0)
    below = total - above
    spare = ops.where(least[0] > least[1], downward - above, upward - below) - hi * total
    most_gained = (higher - lower + higher * DOUBT) * ops.cast(spare + hi, "float32")
    return most_gained < lower


def _gain(rows, any_sign, qmax, old, new):
    """What the codes of thresholds `new` (5, 2, C) are worth beyond those of `old`: (C,), the rewards between."""
    positive = rows > 0

    def codes(found):
        level, cut = (ops.where(positive, found[row][0][:, None], found[row][1][:, None]) for row in (0, 1))
        return projection.surely(*any_sign, qmax, level, cut)[0]

    less, full = codes(old), codes(new)
    of_ties = new[2] * (new[0] + new[1]) - old[2] * (old[0] + old[1])
    return ops.sum((full - less) * (ops.abs(rows) - 0.5 * (full + less)), axis=1) + ops.sum(of_ties, axis=0)


def _most(units, upward, downward, hi):
    """The most units that fit, whatever their signs, or that are wanted: int32 (C,)."""
    wanted = ops.cast(ops.minimum(units[0] + units[1], 2.0**COUNTABLE_BITS), "int32")
    alike = ops.minimum(upward, downward) // hi
    return ops.minimum(wanted, ops.minimum(alike, (upward + downward) // (2 * hi + 1)))
