"""Whether an op fits its sources, and the format and shape of what it makes: one function per record of `integer.ops`.

All raise ConfigurationError naming the op.  `program` needs only `formats` and `shapes` of the tensors before the op.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from numbers import Integral

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer.ops import (
    Add,
    AvgPool,
    Concatenate,
    Conv,
    Crop,
    Dense,
    Input,
    MaxPool,
    Pad,
    Quantize,
    Reshape,
    Transpose,
    Upsample,
)
from a2q_keras.numerics import bounds, tiles
from a2q_keras.numerics.formats import FixedPoint, mean_format, sum_format, union_format

MOST_BITS = 62  # of codes that nothing rounds before they are added: they are computed in 64 bits
MOST_FRAC = 500  # between steps of 2**-500 and 2**500 every value is a float64
MOST_CODES = 2**28  # of a tensor for one sample, 2 GiB
LEAST = {"shape": 1, "window": 1, "strides": 1, "dilation": 1, "factors": 1, "pads": 0, "cuts": 0}


def check(program, node) -> tuple[FixedPoint, tuple[int, ...]]:
    """(format, shape) of the tensor that `node` makes."""
    _check_sizes(node)
    format, shape = _CHECKS[type(node)](program, node)
    for found in (format, getattr(node, "weight_format", format)):
        if found.bits - found.signed > 63 or abs(found.frac) > MOST_FRAC:
            raise ConfigurationError(
                f"{node.name!r}: a format of {found.bits} bits with frac={found.frac}; allowed are 63 bits, 64 if "
                f"signed, and -{MOST_FRAC} to {MOST_FRAC}; choose another format"
            )
    if prod(shape) > MOST_CODES:
        raise ConfigurationError(f"{node.name!r}: a tensor of {shape}; allowed are {MOST_CODES} codes, make it smaller")
    return format, shape


def _check_sizes(node):
    """Refuse a field of `LEAST` that is no tuple of whole numbers (pads and cuts: of pairs) or has one out of range."""
    for field, least in LEAST.items():
        found = getattr(node, field, ())
        if not isinstance(found, (tuple, list)) or not all(_is_size(entry, least) for entry in found):
            raise ConfigurationError(
                f"{node.name!r}: {field} is {found}; allowed are {'' if least else 'pairs of '}whole numbers from "
                f"{least} to {MOST_CODES}"
            )


def _is_size(entry, least) -> bool:
    if not least and not (isinstance(entry, (tuple, list)) and len(entry) == 2):
        return False
    sizes = [entry] if least else entry
    return all(isinstance(size, Integral) and least <= size <= MOST_CODES for size in sizes)


def _input(program, node: Input):
    return node.format, tuple(node.shape)


def _dense(program, op: Dense):
    shape = program.shapes[op.source]
    if op.weights.ndim != 2 or shape[-1:] != op.weights.shape[:1] or op.bias.shape != op.weights.shape[1:]:
        raise ConfigurationError(
            f"layer {op.name!r}: input shape {shape}, weights {op.weights.shape} and bias {op.bias.shape} do not fit"
        )
    return _accumulator(program, op), (*shape[:-1], *op.weights.shape[1:])


def _conv(program, op: Conv):
    shape, rank = program.shapes[op.source], len(op.strides)
    fits = op.weights.ndim == rank + 2 and len(op.pads) == len(op.dilation) == rank == len(shape) - 1
    fits = fits and op.groups > 0 and shape[-1] == op.weights.shape[-2] * op.groups
    if not fits or op.weights.shape[-1] % op.groups or op.bias.shape != op.weights.shape[-1:]:
        raise ConfigurationError(
            f"layer {op.name!r}: input shape {shape}, weights {op.weights.shape}, bias {op.bias.shape} and "
            f"groups={op.groups} do not fit"
        )
    return _accumulator(program, op), (*_places(op, shape, op.extent), op.weights.shape[-1])


def _accumulator(program, op) -> FixedPoint:
    if not op.weights.size:
        raise ConfigurationError(f"layer {op.name!r}: weights of shape {op.weights.shape} are none; leave it out")
    if op.weights.min() < op.weight_format.lo or op.weights.max() > op.weight_format.hi:
        raise ConfigurationError(f"layer {op.name!r}: a weight code is outside {op.weight_format}")
    if not 2 <= op.acc_bits <= 64:
        raise ConfigurationError(f"layer {op.name!r}: acc_bits is {op.acc_bits}; allowed are 2 to 64")
    source = program.formats[op.source]
    return FixedPoint(_result_bits(op, source), source.frac + op.weight_format.frac, signed=True)


def _result_bits(op, source: FixedPoint) -> int:
    """The width of the accumulator that holds the results: the only one, or the outer one."""
    if op.tile is None:
        return op.acc_bits
    bounds.check_bits(f"tile of layer {op.name!r}", op.tile, 1, tiles.MOST)
    return tiles.outer_bits(op.weights.reshape(-1, len(op.bias)), source.lo, source.hi, op.bias)


def _places(op, shape, extent) -> tuple[int, ...]:
    """How often a window of `extent` fits along each spatial axis of the padded source."""
    room = [size + sum(pads) - reach for size, pads, reach in zip(shape, op.pads, extent)]
    ranks = {len(shape) - 1, len(extent), len(op.pads), len(op.strides)}
    if len(ranks) > 1 or min(room, default=-1) < 0:
        raise ConfigurationError(f"{op.name!r}: a window of {tuple(extent)} does not fit into a tensor of {shape}")
    return tuple(free // stride + 1 for free, stride in zip(room, op.strides))


def _quantize(program, op: Quantize):
    return op.format, program.shapes[op.source]


def _reshape(program, op: Reshape):
    if prod(op.shape) != prod(program.shapes[op.source]):
        raise ConfigurationError(f"{op.name!r}: {program.shapes[op.source]} cannot be reshaped to {op.shape}")
    return program.formats[op.source], tuple(op.shape)


def _max_pool(program, op: MaxPool):
    shape = program.shapes[op.source]
    places = _places(op, shape, op.window)
    if any(min(_counts(op, shape, axis)) < 1 for axis in range(len(places))):
        raise ConfigurationError(f"{op.name!r}: a window of {op.window} lies in the pads {op.pads}; make them smaller")
    return program.formats[op.source], (*places, shape[-1])


def _avg_pool(program, op: AvgPool):
    shape = program.shapes[op.source]
    places = _places(op, shape, op.window)
    bad = [
        count for axis in range(len(places)) for count in _counts(op, shape, axis) if count < 1 or count & (count - 1)
    ]
    if bad:
        raise ConfigurationError(
            f"{op.name!r}: windows of {bad[0]} values along an axis have no fixed-point mean; "
            "use windows of 1, 2, 4, 8, ... values without padding"
        )
    return _countable(op, mean_format(program.formats[op.source], prod(op.window))), (*places, shape[-1])


def _counts(op: MaxPool | AvgPool, shape, axis) -> set[int]:
    """How many values that are not padding the windows hold along one axis."""
    size, (before, after), window, stride = shape[axis], op.pads[axis], op.window[axis], op.strides[axis]
    starts = range(-before, size + after - window + 1, stride)
    # at most `size` windows overlap an edge; the many between, where pads and window are large, hold equally many
    some = {*starts[:size], *starts[-size:], starts[len(starts) // 2]}
    return {min(start + window, size) - max(start, 0) for start in some}


def _add(program, op: Add):
    shapes = {program.shapes[name] for name in op.sources}
    if len(op.sources) < 2 or len(shapes) > 1:
        raise ConfigurationError(f"{op.name!r}: tensors of shapes {sorted(shapes)} cannot be added; use equal shapes")
    return _countable(op, sum_format(*(program.formats[name] for name in op.sources))), shapes.pop()


def _concatenate(program, op: Concatenate):
    shapes = [program.shapes[name] for name in op.sources]
    others = {(len(shape), *shape[: op.axis], *shape[op.axis + 1 :]) for shape in shapes}
    if not shapes or not 0 <= op.axis < len(shapes[0]) or len(others) > 1:
        raise ConfigurationError(f"{op.name!r}: tensors of shapes {shapes} do not fit side by side along {op.axis}")
    shape = list(shapes[0])
    shape[op.axis] = sum(shape[op.axis] for shape in shapes)
    return _countable(op, union_format(*(program.formats[name] for name in op.sources))), tuple(shape)


def _countable(op, format: FixedPoint) -> FixedPoint:
    if format.bits > MOST_BITS:
        raise ConfigurationError(
            f"{op.name!r}: its result needs {format.bits} bits, at most {MOST_BITS} are computed; quantize its inputs"
        )
    return format


def _upsample(program, op: Upsample):
    shape = program.shapes[op.source]
    _spatial(op, op.factors, shape)
    return program.formats[op.source], (*(size * by for size, by in zip(shape, op.factors)), shape[-1])


def _pad(program, op: Pad):
    shape = program.shapes[op.source]
    _spatial(op, op.pads, shape)
    return program.formats[op.source], (*(size + sum(pads) for size, pads in zip(shape, op.pads)), shape[-1])


def _crop(program, op: Crop):
    shape = program.shapes[op.source]
    _spatial(op, op.cuts, shape)
    left = [size - sum(cuts) for size, cuts in zip(shape, op.cuts)]
    if min(left, default=1) < 1:
        raise ConfigurationError(f"{op.name!r}: cutting {op.cuts} off a tensor of {shape} leaves nothing")
    return program.formats[op.source], (*left, shape[-1])


def _spatial(op, per_axis, shape):
    if len(per_axis) != len(shape) - 1:
        raise ConfigurationError(
            f"{op.name!r}: {per_axis} does not fit a tensor of {shape}; one entry per spatial axis"
        )


def _transpose(program, op: Transpose):
    shape = program.shapes[op.source]
    if sorted(op.axes) != list(range(len(shape))):
        raise ConfigurationError(f"{op.name!r}: axes {op.axes} are no order of the axes of {shape}")
    return program.formats[op.source], tuple(shape[axis] for axis in op.axes)


_CHECKS: dict[type, Callable] = {
    Input: _input,
    Dense: _dense,
    Conv: _conv,
    Quantize: _quantize,
    Reshape: _reshape,
    MaxPool: _max_pool,
    AvgPool: _avg_pool,
    Add: _add,
    Concatenate: _concatenate,
    Upsample: _upsample,
    Pad: _pad,
    Crop: _crop,
    Transpose: _transpose,
}
