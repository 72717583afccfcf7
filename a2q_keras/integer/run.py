"""The golden run: what an integer program computes, in exact integer arithmetic (numpy only).

Accumulators do not wrap here.  A certified program never leaves its accumulators, so hardware that wraps agrees.  For
the same reason tiles change no result; `inner_sums` has what their accumulators end with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod
from weakref import WeakKeyDictionary

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer.graph import IntegerProgram
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
    sources,
)
from a2q_keras.numerics.formats import FixedPoint

EXACT = ((np.float32, 2**24), (np.float64, 2**53), (np.int64, 2**63))  # whole numbers below are exact, and BLAS is fast
WINDOW_CODES = 2**23  # of the windows laid out at a time, 64 MiB
TRACE_CODES = 2**22  # of all tensors of the samples that are run at a time, 32 MiB: near the processor's cache
_MATRICES: WeakKeyDictionary[Dense | Conv, tuple[FixedPoint, np.ndarray]] = WeakKeyDictionary()  # see _matrix


def run(program: IntegerProgram, x):
    """Output values, float64 of shape (samples, *output shape); a list of them where there are several outputs.

    x: values (samples, *input shape); with several inputs a list of such arrays in the order of `program.inputs`, or
    a dict by input name.
    Raises ConfigurationError for a wrong shape, unequal numbers of samples, NaN, and what is no real number.
    """
    outputs = _outputs(
        program,
        as_inputs(program, x),
        lambda values: [node.format.quantize(array) for node, array in zip(program.inputs, values)],
    )
    return _single([program.formats[name].values(codes) for name, codes in zip(program.outputs, outputs)])


def run_codes(program: IntegerProgram, codes):
    """Output codes, int64, for input codes of shape (samples, *input shape); lists as in `run`.

    Raises ConfigurationError as `run` does, and for a code that is no whole number or outside the input format.
    """
    return _single(_outputs(program, as_inputs(program, codes), list))


def _outputs(program, arrays, to_codes) -> list[np.ndarray]:
    """Codes of each output, some samples at a time: the tensors between would not fit the memory for many images."""
    step = max(TRACE_CODES // max(sum(map(prod, program.shapes.values())), 1), 1)
    parts = []
    for start in range(0, max(len(arrays[0]), 1), step):
        tensors = trace(program, to_codes([array[start : start + step] for array in arrays]))
        parts.append([tensors[name] for name in program.outputs])
    return [np.concatenate(codes) for codes in zip(*parts)]


def trace(program: IntegerProgram, codes: list) -> dict[str, np.ndarray]:
    """Codes of every tensor by name, for a list of input codes."""
    tensors = {}
    for node, given in zip(program.inputs, codes):
        tensors[node.name] = _whole(node, np.asarray(given))
    for op in program.ops:
        tensors[op.name] = _COMPUTE[type(op)](program, op, *(tensors[name] for name in sources(op)))
    return tensors


def inner_sums(program: IntegerProgram, codes: list) -> dict[str, np.ndarray]:
    """What the inner accumulators end with, by name of the op that has tiles, for a list of input codes.

    int64 (samples, *places, tiles, C): their sum over the tiles, plus the bias, is the result of the op.
    """
    tensors = trace(program, codes)
    tiled = (op for op in program.accumulator_ops if op.tile is not None)
    return {op.name: _inner_sums(program, op, tensors[op.source]) for op in tiled}


def _inner_sums(program, op, x):
    step, groups = op.tile, _factors(program, op, x)
    sums = [
        [_products(rows[:, i : i + step], weights[i : i + step]) for i in range(0, len(weights), step)]
        for rows, weights in groups
    ]
    whole = np.concatenate([np.stack(group, axis=1) for group in sums], axis=2)
    return whole.reshape(len(x), *program.shapes[op.name][:-1], *whole.shape[1:])


def _whole(node: Input, codes: np.ndarray) -> np.ndarray:
    """`codes` as int64, checked before the cast, which would cut or wrap them."""
    if codes.dtype.kind not in "biu" and not (np.isfinite(codes) & (np.rint(codes) == codes)).all():
        raise ConfigurationError(f"input {node.name!r}: a code is no whole number; use run() for values")
    if codes.size and (int(codes.min()) < node.format.lo or int(codes.max()) > node.format.hi):
        raise ConfigurationError(f"input {node.name!r}: a code is outside {node.format}; use run() for values")
    return codes.astype(np.int64, copy=False)


def as_inputs(program: IntegerProgram, x) -> list[np.ndarray]:
    """`x`, as for `run`, as a list with one array per input.

    Raises ConfigurationError where number, names or shapes do not fit, or an array holds no real numbers.
    """
    arrays = [_numbers(*given) for given in zip(program.inputs, _per_input(program, x))]
    samples = {len(array) for array in arrays}
    if len(samples) > 1:
        found = ", ".join(f"{len(array)} for {node.name!r}" for node, array in zip(program.inputs, arrays))
        raise ConfigurationError(f"{program.name!r}: the inputs differ in samples: {found}; give as many for each")
    return arrays


def _per_input(program, x) -> list:
    """The arrays in a list or a dict by input name."""
    names = [node.name for node in program.inputs]
    if isinstance(x, Mapping):
        if set(x) != set(names):
            raise ConfigurationError(f"{program.name!r} has the inputs {names}; got a dict of {list(x)}")
        return [x[name] for name in names]
    arrays = list(x) if len(names) > 1 and np.iterable(x) else [x]
    if len(arrays) != len(names):
        raise ConfigurationError(f"{program.name!r} has {len(names)} inputs, {len(arrays)} were given")
    return arrays


def _numbers(node: Input, given) -> np.ndarray:
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"input {node.name!r}: {error}; give one array of numbers") from error
    if not np.can_cast(array.dtype, np.float64, "same_kind"):
        raise ConfigurationError(
            f"input {node.name!r}: an array of {array.dtype} was given; give real numbers, at most 64 bits each"
        )
    if array.ndim < 1 or array.shape[1:] != tuple(node.shape):
        raise ConfigurationError(
            f"input {node.name!r} has shape (samples, {', '.join(map(str, node.shape))}); got {array.shape}"
        )
    return array


def _single(items: list):
    return items[0] if len(items) == 1 else items


def _dense(program, op: Dense, x):
    ((rows, weights),) = _factors(program, op, x)
    return (_products(rows, weights) + op.bias).reshape(*x.shape[:-1], len(op.bias))


def _conv(program, op: Conv, x):
    """Each group's windows as the rows of a matrix product, some images at a time to save memory."""
    shape = program.shapes[op.name]
    step = max(WINDOW_CODES // max(prod(shape[:-1]) * prod(op.weights.shape[:-1]) * op.groups, 1), 1)
    parts = [_conv_images(program, op, x[i : i + step]) for i in range(0, len(x), step)]
    return np.concatenate(parts) if parts else np.zeros((0, *shape), np.int64)


def _factors(program, op: Dense | Conv, x) -> Iterable:
    """(rows (n, K), weights (K, channels)) of each group: their products are the sums of the op without the bias.

    Both in the fastest type of numbers in which every partial sum is exact.
    """
    matrix = _matrix(program, op)
    x = x.astype(matrix.dtype)
    if isinstance(op, Dense):
        return [(x.reshape(-1, len(matrix)), matrix)]
    windows = _windows(x, op.extent, op.strides, op.pads)[(..., *(slice(None, None, step) for step in op.dilation))]
    windows, inputs = np.moveaxis(windows, len(op.window) + 1, -1), op.weights.shape[-2]
    rows = (windows[..., g * inputs : (g + 1) * inputs].reshape(-1, len(matrix)) for g in range(op.groups))
    return zip(rows, np.split(matrix, op.groups, axis=1))


def _matrix(program, op: Dense | Conv) -> np.ndarray:
    """The weights (K, channels) in the type of `_exact`, made once for all samples and kept as long as the op."""
    source = program.formats[op.source]
    kept = _MATRICES.get(op)
    if kept is None or kept[0] != source:
        kept = source, op.weights.reshape(-1, op.weights.shape[-1]).astype(_exact(program, op))
        _MATRICES[op] = kept
    return kept[1]


def _products(rows, weights):
    return (rows @ weights).astype(np.int64)


def _conv_images(program, op: Conv, x):
    sums = [_products(rows, weights) for rows, weights in _factors(program, op, x)]
    return (np.concatenate(sums, axis=1) + op.bias).reshape(len(x), *program.shapes[op.name])


def _windows(x, extent, strides, pads, fill=0):
    """Every window of x (samples, *spatial, channels), padded: a view (samples, *places, channels, *extent)."""
    spatial = range(1, x.ndim - 1)
    padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=tuple(spatial))
    return windows[(slice(None), *(slice(None, None, stride) for stride in strides))]


