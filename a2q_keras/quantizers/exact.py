"""Method `exact`: the nearest codes that meet the exact condition.  The twin of `numerics.projection.project_codes`."""

from __future__ import annotations

from keras import ops

from a2q_keras.numerics import tiles
from a2q_keras.quantizers import projection
from a2q_keras.quantizers.accumulator import INT32_BITS, Accumulator, apart, headroom, together, whole_units
from a2q_keras.quantizers.split import split
from a2q_keras.quantizers.ste import with_gradient
from a2q_keras.quantizers.sums import column_sum

TIE_GUARD = 1 + 2.0**-22


def exact(kernel, scale, bias, spec: Accumulator, held=None):
    """Weight values scale * codes (K, C), whose codes are the nearest that meet the exact condition with `bias` codes.

    held: `thresholds` found for these weights a few training steps ago, to save the search; the codes may then miss the
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
        found = projection.thresholds(u, spec.qmax, _budgets(u, ops.stop_gradient(bias), spec))
        codes, share = projection.apply(u, spec.qmax, found), _share(found, spec)
    else:
        codes, share = projection.shrink(u, spec.qmax, held[0]), held[1][: _prices_of(spec)]
    values = codes * scale

    def backward(up):
        # A branch of its own: XLA would work it out again wherever an optimizer reads the gradient.
        return ops.cond(ops.any(share > 0), lambda: up + _prices(up, latent, values, share), lambda: up)

    return together(with_gradient(lambda kernel: (values, backward), kernel), k, spec)


def thresholds(u, bias, spec: Accumulator):
    """What `exact` can be given as `held` for u = w / s: float32 (2, budgets, C), with tiles (2, budgets, tiles * C).

    The edge up to which weights shrink to zero (`projection.shrink`), just above any ties, which are left out; and the
    share of the budget for each weight that draws on it.
    """
    u, bias = apart(u, ops.stop_gradient(bias), spec)
    found = projection.thresholds(u, spec.qmax, _budgets(u, bias, spec))
    level, cut, missing = (found[row] for row in range(3))
    edge = level + cut
    edge = ops.where(missing > 0.5, edge * TIE_GUARD + projection.GRID, edge)
    return ops.stack([edge, ops.broadcast_to(_share(found, spec), edge.shape)])


def thresholds_shape(k: int, channels: int, spec: Accumulator) -> tuple[int, int, int]:
    """The shape of `thresholds`: one budget for both signs where inputs reach as far down as up, else one per sign."""
    return 2, 1 if spec.input.lo == -spec.input.hi else 2, channels * tiles.count(k, spec.tile)


def exact_codes(u, bias, spec: Accumulator):
    """The twin of `numerics.projection.project_codes`: float32 codes (K, C) of u = w / s for bias codes (C,)."""
    columns, bias = apart(u, bias, spec)
    return together(projection.take_units(columns, spec.qmax, _budgets(columns, bias, spec)), u.shape[0], spec)


def meet_exact_condition(codes, bias, spec: Accumulator):
    """Whether whole `codes` (K, C) fit with the bias codes (C,): bool (C,), without tiles."""
    above, below = (ops.cast(ops.sum(ops.relu(side), axis=0), "int32") for side in (codes, -codes))
    upward, downward = headroom(bias, spec)
    return ops.logical_and(_fit(above, below, upward, spec.input), _fit(below, above, downward, spec.input))


def _fit(same, opposite, room, inputs):
    """hi*same - lo*opposite <= room, without leaving int32."""
    hi, low = (min(end, 2**INT32_BITS - 1) for end in (inputs.hi, -inputs.lo))
    most = room // hi if hi else same
    left = room - hi * ops.minimum(same, most)
    return ops.logical_and(same <= most, opposite <= left // low) if low else same <= most


def _budgets(u, bias, spec):
    """Units that fit: float32 (2, C), above and below zero; for symmetric inputs (1, C), both together."""
    upward, downward = headroom(bias, spec)
    lo, hi = spec.input.lo, spec.input.hi
    if lo == 0:
        return whole_units(ops.stack([upward, downward]), max(hi, 1))
    if lo == -hi:
        return whole_units(ops.minimum(upward, downward)[None], hi)
    if hi == 0:
        return whole_units(ops.stack([downward, upward]), -lo)
    if hi > spec.most:
        return ops.zeros((2, bias.shape[0]))
    return split(u, spec.qmax, upward, downward, hi)


def _prices_of(spec) -> int:
    """How many prices a column has: one per sign where each has a budget of its own, as for inputs from zero up."""
    return 2 if 0 in (spec.input.lo, spec.input.hi) else 1


def _share(found, spec):
    """1 / (weights that draw on what has one price), 0 where that is not used up: float32 (prices, C)."""
    drawing, full = found[3], found[4]
    if _prices_of(spec) == 1:
        drawing, full = ops.sum(drawing, axis=0, keepdims=True), ops.max(full, axis=0, keepdims=True)
    return full / ops.maximum(drawing, 1.0)


def _prices(gradient, weights, projected, share):
    """What is added to the gradient (K, C) of weights, toward zero: what a unit of its budget is worth.

    share: as `_share` gives it.  Where the worth is negative, because the loss asks for smaller weights, those
    projected to zero pay nothing.
    """
    worth = -share * _by_price(gradient, ops.sign(projected), share.shape[0])
    side = ops.sign(weights)
    price = ops.where(side > 0, worth[0], worth[-1])
    return side * ops.where(ops.equal(projected, 0.0), ops.relu(price), price)


def _by_price(gradient, side, prices):
    """The sum of the gradient over the weights above and below zero, (2, C), or both, (1, C), toward larger ones."""
    if prices == 1:
        return column_sum(gradient * side)[None]
    return ops.stack([column_sum(gradient * ops.relu(side)), -column_sum(gradient * ops.relu(-side))])
