"""The range of a layer's inputs, read off the model upstream of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import keras

from a2q_keras.errors import ConfigurationError, InputRangeError, UnsupportedLayerError
from a2q_keras.numerics.formats import FixedPoint, mean_format, sum_format, union_format
from a2q_keras.quantizers.activations import format_of


def input_format(tensor, layer_name: str) -> FixedPoint:
    """The format of the codes in a symbolic Keras tensor.

    Raises InputRangeError, saying what was found upstream and what to write, where nothing upstream quantizes;
    UnsupportedLayerError where a layer upstream makes values that are no fixed-point numbers; ConfigurationError where
    one rounds to half precision.
    """
    operation, inputs = _producer(tensor)
    refuse_half_precision(operation, tensor)
    if hasattr(operation, "learned_format"):
        return operation.learned_format
    quantizer = _output_quantizer(operation)
    if quantizer is not None:
        return format_of(quantizer, f"layer {operation.name!r}")
    rule = _rule(operation)
    if rule is None:
        raise _unknown(operation, layer_name)
    return rule(operation, [input_format(part, layer_name) for part in inputs], inputs[0].shape)


def refuse_half_precision(operation, tensor):
    """ConfigurationError where the values that an operation makes are of fewer bits than codes and sums have."""
    if getattr(tensor, "dtype", "float32") in ("float16", "bfloat16"):
        raise ConfigurationError(f"layer {operation.name!r}: {tensor.dtype} cannot hold exact sums; use dtype float32")


def quantizers_upstream(tensor) -> set[str]:
    """The names of the layers whose quantizers make the codes in a symbolic tensor, through layers that move, select
    or add them; a layer with accumulators in between hides what it reads."""
    operation, inputs = _producer(tensor)
    if hasattr(operation, "learned_format") or _output_quantizer(operation) is not None:
        return {operation.name}
    passed = inputs if _rule(operation) else []
    return {name for part in passed for name in quantizers_upstream(part)}


@dataclass(frozen=True)
class Source:
    """Where a step that trains comes from: a layer, and the bits that averaging added behind it."""

    layer: Any
    shift: int = 0

    @property
    def step(self):
        """The value of code 1 now, a tensor."""
        return self.layer.step * 2.0**-self.shift

    @property
    def format(self) -> FixedPoint:
        """The format of the codes now."""
        return mean_format(self.layer.learned_format, 2**self.shift)


def input_source(tensor, layer_name: str) -> Source | None:
    """The activation upstream whose exponent trains, if the codes in a symbolic tensor are its; else None.

    Raises InputRangeError where codes of such an activation meet others, for the format of these would change, too.
    """
    operation, inputs = _producer(tensor)
    if hasattr(operation, "learned_format"):
        return Source(operation)
    if _output_quantizer(operation) is not None or _rule(operation) is None:
        return None
    sources = [input_source(part, layer_name) for part in inputs]
    if len(sources) > 1 and any(sources):
        raise InputRangeError(
            f"layer {layer_name!r}: {operation.name!r} joins the codes of an activation whose exponent trains with "
            f"others; put a QActivation or an A2QActivation behind {operation.name!r}"
        )
    return sources[0] and Source(sources[0].layer, sources[0].shift + _averaging_bits(operation, inputs[0].shape))


def _averaging_bits(operation, shape) -> int:
    """log2 of the values that a layer averages; shape: of its inputs."""
    rule = _rule(operation)
    return rule(operation, [FixedPoint(1, 0, signed=False)], shape).frac if rule in (_mean, _global_mean) else 0


def is_sum(operation) -> bool:
    """Whether it is what `a + b` of Keras tensors makes, which is no layer."""
    return type(operation).__name__ == "Add" and not isinstance(operation, keras.layers.Layer)


def _rule(operation) -> Callable | None:
    """What the format of a layer's outputs is by those of its inputs; None for a layer that makes other values."""
    if is_sum(operation) and len(_producer(operation.output)[1]) == 2:
        return _sum
    return _RULES.get(type(operation))


def _unknown(operation, layer_name: str) -> InputRangeError:
    found = f"{type(operation).__name__} {operation.name!r}" if operation is not None else "a tensor without history"
    return InputRangeError(
        f"layer {layer_name!r}: the range of its inputs is unknown, because they come from {found}; put a "
        'QActivation("quantized_relu(8, 3)") or QActivation("quantized_bits(8, 3, alpha=1)") in front, '
        f"or give {layer_name!r} an input_quantizer"
    )


def _producer(tensor):
    """The layer that makes a symbolic tensor, and the tensors it makes it from."""
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return None, []
    return history.operation, history.operation._inbound_nodes[history.node_index].input_tensors


def _output_quantizer(operation):
    """The QKeras quantizer that makes the outputs of a layer: of a QActivation, or as the activation argument."""
    activation = getattr(operation, "activation", None)
    return activation if hasattr(activation, "bits") else None


def _same(layer, formats, shape):
    return formats[0]


def _sum(layer, formats, shape):
    return sum_format(*formats)


def _union(layer, formats, shape):
    return union_format(*formats)


def _mean(layer, formats, shape):
    return _mean_of(layer, formats[0], prod(layer.pool_size))


def _global_mean(layer, formats, shape):
    sizes = shape[1:-1]
    if None in sizes:
        raise UnsupportedLayerError(
            f"layer {layer.name!r} averages inputs of unknown size {shape}; give keras.Input all sizes"
        )
    return _mean_of(layer, formats[0], prod(sizes))


def _mean_of(layer, format, count):
    try:
        return mean_format(format, count)
    except ConfigurationError as error:
        raise UnsupportedLayerError(f"layer {layer.name!r}: {error}, or put a QActivation behind it") from error


def _nearest(layer, formats, shape):
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise UnsupportedLayerError(
            f"layer {layer.name!r}: interpolation={layer.interpolation!r} makes new values; use nearest"
        )
    return formats[0]


# Layers that select, move or repeat their inputs, add zeros, or do nothing in inference: the format stays.
_SELECTING = [
    "Flatten",
    "Reshape",
    "Permute",
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
    "MaxPooling1D",
    "MaxPooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "Cropping1D",
    "Cropping2D",
    "UpSampling1D",
]

_RULES: dict[type, Callable] = {getattr(keras.layers, name): _same for name in _SELECTING} | {
    keras.layers.Add: _sum,
    keras.layers.Concatenate: _union,
    keras.layers.AveragePooling1D: _mean,
    keras.layers.AveragePooling2D: _mean,
    keras.layers.GlobalAveragePooling1D: _global_mean,
    keras.layers.GlobalAveragePooling2D: _global_mean,
    keras.layers.UpSampling2D: _nearest,
}
WITHOUT_WEIGHTS = tuple(sorted(kind.__name__ for kind in _RULES))  # the layers between quantizers and accumulators
