"""Integer bits of activations, from data."""

from __future__ import annotations

import numpy as np

from a2q_keras.numerics import bounds
from a2q_keras.numerics.formats import FixedPoint


def integer_bits(values, bits: int, signed: bool = False) -> int:
    """QKeras' `integer` for which a quantizer of `bits` bits represents `values` best: least mean squared error.

    For signed=False negative values are taken as zero, as a ReLU does.  Raises ConfigurationError for too few bits.
    """
    bounds.check_bits("bits", bits, 1 + signed, 32)
    values = np.asarray(values, np.float64).ravel()
    values = values if signed else np.maximum(values, 0)
    top = int(np.ceil(np.log2(max(np.abs(values).max(initial=0), 1e-6))))
    return min(range(top, top - bits, -1), key=lambda integer: _error(values, bits, integer, signed))


def _error(values, bits, integer, signed) -> float:
    format = FixedPoint(bits, bits - signed - integer, signed)
    return float(np.square(format.values(format.quantize(values)) - values).sum())


def quantizer(values, bits: int) -> str:
    """The QKeras quantizer for activations like `values`, least mean squared error: unsigned where none is negative.

    >>> quantizer(np.array([0.0, 0.4, 0.9]), 4), quantizer(np.array([-1.5, 1.0]), 4)
    ('quantized_relu(4,0.0)', 'quantized_bits(4,1.0,alpha=1)')
    """
    signed = bool(np.asarray(values).min(initial=0) < 0)
    integer = integer_bits(values, bits, signed)
    # as a float, because QKeras cannot raise 2 to a negative integer
    return f"quantized_bits({bits},{integer:.1f},alpha=1)" if signed else relu(values, bits)


def relu(values, bits: int) -> str:
    """The QKeras quantized_relu for activations like `values`, of which the negative ones become zero."""
    return f"quantized_relu({bits},{integer_bits(values, bits):.1f})"
