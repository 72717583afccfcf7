"""The plan of a folded network: its stages in order, as plain data.  No hardware yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from a2q_keras.errors import ConfigurationError, UnsupportedLayerError
from a2q_keras.integer.graph import Conv, Dense, IntegerProgram, MaxPool, Op, Quantize, Reshape, sources
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.folding import Fold, Folding, Tiles, choose, choose_pooling
from a2q_keras.rtl.folded.geometry import Geometry, sliding, vectors


@dataclass(frozen=True, eq=False)
class MacStage:
    """A dense layer or a convolution.  weights: codes (K, C), K in the order rows, columns, channels of the window.

    acc: the format of the accumulators of products, which with tiles are the inner ones.
    """

    name: str
    weights: np.ndarray
    bias: np.ndarray
    weight_format: FixedPoint
    source: FixedPoint
    acc: FixedPoint
    geometry: Geometry
    fold: Fold
    tiles: Tiles | None = None

    @property
    def result(self) -> FixedPoint:
        """The format of its results: that of the outer accumulators, or of the only ones."""
        return self.tiles.outer if self.tiles else self.acc


@dataclass(frozen=True)
class PoolStage:
    """A max pooling."""

    name: str
    source: FixedPoint
    geometry: Geometry
    fold: Fold

    @property
    def result(self) -> FixedPoint:
        """The format of its results."""
        return self.source


@dataclass(frozen=True)
class QuantizeStage:
    """A requantization, of as many codes at a time as come."""

    name: str
    source: FixedPoint
    result: FixedPoint


Stage = MacStage | PoolStage | QuantizeStage


def plan(program: IntegerProgram, accumulators: Mapping[str, int], folding: Folding) -> tuple[Stage, ...]:
    """The stages of a program whose accumulators have the widths given by layer name.

    Nothing is certified here: a width that is too small gives hardware that wraps.

    Raises UnsupportedLayerError for an op that folded hardware does not have, naming what does; ConfigurationError
    for a folding that does not fit.
    """
    program = program.with_acc_bits(dict(accumulators))
    _check_chain(program)
    stages = [stage for op in program.ops if (stage := _stage(program, op, folding))]
    known = [stage.name for stage in stages if not isinstance(stage, QuantizeStage)]
    unknown = sorted(folding.names() - set(known))
    if unknown:
        raise ConfigurationError(f"no layer {unknown[0]!r} to fold; there are {', '.join(map(repr, known)) or 'none'}")
    return tuple(stages)


def cycles_per_sample(stages: tuple[Stage, ...]) -> int:
    """Clock cycles between samples when input is always there and output always taken: those of the slowest stage."""
    return max((stage.fold.cycles for stage in stages if not isinstance(stage, QuantizeStage)), default=1)


def _check_chain(program: IntegerProgram):
    """Each tensor is read once, by the next op, and the last is the output."""
    names = [node.name for node in (*program.inputs, *program.ops)]
    for before, op in zip(names, program.ops):
        if sources(op) != (before,):
            raise _refused(op, "it does not read the one layer before it, and folded hardware is a chain")
    if len(program.inputs) != 1 or program.outputs != (names[-1],):
        raise UnsupportedLayerError(
            f"{program.name!r} has {len(program.inputs)} inputs and the outputs {', '.join(program.outputs)}; folded "
            'hardware is a chain from one input to its last layer; use style="parallel"'
        )


def _refused(op: Op, reason: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(f'layer {op.name!r} ({type(op).__name__}): {reason}; use style="parallel"')


def _stage(program: IntegerProgram, op: Op, folding: Folding) -> Stage | None:
    source, result = (program.formats[name] for name in (sources(op)[0], op.name))
    shape = program.shapes[sources(op)[0]]
    if isinstance(op, Reshape):
        return None  # the same codes in the same order
    if isinstance(op, Quantize):
        return QuantizeStage(op.name, source, result)
    if isinstance(op, (Dense, Conv)):
        geometry = vectors(shape) if isinstance(op, Dense) else _conv_geometry(op, shape)
        return _mac(op, source, result, geometry, folding)
    if isinstance(op, MaxPool):
        geometry = _checked(op, sliding(shape, op.window, op.strides, op.pads))
        return PoolStage(op.name, source, geometry, choose_pooling(op.name, geometry, folding))
    raise _refused(op, "folded hardware has dense layers, convolutions, max pooling and requantization")


def _mac(op: Dense | Conv, source, result, geometry: Geometry, folding: Folding) -> MacStage:
    weights = op.weights.reshape(-1, op.weights.shape[-1])
    fold = choose(op.name, geometry, weights.shape[1], folding, op.tile)
    tiles = None if op.tile is None else Tiles(op.tile, result)
    acc = FixedPoint(op.acc_bits, result.frac, signed=True)
    return MacStage(op.name, weights, op.bias, op.weight_format, source, acc, geometry, fold, tiles)


def _conv_geometry(op: Conv, shape) -> Geometry:
    if op.groups != 1:
        raise _refused(op, f"its {op.groups} groups (a depthwise convolution?) have no folded unit yet")
    return _checked(op, sliding(shape, op.window, op.strides, op.pads, op.dilation))


def _checked(op: Conv | MaxPool, geometry: Geometry) -> Geometry:
    """The line buffer moves forward only: padding must not reach a whole window."""
    if any(sum(pads) >= extent for pads, extent in zip(geometry.pads, geometry.extent) if sum(pads)):
        raise _refused(op, f"pads {op.pads} are as large as its window")
    return geometry
