"""What each Keras layer means in integers: the one place where that is decided, a function per layer class.

A function takes the draft, the layer, its node in the model's graph and the tensors that it reads, appends ops to the
draft and returns the tensor that it makes.
"""

from __future__ import annotations

from collections.abc import Callable

from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.integer import ops, qkeras_layers
from a2q_keras.integer.draft import Codes, Draft, Raw
from a2q_keras.layers.upstream import refuse_half_precision
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers.activations import format_of

SUPPORTED = (
    "the A2Q layers, QDense, QConv1D, QConv2D, QDepthwiseConv2D, QActivation, A2QActivation, max and average pooling, "
    "Add, Concatenate, UpSampling (nearest), ZeroPadding, Cropping, Flatten, Reshape, Permute, Dropout and a final "
    "softmax"
)


def handle(draft: Draft, layer, node, tensors: list) -> Raw | Codes:
    """What becomes of the tensors that a layer reads.

    Raises UnsupportedLayerError naming layer and class, ConfigurationError for one in half precision, which rounds.
    """
    done = [tensor for tensor in tensors if isinstance(tensor, Codes) and tensor.float_tail]
    kind = type(layer).__name__
    handler = _HANDLERS.get(kind)
    if handler is None or done:
        found = f"comes after a {done[0].float_tail}" if done else "has no exact integer meaning here"
        raise UnsupportedLayerError(
            f"layer {layer.name!r} ({kind}) {found}; supported are {SUPPORTED}. "
            "Put A2QDense for Dense or QDense, QActivation for a float activation"
        )
    _refuse_raw(layer, kind, tensors)
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise UnsupportedLayerError(f"layer {layer.name!r} ({kind}): data_format must be channels_last")
    made = handler(draft, layer, node, *tensors)
    if isinstance(made, Raw) or not made.float_tail:
        refuse_half_precision(layer, node.output_tensors[0])
    return made


def _refuse_raw(layer, kind, tensors):
    raw = [tensor for tensor in tensors if isinstance(tensor, Raw)]
    if raw and kind not in _TAKING_RAW and getattr(layer, "input_quantizer", None) is None:
        depthwise = getattr(layer, "depthwise", None)
        if depthwise is None or depthwise.input_quantizer is None:
            raise UnsupportedLayerError(
                f"layer {layer.name!r}: its inputs are not quantized; put a QActivation in front"
            )


def _input(draft, layer, node):
    shape = _shape(node)
    if None in shape:
        raise UnsupportedLayerError(f"input {layer.name!r}: its shape {shape} is open; give keras.Input numbers")
    return Raw(layer.name, shape, shape)


def _shape(node) -> tuple[int, ...]:
    return tuple(node.output_tensors[0].shape[1:])


def _activation(draft, layer, node, tensor):
    return draft.quantize(layer.name, tensor, format_of(layer.activation, f"layer {layer.name!r}"))


def _learned_activation(draft, layer, node, tensor):
    return draft.quantize(layer.name, tensor, layer.learned_format)


def _same(draft, layer, node, tensor):
    return tensor


def _reshape(draft, layer, node, tensor):
    return draft.reshape(layer.name, tensor, _shape(node))


def _tail(draft, layer, node, tensor):
    if hasattr(getattr(layer, "activation", None), "bits"):  # Activation(quantizer) is a QActivation
        return _activation(draft, layer, node, tensor)
    name = "softmax" if type(layer).__name__ == "Softmax" else layer.activation.__name__
    return _finish(draft, layer, tensor, name)


def _finish(draft, layer, tensor, name):
    """Apply a float activation by its name: nothing for linear, the float tail for softmax, else refuse."""
    if name == "linear":
        return tensor
    if name == "softmax" and isinstance(tensor, Codes):
        return Codes(tensor.name, "softmax")
    raise UnsupportedLayerError(
        f"layer {layer.name!r}: the float activation {name!r} has no exact integer meaning; "
        'use QActivation("quantized_relu(8, 3)") or quantized_bits'
    )


def _dense(draft, layer, node, tensor):
    source, tile = _quantized_input(draft, layer, tensor), _tile(layer)
    return _activated(draft, layer, draft.add(ops.Dense(layer.name, source.name, *_codes(draft, layer, source), tile)))


def _conv(draft, layer, node, tensor):
    source = _quantized_input(draft, layer, tensor)
    weights, *others = _codes(draft, layer, source)
    geometry = _geometry(layer, layer.kernel_size, layer.dilation_rate, node)
    return _activated(
        draft, layer, draft.add(ops.Conv(layer.name, source.name, weights, *others, *geometry, _tile(layer)))
    )


def _depthwise(draft, layer, node, tensor):
    """A convolution with one group per input channel: (*window, inputs, m) becomes (*window, 1, inputs * m)."""
    source = _quantized_input(draft, layer, tensor)
    weights, *others = _codes(draft, layer, source)
    inputs = weights.shape[-2]
    weights = weights.reshape(*weights.shape[:-2], 1, -1)
    strides, pads, dilation, _ = _geometry(layer, layer.kernel_size, layer.dilation_rate, node)
    op = ops.Conv(layer.name, source.name, weights, *others, strides, pads, dilation, inputs, _tile(layer))
    return _activated(draft, layer, draft.add(op))


def _separable(draft, layer, node, tensor):
    tensor = _depthwise(draft, layer.depthwise, node, tensor)
    source = _quantized_input(draft, layer.pointwise, tensor)
    ones, none = (1, 1), ((0, 0), (0, 0))
    codes, tile = _codes(draft, layer.pointwise, source), _tile(layer.pointwise)
    op = ops.Conv(layer.pointwise.name, source.name, *codes, ones, none, ones, tile=tile)
    return _activated(draft, layer.pointwise, draft.add(op))


