"""The integer program: what a network computes, as frozen records without Keras.

Every tensor has a fixed-point format and every weight is an integer code, so each op has exactly one meaning, given by
`integer.run`.  Training writes programs (`integer.export`); certificate, golden run and firmware read them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer.checks import check
from a2q_keras.integer.ops import (  # noqa: F401  the records that programs are made of
    AccumulatorOp,
    Add,
    AvgPool,
    Concatenate,
    Conv,
    Crop,
    Dense,
    Input,
    MaxPool,
    Op,
    Pad,
    Quantize,
    Reshape,
    Transpose,
    Upsample,
    sources,
)
from a2q_keras.numerics.formats import FixedPoint


@dataclass(frozen=True, eq=False, repr=False)
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
    formats: dict[str, FixedPoint] = field(init=False)
    shapes: dict[str, tuple[int, ...]] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "formats", {})
        object.__setattr__(self, "shapes", {})
        for node in (*self.inputs, *self.ops):
            if node.name in self.formats:
                raise ConfigurationError(f"two tensors of the integer program are called {node.name!r}; rename a layer")
            unread = [name for name in sources(node) if name not in self.formats]
            if unread:
                raise ConfigurationError(f"{node.name!r} reads {unread[0]!r}, which nothing before it computes")
            self.formats[node.name], self.shapes[node.name] = check(self, node)
        unknown = [name for name in self.outputs if name not in self.formats]
        if unknown or not self.outputs:
            raise ConfigurationError(f"unknown outputs {unknown} of the integer program {self.name!r}")

    def __repr__(self):
        lines = [
            f"  {type(node).__name__:12} {node.name:28} {self.shapes[node.name]!s:16} {self.formats[node.name]}"
            for node in (*self.inputs, *self.ops)
        ]
        return "\n".join([f"IntegerProgram {self.name!r}, outputs {', '.join(self.outputs)}", *lines])

    def __getitem__(self, name: str) -> Input | Op:
        """The input or op called `name`."""
        return next(node for node in (*self.inputs, *self.ops) if node.name == name)

    @property
    def accumulator_ops(self) -> tuple[AccumulatorOp, ...]:
        """The ops that have an accumulator, in order."""
        return tuple(op for op in self.ops if isinstance(op, (Dense, Conv)))

    def with_acc_bits(self, acc_bits: dict[str, int]) -> IntegerProgram:
        """The same program with other accumulator widths, by layer name."""
        changed = {
            op.name: replace(op, acc_bits=acc_bits[op.name])
            for op in self.accumulator_ops
            if acc_bits.get(op.name, op.acc_bits) != op.acc_bits
        }
        return replace(self, ops=tuple(changed.get(op.name, op) for op in self.ops)) if changed else self

    def digest(self) -> str:
        """SHA-256 over everything the program computes with; equal programs have equal digests.

        What is None is left out, as in files: a program without tiles has the digest it had before there were any.
        """
        sha = hashlib.sha256()
        for node in (*self.inputs, *self.ops):
            for key, value in sorted((key, value) for key, value in vars(node).items() if value is not None):
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
