"""The weight quantizers of a training step, in keras.ops.  Weights are (K, C), output channel last.

Each method maps latent weights and the bias codes to weight values scale * codes whose codes meet the bound.  The codes
are those of `numerics.projection.project_codes` (exact) and `numerics.quantize.a2q` (a2q, a2q+); tests hold them equal.
"""

from __future__ import annotations

from keras import ops

from a2q_keras.quantizers.a2q import a2q, a2q_codes, norm_penalty
from a2q_keras.quantizers.accumulator import Accumulator, bias_codes
from a2q_keras.quantizers.exact import exact, exact_codes, thresholds, thresholds_shape
from a2q_keras.quantizers.pow2 import exp2
from a2q_keras.quantizers.ste import straight_through

__all__ = [
    "LEARNED_NORM",
    "METHODS",
    "Accumulator",
    "a2q",
    "a2q_codes",
    "better_scale_log2",
    "bias_codes",
    "exact",
    "exact_codes",
    "nearest_codes",
    "norm_penalty",
    "plain",
    "straight_through",
    "thresholds",
    "thresholds_shape",
]
METHODS = ("exact", "a2q", "a2q+", "none")
LEARNED_NORM = ("a2q", "a2q+")  # the papers' methods, whose norms and scale are trained
HYSTERESIS = 0.9


def plain(kernel, scale, spec: Accumulator):
    """Nearest codes within the weight format, halves toward zero; no bound on the sum.  Method `none`."""
    return straight_through(nearest_codes(ops.stop_gradient(kernel * (1.0 / scale)), spec) * scale, kernel)


def nearest_codes(u, spec: Accumulator):
    """The nearest codes within the weight format, halves toward zero."""
    return ops.sign(u) * ops.clip(ops.ceil(ops.abs(u) - 0.5), 0.0, spec.qmax)


def better_scale_log2(kernel, bias, scale_log2, method, spec: Accumulator):
    """The best of scale_log2 - 1, scale_log2, scale_log2 + 1 by ||s q(w/s) - w||**2: the search of
    `numerics.quantize.search_scale_log2`, one step at a time.  A neighbour must be better by HYSTERESIS.
    """
    shifts = (0.0, -1.0, 1.0)
    scales = ops.stack([exp2(scale_log2 + shift) for shift in shifts])
    channels = kernel.shape[1]
    wide = ops.tile(kernel, (1, len(shifts)))
    scale = ops.repeat(scales, channels)
    if method == "exact":
        codes = exact_codes(wide / scale, bias_codes(ops.tile(bias, (len(shifts),)), scale, spec), spec)
    else:
        codes = nearest_codes(wide / scale, spec)
    errors = ops.sum(ops.reshape(ops.sum(ops.square(codes * scale - wide), axis=0), (len(shifts), channels)), axis=1)
    best = ops.argmin(errors * ops.convert_to_tensor([HYSTERESIS, 1.0, 1.0]))
    return scale_log2 + ops.take(ops.convert_to_tensor(shifts), best)
