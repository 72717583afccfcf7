"""The integer program on da4ml's fixed-point variables: every op becomes adders, multiplexers and wires.

Variables stand for integer codes.  They know the range of their codes, so that each adder is as wide as it must be.
Arrays of them are numpy arrays of objects, without batch axis.  da4ml optimises the products of a layer together.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from itertools import product
from math import prod

import numpy as np

from a2q_keras.errors import UnsupportedLayerError
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
    Pad,
    Quantize,
    Reshape,
    Transpose,
    Upsample,
    sources,
)

MOST_WEIGHT_BITS = 24  # da4ml takes matrices as float32


def trace(program: IntegerProgram, on_op: Callable[[str], None] = lambda name: None) -> dict[str, np.ndarray]:
    """The variables of every tensor by name; those of the inputs are new.

    on_op: is called with the name of each op before it is traced.  Raises UnsupportedLayerError for weights of more
    than 24 bits.
    """
    tensors = {node.name: _inputs(node) for node in program.inputs}
    for op in program.ops:
        on_op(op.name)
        tensors[op.name] = _TRACE[type(op)](program, op, *(tensors[name] for name in sources(op)))
    return tensors


def _inputs(node: Input) -> np.ndarray:
    from da4ml.trace import FixedVariable, HWConfig

    one_adder_a_step = HWConfig(1, -1, -1)
    return _array(
        (FixedVariable(node.format.lo, node.format.hi, 1, hwconf=one_adder_a_step) for _ in range(prod(node.shape))),
        node.shape,
    )


def _array(items, shape) -> np.ndarray:
    items = list(items)
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)


def _each(function: Callable, x: np.ndarray) -> np.ndarray:
    return _array(map(function, x.ravel()), x.shape)


def _dense(program, op: Dense, x):
    rows, bits = x.reshape(-1, x.shape[-1]), program.formats[op.name].bits
    sums = [_sums(op, bits, row, op.weights, op.bias) for row in rows]
    return _array((item for row in sums for item in row), program.shapes[op.name])


def _conv(program, op: Conv, x):
    shape, bits = program.shapes[op.name], program.formats[op.name].bits
    inputs, channels = op.weights.shape[-2], op.weights.shape[-1] // op.groups
    matrix, bias = op.weights.reshape(-1, op.weights.shape[-1]), op.bias
    windows = _windows(_padded(x, op.pads), op.extent, op.strides)
    sums: list = []
    for place in product(*map(range, shape[:-1])):
        window = windows[place][tuple(slice(None, None, step) for step in op.dilation)]
        for group in range(op.groups):
            row = window[..., group * inputs : (group + 1) * inputs].ravel()
            part = slice(group * channels, (group + 1) * channels)
            sums += _sums(op, bits, row, matrix[:, part], bias[part])
    return _array(sums, shape)


def _sums(op: Dense | Conv, bits: int, row: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> list:
    """bias + row @ weights, kept in the accumulators' bits as hardware does: an overflow wraps.

    bits: of the results.  With tiles each of them is kept in the bits of the inner accumulators first.
    """
    if op.weight_format.bits > MOST_WEIGHT_BITS:
        raise UnsupportedLayerError(
            f"layer {op.name!r} has {op.weight_format.bits}-bit weights; style 'parallel' takes at most "
            f"{MOST_WEIGHT_BITS}: use fewer weight bits, or to_hls"
        )
    step = op.tile or len(weights)
    tiles = [_products(row[i : i + step], weights[i : i + step]) for i in range(0, len(weights), step)]
    if op.tile is not None:
        tiles = [[_kept(item, op.acc_bits) for item in tile] for tile in tiles]
    sums = [_tree(lambda a, b: a + b, list(items)) for items in zip(*(tile for tile in tiles if tile))]
    if not sums:
        return [_constant(int(code)) for code in _wrapped(bias, bits)]
    return [_kept(item + int(code), bits) for item, code in zip(sums, bias)]


def _products(row: np.ndarray, weights: np.ndarray) -> list:
    """row @ weights; nothing where this is always zero."""
    from da4ml.trace import FixedVariableArray

    used = [i for i, item in enumerate(row) if not _is_zero(item) and weights[i].any()]
    return list(FixedVariableArray(row[used]) @ weights[used].astype(np.float64)) if used else []


def _kept(item, bits: int):
    return item.quantize(1, bits - 1, 0, "WRAP", "TRN")


def _is_zero(item) -> bool:
    return item.low == item.high == 0


def _wrapped(codes, bits: int):
    return ((codes + 2 ** (bits - 1)) % 2**bits) - 2 ** (bits - 1)


def _constant(code: int):
    from da4ml.trace import FixedVariable, HWConfig

    return FixedVariable.from_const(code, HWConfig(1, -1, -1))


def _padded(x, pads) -> np.ndarray:
    zero = _constant(0)
    sizes = [size + sum(pad) for size, pad in zip(x.shape, pads)]
    padded = _array([zero] * prod([*sizes, x.shape[-1]]), (*sizes, x.shape[-1]))
    padded[tuple(slice(before, before + size) for size, (before, _) in zip(x.shape, pads))] = x
    return padded


def _windows(x, extent, strides) -> np.ndarray:
    """Every window of x (*spatial, channels): an array (*places, *extent, channels)."""
    spatial = tuple(range(x.ndim - 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, axis=spatial)
    return np.moveaxis(windows[tuple(slice(None, None, stride) for stride in strides)], len(spatial), -1)


def _quantize(program, op: Quantize, x):
    shift = program.formats[op.source].frac - op.format.frac
    return _each(lambda item: requantized(item, shift, op.format.lo, op.format.hi), x)


def requantized(item, shift: int, lo: int, hi: int):
    """item * 2**-shift, rounded half to even, then saturated to lo..hi: the same as saturating first.

    The rounded-off bits and the one above them decide whether one is added.
    """
    least, most = (min(max(round(Fraction(int(end)) / Fraction(2) ** shift), lo), hi) for end in (item.low, item.high))
    if least == most:  # da4ml takes single bits of a constant wrong, and those of a number with fewer bits
        return _constant(least)
    scale = 2.0**shift
    if shift <= 0:
        return (item * (1 / scale)).max_of(lo).min_of(hi)
    held = item.max_of(lo * scale).min_of(hi * scale)
    whole = _wrap(held, -shift)
    last = _bits(held, shift, 1)
    up = (_bits(held, 0, shift) + (2 ** (shift - 1) - 1)) + last
    return (whole * (1 / scale) + _bits(up, shift, 1)).quantize(
        int(lo < 0), max(int(hi).bit_length(), int(-lo - 1).bit_length()), 0, "WRAP", "TRN"
    )


def _wrap(item, frac: int):
    """The item without its bits below 2**-frac."""
    signed, integer, _ = item.kif
    return item.quantize(signed, integer, frac, "WRAP", "TRN")


def _bits(item, first: int, count: int):
    """Bits first .. first + count - 1 of an item, as a number."""
    return item.quantize(0, first + count, -first, "WRAP", "TRN") * 2.0**-first


def _reshape(program, op: Reshape, x):
    return x.reshape(op.shape)


def _max_pool(program, op: MaxPool, x):
    return _pooled(program, op, x, lambda items: _tree(lambda a, b: a.max_of(b), items))


def _avg_pool(program, op: AvgPool, x):
    return _pooled(program, op, x, lambda items: _tree(lambda a, b: a + b, items) * (prod(op.window) // len(items)))


def _pooled(program, op, x, function):
    """function(list of the items of a window that are no padding), for every window and channel."""
    shape = program.shapes[op.name]
    windows = _windows(_padded(_each(lambda item: (item,), x), op.pads), op.window, op.strides)
    return _array(
        (
            function([item[0] for item in windows[place[:-1]][..., place[-1]].ravel() if isinstance(item, tuple)])
            for place in product(*map(range, shape))
        ),
        shape,
    )


def _tree(function, items: list):
    """The items combined by a balanced tree: as few steps in a row as can be."""
    while len(items) > 1:
        pairs = [function(*items[i : i + 2]) for i in range(0, len(items) - 1, 2)]
        items = pairs + items[len(pairs) * 2 :]
    return items[0]


def _add(program, op: Add, *tensors):
    return reduce(
        lambda a, b: _array((p + q for p, q in zip(a.ravel(), b.ravel())), a.shape), _aligned(program, op, tensors)
    )


def _concatenate(program, op: Concatenate, *tensors):
    return np.concatenate(_aligned(program, op, tensors), axis=op.axis)


def _aligned(program, op, tensors):
    """The codes of the sources in the unit of the result."""
    frac = program.formats[op.name].frac
    steps = [2 ** (frac - program.formats[name].frac) for name in op.sources]
    return [_each(lambda item, step=step: item * step, x) for x, step in zip(tensors, steps)]


def _upsample(program, op: Upsample, x):
    for axis, factor in enumerate(op.factors):
        x = np.repeat(x, factor, axis=axis)
    return x


def _pad(program, op: Pad, x):
    return _padded(x, op.pads)


def _crop(program, op: Crop, x):
    return x[tuple(slice(before, size - after) for size, (before, after) in zip(x.shape, op.cuts))]


def _transpose(program, op: Transpose, x):
    return x.transpose(op.axes)


_TRACE: dict[type, Callable] = {
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
