"""Accumulator budgets that are used up one weight at a time, for algorithms that choose codes in sequence.

With `up` and `down` what an accumulator still holds above and below zero, a code q > 0 takes hi*q of `up` and -lo*q of
`down`, a code q < 0 the other way round.  As long as nothing becomes negative the exact condition of `bounds` holds, so
whatever order the codes come in, they cannot overflow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics import bounds, tiles

MOST = 2**61  # room is counted up to here, so that int64 never wraps; no weights of 32 bits use it up


@dataclass(frozen=True)
class Target:
    """What the codes of a layer must fit.

    acc_bits, weight_bits: of the accumulators and of a code, whose range is +-(2**(weight_bits-1) - 1); lo, hi: the
    range of the input codes.  tile: the products that one accumulator sums, consecutive ones; their sums are added in
    an outer accumulator, which also takes the bias, so that the tiles have all of theirs.  None: one accumulator
    sums all products and the bias.
    """

    acc_bits: int
    weight_bits: int
    lo: int
    hi: int
    tile: int | None = None

    def __post_init__(self):
        bounds.check_bits("acc_bits", self.acc_bits, 2, bounds.MAX_ACC_BITS)
        bounds.check_bits("weight_bits", self.weight_bits, 2, 32)
        bounds.check_range(self.lo, self.hi)
        if self.tile is not None:
            bounds.check_bits("tile", self.tile, 1, tiles.MOST)

    @property
    def qmax(self) -> int:
        """The largest code."""
        return 2 ** (self.weight_bits - 1) - 1

    def tiles(self, k: int) -> int:
        """How many accumulators sum the k products of a channel."""
        return tiles.count(k, self.tile)

    def room(self, k: int, bias) -> tuple[np.ndarray, np.ndarray]:
        """(up, down): what the accumulators hold before the first product, int64 (tiles, C); bias: codes (C,).

        Raises AccumulatorOverflowError where the bias alone does not fit.
        """
        bias = np.asarray(bias)
        taken = bias if self.tile is None else np.zeros_like(bias)
        parts = (np.minimum(part, MOST) for part in bounds.headroom(self.acc_bits, taken))
        up, down = (np.repeat(np.broadcast_to(part, bias.shape)[None], self.tiles(k), axis=0) for part in parts)
        return up, down


class Running:
    """What is left of a layer's accumulators; `choose` rounds the next weight of every channel to what still fits."""

    def __init__(self, target: Target, k: int, bias):
        self.target, self.k = target, k
        self.up, self.down = target.room(k, bias)

    def tile_of(self, i: int) -> int:
        """The accumulator that sums product i."""
        return 0 if self.target.tile is None else i // self.target.tile

    def limits(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """(least, most) code that weight i of every channel may still take, int64 (C,)."""
        tile, lo, hi, qmax = self.tile_of(i), self.target.lo, self.target.hi, self.target.qmax
        up, down = self.up[tile], self.down[tile]
        most, least = (up // hi, down // hi) if hi else (np.full(up.shape, qmax), np.full(up.shape, qmax))
        if lo:
            most, least = np.minimum(most, down // -lo), np.minimum(least, up // -lo)
        return -np.minimum(least, qmax), np.minimum(most, qmax)

    def take(self, i: int, codes):
        """Give `codes` (C,) to weight i; negative room cannot come about within `limits`."""
        self._move(i, codes, 1)

    def release(self, i: int, codes):
        """Take the codes of weight i back."""
        self._move(i, codes, -1)

    def _move(self, i, codes, sign):
        tile, lo, hi = self.tile_of(i), self.target.lo, self.target.hi
        above, below = np.maximum(codes, 0) * sign, np.maximum(-codes, 0) * sign
        self.up[tile] -= hi * above - lo * below
        self.down[tile] -= hi * below - lo * above

    def choose(self, i: int, values) -> tuple[np.ndarray, np.ndarray]:
        """(codes, values): the nearest codes that fit for weight i, int64 (C,), which are taken."""
        least, most = self.limits(i)
        codes = np.clip(np.rint(values), least, most).astype(np.int64)
        self.take(i, codes)
        return codes, values

    def take_all(self, codes):
        """Give codes (K, C) to all weights at once; ConfigurationError where they do not fit."""
        step = self.target.tile or max(self.k, 1)
        for first in range(0, self.k, step):
            part = codes[first : first + step]
            self.take(first, np.maximum(part, 0).sum(axis=0))
            self.take(first, np.minimum(part, 0).sum(axis=0))
        if min(self.up.min(initial=0), self.down.min(initial=0)) < 0 or np.abs(codes).max(initial=0) > self.target.qmax:
            raise ConfigurationError("the codes to start from do not fit the accumulators; project them first")
