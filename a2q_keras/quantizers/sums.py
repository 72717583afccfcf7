"""Sums over the weights of a channel: fast ones for a training step, and such as are the same number however compiled.

Where weights come from such sums, a compiled and an eager forward pass must get the same number, or a weight half way
between two codes could round either way.
"""

from __future__ import annotations

import keras
from keras import ops

from a2q_keras.quantizers.accumulator import INT32_BITS

MOST_PARTS = 8
WIDE = "float32" if keras.backend.backend() == "jax" else "float64"  # jax has no float64 unless told
LEAST = -3.0e38


def column_sum(x):
    """The sum of each column of `x` (K, C), (C,).

    In equal parts of the rows added to each other first where XLA compiles: on a processor it adds them in vectors, and
    makes `x` on the way, while it would write `x` out to sum it row by row.
    """
    if keras.backend.backend() == "torch":
        return ops.sum(x, axis=0)
    rows = x.shape[0]
    parts = next(count for count in range(MOST_PARTS, 0, -1) if rows % count == 0)
    return ops.sum(sum(ops.split(x, parts, axis=0)), axis=0)


def steady_sum(x):
    """The sum of each column of `x` (K, C), (C,), not differentiable, hardly dependent on the order of its terms.

    In double precision; in single precision of multiples of a 2**-n of the largest, that is in int32.
    """
    if keras.backend.standardize_dtype(x.dtype) == "float64":
        return ops.sum(x, axis=0)
    largest = ops.max(ops.abs(x), axis=0)
    unit = ops.where(largest > 0, largest, ops.ones_like(largest)) * 2.0 ** (x.shape[0].bit_length() - INT32_BITS + 1)
    return unit * ops.cast(ops.sum(ops.cast(ops.round(x / unit), "int32"), axis=0), "float32")


def l1_length(v, add=column_sum):
    """||v||_1 of each column of `v` (K, C), (C,), 1 for a column of zeros; add: which of the sums here."""
    length = add(ops.abs(v))
    return ops.where(length > 0, length, ops.ones_like(length))


def fused_apart(product):
    """`product`, rounded to float32 before anything is added: compilers would fuse the two and round once."""
    return ops.maximum(product, LEAST)
