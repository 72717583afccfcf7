"""The weight quantizers of a training step, in keras.ops.  Weights are (K, C), output channel last.

Each method maps latent weights and the bias codes to weight values scale * codes whose codes meet the bound.  The codes
are those of `numerics.projection.project_codes` (exact) and `numerics.quantize.a2q` (a2q); tests hold them equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keras import ops

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers import projection
from a2q_keras.quantizers.pow2 import exp2
from a2q_keras.quantizers.ste import straight_through

METHODS = ("exact", "a2q", "a2q+", "none")
LEARNED_NORM = ("a2q", "a2q+")  # the papers' methods, whose norms and scale are trained
COUNTABLE_BITS = 24  # whole numbers below 2**24 are exact in float32
INT32_BITS = 31
HYSTERESIS = 0.9
LN2 = math.log(2.0)


@dataclass(frozen=True)
class Accumulator:
    """What a layer's weights must fit: the accumulator, the weight codes and the codes of the inputs.

    live_step: the value of input code 1 as a tensor, where it trains and `input.frac` is only what it was.
    """

    acc_bits: int
    weight_bits: int
    input: FixedPoint
    live_step: Any = None

    @property
    def input_step(self):
        """The value of input code 1, a power of two."""
        return self.input.step if self.live_step is None else self.live_step

    @property
    def qmax(self) -> float:
        """The largest weight code, +-(2**(M-1) - 1)."""
        return float(2 ** (self.weight_bits - 1) - 1)


def bias_codes(bias, scale, spec: Accumulator):
    """float32 codes (C,) of `bias` on the accumulator's grid, ties to even, saturated to the accumulator or 24 bits."""
    limit = 2.0 ** (min(spec.acc_bits, COUNTABLE_BITS) - 1)
    return ops.clip(ops.round(bias / (scale * spec.input_step)), -limit, limit - 1)


def plain(kernel, scale, spec: Accumulator):
    """Nearest codes within the weight format, halves toward zero; no bound on the sum.  Method `none`."""
    return straight_through(nearest_codes(ops.stop_gradient(kernel * (1.0 / scale)), spec) * scale, kernel)


def nearest_codes(u, spec: Accumulator):
    """The nearest codes within the weight format, halves toward zero."""
    return ops.sign(u) * ops.clip(ops.ceil(ops.abs(u) - 0.5), 0.0, spec.qmax)


def exact(kernel, scale, bias, spec: Accumulator, held=None):
    """The nearest codes that meet the exact condition with the bias codes `bias`.  Method `exact`.

    held: thresholds found by `thresholds` for these weights a few training steps ago, to save the search; the codes may
    then miss the budget by a few units.

    Gradient: straight through the rounding; along a budget that is used up, the part that would change the sum of the
    weights drawing on it is taken out (the Jacobian of the continuous projection).  Weights projected to zero keep
    their gradient, so that they can come back.
    """
    u = ops.stop_gradient(kernel * (1.0 / scale))
    found = thresholds(u, bias, spec) if held is None else held
    codes = projection.apply(u, spec.qmax, found, fill=held is None)

    @ops.custom_gradient
    def through(kernel):
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return upstream - _along_budgets(upstream, u, found[0] + found[1] + 0.5, found[3])

        return codes * scale, gradient

    return through(kernel)


def thresholds(u, bias, spec: Accumulator):
    """The thresholds of the exact projection of u = w / s; see `projection.thresholds`."""
    return projection.thresholds(u, spec.qmax, budgets(ops.stop_gradient(bias), spec))


def thresholds_shape(channels: int, spec: Accumulator) -> tuple[int, int, int]:
    """The shape of `thresholds`: one budget per sign for inputs from zero up, else one for both signs."""
    return 4, 2 if spec.input.lo == 0 else 1, channels


def exact_codes(u, bias, spec: Accumulator):
    """The twin of `numerics.projection.project_codes`, float32, for inputs from zero up and for symmetric inputs.

    Other signed inputs [lo, hi] are taken as [-h, h], h = max(-lo, hi), which is sound: two's complement has one more
    code below zero than above.
    """
    return projection.take_units(u, spec.qmax, budgets(bias, spec))


def _along_budgets(gradient, u, edge, share):
    """The part of `gradient` (K, C) that changes the sums of full budgets: its mean over the weights of each budget.

    Those are the weights beyond `edge` (budgets, C); share: 1 over their number, 0 where the budget is not used up.
    """
    if share.shape[0] == 1:
        drawing = ops.where(ops.abs(u) > edge[0], ops.sign(u), 0.0)
        return drawing * (share[0] * ops.sum(gradient * drawing, axis=0))
    above = share[0] * ops.sum(ops.where(u > edge[0], gradient, 0.0), axis=0)
    below = share[1] * ops.sum(ops.where(u < -edge[1], gradient, 0.0), axis=0)
    return ops.where(u > edge[0], above, ops.where(u < -edge[1], below, 0.0))


