"""Powers of two that are exact on every backend."""

from __future__ import annotations

import math

import numpy as np
from keras import ops

from a2q_keras.quantizers.ste import straight_through

LEAST, MOST = -96, 96
# pow(2, e) of a compiler may be an ulp off, and then no product would be an integer: pick the power from a table.
EXPONENTS = np.arange(LEAST, MOST + 1.0, dtype=np.float32)
POWERS = np.ldexp(np.float32(1), EXPONENTS.astype(int))


def exp2(exponent):
    """2**round(exponent), exactly, as float32; the gradient is that of 2**exponent.  Exponents saturate at +-96."""
    exponent = ops.clip(exponent, LEAST, MOST)
    chosen = ops.equal(ops.round(ops.stop_gradient(exponent))[..., None], EXPONENTS)
    # A sum, because XLA does it once; a look-up it would repeat for every weight that the power multiplies.
    exact = ops.sum(ops.where(chosen, POWERS, 0.0), axis=-1)
    return straight_through(exact, ops.exp(exponent * math.log(2.0)))