def _tile(layer) -> int | None:
    """The products of an inner accumulator; layers of plain QKeras have no tiles."""
    return getattr(layer, "tile", None)


def _quantized_input(draft, layer, tensor) -> Codes:
    if getattr(layer, "input_quantizer", None) is None:
        return tensor
    return draft.quantize(f"{layer.name}_input", tensor, layer.input_format)


def _codes(draft, layer, source):
    """(weights, bias, weight format, acc_bits) of a layer with accumulators."""
    if not hasattr(layer, "integer_weights"):
        return qkeras_layers.integer_weights(layer, draft.format(source).frac)
    weights, bias, frac = layer.integer_weights()
    return weights, bias, FixedPoint(layer.weight_bits, frac, signed=True), layer.acc_bits


def _activated(draft, layer, tensor):
    if hasattr(layer.activation, "bits"):
        format = format_of(layer.activation, f"layer {layer.name!r}")
        return draft.quantize(f"{layer.name}_activation", tensor, format)
    return tensor if layer.activation is None else _finish(draft, layer, tensor, layer.activation.__name__)


def _geometry(layer, window, dilation, node):
    """(strides, pads, dilation, groups), of which pooling layers use the first two."""
    shape = node.input_tensors[0].shape[1:-1]
    strides, dilation = (tuple(map(int, part)) for part in (layer.strides, dilation))
    pads = tuple(_pads(layer.padding, *axis) for axis in zip(shape, window, strides, dilation))
    return strides, pads, dilation, int(getattr(layer, "groups", 1))


def _pads(padding: str, size: int, window: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and behind one axis, as Keras sets them: "same" gives ceil(size / stride) windows."""
    reach = (window - 1) * dilation
    if padding == "causal":
        return reach, 0
    total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0) if padding == "same" else 0
    return total // 2, total - total // 2


def _pool(record):
    def pool(draft, layer, node, tensor):
        window = tuple(map(int, layer.pool_size))
        strides, pads, _, _ = _geometry(layer, window, (1,) * len(window), node)
        return draft.add(record(layer.name, tensor.name, window, strides, pads))

    return pool


def _global_pool(record):
    def pool(draft, layer, node, tensor):
        window = tuple(node.input_tensors[0].shape[1:-1])
        name = layer.name if layer.keepdims else f"{layer.name}_pool"
        made = draft.add(record(name, tensor.name, window, window, ((0, 0),) * len(window)))
        return made if layer.keepdims else draft.reshape(layer.name, made, _shape(node))

    return pool


def _add(draft, layer, node, *tensors):
    return draft.add(ops.Add(layer.name, tuple(tensor.name for tensor in tensors)))


def _concatenate(draft, layer, node, *tensors):
    axis = layer.axis % len(node.output_tensors[0].shape) - 1
    return draft.add(ops.Concatenate(layer.name, tuple(tensor.name for tensor in tensors), axis))


def _upsample(draft, layer, node, tensor):
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise UnsupportedLayerError(
            f"layer {layer.name!r}: interpolation={layer.interpolation!r} makes new values; use nearest"
        )
    factors = layer.size if isinstance(layer.size, (tuple, list)) else (layer.size,)
    return draft.add(ops.Upsample(layer.name, tensor.name, tuple(map(int, factors))))


def _pad(draft, layer, node, tensor):
    return draft.add(ops.Pad(layer.name, tensor.name, _pairs(layer.padding)))


def _crop(draft, layer, node, tensor):
    return draft.add(ops.Crop(layer.name, tensor.name, _pairs(layer.cropping)))


def _pairs(amounts) -> tuple[tuple[int, int], ...]:
    """(before, behind) per axis; one-dimensional layers give a single pair."""
    pairs = amounts if isinstance(amounts[0], (tuple, list)) else (amounts,)
    return tuple((int(before), int(behind)) for before, behind in pairs)


def _permute(draft, layer, node, tensor):
    return draft.add(ops.Transpose(layer.name, tensor.name, tuple(int(axis) - 1 for axis in layer.dims)))


_TAKING_RAW = ("QActivation", "A2QActivation", "Activation", "Flatten", "Reshape", "Dropout")

_HANDLERS: dict[str, Callable] = {
    "InputLayer": _input,
    "QActivation": _activation,
    "A2QActivation": _learned_activation,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Permute": _permute,
    "Softmax": _tail,
    "Activation": _tail,
    "Add": _add,
    "Concatenate": _concatenate,
}
_HANDLERS |= dict.fromkeys(("A2QDense", "A2QDenseBatchnorm"), _dense)
_HANDLERS |= dict.fromkeys(("A2QConv1D", "A2QConv2D", "A2QConv2DBatchnorm"), _conv)
_HANDLERS |= dict.fromkeys(("A2QDepthwiseConv1D", "A2QDepthwiseConv2D", "A2QDepthwiseConv2DBatchnorm"), _depthwise)
_HANDLERS |= {"A2QSeparableConv2D": _separable, "QDense": _dense, "QDepthwiseConv2D": _depthwise}
_HANDLERS |= dict.fromkeys(("QConv1D", "QConv2D"), _conv)
_HANDLERS |= {
    f"{kind}{rank}D": handler
    for rank in (1, 2)
    for kind, handler in {
        "MaxPooling": _pool(ops.MaxPool),
        "AveragePooling": _pool(ops.AvgPool),
        "GlobalMaxPooling": _global_pool(ops.MaxPool),
        "GlobalAveragePooling": _global_pool(ops.AvgPool),
        "UpSampling": _upsample,
        "ZeroPadding": _pad,
        "Cropping": _crop,
        "SpatialDropout": _same,
    }.items()
}
_HANDLERS |= dict.fromkeys(("Dropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization"), _same)