def budgets(bias, spec: Accumulator):
    """Units that fit: float32 (2, C), above and below zero, for inputs from zero up; (1, C), both together, otherwise.

    headroom // largest input, in int32 so that nothing rounds.
    """
    most = 2 ** (min(spec.acc_bits, INT32_BITS) - 1) - 1
    bias = ops.cast(bias, "int32")
    upward = most - ops.maximum(bias, 0)
    downward = ops.minimum(bias, 0) + most + (spec.acc_bits < INT32_BITS)
    rows = [upward, downward] if spec.input.lo == 0 else [ops.minimum(upward, downward)]
    largest = max(spec.input.hi, -spec.input.lo, 1)
    return ops.cast(ops.minimum(ops.stack(rows) // largest, 2**COUNTABLE_BITS), "float32")


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


def a2q(v, norm_log2, scale, bias, spec: Accumulator, training=False, zero_centered=False):
    """A2Q: w = g v / ||v||_1 rounded toward zero, g = min(2**t, s * bound), bound = `bounds.max_l1_norm`.

    Methods `a2q` (A2Q, section 4) and, with `zero_centered`, `a2q+` (A2Q+, section 3): v less its mean per channel, and
    the bound that goes with it.  The codes are computed in double precision where the backend has it, as in
    `numerics.quantize.a2q`; in training in single precision, which can put a weight on the other side of a whole
    number.  Out of training the bound holds on every backend: units beyond it are taken back, counted in whole numbers.
    Straight-through gradient to v, t and s.
    """
    codes = None if training else _a2q_codes(v, norm_log2, scale, bias, spec, zero_centered)
    v = _centred(v) if zero_centered else v
    limit = ops.cast(_l1_limit(bias, spec, zero_centered), "float32")
    norm = ops.minimum(ops.exp(norm_log2 * LN2), scale * limit)
    w = ops.clip(v * (norm / (_length(v) * scale)), -spec.qmax, spec.qmax)
    return scale * straight_through(ops.trunc(w) if codes is None else codes, w)


def norm_penalty(norm_log2, scale, bias, spec: Accumulator, zero_centered=False):
    """sum(max(t - T, 0)) over the channels, T = log2(s * bound): how far the trained norms exceed the bound."""
    limit = ops.maximum(ops.cast(_l1_limit(bias, spec, zero_centered), "float32"), 1e-6)
    return ops.sum(ops.maximum(norm_log2 - ops.log2(scale * limit), 0.0))


def _centred(v):
    """v - mean(v) per channel.  The first weight is taken off before, so that equal weights give zeros, not noise."""
    v = v - v[:1]
    return v - ops.mean(v, axis=0)


def _length(v):
    """||v||_1 per channel, 1 for a channel of zeros."""
    length = ops.sum(ops.abs(v), axis=0)
    return ops.where(length > 0, length, ops.ones_like(length))


def _l1_limit(bias, spec: Accumulator, zero_centered):
    """The bound of `numerics.bounds.max_l1_norm` with what the bias leaves, float64 (C,)."""
    left = (2.0 ** (spec.acc_bits - 1) - 1) - ops.abs(ops.cast(ops.stop_gradient(bias), "float64"))
    bits = spec.input.bits
    units, largest = (2.0, 2.0**bits - 1) if zero_centered else (2.0**spec.input.signed, 2.0**bits)
    return ops.maximum(left, 0.0) * units / largest


def _l1_budgets(bias, spec: Accumulator, zero_centered):
    """The bound in whole units, float32: of each sign (2, C) for zero-centred weights, else of both together (1, C)."""
    left = 2 ** (min(spec.acc_bits, INT32_BITS) - 1) - 1 - ops.abs(ops.cast(bias, "int32"))
    largest = 2**spec.input.bits - 1 if zero_centered else 2 ** (spec.input.bits - spec.input.signed)
    units = ops.minimum(ops.maximum(left, 0) // min(largest, 2**INT32_BITS - 1), 2**COUNTABLE_BITS)
    return ops.stack([ops.cast(units, "float32")] * (1 + zero_centered))


def _a2q_codes(v, norm_log2, scale, bias, spec: Accumulator, zero_centered):
    bias = ops.stop_gradient(bias)
    v, norm_log2, scale = (ops.cast(ops.stop_gradient(part), "float64") for part in (v, norm_log2, scale))
    v = _centred(v) if zero_centered else v
    norm = ops.minimum(ops.exp(norm_log2 * LN2), scale * _l1_limit(bias, spec, zero_centered))
    w = norm * v / _length(v)
    codes = ops.cast(ops.clip(ops.trunc(w / scale), -spec.qmax, spec.qmax), "float32")
    # Floating point can exceed the bound by a unit where w / s is a whole number; take it back.
    return projection.take_units(codes, spec.qmax, _l1_budgets(bias, spec, zero_centered))