def _exact(program, op: Dense | Conv):
    """The fastest type of numbers in which every partial sum is exact."""
    source = program.formats[op.source]
    l1_norm = int(np.abs(op.weights).reshape(-1, op.weights.shape[-1]).sum(axis=0).max(initial=0))
    largest = max(-source.lo, source.hi) * max(l1_norm, 1)
    largest += int(np.abs(op.bias).max(initial=0))
    for exact, limit in EXACT:
        if largest < limit:
            return exact
    raise ConfigurationError(f"layer {op.name!r}: its sums do not fit 64 bits; use fewer weight or input bits")


def _quantize(program, op: Quantize, x):
    """Shift to the new frac, rounding half to even, then saturate."""
    shift = program.formats[op.source].frac - op.format.frac
    return np.clip(shift_round_half_even(x, shift), op.format.lo, op.format.hi)


def _reshape(program, op: Reshape, x):
    return x.reshape(len(x), *op.shape)


def _max_pool(program, op: MaxPool, x):
    windows = _windows(x, op.window, op.strides, op.pads, fill=np.iinfo(np.int64).min)
    return windows.max(axis=_last(op.window))


def _avg_pool(program, op: AvgPool, x):
    """The sum in the finer unit; a window with padding in it holds fewer codes, each of which counts for more."""
    sums = _windows(x, op.window, op.strides, op.pads).sum(axis=_last(op.window))
    counts = _windows(np.ones((1, *x.shape[1:]), np.int64), op.window, op.strides, op.pads).sum(axis=_last(op.window))
    return sums * (prod(op.window) // counts)


def _last(window) -> tuple[int, ...]:
    return tuple(range(-len(window), 0))


def _add(program, op: Add, *tensors):
    return sum(_aligned(program, op, tensors))


def _concatenate(program, op: Concatenate, *tensors):
    return np.concatenate(_aligned(program, op, tensors), axis=op.axis + 1)


def _aligned(program, op, tensors):
    """The codes of the sources in the unit of the result."""
    frac = program.formats[op.name].frac
    return [x << (frac - program.formats[name].frac) for x, name in zip(tensors, op.sources)]


def _upsample(program, op: Upsample, x):
    for axis, factor in enumerate(op.factors, start=1):
        x = np.repeat(x, factor, axis=axis)
    return x


def _pad(program, op: Pad, x):
    return np.pad(x, [(0, 0), *op.pads, (0, 0)])


def _crop(program, op: Crop, x):
    return x[(slice(None), *(slice(before, size - after) for size, (before, after) in zip(x.shape[1:], op.cuts)))]


def _transpose(program, op: Transpose, x):
    return x.transpose(0, *(axis + 1 for axis in op.axes))


def shift_round_half_even(codes: np.ndarray, shift: int) -> np.ndarray:
    """codes * 2**-shift rounded to the nearest integer, ties to even, in integer arithmetic.

    A left shift that would leave 62 bits saturates there, which is beyond every format.

    >>> shift_round_half_even(np.array([-3, -2, -1, 1, 2, 3, 6]), 2)
    array([-1,  0,  0,  0,  0,  1,  2])
    """
    if shift == 0:
        return codes
    if shift < 0:
        limit = 2 ** max(62 + shift, 0)
        return np.clip(codes, -limit, limit) << min(-shift, 62)
    if shift > 63:
        return np.zeros_like(codes)
    floor, half = codes >> shift, 1 << (shift - 1)
    rest = codes & (2 * half - 1)
    return floor + (rest > half - (floor & 1))


_COMPUTE: dict[type, Callable] = {
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
