"""What the layers of plain QKeras mean in integers, where their weights and biases lie on a power-of-two grid."""

from __future__ import annotations

import numpy as np
from keras import ops as kops

from a2q_keras.errors import UnsupportedLayerError, WeightError
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers.activations import format_of

UNBOUNDED_BITS = 32  # asked for a layer that was trained without a bound


def integer_weights(layer, input_frac: int):
    """(weight codes, bias codes, weight format, acc_bits) of a QDense, QConv1D, QConv2D or QDepthwiseConv2D.

    The codes are those of the forward pass.  The kernel quantizer is an a2q_bits, whose acc_bits are taken, or a
    quantized_bits with alpha=1; the bias lies on the grid of the accumulator.

    Raises UnsupportedLayerError for other quantizers and biases off that grid, WeightError for NaN weights.
    """
    part = "depthwise" if hasattr(layer, "depthwise_quantizer") else "kernel"
    kernel, quantizer = getattr(layer, f"{part}_kernel", None), getattr(layer, f"{part}_quantizer_internal")
    kernel = layer.kernel if kernel is None else kernel
    if quantizer is None:
        raise UnsupportedLayerError(f"layer {layer.name!r}: its weights are not quantized; give a {part}_quantizer")
    if not np.isfinite(kops.convert_to_numpy(kernel)).all():
        raise WeightError(
            f"layer {layer.name!r}: its {part} holds NaN or infinity; train again with a lower learning rate"
        )
    format = _format(layer, quantizer, kernel, part)
    codes = kops.convert_to_numpy(quantizer(kops.convert_to_tensor(kernel))).astype(np.float64) * 2.0**format.frac
    assert (codes == np.rint(codes)).all(), "quantized weights are not on their grid"
    acc_bits = getattr(quantizer, "acc_bits", UNBOUNDED_BITS)
    return codes.astype(np.int64), _bias(layer, codes, part, input_frac + format.frac), format, acc_bits


def _format(layer, quantizer, kernel, part) -> FixedPoint:
    if not hasattr(quantizer, "exponent"):
        return format_of(quantizer, f"layer {layer.name!r}, {part}_quantizer")
    if quantizer.depthwise != (part == "depthwise"):
        raise UnsupportedLayerError(
            f"layer {layer.name!r}: a2q_bits has depthwise={quantizer.depthwise}; "
            f"write a2q_bits(..., depthwise={not quantizer.depthwise})"
        )
    return quantizer.format(kernel)


def _bias(layer, codes, part, frac) -> np.ndarray:
    channels = int(np.prod(codes.shape[-2:])) if part == "depthwise" else codes.shape[-1]
    if not layer.use_bias:
        return np.zeros(channels, np.int64)
    quantizer = layer.bias_quantizer_internal
    bias = kops.convert_to_tensor(layer.bias)
    found = kops.convert_to_numpy(bias if quantizer is None else quantizer(bias)).astype(np.float64) * 2.0**frac
    off = np.flatnonzero(found != np.rint(found))
    if len(off):
        raise UnsupportedLayerError(
            f"layer {layer.name!r}: the bias of channel {off[0]} is no multiple of 2**{-frac}, the step of its "
            f"accumulator; give a bias_quantizer such as quantized_bits(8, {max(7 - frac, 0)}, alpha=1) whose step is "
            "that or coarser, or use an A2Q layer, which rounds its bias itself"
        )
    return found.astype(np.int64)
