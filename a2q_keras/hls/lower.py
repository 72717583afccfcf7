"""Integer program -> integer program: what hls4ml computes wrong or not at all, in ops that it computes exactly.

The lowered program gives every tensor of the first one the same codes, under the same name or, where an op changes
nothing, under that of its source; so one golden run tests it against the other, without firmware.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import NamedTuple

import numpy as np

from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.hls.settings import BACKENDS, HlsConfig
from a2q_keras.hls.types import saturating
from a2q_keras.integer.checks import MOST_BITS, check
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


class Lowered(NamedTuple):
    """A lowered program; by tensor of the first program, the tensor in it that holds its codes; and by tensor that only
    the lowered program has, the op that it was made for."""

    program: IntegerProgram
    holders: dict[str, str]
    owners: dict[str, str]


def lower(program: IntegerProgram, config: HlsConfig) -> Lowered:
    """The program in ops that hls4ml's `config.backend` computes exactly.

    Raises UnsupportedLayerError, naming the layer and an alternative, for an op that has no such form.
    """
    _refuse_tiles(program)
    draft = _Draft(program, config)
    for node in program.inputs:
        draft.refuse_narrow(node)
    for op in program.ops:
        draft.add(_reading(op, draft.holders))
    outputs = tuple(draft.holders[name] for name in program.outputs)
    return Lowered(replace(program, ops=tuple(draft.ops), outputs=outputs), draft.holders, draft.owners)


def _refuse_tiles(program):
    for op in program.accumulator_ops:
        if op.tile is not None:
            raise UnsupportedLayerError(
                f"layer {op.name!r} sums tiles of {op.tile} products in inner accumulators of {op.acc_bits} bits; "
                "hls4ml has one accumulator per layer and no tiles: use to_rtl, or quantize or train with tile=None"
            )


def _reading(op: Op, holders) -> Op:
    """The op, reading what holds the codes of its sources."""
    if isinstance(op, (Add, Concatenate)):
        return replace(op, sources=tuple(holders[name] for name in op.sources))
    return replace(op, source=holders[op.source])


class _Draft:
    """The ops so far, and the names in use."""

    def __init__(self, program, config):
        self.config = config
        self.ops: list[Op] = []
        self.holders = {node.name: node.name for node in program.inputs}
        self.formats = {node.name: node.format for node in program.inputs}
        self.shapes = {node.name: tuple(node.shape) for node in program.inputs}
        self._makers: dict[str, Input | Op] = {node.name: node for node in program.inputs}
        self.owners: dict[str, str] = {}
        self._taken = set(program.formats)
        # hls4ml's headers for depthwise convolutions over one axis and over two exclude one another
        ranks = {len(op.strides) for op in program.ops if isinstance(op, Conv) and is_depthwise(op)}
        self._depthwise_ranks = (ranks if ranks == {1} else {2}) if BACKENDS[config.backend].depthwise else set()

    def add(self, op: Op):
        """Append what `op` is lowered to."""
        self.holders[op.name] = _RULES[type(op)](self, op)

    def emit(self, op: Op) -> str:
        """Append an op as it is; its name."""
        self.formats[op.name], self.shapes[op.name] = check(self, op)
        self._refuse_missing(op)
        self.refuse_narrow(op)
        self._makers[op.name] = op
        self.ops.append(op)
        return op.name

    def _refuse_missing(self, op):
        backend, kind, rank = BACKENDS[self.config.backend], type(op).__name__, len(self.shapes[op.name])
        in_streams = not self.config.parallel and (kind, rank) in backend.missing_in_streams
        if in_streams or kind in backend.missing:
            where = f"{self.config.backend}{' in io_stream' * in_streams}"
            raise UnsupportedLayerError(
                f"layer {self.owners.get(op.name, op.name)!r}: hls4ml's {where} has no exact {kind} of {rank} axes; "
                "use Vitis or Vivado"
            )

    def refuse_narrow(self, node: Input | Op):
        """Raises UnsupportedLayerError where values are rounded to fewer bits than the backend's types have."""
        least = BACKENDS[self.config.backend].least_bits
        if isinstance(node, (Input, Quantize)) and node.format.bits < least:
            raise UnsupportedLayerError(
                f"layer {node.name!r}: hls4ml's {self.config.backend} has no exact {type(node).__name__} to "
                f"{node.format.bits} bit; give it {least} bits, or use Vitis or Vivado"
            )

    def fresh(self, op: Op, what: str) -> str:
        """A name that no tensor has, for a step on the way to `op`."""
        name = f"{op.name}_{what}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        self.owners[name] = self.owners.get(op.name, op.name)
        return name

    def has_depthwise(self, op: Conv) -> bool:
        """Whether hls4ml has a layer of its own for a depthwise convolution."""
        return is_depthwise(op) and len(op.strides) in self._depthwise_ranks

    def maker(self, tensor: str) -> Input | Op:
        """The input or op that makes a tensor."""
        return self._makers[tensor]


