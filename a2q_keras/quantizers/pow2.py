"""Powers of two that are exact on every backend."""

from __future__ import annotations

import math

import numpy as np
from keras import ops

from a2q_keras.quantizers.ste import straight_through

LEAST, MOST = -96, 96
# pow(2, e) of a compiler may be an ulp off, and then no product would be an integer: look the power up instead.
# The table holds reciprocals: XLA would repeat a mere look-up for every weight, but a quotient it keeps.
RECIPROCALS = (2.0 ** -np.arange(LEAST, MOST + 1.0)).astype(np.float32)


def exp2(exponent):
    """2**round(exponent), exactly, as float32; the gradient is that of 2**exponent.  Exponents saturate at +-96."""
    exponent = ops.clip(exponent, LEAST, MOST)
    index = ops.cast(ops.round(ops.stop_gradient(exponent)), "int32") - LEAST
    exact = 1.0 / ops.take(ops.convert_to_tensor(RECIPROCALS), index, axis=0)
    return straight_through(exact, ops.exp(exponent * math.log(2.0)))
