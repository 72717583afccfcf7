"""The integer program: what a network computes, as frozen records without Keras.

Every tensor has a fixed-point format and every weight is an integer code, so each op has exactly one meaning, given by
`integer.run`.  Training writes programs (`integer.export`); certificate, golden run and firmware read them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from math import prod
from operator import index

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics.formats import FixedPoint


@dataclass(frozen=True)
class Input:
    """A network input, quantized on entry to `format` (round half to even, saturate)."""

    name: str
    shape: tuple[int, ...]
    format: FixedPoint


@dataclass(frozen=True, eq=False)
class Dense:
    """acc = bias + source @ weights, exact, in an accumulator of `acc_bits` bits.

    weights: codes (K, C) int64; bias: codes (C,) int64 in the unit of the accumulator, whose frac is the sum of the
    fracs of the source and of `weight_format`.
    """

    name: str
    source: str
    weights: np.ndarray
    bias: np.ndarray
    weight_format: FixedPoint
    acc_bits: int

    def __post_init__(self):
        for key in ("weights", "bias"):
            codes = np.ascontiguousarray(getattr(self, key), dtype=np.int64)
            codes.flags.writeable = False
            object.__setattr__(self, key, codes)
        object.__setattr__(self, "acc_bits", index(self.acc_bits))


@dataclass(frozen=True)
class Quantize:
    """Requantization to `format`: round half to even, saturate.  An unsigned format makes it a ReLU."""

    name: str
    source: str
    format: FixedPoint


@dataclass(frozen=True)
class Reshape:
    """The same codes in another shape (batch axis left out), row-major."""

    name: str
    source: str
    shape: tuple[int, ...]


Op = Dense | Quantize | Reshape


@dataclass(frozen=True, eq=False)
class IntegerProgram:
    """Inputs, ops in order of execution, and the names of the output tensors.

    A tensor is named after the input or op that makes it.  `float_tail` names what the Keras model does after the
    outputs in floating point and what is therefore not part of the program ("softmax"); the outputs are then logits.

    Raises ConfigurationError where names clash, a source is unknown, or shapes or codes do not fit.
    """

    name: str
    inputs: tuple[Input, ...]
    ops: tuple[Op, ...]
    outputs: tuple[str, ...]
    float_tail: str = ""
    formats: dict[str, FixedPoint] = field(init=False, repr=False)
    shapes: dict[str, tuple[int, ...]] = field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "formats", {})
        object.__setattr__(self, "shapes", {})
        for node in (*self.inputs, *self.ops):
            if node.name in self.formats:
                raise ConfigurationError(f"two tensors of the integer program are called {node.name!r}; rename a layer")
            if not isinstance(node, Input) and node.source not in self.formats:
                raise ConfigurationError(f"{node.name!r} reads {node.source!r}, which nothing before it computes")
            self.formats[node.name], self.shapes[node.name] = _CHECKS[type(node)](self, node)
        unknown = [name for name in self.outputs if name not in self.formats]
        if unknown or not self.outputs:
            raise ConfigurationError(f"unknown outputs {unknown} of the integer program {self.name!r}")

    def __getitem__(self, name: str) -> Input | Op:
        """The input or op called `name`."""
        return next(node for node in (*self.inputs, *self.ops) if node.name == name)

    @property
    def dense_ops(self) -> tuple[Dense, ...]:
        """The ops that have an accumulator, in order."""
        return tuple(op for op in self.ops if isinstance(op, Dense))

    def with_acc_bits(self, acc_bits: dict[str, int]) -> IntegerProgram:
        """The same program with other accumulator widths, by layer name."""
        ops = tuple(
            replace(op, acc_bits=acc_bits.get(op.name, op.acc_bits)) if isinstance(op, Dense) else op for op in self.ops
        )
        return replace(self, ops=ops)

    def digest(self) -> str:
        """SHA-256 over everything the program computes with; equal programs have equal digests."""
        sha = hashlib.sha256()
        for node in (*self.inputs, *self.ops):
            for key, value in sorted(vars(node).items()):
                sha.update(f"{type(node).__name__}.{key}=".encode())
                sha.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
                sha.update(repr(np.shape(value)).encode() if isinstance(value, np.ndarray) else b";")
        sha.update(repr((self.outputs, self.float_tail)).encode())
        return sha.hexdigest()

    def run(self, x):
        """Output values (float64) for input values `x`: the golden run.  See `integer.run.run`."""
        from a2q_keras.integer import run

        return run.run(self, x)

    def run_codes(self, codes):
        """Output codes (int64) for input codes.  See `integer.run.run_codes`."""
        from a2q_keras.integer import run

        return run.run_codes(self, codes)

    def save(self, path):
        """Write the program to one file, atomically.  See `integer.file.save`."""
        from a2q_keras.integer import file

        file.save(self, path)


def _check_input(program, node):
    return node.format, tuple(node.shape)


def _check_dense(program, op):
    source, shape = program.formats[op.source], program.shapes[op.source]
    if op.weights.ndim != 2 or shape != op.weights.shape[:1] or op.bias.shape != op.weights.shape[1:]:
        raise ConfigurationError(
            f"layer {op.name!r}: input shape {shape}, weights {op.weights.shape} and bias {op.bias.shape} do not fit"
        )
    if op.weights.size and (op.weights.min() < op.weight_format.lo or op.weights.max() > op.weight_format.hi):
        raise ConfigurationError(f"layer {op.name!r}: a weight code is outside {op.weight_format}")
    if not 2 <= op.acc_bits <= 64:
        raise ConfigurationError(f"layer {op.name!r}: acc_bits is {op.acc_bits}; allowed are 2 to 64")
    return FixedPoint(op.acc_bits, source.frac + op.weight_format.frac, signed=True), op.weights.shape[1:]


def _check_quantize(program, op):
    return op.format, program.shapes[op.source]


def _check_reshape(program, op):
    if prod(op.shape) != prod(program.shapes[op.source]):
        raise ConfigurationError(f"{op.name!r}: {program.shapes[op.source]} cannot be reshaped to {op.shape}")
    return program.formats[op.source], tuple(op.shape)


_CHECKS = {Input: _check_input, Dense: _check_dense, Quantize: _check_quantize, Reshape: _check_reshape}
