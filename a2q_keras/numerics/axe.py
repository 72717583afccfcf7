"""The budget of AXE (Colbert et al., TMLR 2025, arXiv 2409.17092), for GPFQ and OPTQ as the paper has them.

Before a weight is rounded it is shrunk by the soft threshold that projects the centred weights of its tile onto the L1
ball of the A2Q+ bound, and clipped to what a running budget leaves less 1/2, the most that rounding adds.  The budget
is that of a sign-magnitude accumulator, +-(2**(P-1) - 1).  The paper has no bias; here the budget is what it leaves.
"""

from __future__ import annotations

import numpy as np

from a2q_keras.numerics import bounds, projection, quantize
from a2q_keras.numerics.running import Running, Target


class AxeRunning(Running):
    """`Running` with AXE's rounding; w: the weights over scale (K, C), from which the thresholds follow."""

    def __init__(self, target: Target, w, bias):
        super().__init__(target, len(w), bias)
        left = np.minimum(*target.room(len(w), np.abs(bias)))
        left = np.minimum(left, bounds.headroom(target.acc_bits)[0])
        self.up, self.down = left.copy(), left.copy()
        self.thresholds = thresholds(w, target, left)

    def choose(self, i, values):
        """(codes, values before rounding): shrunk, clipped, rounded to even, taken."""
        least, most = self._open_limits(i)
        values = np.sign(values) * np.maximum(np.abs(values) - self.thresholds[self.tile_of(i)], 0)
        values = np.clip(values, -least, most)
        codes = np.clip(np.rint(values), -self.target.qmax, self.target.qmax).astype(np.int64)
        self.take(i, codes)
        return codes, values

    def _open_limits(self, i):
        """How far below and above zero a value may lie before it is rounded: half a unit less than there is room."""
        tile, lo, hi = self.tile_of(i), self.target.lo, self.target.hi
        sides = []
        for first, second in ((self.down[tile], self.up[tile]), (self.up[tile], self.down[tile])):
            room = first / hi if hi else np.full(first.shape, np.inf)
            room = np.minimum(room, second / -lo) if lo else room
            sides.append(np.maximum(room - 0.5, 0))
        return sides


def thresholds(w, target: Target, left) -> np.ndarray:
    """The soft threshold of every tile and channel, float64 (tiles, C): that of the L1 projection of centred weights.

    left: what an accumulator holds (tiles, C); radius 2 * left / (hi - lo), the A2Q+ bound (A2Q+, section 3).
    """
    step = target.tile or len(w)
    found = []
    for tile in range(target.tiles(len(w))):
        part = quantize.centred(w[tile * step : (tile + 1) * step])
        found.append(projection.soft_threshold(np.abs(part), 2 * left[tile] / max(target.hi - target.lo, 1)))
    return np.stack(found)
