"""Given codes as the weights of an accumulator-aware layer."""

from __future__ import annotations

from math import prod

import numpy as np

from a2q_keras.errors import ConversionError
from a2q_keras.numerics.running import Target
from a2q_keras.quantizers.accumulator import COUNTABLE_BITS, INT32_BITS


def target(layer) -> Target:
    """What codes must fit so that the layer's own projection leaves them alone.

    Of accumulators beyond int32 the layer counts sums in larger units, which takes less than a bit, and up to 2**24
    units of weight.
    """
    spec, acc_bits = layer.accumulator, layer.acc_bits
    if acc_bits > INT32_BITS:
        few = prod(layer.kernel.shape) // layer._channels * spec.qmax <= 2**COUNTABLE_BITS
        acc_bits = acc_bits - 1 if few else INT32_BITS
    return Target(acc_bits, spec.weight_bits, spec.input.lo, spec.input.hi, spec.tile)


def set_codes(layer, codes, bias, exponent: int):
    """Give a layer the weight codes (K, C) and bias codes (C,) at scale 2**exponent; it goes on training from there.

    The bias has what the weights leave, so the layer's bias_share becomes 1.

    Raises ConversionError where the layer would compute with other codes: they do not fit its accumulators.
    """
    layer.bias_share = 1.0
    layer.set_kernel((codes * 2.0**exponent).reshape(layer.kernel.shape))
    if layer.use_bias:
        layer.bias.assign(bias * 2.0 ** (exponent - layer.input_format.frac))
    layer.fit_scale(exponent)
    found = layer.integer_weights()
    if not (np.array_equal(found[0].reshape(codes.shape), codes) and np.array_equal(found[1], bias)):
        raise ConversionError(
            f"layer {layer.name!r}: the codes found do not survive the layer's own projection for "
            f"acc_bits={layer.acc_bits}; use method='exact' for its training, or a wider accumulator"
        )