# A rule appends ops, the last under the name of the op, and returns it; or it appends nothing and returns the tensor
# that already holds the codes.


def _keep(draft: _Draft, op: Op):
    return draft.emit(op)


def _dense(draft, op: Dense):
    """Over more than one axis a convolution of one value: hls4ml would make it one of float weights."""
    shape = draft.shapes[op.source]
    if len(shape) == 1:
        return draft.emit(op)
    if len(shape) <= 3:
        return _conv(draft, _as_conv(op, op.name, op.source, len(shape) - 1))
    rows = draft.emit(Reshape(draft.fresh(op, "rows"), op.source, (prod(shape[:-1]), shape[-1])))
    sums = _conv(draft, _as_conv(op, draft.fresh(op, "sums"), rows, 1))
    return draft.emit(Reshape(op.name, sums, (*shape[:-1], op.weights.shape[1])))


def _as_conv(op: Dense, name, source, rank) -> Conv:
    ones = (1,) * rank
    weights = op.weights.reshape(*ones, *op.weights.shape)
    return Conv(name, source, weights, op.bias, op.weight_format, op.acc_bits, ones, ((0, 0),) * rank, ones)


def _conv(draft, op: Conv):
    _spatial(op, len(op.strides))
    op = _undilated(op)
    op = op if draft.has_depthwise(op) else _block(op)
    op = op if draft.config.parallel else _tall(draft, op)
    if draft.config.parallel or not any(map(any, op.pads)):
        return draft.emit(op)
    padded = draft.emit(Pad(draft.fresh(op, "pad"), op.source, op.pads))
    return draft.emit(replace(op, source=padded, pads=((0, 0),) * len(op.pads)))


def _spatial(op, rank):
    if rank not in (1, 2):
        raise UnsupportedLayerError(
            f"layer {op.name!r}: {type(op).__name__} over {rank} spatial axes has no firmware; hls4ml has 1 and 2"
        )


def _undilated(op: Conv) -> Conv:
    """Zeros between the weights in place of dilation: zero products add nothing, and cost nothing in Latency."""
    weights = np.zeros((*op.extent, *op.weights.shape[-2:]), np.int64)
    weights[tuple(slice(None, None, step) for step in op.dilation)] = op.weights
    return replace(op, weights=weights, dilation=(1,) * len(op.strides))


def _tall(draft, op: Conv) -> Conv:
    """A row of zeros below windows of one row: hls4ml's streams forget the vertical stride of these."""
    pointwise = prod(op.window) == 1 and not is_depthwise(op)  # a layer of its own, which is exact
    if len(op.window) != 2 or op.window[0] > 1 or op.strides[0] == 1 or pointwise:
        return op
    (above, below), sides = op.pads
    last = (draft.shapes[op.source][0] + above + below - 1) % op.strides[0] == 0  # the last window is at the bottom
    weights = np.concatenate([op.weights, np.zeros_like(op.weights)])
    return replace(op, weights=weights, pads=((above, below + last), sides))


