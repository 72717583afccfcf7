"""The golden run: what an integer program computes, in exact integer arithmetic (numpy only).

Accumulators do not wrap here.  A certified program never leaves its accumulators, so hardware that wraps agrees.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer.graph import Dense, Input, IntegerProgram, Quantize, Reshape

EXACT_FLOAT64 = 2**53
BATCH = 4096


def run(program: IntegerProgram, x):
    """Output values, float64 of shape (samples, *output shape); a list of them where there are several outputs.

    x: values (samples, *input shape), or a list of such arrays in the order of `program.inputs`.
    Raises ConfigurationError for a wrong shape or NaN.
    """
    codes = [node.format.quantize(values) for node, values in zip(program.inputs, as_inputs(program, x))]
    tensors = trace(program, codes)
    return _single([program.formats[name].values(tensors[name]) for name in program.outputs])


def run_codes(program: IntegerProgram, codes):
    """Output codes, int64, for input codes of shape (samples, *input shape); lists as in `run`.

    Raises ConfigurationError for a wrong shape or a code outside the input format.
    """
    tensors = trace(program, as_inputs(program, codes))
    return _single([tensors[name] for name in program.outputs])


def trace(program: IntegerProgram, codes: list) -> dict[str, np.ndarray]:
    """Codes of every tensor by name, for a list of input codes."""
    tensors = {}
    for node, given in zip(program.inputs, codes):
        given = np.asarray(given, np.int64)
        if given.size and (given.min() < node.format.lo or given.max() > node.format.hi):
            raise ConfigurationError(f"input {node.name!r}: a code is outside {node.format}; use run() for values")
        tensors[node.name] = given
    for op in program.ops:
        tensors[op.name] = _COMPUTE[type(op)](program, op, tensors[op.source])
    return tensors


def as_inputs(program: IntegerProgram, x) -> list[np.ndarray]:
    """`x` as a list with one array per input; raises ConfigurationError where number or shapes do not fit."""
    arrays = list(x) if len(program.inputs) > 1 else [x]
    if len(arrays) != len(program.inputs):
        raise ConfigurationError(f"{program.name!r} has {len(program.inputs)} inputs, {len(arrays)} were given")
    return [_shaped(node, np.asarray(array)) for node, array in zip(program.inputs, arrays)]


def _shaped(node: Input, array: np.ndarray) -> np.ndarray:
    if array.shape[1:] != tuple(node.shape):
        raise ConfigurationError(
            f"input {node.name!r} has shape (samples, {', '.join(map(str, node.shape))}); got {array.shape}"
        )
    return array


def _single(items: list):
    return items[0] if len(items) == 1 else items


def _dense(program, op: Dense, x):
    """x @ weights + bias, by floating-point BLAS where every partial sum is an exact double, else in int64."""
    source = program.formats[op.source]
    largest = max(-source.lo, source.hi) * int(np.abs(op.weights).sum(axis=0).max(initial=0)) + int(
        np.abs(op.bias).max(initial=0)
    )
    if largest < EXACT_FLOAT64:
        weights = op.weights.astype(np.float64)
        parts = [x[i : i + BATCH].astype(np.float64) @ weights for i in range(0, len(x), BATCH)]
        products = np.concatenate(parts).astype(np.int64) if parts else np.zeros((0, len(op.bias)), np.int64)
        return products + op.bias
    if largest >= 2**63:
        raise ConfigurationError(f"layer {op.name!r}: its sums do not fit 64 bits; use fewer weight or input bits")
    return x @ op.weights + op.bias


def _quantize(program, op: Quantize, x):
    """Shift to the new frac, rounding half to even, then saturate."""
    shift = program.formats[op.source].frac - op.format.frac
    return np.clip(shift_round_half_even(x, shift), op.format.lo, op.format.hi)


def _reshape(program, op: Reshape, x):
    return x.reshape(len(x), *op.shape)


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
    floor = codes >> shift
    rest = codes - (floor << shift)
    half = np.int64(1) << (shift - 1)
    return floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))


_COMPUTE: dict[type, Callable] = {Dense: _dense, Quantize: _quantize, Reshape: _reshape}
