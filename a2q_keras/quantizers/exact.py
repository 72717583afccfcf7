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
    weights drawing on it is taken out (the Jacobian of the continuous projection).  Weights projected to zero keep
    their gradient, so that they can come back.
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
    found = with_gradient(lambda kernel: (values, lambda up: up - _along_budgets(up, codes, share)), kernel)
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


def _along_budgets(gradient, codes, share):
    """The part of `gradient` (K, C) that changes the sums of full budgets: its mean over the weights of each budget.

    share (budgets, C): 1 over the number of weights that draw on a budget, 0 where it is not used up.
    """
    side = ops.sign(codes)
    along = gradient * side
    total = ops.sum(along, axis=0)
    if share.shape[0] == 1:
        return side * (share[0] * total)
    above = 0.5 * (ops.sum(along * side, axis=0) + total)  # comparisons and selections would take several times as long
    step_above, step_below = share[0] * above, share[1] * (above - total)
    return side * (0.5 * (step_above - step_below) + side * (0.5 * (step_above + step_below)))