def is_depthwise(op: Conv) -> bool:
    """Whether each output channel reads the input channel of its number and no other."""
    return op.groups > 1 and op.weights.shape[-2] == 1 and op.weights.shape[-1] == op.groups


def _block(op: Conv) -> Conv:
    """Groups as one group with zeros where a channel is not read."""
    if op.groups == 1:
        return op
    inputs, channels = op.weights.shape[-2], op.weights.shape[-1] // op.groups
    weights = np.zeros((*op.window, inputs * op.groups, op.weights.shape[-1]), np.int64)
    for group in range(op.groups):
        outputs = slice(group * channels, (group + 1) * channels)
        weights[..., group * inputs : (group + 1) * inputs, outputs] = op.weights[..., outputs]
    return replace(op, weights=weights, groups=1)


def _quantize(draft, op: Quantize):
    """Nothing where the codes stay; in io_stream before a Reshape, not behind it, where words have the right size."""
    source = draft.maker(op.source)
    if saturating(op.format) == saturating(draft.formats[op.source]) and not isinstance(source, (Dense, Conv)):
        return op.source
    if draft.config.parallel or not isinstance(source, Reshape):
        return _shift(draft, op)
    codes = _shift(draft, replace(op, name=draft.fresh(op, "codes"), source=source.source))
    return draft.emit(Reshape(op.name, codes, source.shape))


def _shift(draft, op: Quantize):
    """In steps, none of which shifts right by more bits than its source has: C simulation's `ap_fixed` aborts there.

    The result is 0, as in one step: a shift by all bits leaves 0 or 1, and half of 1 is rounded to even.
    """
    source = draft.formats[op.source]
    frac = source.frac - source.bits
    rest = frac - op.format.frac
    if rest <= 0:
        return draft.emit(op)
    wide = FixedPoint(min(max(rest, 2), MOST_BITS), frac, source.signed)  # some backends have no type of one bit
    step = draft.emit(Quantize(draft.fresh(op, "step"), op.source, wide))
    return _shift(draft, replace(op, source=step))


def _max_pool(draft, op: MaxPool):
    """hls4ml's padding is the code with the top bit only, no least one where there is no sign: there zero is."""
    _spatial(op, len(op.window))
    if any(map(any, op.pads)):
        if draft.formats[op.source].lo == 0:
            padded = draft.emit(Pad(draft.fresh(op, "pad"), op.source, op.pads))
            op = replace(op, source=padded, pads=((0, 0),) * len(op.pads))
        elif not draft.config.parallel:
            raise _refusal(
                draft, op, "padding of signed values", "pool without padding, after a ReLU, or in io_parallel"
            )
    if _overlaps(draft, op):
        raise _refusal(draft, op, "overlapping windows", "use io_parallel, or strides equal to the window")
    return draft.emit(op)


def _overlaps(draft, op: MaxPool | AvgPool) -> bool:
    """Whether an assertion of hls4ml's io_stream stops the pool: strides that are not the window, over two axes."""
    if draft.config.parallel or draft.shapes[op.source][:-1] == op.window:
        return False
    return op.strides != op.window and (len(op.window) == 2 or draft.config.backend not in ("Vitis", "Vivado"))


def _refusal(draft, op, what: str, alternative: str) -> UnsupportedLayerError:
    where = f"hls4ml's {draft.config.backend} in {draft.config.io_type}"
    return UnsupportedLayerError(
        f"layer {op.name!r}: {where} has no exact {type(op).__name__} with {what}; {alternative}"
    )


def _avg_pool(draft, op: AvgPool):
    _spatial(op, len(op.window))
    padded = any(map(any, op.pads))
    native = BACKENDS[draft.config.backend].averages and not _overlaps(draft, op)
    if native and (draft.config.parallel or not padded):
        return draft.emit(op)
    if padded:
        raise _refusal(draft, op, "padding", "pool without padding, or use io_parallel on Vitis or Vivado")
    return _averaging_conv(draft, op)


