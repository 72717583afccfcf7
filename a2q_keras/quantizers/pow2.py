"""Powers of two that are exact on every backend."""

from __future__ import annotations

import math

import numpy as np
from keras import ops

from a2q_keras.quantizers.ste import straight_through

LEAST, MOST = -96, 96
POWERS = np.ldexp(np.float32(1), np.arange(LEAST, MOST + 1))


def whole_exponent(exponent) -> int:
    """The exponent that `exp2` takes for a number: rounded, ties to even, within +-96."""
    return round(float(np.clip(exponent, LEAST, MOST)))


def exp2(exponent):
    """2**round(exponent), exactly, as float32; the gradient is that of 2**exponent.  Exponents saturate at +-96."""
    exponent = ops.clip(exponent, LEAST, MOST)
    return straight_through(_power(ops.round(ops.stop_gradient(exponent))), ops.exp(exponent * math.log(2.0)))


def _power(exponent):
    """2**exponent from shifts and squares: pow(2, e) of a compiler may be an ulp off, and no product an integer then.

    No factor and no product of factors leaves the range of float32, in whatever order a compiler multiplies.
    """
    negative = exponent < 0
    above = ops.cast(ops.where(negative, exponent - LEAST, exponent), "int32")
    one = ops.ones_like(above)
    fourth, rest = ops.right_shift(above, 2), ops.bitwise_and(above, 3)
    fourth, rest = (ops.cast(ops.left_shift(one, part), "float32") for part in (fourth, rest))
    return ops.square(ops.square(fourth)) * rest * ops.where(negative, 2.0**LEAST, 1.0)
