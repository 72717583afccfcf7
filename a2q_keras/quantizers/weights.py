"""The weight quantizers of a training step, in keras.ops.  Weights are (K, C), output channel last.

Each method maps latent weights and the bias codes to weight values scale * codes whose codes meet the bound.  The codes
are those of `numerics.projection.project_codes` (exact) and `numerics.quantize.a2q` (a2q, a2q+); tests hold them equal.
"""

from __future__ import annotations

from keras import ops

from a2q_keras.quantizers.a2q import a2q, a2q_codes, norm_penalty
from a2q_keras.quantizers.accumulator import Accumulator, bias_codes
from a2q_keras.quantizers.exact import codes_and_thresholds, exact, exact_codes, thresholds_shape
from a2q_keras.quantizers.pow2 import exp2
from a2q_keras.quantizers.ste import straight_through

__all__ = [
    "LEARNED_NORM",
    "METHODS",
    "Accumulator",
    "a2q",
    "a2q_codes",
    "bias_codes",
    "codes_and_thresholds",
    "exact",
    "exact_codes",
    "found_anew",
    "nearest_codes",
    "norm_penalty",
    "plain",
    "scale_errors",
    "straight_through",
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


def found_anew(kernel, bias, scale_log2, held, may_move, method, spec: Accumulator):
    """(scale_log2, held) for weights (K, C) with bias (C,) that have changed since.

    scale_log2: where it may move, the best of itself and its neighbours by ||s q(w/s) - w||**2, the search of
    `numerics.quantize.search_scale_log2`, one step at a time; a neighbour must be better by HYSTERESIS.  held: the
    thresholds that go with it; only method "exact" has any.  The scales take turns in a loop, so that a compiled step
    holds the projection once.
    """
    shifts = ops.convert_to_tensor([0.0, -1.0, 1.0], "float32")  # not float64 in JAX's 64-bit mode
    handicaps = ops.convert_to_tensor([HYSTERESIS, 1.0, 1.0], "float32")
    scales = ops.where(may_move, 3, 1)

    def try_next(index, least, best, held):
        exponent = scale_log2 + ops.take(shifts, index)
        errors, found = _errors_and_thresholds(kernel, bias, exp2(exponent), held, method, spec)
        error = ops.sum(errors) * ops.take(handicaps, index)
        better = ops.logical_or(ops.equal(index, 0), error < least)
        chosen = (ops.where(better, new, old) for new, old in ((error, least), (exponent, best), (found, held)))
        return index + 1, *chosen

    start = (0, ops.zeros((), "float32"), scale_log2, held)
    return ops.while_loop(lambda index, *found: index < scales, try_next, start)[2:]


def scale_errors(kernel, bias, exponents, method, spec: Accumulator):
    """||2**e q(w / 2**e) - w||**2 of weights (K, C) for each exponent e, in one projection, which compiles faster."""
    count, channels = exponents.shape[0], kernel.shape[1]
    wide, scale = ops.tile(kernel, (1, count)), ops.repeat(exp2(exponents), channels)
    errors, _ = _errors_and_thresholds(wide, ops.tile(bias, (count,)), scale, None, method, spec)
    return ops.sum(ops.reshape(errors, (count, channels)), axis=1)


def _errors_and_thresholds(kernel, bias, scale, held, method, spec):
    """||s q(w/s) - w||**2 of each channel, (C,), and the thresholds of method "exact", `held` for others."""
    u = kernel * (1.0 / scale)
    if method == "exact":
        codes, held = codes_and_thresholds(u, bias_codes(bias, scale, spec), spec)
    else:
        codes = nearest_codes(u, spec)
    return ops.sum(ops.square(codes * scale - kernel), axis=0), held