def _averaging_conv(draft, op: AvgPool):
    """The mean as a depthwise convolution whose weights are all 1/n, a power of two: exact."""
    mean, channels, ones = check(draft, op)[0], draft.shapes[op.source][-1], (1,) * len(op.window)
    weight_format = FixedPoint(1, mean.frac - draft.formats[op.source].frac, signed=False)
    weights, bias = np.ones((*op.window, 1, channels), np.int64), np.zeros(channels, np.int64)
    geometry = {"strides": op.strides, "pads": op.pads, "dilation": ones, "groups": channels}
    acc_bits = mean.bits + (not mean.signed)
    sums = Conv(draft.fresh(op, "sums"), op.source, weights, bias, weight_format, acc_bits, **geometry)
    return draft.emit(Quantize(op.name, _conv(draft, sums), mean))


def _add(draft, op: Add):
    return _pairwise(draft, op, lambda name, sources: Add(name, sources))


def _concatenate(draft, op: Concatenate):
    """In pairs; tensors of more than three axes as (before, axis, behind)."""
    shape = draft.shapes[op.sources[0]]
    if len(shape) <= 3:
        return _pairwise(draft, op, lambda name, sources: Concatenate(name, sources, op.axis))
    before, behind = prod(shape[: op.axis]), prod(shape[op.axis + 1 :])
    flat = [
        draft.emit(Reshape(draft.fresh(op, f"flat{i}"), name, (before, draft.shapes[name][op.axis], behind)))
        for i, name in enumerate(op.sources)
    ]
    joined = replace(op, name=draft.fresh(op, "joined"), sources=tuple(flat), axis=1)
    _pairwise(draft, joined, lambda name, sources: Concatenate(name, sources, 1))
    width = sum(draft.shapes[name][op.axis] for name in op.sources)
    return draft.emit(Reshape(op.name, joined.name, (*shape[: op.axis], width, *shape[op.axis + 1 :])))


def _pairwise(draft, op, make):
    if len(op.sources) == 1:
        return op.sources[0]
    first, *others = op.sources
    for i, other in enumerate(others):
        name = op.name if i + 1 == len(others) else draft.fresh(op, f"part{i}")
        first = draft.emit(make(name, (first, other)))
    return first


def _transpose(draft, op: Transpose):
    """Axes of length one are left out: hls4ml drops a transposition of an input whose first axis is one."""
    shape = draft.shapes[op.source]
    long = [axis for axis, size in enumerate(shape) if size > 1]
    order = [axis for axis in op.axes if shape[axis] > 1]
    target = tuple(shape[axis] for axis in op.axes)
    if order == long:
        return op.source if target == shape else draft.emit(Reshape(op.name, op.source, target))
    if len(long) == len(shape):
        return draft.emit(op)
    squeezed = draft.emit(Reshape(draft.fresh(op, "squeezed"), op.source, tuple(shape[axis] for axis in long)))
    axes = tuple(long.index(axis) for axis in order)
    turned = draft.emit(Transpose(draft.fresh(op, "turned"), squeezed, axes))
    return draft.emit(Reshape(op.name, turned, target))


def _pad(draft, op: Pad):
    _spatial(op, len(op.pads))
    return draft.emit(op) if any(map(any, op.pads)) else op.source


def _crop(draft, op: Crop):
    _spatial(op, len(op.cuts))
    return draft.emit(op) if any(map(any, op.cuts)) else op.source


def _upsample(draft, op: Upsample):
    _spatial(op, len(op.factors))
    return draft.emit(op) if set(op.factors) != {1} else op.source


_RULES: dict[type, Callable] = {
    Dense: _dense,
    Conv: _conv,
    Quantize: _quantize,
    Reshape: _keep,
    MaxPool: _max_pool,
    AvgPool: _avg_pool,
    Add: _add,
    Concatenate: _concatenate,
    Upsample: _upsample,
    Pad: _pad,
    Crop: _crop,
    Transpose: _transpose,
}
