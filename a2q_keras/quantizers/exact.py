"""Method `exact`: the nearest codes that meet the exact condition.  The twin of `numerics.projection.project_codes`."""

from __future__ import annotations

from keras import ops

from a2q_keras.numerics import tiles
from a2q_keras.quantizers import projection
from a2q_keras.quantizers.accumulator import INT32_BITS, Accumulator, apart, headroom, together, units_of_weight
from a2q_keras.quantizers.split import split
from a2q_keras.quantizers.ste import with_gradient
from a2q_keras.quantizers.sums import column_sum

TIE_GUARD = 1 + 2.0**-22


def exact(kernel, scale, bias, spec: Accumulator, held=None):
    """Weight values scale * codes (K, C), whose codes are the nearest that meet the exact condition with `bias` codes.

    held: thresholds found for these weights a few training steps ago, to save the search; the codes may then miss the
    budget by a few units.

    Gradient: straight through the rounding; along a budget that is used up, the part that would change the sum of the
    weights drawing on it is taken out (the Jacobian of the continuous projection): it is what one of them is worth on
    average.  Weights projected to zero keep their gradient less that worth, toward zero: they come back where they are
    worth more than those that draw on the budget, and fade otherwise.  If they did not pay, all would grow in turn.
    """
    k = kernel.shape[0]
    kernel, bias = apart(kernel, bias, spec)
    latent = ops.stop_gradient(kernel)
    u = ops.stop_gradient(kernel * (1.0 / scale))
    if held is None:
        codes, held = _searched(u, bias, spec)
    else:
        codes = projection.shrink(u, spec.qmax, held[0])
    drawing, share = (held[0] + 0.5) * ops.stop_gradient(scale), held[1][: _prices_of(spec)]

    def backward(up):
        # A branch of its own: XLA would work the sums out again wherever an optimizer reads the gradient.
        paying = ops.cond(
            ops.any(share > 0),
            lambda: _prices(up, latent, drawing, share),
            lambda: ops.zeros((4, up.shape[1])),
        )
        return _paid(up, latent, paying)

    return together(with_gradient(lambda kernel: (codes * scale, backward), kernel), k, spec)


def codes_and_thresholds(u, bias, spec: Accumulator):
    """The codes of u = w / s, `exact_codes`, and what `exact` can be given as `held`.

    The latter is float32 (2, budgets, C), with tiles (2, budgets, tiles * C): the edge up to which weights shrink to
    zero (`projection.shrink`), just above any ties, which are left out; and the share of the budget for each weight
    that draws on it.
    """
    codes, held = _searched(*apart(u, bias, spec), spec)
    return together(codes, u.shape[0], spec), held


def _searched(columns, bias, spec):
    """`codes_and_thresholds` of columns that are `apart` already."""
    found = _found(columns, ops.stop_gradient(bias), spec)
    return projection.apply(columns, spec.qmax, found), _edge_and_share(found, spec)


def _edge_and_share(found, spec):
    level, cut, missing = (found[row] for row in range(3))
    edge = level + cut
    edge = ops.where(missing > 0.5, edge * TIE_GUARD + projection.GRID, edge)
    return ops.stack([edge, ops.broadcast_to(_share(found, spec), edge.shape)])


def thresholds_shape(k: int, channels: int, spec: Accumulator) -> tuple[int, int, int]:
    """The shape of what `exact` can be given as `held`."""
    return 2, _budgets(spec), channels * tiles.count(k, spec.tile)


def _budgets(spec: Accumulator) -> int:
    """One budget for the weights of both signs where inputs reach as far down as up, else one for each."""
    return 1 if spec.lo == -spec.hi else 2


def exact_codes(u, bias, spec: Accumulator):
    """The twin of `numerics.projection.project_codes`: float32 codes (K, C) of u = w / s for bias codes (C,)."""
    return codes_and_thresholds(u, bias, spec)[0]


def meet_exact_condition(codes, bias, spec: Accumulator):
    """Whether whole `codes` (K, C) fit with the bias codes (C,): bool (C,), without tiles.

    Of accumulators of more than 31 bits, in which sums are counted in larger units, it may ask a little too much.
    """
    above, below = (ops.sum(ops.cast(ops.relu(side), "int32"), axis=0) for side in (codes, -codes))
    upward, downward = headroom(bias, spec)
    return ops.logical_and(_fit(above, below, upward, spec), _fit(below, above, downward, spec))


def _fit(same, opposite, room, spec):
    """hi*same - lo*opposite <= room, without leaving int32."""
    hi, low = (min(end, 2**INT32_BITS - 1) for end in (spec.hi, -spec.lo))
    most = room // hi if hi else same
    left = room - hi * ops.minimum(same, most)
    return ops.logical_and(same <= most, opposite <= left // low) if low else same <= most


def _found(u, bias, spec):
    """`projection.thresholds` with budgets for units above and below zero; for symmetric inputs for both together."""
    if spec.holds_all(u.shape[0], max(spec.input.hi, -spec.input.lo)):
        return ops.zeros((5, _budgets(spec), u.shape[1]))
    upward, downward = headroom(bias, spec)
    lo, hi = spec.lo, spec.hi
    if lo == 0:
        budget = units_of_weight(ops.stack([upward, downward]), max(hi, 1))
    elif hi == 0:
        budget = units_of_weight(ops.stack([downward, upward]), -lo)
    elif lo == -hi:
        budget = units_of_weight(ops.minimum(upward, downward)[None], hi)
    elif hi <= spec.most:
        return split(u, spec.qmax, upward, downward, hi)
    else:
        budget = ops.zeros((2, bias.shape[0]))  # an input alone is beyond the accumulator
    return projection.thresholds(u, spec.qmax, budget)


def _prices_of(spec) -> int:
    """How many prices a column has: one per sign where each has a budget of its own, as for inputs from zero up."""
    return 2 if 0 in (spec.lo, spec.hi) else 1


def _share(found, spec):
    """1 / (weights that draw on what has one price), 0 where that is not used up: float32 (prices, C)."""
    drawing, full = found[3], found[4]
    if _prices_of(spec) == 1:
        drawing, full = ops.sum(drawing, axis=0, keepdims=True), ops.max(full, axis=0, keepdims=True)
    return full / ops.maximum(drawing, 1.0)


def _prices(gradient, latent, drawing, share):
    """What weights pay, (4, C): those above the first row pay the second, those below the third the fourth.

    latent (K, C); drawing: how far from zero weights draw on a budget, (1 or 2, C); share: as `_share` gives it.  What
    is paid is what a unit of the budget is worth, toward zero.  Where that is negative, because the loss asks for
    smaller weights, those projected to zero pay nothing.
    """
    above, below = latent > drawing[0], latent < -drawing[-1]
    if share.shape[0] == 1:
        sums = [column_sum(ops.where(above, gradient, ops.where(below, -gradient, 0.0)))]
    else:
        sums = [column_sum(ops.where(above, gradient, 0.0)), -column_sum(ops.where(below, gradient, 0.0))]
    worth = [-share[side] * total for side, total in enumerate(sums)]
    edges = [ops.where(worth[side] < 0, drawing[side], 0.0) for side in (0, -1)]
    return ops.stack([edges[0], worth[0], -edges[1], -worth[-1]])


def _paid(gradient, latent, prices):
    """The gradient (K, C) with what weights pay, in few steps: XLA takes them wherever an optimizer reads it."""
    above, price, below, price_below = (prices[row] for row in range(4))
    return gradient + ops.where(latent > above, price, 0.0) + ops.where(latent < below, price_below, 0.0)
