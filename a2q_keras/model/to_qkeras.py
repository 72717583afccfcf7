"""A model in plain QKeras layers that computes the same: what QKeras' own tools, such as print_qstats, understand."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import qkeras

from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.layers.activation import A2QActivation
from a2q_keras.layers.base import AccumulatorAware
from a2q_keras.layers.conv import A2QConv1D, A2QConv2D, A2QDepthwiseConv1D, A2QDepthwiseConv2D
from a2q_keras.layers.dense import A2QDense
from a2q_keras.layers.separable import A2QSeparableConv2D
from a2q_keras.model.fold import kernel_quantizer, quantized
from a2q_keras.model.graph import functional
from a2q_keras.numerics import tiles
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers.bits import a2q_bits

TWINS = {
    A2QDense: qkeras.QDense,
    A2QConv1D: qkeras.QConv1D,
    A2QConv2D: qkeras.QConv2D,
    A2QDepthwiseConv1D: qkeras.QDepthwiseConv2D,
    A2QDepthwiseConv2D: qkeras.QDepthwiseConv2D,
}
SHAPING = ("units", "filters", "kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "use_bias")


class Codes(NamedTuple):
    """The integers of a layer: kernel (its own shape), bias (channels,), and the fraction bits of both."""

    kernel: np.ndarray
    bias: np.ndarray
    kernel_frac: int
    bias_frac: int


def to_qkeras(model):
    """The model in plain QKeras layers, quantized weights carried over: equal outputs for accumulators of 24 bits or
    less, where float32 is exact.  It promises nothing about accumulators once it is trained.

    An A2Q layer becomes QKeras' layer of that kind and name, kernels quantized_bits(weight_bits, ..., alpha=1), biases
    quantized_bits(acc_bits, ..., alpha=1), with tiles of 24 bits, batch norm folded in; a separable convolution becomes
    two layers; in layers of plain QKeras with an a2q_bits that becomes quantized_bits, too.  Other layers are copied.

    Raises UnsupportedLayerError for groups, which QKeras' convolutions cannot run.
    """
    return keras.models.clone_model(functional(model), clone_function=lambda layer: layer, call_function=_call)


def print_qstats(model):
    """QKeras' print_qstats of the model in QKeras layers (see `to_qkeras`): operations, weight bits and sparsity.

    QKeras tells layers by class name and overwrites weights, so it is given a model of its own.  The figures are
    QKeras': it counts the weights of a depthwise convolution as if each filter saw all channels, and its operations
    without the depth multiplier.  Raises UnsupportedLayerError for what it cannot count.
    """
    twin = to_qkeras(model)
    for layer in twin.layers:
        if isinstance(layer, qkeras.QDense) and 1 in layer.kernel.shape:
            raise UnsupportedLayerError(
                f"layer {layer.name!r}: QKeras cannot count a dense layer of one unit or one input; "
                "use print_accumulator_stats, or leave the layer out"
            )
    qkeras.print_qstats(twin)


def _call(layer, *args, **kwargs):
    """Apply to new tensors what stands for a layer."""
    if isinstance(layer, A2QSeparableConv2D):
        return _call(layer.pointwise, _call(layer.depthwise, *args))
    if isinstance(layer, AccumulatorAware):
        return _weighted(layer, args[0])
    if isinstance(layer, A2QActivation):
        return qkeras.QActivation(_quantizer(layer.learned_format), name=layer.name)(*args)
    if not isinstance(layer, keras.layers.Layer):
        return layer(*args, **kwargs)  # what `a + b` or a function of keras.ops makes
    config, weights = layer.get_config(), layer.get_weights()
    if isinstance(kernel_quantizer(layer), a2q_bits):
        name, weights[0], format = _as_codes(layer)
        config[f"{name}_quantizer"] = _quantizer(format)
        config[f"{name}_initializer"] = "zeros"  # that of before knows the a2q_bits
    twin = type(layer).from_config(config)
    outputs = twin(*args, **kwargs)
    twin.set_weights(weights)
    return outputs


def _as_codes(layer):
    """("kernel" or "depthwise", kernel quantized, format) of a QKeras layer whose kernel quantizer is an a2q_bits."""
    own, kernel = kernel_quantizer(layer), layer.weights[0]
    name = "depthwise" if hasattr(layer, "depthwise_quantizer") else "kernel"
    return name, quantized(own, kernel), own.format(kernel)


def _weighted(layer, x):
    if getattr(layer, "groups", 1) > 1:
        raise UnsupportedLayerError(f"layer {layer.name!r}: QKeras cannot run groups={layer.groups}; use groups=1")
    if layer.input_quantizer is not None:
        x = qkeras.QActivation(layer.input_quantizer, name=f"{layer.name}_input")(x)
    if isinstance(layer, A2QDepthwiseConv1D):
        return _depthwise_1d(layer, x)
    arguments, codes = _arguments(layer), _codes(layer)
    if arguments.get("padding") == "causal":
        arguments["padding"] = "valid"
        reach = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
        x = keras.layers.ZeroPadding1D((reach, 0), name=f"{layer.name}_padding")(x)
    return _applied(layer, x, arguments, codes)


def _depthwise_1d(layer, x):
    """On a picture of one row, for QKeras has depthwise convolutions for pictures only."""
    arguments, codes = _arguments(layer), _codes(layer)
    for key in ("kernel_size", "dilation_rate"):
        arguments[key] = (1, *arguments[key])
    arguments["strides"] = (*arguments["strides"], *arguments["strides"])
    row = keras.layers.Reshape((1, *x.shape[1:]), name=f"{layer.name}_row")(x)
    outputs = _applied(layer, row, arguments, codes._replace(kernel=codes.kernel[None]))
    return keras.layers.Reshape(outputs.shape[2:], name=f"{layer.name}_column")(outputs)


def _arguments(layer) -> dict:
    config = layer.get_config()
    folded = {"use_bias": True} if hasattr(layer, "batchnorm") else {}
    return {key: config[key] for key in SHAPING if key in config} | folded


def _codes(layer) -> Codes:
    kernel, bias, frac = layer.integer_weights()
    return Codes(kernel, bias, frac, frac + layer.input_format.frac)


def _applied(layer, x, arguments, codes: Codes):
    """The outputs of the QKeras layer with these codes."""
    kind = next(twin for ours, twin in TWINS.items() if isinstance(layer, ours))
    kernel = "depthwise" if kind is qkeras.QDepthwiseConv2D else "kernel"
    bias_bits = layer.acc_bits if layer.tile is None else tiles.BIAS_BITS
    quantizers = {
        f"{kernel}_quantizer": _quantizer(FixedPoint(layer.weight_bits, codes.kernel_frac, signed=True)),
        "bias_quantizer": _quantizer(FixedPoint(bias_bits, codes.bias_frac, signed=True)),
    }
    twin = kind(**arguments, **quantizers, activation=layer.activation, name=layer.name)
    outputs = twin(x)
    values = [codes.kernel * 2.0**-codes.kernel_frac, codes.bias * 2.0**-codes.bias_frac]
    twin.set_weights(values if twin.use_bias else values[:1])
    return outputs


def _quantizer(format: FixedPoint) -> str:
    """The QKeras quantizer of a format; integer bits as a float, for QKeras cannot raise 2 to a negative integer."""
    if not format.signed:
        return f"quantized_relu({format.bits},{format.bits - format.frac:.1f})"
    return f"quantized_bits({format.bits},{format.bits - 1 - format.frac:.1f},alpha=1)"
