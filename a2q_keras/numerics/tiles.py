"""Multi-stage accumulation: T products in an inner accumulator, the sums of these tiles in an outer one.

The K products of a channel are taken in the order of the rows of its weights (K, C), T at a time; the last tile may be
shorter.  Inner accumulators start at zero and obey the exact condition of `bounds` without a bias.  The bias belongs to
the outer accumulator, which must hold any partial sum of bias and tiles: its condition is that of one accumulator for
all products, since every tile may be at zero or at its extremes whatever the others are.
"""

from __future__ import annotations

import numpy as np

from a2q_keras.numerics import bounds

MOST = 2**40  # products of a tile
BIAS_BITS = 24  # of a bias code, which has the outer accumulator to itself: float32 holds it


def count(k: int, tile: int | None) -> int:
    """How many inner accumulators sum k products, one after the other or side by side; 1 without tiles."""
    return 1 if tile is None else -(-k // tile)


def apart(columns, tile: int | None) -> np.ndarray:
    """(K, C) -> (T, tiles * C): a column for every inner accumulator, those of the first tile first, zeros at the end.

    >>> apart(np.array([[1, 2], [3, 4], [5, 6]]), 2).tolist()
    [[1, 2, 5, 6], [3, 4, 0, 0]]
    """
    columns = np.asarray(columns)
    if tile is None:
        return columns
    k, channels = columns.shape
    tiles = count(k, tile)
    filled = np.concatenate([columns, np.zeros((tiles * tile - k, channels), columns.dtype)])
    return filled.reshape(tiles, tile, channels).swapaxes(0, 1).reshape(tile, tiles * channels)


def together(columns, tile: int | None, k: int) -> np.ndarray:
    """The inverse of `apart`: (T, tiles * C) -> (k, C)."""
    columns = np.asarray(columns)
    if tile is None:
        return columns
    whole = columns.reshape(tile, count(k, tile), -1).swapaxes(0, 1)
    return whole.reshape(-1, whole.shape[-1])[:k]


def inner_range(q, lo, hi, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """(bottom, top) of every partial sum of each tile of codes q (K, C), int64 (tiles, C); see `bounds.acc_range`."""
    tiles = count(len(q), tile)
    bottom, top = bounds.acc_range(apart(q, tile), lo, hi)
    return bottom.reshape(tiles, -1), top.reshape(tiles, -1)


def acc_range(q, lo, hi, bias, tile: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(bottom, top) of every partial sum in the accumulators whose width a layer is given: the inner ones of its tiles,
    without tiles those of its channels with their bias codes; int64 (tiles, C) or (C,)."""
    return bounds.acc_range(q, lo, hi, bias) if tile is None else inner_range(q, lo, hi, tile)


def outer_bits(q, lo, hi, bias) -> int:
    """Bits of the outer accumulators of a layer, at least 2: the most that a channel needs, bias included."""
    return max(int(bounds.min_acc_bits(q, lo, hi, bias).max(initial=2)), 2)
