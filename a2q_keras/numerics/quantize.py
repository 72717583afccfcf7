"""From real weights to integer codes: A2Q's quantizer, and the scale that suits a bound."""

from __future__ import annotations

import math

import numpy as np

from a2q_keras.errors import AccumulatorOverflowError
from a2q_keras.numerics import bounds, projection


def a2q(v, norm, scale, acc_bits, weight_bits, input_bits, input_signed, zero_centered=False, bias=0) -> np.ndarray:
    """Integer codes of the A2Q weight quantizer, int64 (K, C).

    w = g*v / ||v||_1 per channel, q = clip(rtz(w / s), +-(2**(M-1) - 1)), g = min(norm, s * max_l1_norm(...))
    (A2Q, section 4; with `zero_centered` v - mean(v) and the bound of A2Q+, section 3).  rtz rounds toward zero, so the
    norm can only shrink.

    v: (K, C); norm: g before it is capped, a value, () or (C,); scale: s, a value, () or (C,), any positive real;
    bias: codes (C,), which lessen the budget.  A channel of zeros stays zero.
    """
    v = projection._finite(v)
    qmax = 2 ** (bounds.check_bits("weight_bits", weight_bits, 2, 32) - 1) - 1
    limit = np.clip(bounds.max_l1_norm(acc_bits, input_bits, input_signed, zero_centered, bias), 0, 2.0**62)
    v = centred(v) if zero_centered else v
    length = np.abs(v).sum(axis=0)
    w = np.minimum(norm, scale * limit) * v / np.where(length > 0, length, 1)
    codes = np.clip(np.trunc(w / scale), -qmax, qmax)
    return _within(codes, qmax, limit, zero_centered)


def a2q_plus_start(w, scale, acc_bits, input_bits, input_signed, bias=0) -> np.ndarray:
    """Where A2Q+ starts from float weights: centred, then projected onto the L1 ball of its bound, float64 (K, C).

    v = argmin ||v - (w - mean(w))||_2 such that ||v||_1 <= s * max_l1_norm(...) (A2Q+, section 3).  Training the norm
    starts from ||v||_1.  scale: s, a value; bias: codes, an int or (C,), which lessen the budget.

    >>> a2q_plus_start(np.array([[3.0], [1.0], [-4.0]]), 1.0, 5, 4, False).ravel()   # the norm is (2**5 - 2) / 15 = 2
    array([ 0.5,  0. , -1.5])
    """
    limit = np.maximum(bounds.max_l1_norm(acc_bits, input_bits, input_signed, True, bias), 0)
    return projection.project_l1(centred(projection._finite(w)), scale * limit)


def centred(v):
    """v - mean(v) per channel.  The first weight is taken off before, so that equal weights give zeros, not noise."""
    v = v - v[:1]
    return v - v.mean(axis=0)


def _within(codes, qmax, limit, zero_centered):
    """The codes with the unit or two removed by which floating point can exceed the bound (w/s on an integer)."""
    if not zero_centered:
        return projection._signed(codes, projection.take_units(np.abs(codes), qmax, np.floor(limit).astype(np.int64)))
    side = np.floor(limit / 2).astype(np.int64)
    sides = [projection.take_units(np.maximum(part, 0), qmax, side) for part in (codes, -codes)]
    return sides[0] - sides[1]


def codes_for_bias(bias, acc_frac) -> np.ndarray:
    """Bias codes on the accumulator's grid: nearest, ties to even, int64."""
    return np.rint(np.asarray(bias, np.float64) * 2.0**acc_frac).astype(np.int64)


def search_scale_log2(w, weight_bits, acc_bits, lo, hi, bias=0.0, input_frac=0) -> int:
    """The exponent e for which the projected codes q at scale 2**e are nearest to `w`: argmin ||2**e q - w||**2.

    With little room in the accumulator a coarse scale wins: fewer units, each worth more.  bias: values (C,), which
    take room, more the finer the scale; input_frac: of the input format.  Zero weights give exponent 0.

    Raises AccumulatorOverflowError where no scale leaves room for the bias.
    """
    w = np.asarray(w, np.float64)
    largest = float(np.abs(w).max(initial=0.0))
    if largest == 0:
        return 0
    top = math.frexp(largest)[1]
    errors = {
        e: _error_at(e, w, weight_bits, acc_bits, lo, hi, bias, input_frac)
        for e in range(top - weight_bits - 1, top + 1)
    }
    best = min(errors, key=lambda e: errors[e])
    if errors[best] == math.inf:
        raise AccumulatorOverflowError(
            f"acc_bits={acc_bits} cannot hold the bias (largest {np.abs(bias).max():.4g}) at any scale of the weights; "
            "raise acc_bits"
        )
    return best


def _error_at(e, w, weight_bits, acc_bits, lo, hi, bias, input_frac):
    try:
        codes = projection.project_codes(
            w * 2.0**-e, weight_bits, acc_bits, lo, hi, codes_for_bias(bias, input_frac - e)
        )
    except AccumulatorOverflowError:
        return math.inf
    return float(((codes * 2.0**e - w) ** 2).sum())
