"""Which units weights above and below zero get, where both draw on the same accumulator and not alike.

Two's complement inputs reach one code further down than up, lo = -hi - 1.  With p units above zero and n below it, and
t = p + n, the exact condition of `numerics.bounds` then is

    hi*t + n <= upward    and    hi*t + p <= downward

so the more units, the less they may differ in sign.  What the best codes of t units are worth is concave in t: the best
t is found between bounds that close in on it, from the most that fit, because mostly it is these or one or two less.
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
    units = _units(rows, qmax)
    most = _most(units, upward, downward, hi)
    least = ops.minimum(most, ops.minimum(upward, downward) // (hi + 1))  # all of these may have one sign

    def is_open(low, best, high):
        return ops.logical_or(best - low > 1, high - best > 1)

    def unsettled(step, low, best, high, found):
        return ops.any(is_open(low, best, high))

    def narrow(step, low, best, high, found):
        """Try a total below or above the best; `low` and all below, `high` and all above are known to be no better."""
        active, below = is_open(low, best, high), ops.maximum(best - (step + 1) // 2, (low + best) // 2)
        total = ops.where(best - low >= high - best, below, (best + high) // 2)
        total = ops.where(active, total, best)
        free, wanted = _free(rows, qmax, units, total)
        above = ops.minimum(ops.maximum(wanted, total - upward + hi * total), downward - hi * total)
        as_wanted, fewer = ops.equal(above, wanted), total < best
        new = _limited(rows, qmax, total, above, free, ops.logical_or(as_wanted, ~active))
        gain = _gain(rows, qmax, found, new)
        better = ops.logical_and(active, ops.where(fewer, gain >= 0, gain > 0))
        low_if_better = ops.where(as_wanted, total - 1, ops.where(fewer, low, best))
        return (
            ops.minimum(2 * step, FARTHEST),
            ops.where(better, low_if_better, ops.where(fewer, total, low)),
            ops.where(better, total, best),
            ops.where(ops.equal(better, fewer), ops.where(better, best, total), high),
            ops.where(better, new, found),
        )

    nothing = ops.concatenate([ops.full((1, 2, u.shape[1]), projection.LARGEST), ops.zeros((4, 2, u.shape[1]))])
    return ops.while_loop(unsettled, narrow, (1, least - 1, most + 1, most + 1, nothing))[-1]


def _free(rows, qmax, units, total):
    """Thresholds (5, 2, C) of the best `total` (C,) units of `rows` (C, K) of any sign; and how many of them are above
    zero, of equally good ones as many as there are: int32 (C,)."""
    magnitude, above = ops.abs(rows), ops.cast(rows > 0, "float32")
    found = projection.search(magnitude, qmax, ops.cast(total, "float32"))
    level, cut, missing, drawing = (found[row] for row in range(4))
    codes, ties = projection.surely(magnitude, qmax, level[:, None], cut[:, None])
    ties = ops.minimum(projection.total(ops.cast(ties, "float32") * above), missing)
    drawing_above = projection.total(ops.cast(codes > 0, "float32") * above)
    wanted = ops.cast(projection.total(codes * above) + ties, "int32")
    full = ops.cast(units > ops.cast(ops.stack([wanted, total - wanted]), "float32"), "float32")
    sides = [[level, level], [cut, cut], [ties, missing - ties], [drawing_above, drawing - drawing_above]]
    return ops.stack([*(ops.stack(pair) for pair in sides), full]), wanted


def _limited(rows, qmax, total, above, free, as_wanted):
    """Thresholds (5, 2, C) of `total` units, `above` of which are above zero; those of `free` where that is as wanted.

    Mostly it is everywhere, and nothing is searched."""

    def searched():
        budget = ops.cast(ops.stack([above, total - above]), "float32")
        return ops.where(as_wanted, free, projection.search(_sides(rows), qmax, budget))

    return ops.cond(ops.all(as_wanted), lambda: free, searched)


def _gain(rows, qmax, old, new):
    """What the codes of thresholds `new` (5, 2, C) are worth beyond those of `old`: (C,), the rewards between."""
    sides = _sides(rows)
    less, full = (
        projection.surely(sides, qmax, level[..., None], cut[..., None])[0]
        for level, cut in ((old[0], old[1]), (new[0], new[1]))
    )
    of_ties = new[2] * (new[0] + new[1]) - old[2] * (old[0] + old[1])
    return ops.sum(ops.sum((full - less) * (sides - 0.5 * (full + less)), axis=2) + of_ties, axis=0)


def _sides(rows):
    """Weights above and below zero, without their sign: (2, C, K)."""
    return ops.stack([ops.relu(rows), ops.relu(-rows)])


def _units(rows, qmax):
    """How many units weights above and below zero want: float32 (2, C)."""
    return projection.total(ops.clip(ops.ceil(_sides(rows) - 0.5), 0.0, qmax))


def _most(units, upward, downward, hi):
    """The most units that fit, whatever their signs, or that are wanted: int32 (C,)."""
    wanted = ops.cast(ops.minimum(units[0] + units[1], 2.0**COUNTABLE_BITS), "int32")
    alike = ops.minimum(upward, downward) // hi
    return ops.minimum(wanted, ops.minimum(alike, (upward + downward) // (2 * hi + 1)))
