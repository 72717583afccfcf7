"""Methods `a2q` and `a2q+`: weights of a bounded L1 norm, rounded toward zero.  The twin of `numerics.quantize.a2q`."""

from __future__ import annotations

import math

from keras import ops

from a2q_keras.quantizers import projection
from a2q_keras.quantizers.accumulator import Accumulator, l1_budgets, largest_input
from a2q_keras.quantizers.ste import with_gradient
from a2q_keras.quantizers.sums import column_sum, l1_length, steady_sum

LN2 = math.log(2.0)
LEAST_LIMIT = 1e-6  # of a channel whose bias takes everything, so that its logarithm is finite


def a2q(v, norm_log2, scale, bias, spec: Accumulator, training=False, zero_centered=False):
    """Weight values scale * codes (K, C) of `a2q_codes`; scale: one for all or (C,)."""
    scale = ops.broadcast_to(scale, (v.shape[1],))
    return scale * a2q_codes(v, norm_log2, scale, bias, spec, training, zero_centered)


def a2q_codes(v, norm_log2, scale, bias, spec: Accumulator, training=False, zero_centered=False):
    """Codes (K, C) of v (K, C), scale (C,): q = clip(rtz(g v / (||v||_1 s)), +-qmax), g = min(2**t, s * bound).

    Methods `a2q` (A2Q, section 4) and, with `zero_centered`, `a2q+` (A2Q+, section 3): v less its mean per channel,
    and the bound that goes with it (`numerics.bounds.max_l1_norm`).  The codes are computed in double precision where
    the backend has it (not under JAX as it comes), as in `numerics.quantize.a2q`.  In training, and without double
    precision, they are computed in single precision, which can put a weight on the other side of a whole number; out of
    training such sums are taken in whole numbers, so that their order does not matter.  Out of training the bound holds
    on every backend: units beyond it are taken back.  Straight-through gradient to v, t and s, in closed form.
    """
    limit = _l1_limit(ops.stop_gradient(bias), spec, zero_centered)
    codes = None if training else _codes(v, norm_log2, scale, bias, spec, zero_centered)

    def forward(v, trained, scale):
        v = _centred(v) if zero_centered else v
        length, cap = l1_length(v), scale * limit
        norm = ops.minimum(trained, cap)
        u = v * (norm / (length * scale))
        q = ops.clip(ops.trunc(u), -spec.qmax, spec.qmax) if codes is None else codes

        def backward(upstream):
            # Two ways to say which weights are within qmax: of one, XLA would write the gradient out between its uses.
            inside = ops.where(ops.abs(u) <= spec.qmax, upstream, 0.0)
            along = column_sum(ops.where(ops.abs(u) > spec.qmax, 0.0, upstream * v)) / length
            to_v = (norm / (length * scale)) * (inside - ops.sign(v) * along)
            to_norm = ops.where(trained < cap, along / scale, 0.0)  # a capped norm has the penalty instead
            to_scale = -to_norm * norm / scale
            return to_v - column_sum(to_v) / v.shape[0] if zero_centered else to_v, to_norm, to_scale

        return q, backward

    return with_gradient(forward, v, ops.exp(norm_log2 * LN2), scale)


def norm_penalty(norm_log2, scale, bias, spec: Accumulator, zero_centered=False):
    """sum(max(t - T, 0)) over the channels, T = log2(s * bound): how far the trained norms exceed the bound."""
    limit = ops.maximum(_l1_limit(ops.stop_gradient(bias), spec, zero_centered), LEAST_LIMIT)
    return ops.sum(ops.maximum(norm_log2 - ops.log2(scale * limit), 0.0))


def _centred(v):
    """v - mean(v) per channel.  The first weight is taken off before, so that equal weights give zeros, not noise."""
    v = v - v[:1]
    return v - column_sum(v) / v.shape[0]


def _l1_limit(bias, spec: Accumulator, zero_centered):
    """The bound of `numerics.bounds.max_l1_norm` with what the bias leaves, (C,) in the precision of `bias`."""
    left, bits = (2.0 ** (spec.acc_bits - 1) - 1) - ops.abs(bias), spec.input.bits
    units, largest = (2.0, 2.0**bits - 1) if zero_centered else (2.0**spec.input.signed, 2.0**bits)
    return ops.maximum(left, 0.0) * units / largest


def _codes(v, norm_log2, scale, bias, spec: Accumulator, zero_centered):
    v, norm_log2, scale, bias = (ops.cast(ops.stop_gradient(part), "float64") for part in (v, norm_log2, scale, bias))
    if zero_centered:
        v = v - v[:1]
        v = v - steady_sum(v) / v.shape[0]
    norm = ops.minimum(ops.exp(norm_log2 * LN2), scale * _l1_limit(bias, spec, zero_centered))
    w = norm * v / l1_length(v, steady_sum)
    codes = ops.cast(ops.clip(ops.trunc(w / scale), -spec.qmax, spec.qmax), "float32")
    if spec.holds_all(v.shape[0], largest_input(spec, zero_centered)):
        return codes
    # Floating point can exceed the bound by a unit where w / s is a whole number; take it back.
    return projection.take_units(codes, spec.qmax, l1_budgets(bias, spec, zero_centered))
