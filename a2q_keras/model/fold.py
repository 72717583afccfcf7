"""The weights of float and QKeras layers, with the batch norm behind them folded in."""

from __future__ import annotations

import keras
import numpy as np


def float_weights(layer, batchnorm=None) -> list[np.ndarray | None]:
    """[kernel, bias] of a float Keras or QKeras layer, as `set_float_weights` takes them; bias None without one.

    Those of a QKeras layer are quantized as it computes with them.  A separable convolution gives [depthwise kernel,
    pointwise kernel, bias].  batchnorm: the layer behind it, whose moving statistics are folded in: kernel * f,
    (bias - mean) * f + beta, f = gamma / sqrt(variance + epsilon).
    """
    *kernels, bias = _own_weights(layer)
    if batchnorm is None:
        return [*kernels, bias]
    factor, mean, beta = statistics(batchnorm)
    kernels[-1] = kernels[-1] * factor.reshape(channels(layer, kernels[-1]))
    return [*kernels, ((0.0 if bias is None else bias) - mean) * factor + beta]


def _own_weights(layer) -> list[np.ndarray | None]:
    if hasattr(layer, "get_folded_weights"):  # QKeras' layers with a batch norm of their own
        kernel, bias = layer.get_folded_weights()
        return [quantized(kernel_quantizer(layer), kernel), quantized(layer.bias_quantizer_internal, bias)]
    names = ("depthwise_kernel", "pointwise_kernel", "kernel")
    kernels = [quantized(kernel_quantizer(layer), getattr(layer, name)) for name in names if hasattr(layer, name)]
    bias_quantizer = getattr(layer, "bias_quantizer_internal", None)
    return [*kernels, quantized(bias_quantizer, layer.bias) if layer.use_bias else None]


def kernel_quantizer(layer):
    """What a QKeras layer quantizes its kernel by, None for a layer that does not."""
    own = getattr(layer, "depthwise_quantizer_internal", None)
    return getattr(layer, "kernel_quantizer_internal", None) if own is None else own


def quantized(quantizer, variable) -> np.ndarray:
    """A variable as a QKeras quantizer makes it; None leaves it as it is."""
    return _numpy(variable if quantizer is None else quantizer(keras.ops.convert_to_tensor(variable)))


def channels(layer, kernel) -> tuple[int, ...]:
    """The shape in which one number per output channel multiplies the kernel."""
    return kernel.shape[-2:] if "Depthwise" in type(layer).__name__ else kernel.shape[-1:]


def statistics(batchnorm):
    """(factor, mean, beta) of a batch norm in inference, factor * (x - mean) + beta: float64 (C,)."""
    mean, variance = (_numpy(part).astype(np.float64) for part in (batchnorm.moving_mean, batchnorm.moving_variance))
    factor = 1 / np.sqrt(variance + batchnorm.epsilon)
    if batchnorm.gamma is not None:
        factor = factor * _numpy(batchnorm.gamma)
    return factor, mean, np.zeros_like(mean) if batchnorm.beta is None else _numpy(batchnorm.beta)


def _numpy(variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable)
