"""What hls4ml is told about each op: the layer type, its attributes, and a type for every variable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from a2q_keras.hls.lower import is_depthwise
from a2q_keras.hls.settings import Product
from a2q_keras.hls.types import plain, saturating
from a2q_keras.integer.graph import (
    Add,
    AvgPool,
    Concatenate,
    Conv,
    Crop,
    Dense,
    Input,
    IntegerProgram,
    MaxPool,
    Op,
    Pad,
    Quantize,
    Reshape,
    Transpose,
    Upsample,
)
from a2q_keras.numerics.formats import FixedPoint

CHANNELS_LAST = {"data_format": "channels_last"}
SIDES = (("top", "bottom"), ("left", "right"))
SIZES = ("height", "width")


@dataclass(frozen=True, eq=False)
class Node:
    """An hls4ml layer without name and sources.

    types: by variable ("result"; "accum", "weight", "bias" where it has them); codes: by variable, with their fraction
    bits; shape: of its result, which for a global pool lacks the axes of length one; product: see `settings`.
    """

    kind: str
    attributes: dict
    types: dict[str, str]
    shape: tuple[int, ...]
    codes: dict[str, tuple[np.ndarray, int]] = field(default_factory=dict)
    product: Product | None = None


def node(program: IntegerProgram, op: Input | Op) -> Node:
    """The hls4ml layer that computes an input or op of a lowered program (a Reshape is only wires and has none)."""
    return _NODES[type(op)](program, op)


def result_type(program: IntegerProgram, tensor: str) -> str:
    """The hls4ml type of a tensor: what was rounded and saturated says so, what only moves codes keeps their type."""
    op = program[tensor]
    if isinstance(op, (Input, Quantize)):
        return saturating(program.formats[tensor])
    moves = isinstance(op, (Reshape, Pad, Crop, Upsample, Transpose))
    return result_type(program, op.source) if moves else plain(program.formats[tensor])


def _node(program, op, kind, attributes, **types) -> Node:
    return Node(kind, attributes, {"result": result_type(program, op.name), **types}, program.shapes[op.name])


def _input(program, op: Input) -> Node:
    return _node(program, op, "InputLayer", {"input_shape": list(op.shape)})


def _summing(program, op: Dense | Conv, kind, attributes, weights, product) -> Node:
    """A layer with an accumulator; weights: codes in hls4ml's shape."""
    accum, frac = program.formats[op.name], op.weight_format.frac
    types = {"accum": plain(accum), "weight": plain(op.weight_format), "bias": plain(accum)}
    types = {"result": result_type(program, op.name), **types}
    data = "depthwise_data" if product.depthwise else "weight_data"
    attributes |= {data: op.weight_format.values(weights), "bias_data": accum.values(op.bias)}
    codes = {"weight": (weights, frac), "bias": (op.bias, accum.frac)}
    return Node(kind, attributes, types, program.shapes[op.name], codes, product)


def _dense(program, op: Dense) -> Node:
    inputs, outputs = op.weights.shape
    return _summing(program, op, "Dense", {"n_in": inputs, "n_out": outputs}, op.weights, Product(inputs, outputs))


def _conv(program, op: Conv) -> Node:
    depthwise, rank = is_depthwise(op), len(op.window)
    outputs = op.weights.shape[-1]
    # hls4ml keeps depthwise weights as (*window, channels, 1)
    weights = np.moveaxis(op.weights, -1, -2) if depthwise else op.weights
    product = Product(prod(op.weights.shape[:-1]), outputs, True, prod(op.window) == 1 and not depthwise, depthwise)
    attributes = _geometry(program, op, "filt", op.window, op.strides, op.pads)
    attributes |= {"n_chan": program.shapes[op.source][-1], "n_filt": outputs}
    attributes |= {"depth_multiplier": 1} if depthwise else {}
    return _summing(program, op, f"{'Depthwise' * depthwise}Conv{rank}D", attributes, weights, product)


def _geometry(program, op, prefix, window, strides, pads) -> dict:
    """Sizes, strides and padding of a window op, per axis, in hls4ml's words."""
    result = dict(CHANNELS_LAST)
    for size, window_size, stride in zip(SIZES[-len(window) :], window, strides):
        result |= {f"{prefix}_{size}": window_size, f"stride_{size}": stride}
    return result | _sizes(program, op) | _sides("pad", pads)


