"""Latent weights of which each channel has a norm that trains and a mean that stays: method `exact` of convolutions.

With the trained kernel v (K, C) and log2 norms t (C,), and means m (C,) that are not trained, those of the start,

    w = 2**t c / ||c||_1        c = v - mean(v) + m

Norm and direction train apart, as in weight normalization (Salimans and Kingma, 2016), here of the L1 norm, as A2Q
has it; and weights above zero and below it, which have budgets of their own, keep the balance of the start.  What it is
worth was measured: `benchmarks/README.md`.
"""

from __future__ import annotations

import math

import numpy as np
from keras import ops

from a2q_keras.quantizers.ste import with_gradient
from a2q_keras.quantizers.sums import WIDE, column_sum, fused_apart, l1_length, steady_sum

LN2 = math.log(2.0)
LEAST_NORM = 2.0**-29  # of a channel that is not zero
NO_NORM = -30.0  # log2 of the norm of a channel of zeros, which trains as it is


def norm_and_mean(kernel) -> tuple[np.ndarray, np.ndarray]:
    """(t, m), float32 (C,) each, with which `normalised` gives the kernel (K, C), an array, as it is."""
    wide = np.asarray(kernel, np.float64)
    norm = np.log2(np.maximum(np.abs(wide).sum(axis=0), 2.0**NO_NORM))
    return norm.astype(np.float32), wide.mean(axis=0).astype(np.float32)


def normalised(v, norm_log2, mean, training=False):
    """The weights w (K, C) of v (K, C), norm_log2 (C,) and mean (C,): factor * (v + shift) for each channel.

    Out of training factor and shift come from steady sums, so that all weights are the same numbers however compiled;
    in training from fast ones.  The gradient, to v and norm_log2, is that of the formula in both.
    """
    steady = None if training else _steady_figures(v, norm_log2, mean)

    def forward(v, norm):
        has_norm = norm > LEAST_NORM
        shift, length, norm = _figures(v, norm, mean, column_sum) if steady is None else steady
        centred, factor = v + shift, ops.where(has_norm, norm / length, 1.0)
        w = centred * factor

        def backward(upstream):
            along = ops.where(has_norm, column_sum(upstream * w) / norm, 0.0)
            inner = upstream - ops.sign(centred) * along
            return factor * (inner - ops.where(has_norm, column_sum(inner) / v.shape[0], 0.0)), along

        return w, backward

    return with_gradient(forward, v, ops.exp(norm_log2 * LN2))


def _steady_figures(v, norm_log2, mean):
    """`_figures` from sums in double precision where the backend has it; exp(t ln 2) is not steady under XLA."""
    v, norm_log2, mean = (ops.stop_gradient(part) for part in (v, norm_log2, mean))
    norm = ops.cast(ops.power(2.0, ops.cast(norm_log2, WIDE)), "float32")
    return _figures(v, norm, mean, lambda x: ops.cast(steady_sum(ops.cast(x, WIDE)), "float32"))


def _figures(v, norm, mean, add):
    """(m - mean(v), ||v - mean(v) + m||_1, norm), (C,) each; where there is no norm the first is 0."""
    shift = ops.where(norm > LEAST_NORM, mean - fused_apart(add(v) * (1.0 / v.shape[0])), 0.0)
    return shift, l1_length(v + shift, add), norm
