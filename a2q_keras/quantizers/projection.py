"""`numerics.projection` in keras.ops, for use inside a training step: the same codes, found without sorting.

Codes, units and budgets are whole numbers held in float32, exact below 2**24.  Every comparison is between exact
numbers, so the codes do not depend on the backend, on compilation or on the order of a sum.
"""

from __future__ import annotations

from keras import ops

GRID = 2.0**-24  # rewards of float32 weights are multiples of this


def take_units(magnitude, qmax, budget):
    """Codes 0..qmax nearest to `magnitude` (K, C) with at most `budget` (C,) units per column: highest reward first.

    The twin of `numerics.projection.take_units`; float32, not differentiable.
    """
    return _take(ops.abs(magnitude), [ops.ones_like(magnitude)], qmax, budget[None])


def take_signed(u, qmax, positive, negative):
    """Codes nearest to `u` with at most `positive` (C,) units above and `negative` (C,) units below zero."""
    sides = [ops.cast(u > 0, "float32"), ops.cast(u < 0, "float32")]
    return ops.sign(u) * _take(ops.abs(u), sides, qmax, ops.stack([positive, negative]))


def _take(magnitude, sides, qmax, budget):
    """Both of the above: `sides` are disjoint masks (K, C), each with its row of `budget` (sides, C)."""
    units = ops.ceil(magnitude - 0.5)
    reward = magnitude - units + 0.5

    def spread(rows):
        return sum(side * rows[i] for i, side in enumerate(sides)) if len(sides) > 1 else rows[0][None]

    def totals(codes):
        return ops.stack([ops.sum(codes * side, axis=0) for side in sides])

    level = _level(units, spread, totals, qmax, budget)
    base = ops.clip(units - spread(level) - 1.0, 0.0, qmax)
    at_level = ops.clip(units - spread(level), 0.0, qmax) > base
    keys = ops.where(at_level, reward, 0.0)
    missing = budget - totals(base)
    cut, taken = _cut(keys, spread, totals, missing)
    base = base + ops.cast(keys > spread(cut), "float32")
    ties = ops.cast(at_level & (keys == spread(cut)), "float32")
    return base + _first(ties, spread, totals, ops.minimum(missing - taken, totals(ties)))


def _level(units, spread, totals, qmax, budget):
    """Smallest whole threshold at which the units of a reward above level + 1 fit the budget, by bisection."""

    def unsettled(below, above):
        return ops.any(above - below > 1.5)

    def halve(below, above):
        middle = ops.ceil((below + above) / 2)  # upward, so that a settled column (above = below + 1) stays
        fits = totals(ops.clip(units - spread(middle) - 1.0, 0.0, qmax)) <= budget
        return ops.where(fits, below, middle), ops.where(fits, middle, above)

    start = -ops.ones_like(budget), ops.zeros_like(budget) + ops.max(units)
    return ops.while_loop(unsettled, halve, start)[1]


def _cut(keys, spread, totals, missing):
    """(cut, count): the threshold above which `count` keys lie, count = missing but for ties at the cut itself.

    A search on the grid of all rewards: by interpolation, as keys are spread evenly, with a bisection every third step.
    """
    available = totals(ops.cast(keys > 0, "float32"))
    enough = available <= missing

    def open_(below, above, few):
        return (above - below > 1.5 * GRID) & (few < missing)

    def unsettled(step, below, above, many, few):
        return ops.any(open_(below, above, few))

    def narrow(step, below, above, many, few):
        share = ops.where(step % 3 == 2, 0.5, (many - missing) / ops.maximum(many - few, 1.0))
        guess = ops.floor((below + (above - below) * share) / GRID) * GRID
        guess = ops.clip(guess, below + GRID, above - GRID)
        count = totals(ops.cast(keys > spread(guess), "float32"))
        is_open, fits = open_(below, above, few), count <= missing
        low, high = is_open & ~fits, is_open & fits
        return (
            step + 1,
            ops.where(low, guess, below),
            ops.where(high, guess, above),
            ops.where(low, count, many),
            ops.where(high, count, few),
        )

    zeros = ops.zeros_like(missing)
    above = ops.where(enough, zeros, zeros + 1.0)
    few = ops.where(enough, available, zeros)
    state = ops.while_loop(unsettled, narrow, (0, zeros, above, available, few))
    return state[2], state[4]


def _first(ties, spread, totals, count):
    """A mask of the first `count` ones of `ties` in each column: ties go by index.  Costs nothing where count is zero."""
    index = ops.cumsum(ops.ones_like(ties[:, :1]), axis=0)

    def unsettled(below, above):
        return ops.any((above - below > 1.5) & (count > 0))

    def halve(below, above):
        middle = ops.floor((below + above) / 2)
        fits = totals(ties * ops.cast(index <= spread(middle), "float32")) <= count
        return ops.where(fits, middle, below), ops.where(fits, above, middle)

    start = ops.zeros_like(count), ops.zeros_like(count) + ties.shape[0] + 1.0
    last = ops.where(count > 0, ops.while_loop(unsettled, halve, start)[0], 0.0)
    return ties * ops.cast(index <= spread(last), "float32")
