"""Sums over the weights of a channel, in a training step."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

MOST_PARTS = 8
FIRST = np.array([True, False])[:, None, None]


def column_sum(x):
    """The sum of each column of `x` (..., K, C), (..., C).

    In equal parts of the rows added to each other first where XLA compiles: on a processor it adds them in vectors, and
    makes `x` on the way, while it would write `x` out to sum it row by row.
    """
    if keras.backend.backend() == "torch":
        return ops.sum(x, axis=-2)
    rows = x.shape[-2]
    parts = next(count for count in range(MOST_PARTS, 0, -1) if rows % count == 0)
    return ops.sum(sum(ops.split(x, parts, axis=-2)), axis=-2)


def column_sums(first, second):
    """`column_sum` of each, both (K, C), in one: (2, C).

    XLA would sum them one after the other, and hold the weights back from an optimizer that overwrites them.
    """
    return column_sum(ops.where(FIRST, first, second))
