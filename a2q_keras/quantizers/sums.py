"""Sums over the weights of a channel, in a training step."""

from __future__ import annotations

import keras
from keras import ops

MOST_PARTS = 8


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
