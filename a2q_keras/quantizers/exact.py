"""Method `exact`: the nearest codes that meet the exact condition.  The twin of `numerics.projection.project_codes`."""

from __future__ import annotations

from keras import ops

from a2q_keras.numerics import tiles
from a2q_keras.quantizers import projection
from a2q_keras.quantizers.accumulator import Accumulator, apart, exact_budgets, together
from a2q_keras.quantizers.ste import with_gradient

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
    u = ops.stop_gradient(kernel * (1.0 / scale))
    if held is None:
        found = projection.thresholds(u, spec.qmax, exact_budgets(ops.stop_gradient(bias), spec))
        codes, share = projection.apply(u, spec.qmax, found), found[3]
    else:
        codes, share = projection.shrink(u, spec.qmax, held[0]), held[1]
    values = codes * scale
    found = with_gradient(lambda kernel: (values, lambda up: up + _prices(up, u, codes, share)), kernel)
    return together(found, k, spec)


def thresholds(u, bias, spec: Accumulator):
    """What `exact` can be given as `held` for u = w / s: float32 (2, budgets, C), with tiles (2, budgets, tiles * C).

    The edge up to which weights shrink to zero (`projection.shrink`), just above any ties, which are left out; and the
    share of the budget for each weight that draws on it (`projection.thresholds`).
    """
    u, bias = apart(u, ops.stop_gradient(bias), spec)
    found = projection.thresholds(u, spec.qmax, exact_budgets(bias, spec))
    level, cut, missing, share = (found[row] for row in range(4))
    edge = level + cut
    return ops.stack([ops.where(missing > 0.5, edge * TIE_GUARD + projection.GRID, edge), share])


def thresholds_shape(k: int, channels: int, spec: Accumulator) -> tuple[int, int, int]:
    """The shape of `thresholds`: one budget per sign for inputs from zero up, else one for both signs."""
    return 2, 2 if spec.input.lo == 0 else 1, channels * tiles.count(k, spec.tile)


def exact_codes(u, bias, spec: Accumulator):
    """The twin of `numerics.projection.project_codes`, float32, for inputs from zero up and for symmetric inputs.

    Other signed inputs [lo, hi] are taken as [-h, h], h = max(-lo, hi), which is sound: two's complement has one more
    code below zero than above.
    """
    columns, bias = apart(u, bias, spec)
    return together(projection.take_units(columns, spec.qmax, exact_budgets(bias, spec)), u.shape[0], spec)


def _prices(gradient, u, codes, share):
    """What is added to the gradient (K, C) of weights u, toward zero: what a unit of its budget is worth.

    share (budgets, C): 1 over the number of weights that draw on a budget, 0 where it is not used up.  Where the worth
    is negative, because the loss asks for smaller weights, those projected to zero pay nothing.
    """
    side = ops.sign(codes)
    worth = -share * _by_budget(gradient, side, share.shape[0])
    return _toward_zero(ops.sign(u), ops.relu(worth)) + _toward_zero(side, ops.minimum(worth, 0.0))


def _by_budget(gradient, side, budgets):
    """The sum of the gradient over the weights above and below zero, (2, C), or both, (1, C), toward larger ones."""
    along = gradient * side
    total = ops.sum(along, axis=0)
    if budgets == 1:
        return total[None]
    above = 0.5 * (ops.sum(along * side, axis=0) + total)  # comparisons and selections would take several times as long
    return ops.stack([above, total - above])


def _toward_zero(side, prices):
    """prices (budgets, C), toward zero for weights on `side` (K, C) of it: those above, those below, or both alike."""
    if prices.shape[0] == 1:
        return side * prices[0]
    return side * (0.5 * (prices[0] + prices[1]) + side * (0.5 * (prices[0] - prices[1])))
