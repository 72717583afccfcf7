"""Input vectors: random ones find wrong wiring and rounding, worst cases find an accumulator that is one bit short."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np

from a2q_keras.integer.graph import AccumulatorOp, Conv, Dense, Input, IntegerProgram, Quantize, Reshape
from a2q_keras.numerics.formats import FixedPoint


def random_inputs(program: IntegerProgram, n: int, seed: int = 0) -> list[np.ndarray]:
    """n codes per input, uniform over its format, int64 (n, *shape); the first rows are all lo, all hi and all zero.

    >>> program = IntegerProgram("p", (Input("x", (2,), FixedPoint(4, 0, True)),), (), ("x",))
    >>> random_inputs(program, 3)[0].tolist()
    [[-8, -8], [7, 7], [0, 0]]
    """
    rng = np.random.default_rng(seed)
    return [_random(rng, node, n) for node in program.inputs]


def _random(rng, node: Input, n: int) -> np.ndarray:
    codes = rng.integers(node.format.lo, node.format.hi, (n, *node.shape), np.int64, endpoint=True)
    for row, corner in zip(codes, (node.format.lo, node.format.hi, 0)):
        row[...] = corner
    return codes


def off_grid_values(program: IntegerProgram, n: int, seed: int = 0) -> list[np.ndarray]:
    """n values per input between its codes, ties included, and beyond its range: they test the rounding on entry."""
    rng = np.random.default_rng(seed)
    return [_off_grid(rng, node, n) for node in program.inputs]


def _off_grid(rng, node: Input, n: int) -> np.ndarray:
    span = node.format.hi - node.format.lo + 1
    lo, hi = node.format.lo - span // 4 - 1, node.format.hi + span // 4 + 1
    return rng.integers(4 * lo, 4 * hi, (n, *node.shape), endpoint=True) * (node.format.step / 4)


def worst_case_inputs(op: AccumulatorOp, source: FixedPoint, shape: tuple[int, ...]) -> np.ndarray:
    """Codes (2C, *shape): for each output channel the input with the largest accumulator, then those with the smallest.

    shape: of the op's source.  A convolution gets its window once, where it touches no padding, amid zeros; the result
    is empty (0, *shape) where the window fits nowhere.

    >>> op = Dense("d", "x", [[3], [-1]], [0], FixedPoint(4, 0, True), 16)
    >>> worst_case_inputs(op, FixedPoint(4, 0, signed=True), (2,)).tolist()
    [[7, -8], [-8, 7]]
    """
    positive = np.moveaxis(op.weights, -1, 0) > 0
    largest = np.where(positive, source.hi, source.lo)
    smallest = np.where(positive, source.lo, source.hi)
    cases = np.concatenate([largest, smallest]).astype(np.int64)
    return _placed(op, cases, shape) if isinstance(op, Conv) else _repeated(cases, shape)


def _repeated(cases, shape):
    return np.broadcast_to(cases.reshape(len(cases), *(1,) * (len(shape) - 1), -1), (len(cases), *shape))


def _placed(op: Conv, cases, shape):
    """Windows (2C, *window, inputs per group) at the first place without padding, in the channels of their group."""
    starts = [-(-before // stride) * stride - before for (before, _), stride in zip(op.pads, op.strides)]
    ends = [start + reach for start, reach in zip(starts, op.extent)]
    if any(end > size for end, size in zip(ends, shape)):
        return np.zeros((0, *shape), np.int64)
    placed = np.zeros((len(cases), *shape), np.int64)
    spots = [slice(start, end, step) for start, end, step in zip(starts, ends, op.dilation)]
    channels, inputs = op.weights.shape[-1], op.weights.shape[-2]
    for row, case in enumerate(cases):
        first = (row % channels) // (channels // op.groups) * inputs
        placed[(row, *spots, slice(first, first + inputs))] = case
    return placed


def first_layer_inputs(program: IntegerProgram) -> list[np.ndarray]:
    """Codes per input that drive every accumulator behind it to its worst case, one op at a time.

    Other inputs are zero.  Between input and op there may be reshapes and requantizations.
    """
    blocks = [_driving(program, op) for op in program.accumulator_ops if _origin(program, op)]
    nothing = [np.zeros((0, *node.shape), np.int64) for node in program.inputs]
    return [np.concatenate(parts) for parts in zip(nothing, *blocks)]


def _origin(program, op: AccumulatorOp) -> Input | None:
    node = program[op.source]
    while isinstance(node, (Reshape, Quantize)):
        node = program[node.source]
    return node if isinstance(node, Input) else None


def _driving(program, op: AccumulatorOp) -> list[np.ndarray]:
    source, origin = program.formats[op.source], _origin(program, op)
    values = source.values(worst_case_inputs(op, source, program.shapes[op.source]))
    return [
        node.format.quantize(values).reshape(len(values), *node.shape)
        if node is origin
        else np.zeros((len(values), *node.shape), np.int64)
        for node in program.inputs
    ]


def isolated_layers(program: IntegerProgram) -> list[str]:
    """The layers that `isolate` can take apart: those with accumulators, and requantizations that change codes."""
    return [op.name for op in program.ops if isinstance(op, (Dense, Conv)) or _requantizes(program, op)]


def isolate(program: IntegerProgram, layers: list[str] | None = None) -> IntegerProgram:
    """A program in which every op with accumulators and every requantization has an input of its own and is an output.

    The worst case of an inner layer may be out of reach of the real inputs; here it is not.  A convolution computes one
    place: its input is one window; a requantization one code.  layers: those of another program, or all.
    """
    names = isolated_layers(program) if layers is None else layers
    kept = [op for op in program.ops if op.name in names]
    inputs = tuple(Input(_input_name(program, op), _window_shape(op), program.formats[op.source]) for op in kept)
    ops = tuple(_alone(op, node.name) for op, node in zip(kept, inputs))
    return IntegerProgram(f"{program.name} in isolation", inputs, ops, tuple(op.name for op in ops))


def _requantizes(program, op) -> bool:
    """Whether an op is a requantization that changes codes."""
    if not isinstance(op, Quantize):
        return False
    before, after = program.formats[op.source], op.format
    return before.frac != after.frac or before.lo < after.lo or before.hi > after.hi


def _window_shape(op: AccumulatorOp | Quantize) -> tuple[int, ...]:
    if isinstance(op, Quantize):
        return (1,)
    return (*op.extent, op.weights.shape[-2] * op.groups) if isinstance(op, Conv) else op.weights.shape[:1]


def _alone(op: AccumulatorOp | Quantize, source: str) -> AccumulatorOp | Quantize:
    if isinstance(op, (Dense, Quantize)):
        return replace(op, source=source)
    rank = len(op.strides)
    return replace(op, source=source, strides=(1,) * rank, pads=((0, 0),) * rank)


def _input_name(program, op: AccumulatorOp | Quantize) -> str:
    name = f"{op.name}_in"
    while name in program.formats:
        name += "_"
    return name


def isolated_inputs(isolated: IntegerProgram) -> list[np.ndarray]:
    """Codes per input of `isolate(program)` with all worst cases of each layer; shorter ones start again."""
    cases = [
        edge_codes(isolated.formats[op.source], op.format)[:, None]
        if isinstance(op, Quantize)
        else worst_case_inputs(op, isolated.formats[op.source], isolated.shapes[op.source])
        for op in isolated.ops
    ]
    samples = max(map(len, cases))
    return [np.resize(rows, (samples, *rows.shape[1:])) for rows in cases]


def edge_codes(source: FixedPoint, target: FixedPoint) -> np.ndarray:
    """The codes of `source` at which requantization to `target` is decided: around zero, ties and saturation.

    >>> edge_codes(FixedPoint(4, 1, signed=True), FixedPoint(2, 0, signed=False)).tolist()
    [-8, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7]
    """
    step = Fraction(2) ** (source.frac - target.frac)
    whole = [(code + side * Fraction(1, 2)) * step for code in _decisive(target) for side in (-1, 0, 1)]
    near = {floor(value) + offset for value in whole for offset in (-1, 0, 1)} | {source.lo, source.hi}
    return np.array(sorted(code for code in near if source.lo <= code <= source.hi), np.int64)


def _decisive(format: FixedPoint) -> set[int]:
    return {edge + offset for edge in (format.lo, 0, format.hi) for offset in (-1, 0, 1)}
