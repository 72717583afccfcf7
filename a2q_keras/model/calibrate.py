"""Integer bits of activations, from data."""

from __future__ import annotations

from numbers import Real

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics import bounds
from a2q_keras.numerics.formats import FixedPoint


def integer_bits(values, bits: int, signed: bool = False, percentile: float | None = None) -> int:
    """QKeras' `integer` for which a quantizer of `bits` bits represents `values` best: least mean squared error.

    percentile: instead the smallest that clips at most the values above this percentile of their magnitudes.  For
    signed=False negative values are taken as zero, as a ReLU does.

    Raises ConfigurationError for too few bits and for a percentile that is not above 0 and at most 100.
    """
    if percentile is not None and not (isinstance(percentile, Real) and 0 < percentile <= 100):
        raise ConfigurationError(f"percentile={percentile!r} is not allowed; give a number above 0 and at most 100")
    bounds.check_bits("bits", bits, 1 + signed, 32)
    values = np.asarray(values, np.float64).ravel()
    values = values if signed else np.maximum(values, 0)
    if not values.any():
        return 0  # no scale suits zeros better than another, and a tiny one would leave the next layer's bias no room
    top = int(np.ceil(np.log2(max(np.abs(values).max(), 1e-6))))
    if percentile is not None:
        reach = np.percentile(np.abs(values), percentile)
        return _covering(reach or 2.0 ** (top - bits), bits, signed)  # most values may be zero
    return min(range(top, top - bits, -1), key=lambda integer: _error(values, bits, integer, signed))


def _covering(reach: float, bits, signed) -> int:
    """The smallest `integer` whose largest code is the nearest one to `reach` or lies beyond it."""
    magnitude_bits = bits - signed
    return magnitude_bits + int(np.ceil(np.log2(reach / (2**magnitude_bits - 0.5))))


def _error(values, bits, integer, signed) -> float:
    format = FixedPoint(bits, bits - signed - integer, signed)
    return float(np.square(format.values(format.quantize(values)) - values).sum())


def quantizer(values, bits: int, percentile: float | None = None) -> str:
    """The QKeras quantizer for activations like `values` (see `integer_bits`): unsigned where none is negative.

    >>> quantizer(np.array([0.0, 0.4, 0.9]), 4), quantizer(np.array([-1.5, 1.0]), 4)
    ('quantized_relu(4,0.0)', 'quantized_bits(4,1.0,alpha=1)')
    """
    if np.asarray(values).min(initial=0) >= 0:
        return relu(values, bits, percentile)
    # as a float, because QKeras cannot raise 2 to a negative integer
    return f"quantized_bits({bits},{integer_bits(values, bits, True, percentile):.1f},alpha=1)"


def relu(values, bits: int, percentile: float | None = None) -> str:
    """The QKeras quantized_relu for activations like `values`, of which the negative ones become zero."""
    return f"quantized_relu({bits},{integer_bits(values, bits, percentile=percentile):.1f})"
