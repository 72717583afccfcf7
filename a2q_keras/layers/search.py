"""What `exact` and `none` look for now and then in training: a better scale, and the thresholds of the projection."""

from __future__ import annotations

from keras import ops

from a2q_keras.quantizers import weights
from a2q_keras.quantizers.pow2 import exp2

SEARCH_EVERY = 64  # training steps for which the thresholds of the projection are held
SCALE_STEPS = 1024  # in which the scale may move


def search_when_due(latent, steps, scale_log2, held, method, spec: weights.Accumulator):
    """(scale_log2, held) for training step `steps`, found anew where it is time.

    latent: as `layers.base.Latent`, the bias quantized.  The scale is looked at in steps 0, 1, 2, 4, ..., SCALE_STEPS:
    a fresh network finds it early, and late in training the weights can no longer follow.  Behind a batch norm, whose
    statistics need hundreds of steps to settle, it is looked at whenever the thresholds are.
    """
    doubled = ops.equal(ops.bitwise_and(steps, steps - 1), 0)
    adapt = ops.logical_and(doubled, steps <= SCALE_STEPS)
    due = ops.logical_or(adapt, ops.equal(steps % SEARCH_EVERY, 0))
    adapt = adapt if latent.gain is None else due
    columns = ops.stop_gradient(latent.columns)
    bias = ops.zeros((columns.shape[1],)) if latent.bias is None else ops.stop_gradient(latent.bias)
    return ops.cond(
        due, lambda: _search(columns, bias, scale_log2, held, adapt, method, spec), lambda: (scale_log2, held)
    )


def _search(columns, bias, scale_log2, held, adapt, method, spec):
    scale_log2 = ops.cond(
        adapt, lambda: weights.better_scale_log2(columns, bias, scale_log2, method, spec), lambda: scale_log2
    )
    if method != "exact":
        return scale_log2, held
    scale = exp2(scale_log2)
    return scale_log2, weights.thresholds(columns * (1.0 / scale), weights.bias_codes(bias, scale, spec), spec)
