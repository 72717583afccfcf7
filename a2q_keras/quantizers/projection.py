"""`numerics.projection.take_units` in keras.ops, for use inside a training step: the same codes, found without sorting.

Codes, units and budgets are whole numbers held in float32, exact below 2**24, and every comparison is between exact
numbers: the codes depend neither on the backend nor on the order of a sum.

The search for the thresholds has the weights in rows, because a sum along the last axis is then a matrix product with
ones, the fastest sum there is; the codes are made in the layout of the weights.
"""

from __future__ import annotations

from keras import ops

from a2q_keras.quantizers.compiled import compiled

GRID = 2.0**-24  # rewards of float32 weights are multiples of this
LARGEST = 2.0**22  # weights beyond count as this; in float32 a bisection above 2**24 would never settle


def take_units(u, qmax, budget):
    """The whole numbers within +-qmax nearest to `u` (K, C) whose units fit the budgets, float32, not differentiable.

    budget (1, C): of all units of a column; (2, C): of those above and of those below zero.  The units of the highest
    reward are taken, ties by index.
    """
    return apply(u, qmax, thresholds(u, qmax, budget))


@compiled
def thresholds(u, qmax, budget):
    """What decides which units are taken: float32 (5, budgets, C).

    level + cut, the reward above which units are taken; how many of the ties at it are taken besides; how many weights
    draw on the budget; and 1 where it is used up, 0 where all units fit.
    """
    rows = in_rows(u)
    magnitude = ops.abs(rows)[None] if budget.shape[0] == 1 else by_sign(rows)
    return search(*units_and_rewards(magnitude), qmax, budget)


def in_rows(u):
    """The weights (K, C) of each channel in a row, (C, K), none larger than LARGEST."""
    return ops.clip(ops.transpose(u), -LARGEST, LARGEST)


def by_sign(rows):
    """Weights above and below zero, without their sign: (C, K) -> (2, C, K)."""
    return ops.stack([ops.relu(rows), ops.relu(-rows)])


def shrink(u, qmax, edge):
    """The codes of `u` (K, C) by given edges, (1 or 2, C) as the budgets: what is left beyond the edge, rounded.

    Where edge = level + cut and there are no ties, they are those of `apply`, in half the time.
    """
    left = ops.maximum(u - edge[0], 0.0) + ops.minimum(u + edge[-1], 0.0)  # a clip by channel is slower
    return ops.clip(ops.round(left), -qmax, qmax)


@compiled
def apply(u, qmax, thresholds):
    """The codes of `u` (K, C) by given thresholds, as many ties taken as there is room for."""
    above, missing = u > 0, thresholds[2]
    level, cut = (ops.where(above, row[0], row[-1]) for row in (thresholds[0], thresholds[1]))
    codes, ties = surely(*units_and_rewards(ops.minimum(ops.abs(u), LARGEST)), qmax, level, cut)
    sides = [ties] if missing.shape[0] == 1 else [ties & above, ties & ~above]
    return ops.sign(u) * _fill(codes, [ops.cast(side, "float32") for side in sides], missing)


def units_and_rewards(magnitude):
    """The units of positive reward that weights without their sign have, and the reward of the last of them."""
    units = ops.ceil(magnitude - 0.5)
    return units, magnitude - units + 0.5


def surely(units, reward, qmax, level, cut):
    """(codes without ties, where a tie could add a unit), in the layout of all four."""
    left = units - level
    at_level = (left > 0) & (left <= qmax)
    codes = ops.clip(left - 1.0, 0.0, qmax) + ops.cast(at_level & (reward > cut), "float32")
    return codes, at_level & (reward == cut)


def _fill(codes, sides, missing):
    """One more unit for the first `missing` ties of each column.  Mostly there are none, and the loop does not run."""
    index = ops.arange(codes.shape[0], dtype="int32")[:, None]

    def unsettled(codes, missing, *sides):
        return ops.any(missing > 0.5)

    def add(codes, missing, *sides):
        hits = [
            side * ops.cast((index == ops.cast(ops.argmax(side, axis=0), "int32")) & (missing[row] > 0.5), "float32")
            for row, side in enumerate(sides)
        ]
        return (codes + sum(hits), missing - 1.0, *(side - hit for side, hit in zip(sides, hits)))

    return ops.while_loop(unsettled, add, (codes, missing, *sides))[0]


def search(units, reward, qmax, budget):
    """`thresholds` (5, ..., R) of rows (..., R, K) of `units_and_rewards`, with budgets (..., R)."""
    full = total(ops.minimum(units, qmax)) > budget
    level = _level(units, qmax, budget, full)
    left = units - level[..., None]
    keys = ops.where((left > 0) & (left <= qmax), reward, 0.0)
    missing = budget - total(ops.clip(left - 1.0, 0.0, qmax))
    cut, taken = _cut(keys, missing)
    drawing = _count((left > 1) | (keys > cut[..., None]))
    return ops.stack([level, cut, ops.where(full, missing - taken, 0.0), drawing, ops.cast(full, "float32")])


def total(rows):
    """The sum of whole numbers along the last axis."""
    return ops.matmul(rows, ops.ones((rows.shape[-1], 1)))[..., 0]


def _count(mask):
    return total(ops.cast(mask, "float32"))


def _level(units, qmax, budget, full):
    """Smallest whole threshold at which the units of a reward above level + 1 fit the budget, by bisection."""

    def unsettled(below, above):
        return ops.any(above - below > 1.5)

    def halve(below, above):
        middle = ops.ceil((below + above) / 2)  # upward, so that a settled row (above = below + 1) stays
        fits = total(ops.clip(units - middle[..., None] - 1.0, 0.0, qmax)) <= budget
        return ops.where(fits, below, middle), ops.where(fits, middle, above)

    most = ops.where(full, ops.max(units, axis=-1), 0.0)
    return ops.while_loop(unsettled, halve, (-ops.ones_like(budget), most))[1]


def _cut(keys, missing):
    """(cut, count): the threshold above which `count` keys lie, count = missing but for ties at the cut itself.

    A search on the grid of all rewards: by interpolation, as keys are spread evenly, of the middle between the two keys
    that are to lie on either side; every eighth step is a bisection.
    """
    available = _count(keys > 0)
    enough = available <= missing

    def is_open(below, above, few):
        return (above - below > 1.5 * GRID) & (few < missing)

    def unsettled(step, below, above, many, few):
        return ops.any(is_open(below, above, few))

    def narrow(step, below, above, many, few):
        share = ops.where(step % 8 == 7, 0.5, (many - missing + 0.5) / (many - few + 1.0))
        guess = ops.floor((below + (above - below) * share) / GRID) * GRID
        guess = ops.clip(guess, below + GRID, above - GRID)
        count = _count(keys > guess[..., None])
        still, fits = is_open(below, above, few), count <= missing
        low, high = still & ~fits, still & fits
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