def _sizes(program, op) -> dict:
    before, after = program.shapes[op.source][:-1], program.shapes[op.name][:-1]
    names = SIZES[-len(before) :]
    return {f"in_{name}": size for name, size in zip(names, before)} | {
        f"out_{name}": size for name, size in zip(names, after)
    }


def _sides(word, pairs) -> dict:
    return {
        f"{word}_{side}": size for sides, pair in zip(SIDES[-len(pairs) :], pairs) for side, size in zip(sides, pair)
    }


def _max_pool(program, op: MaxPool) -> Node:
    return _pool(program, op, "Max", program.formats[op.name])


def _avg_pool(program, op: AvgPool) -> Node:
    """The accumulator holds the sum and, for the division, log2 of the count more bits behind the point."""
    mean = program.formats[op.name]
    bits = mean.bits + prod(op.window).bit_length() - 1
    return _pool(program, op, "Average", FixedPoint(bits, mean.frac, mean.signed))


def _pool(program, op: MaxPool | AvgPool, word, accum: FixedPoint) -> Node:
    rank, channels, types = len(op.window), program.shapes[op.name][-1], {"accum": plain(accum)}
    if program.shapes[op.source][:-1] == op.window and not any(map(any, op.pads)):
        sizes = {key: size for key, size in _sizes(program, op).items() if key.startswith("in_")}
        attributes = CHANNELS_LAST | sizes | {"n_filt": channels} | _one_axis(sizes)
        made = _node(program, op, f"Global{word}Pooling{rank}D", attributes, **types)
        return replace(made, shape=(channels,))
    attributes = _geometry(program, op, "pool", op.window, op.strides, op.pads)
    attributes |= {"n_filt": channels, "count_pad": False}
    return _node(program, op, f"{word}Pooling{rank}D", attributes | _one_axis(attributes), **types)


def _one_axis(attributes) -> dict:
    """Pools over one axis have sizes of their own names."""
    if "in_height" in attributes:
        return {}
    return {new: attributes[old] for new, old in (("n_in", "in_width"), ("n_out", "out_width")) if old in attributes}


def _quantize(program, op: Quantize) -> Node:
    return _node(program, op, "Activation", {"activation": "linear"})


def _add(program, op: Add) -> Node:
    return _node(program, op, "Merge", {"op": "add"})


def _concatenate(program, op: Concatenate) -> Node:
    rank = len(program.shapes[op.name])
    return _node(program, op, "Concatenate", {"op": f"concatenate{rank}d", "axis": op.axis + 1})


def _pad(program, op: Pad) -> Node:
    return _moving(program, op, "ZeroPadding", _sides("pad", op.pads))


def _crop(program, op: Crop) -> Node:
    return _moving(program, op, "Cropping", _sides("crop", op.cuts))


def _moving(program, op: Pad | Crop, word, sides) -> Node:
    shape = program.shapes[op.source]
    return _node(
        program, op, f"{word}{len(shape) - 1}D", CHANNELS_LAST | _sizes(program, op) | sides | _channels(shape)
    )


def _channels(shape) -> dict:
    return {"n_chan": shape[-1]}


def _upsample(program, op: Upsample) -> Node:
    shape = program.shapes[op.source]
    heights = {} if len(shape) > 2 else {"in_height": 1, "out_height": 1}
    attributes = CHANNELS_LAST | heights | _sizes(program, op) | _channels(shape) | {"algorithm": "nearest"}
    return _node(program, op, "Resize", attributes)


def _transpose(program, op: Transpose) -> Node:
    return _node(program, op, "Transpose", {"perm": list(op.axes)})


_NODES: dict[type, Callable[..., Node]] = {
    Input: _input,
    Dense: _dense,
    Conv: _conv,
    Quantize: _quantize,
    MaxPool: _max_pool,
    AvgPool: _avg_pool,
    Add: _add,
    Concatenate: _concatenate,
    Pad: _pad,
    Crop: _crop,
    Upsample: _upsample,
    Transpose: _transpose,
}
