"""Better codes from good ones: descent on the output error of a layer, inside the exact budget.

The squared error of the outputs of a channel is e(q) = q' gram q - 2 pull' q + const, for codes q, gram = Y'Y of the
layer's own inputs Y and pull = Y'(wanted outputs) in units of the scale.  Every step here lowers it.
"""

from __future__ import annotations

import numpy as np

from a2q_keras.numerics.greedy import BLOCK
from a2q_keras.numerics.running import Running, Target

SMALLEST = 1e-300  # for the energy of an input that is always zero, whose slope is zero
SWAPS = 256  # at most, of each channel and sign in a round
SWAPPED_AT_ONCE = 2**15  # weights, as many as stay in a processor's cache from one swap to the next
LEAST_GAIN = 1e-9  # of the energy of an input: smaller gains are rounding errors


def refine(gram, pull, codes, target: Target, bias, rounds=4) -> np.ndarray:
    """Codes (K, C) with an error not above that of `codes`, which must fit `target` with the bias codes (C,).

    A round is a sweep over single weights and then swaps of units between weights, until neither finds anything.
    """
    codes = codes.copy()
    for _ in range(rounds):
        running = Running(target, len(codes), bias)
        running.take_all(codes)
        before = codes
        codes = swapped(gram, pull, swept(gram, pull, codes, running), target)
        if np.array_equal(codes, before):
            break
    return codes


def swept(gram, pull, codes, running: Running) -> np.ndarray:
    """Each weight in turn at its best code, the others held: the nearest to the minimum of the parabola that fits."""
    codes, values, energy = codes.copy(), codes.astype(np.float64), np.diag(gram)
    for start in range(0, len(codes), BLOCK):
        stop = min(start + BLOCK, len(codes))
        slopes = pull[start:stop] - gram[start:stop] @ values
        changes = np.zeros(slopes.shape)
        for i in range(start, stop):
            slope = slopes[i - start] - gram[i, start:i] @ changes[: i - start]
            running.release(i, codes[i])
            chosen, _ = running.choose(i, codes[i] + slope / max(energy[i], SMALLEST))
            changes[i - start] = chosen - codes[i]
            codes[i] = chosen
        values[start:stop] += changes
    return codes


def swapped(gram, pull, codes, target: Target, most=SWAPS) -> np.ndarray:
    """At most `most` units of each channel moved from a weight to one that has more use for it, best pairs first.

    Both weights are of one accumulator.  A unit keeps its sign unless the input range is symmetric, so that no swap
    changes what the accumulator has left.
    """
    codes = codes.copy()
    step = target.tile or len(codes)
    sides = ([1, -1],) if target.lo == -target.hi else ([1], [-1])
    slope = gram @ codes - pull
    for first in range(0, len(codes), step):
        rows = slice(first, first + step)
        own = np.ascontiguousarray(gram[rows, rows])
        for side in sides:
            before = codes[rows].copy()
            for some in _channels_at_once(before):
                swaps = _Swaps(own, slope[rows, some], before[:, some], np.array(side), target.qmax)
                codes[rows, some] = swaps.run(most)
            slope += gram[:, rows] @ (codes[rows] - before)
    return codes


def _channels_at_once(codes) -> list[slice]:
    """The channels of codes (K, C) in groups that `SWAPPED_AT_ONCE` allows."""
    count = max(SWAPPED_AT_ONCE // len(codes), 1)
    return [slice(first, first + count) for first in range(0, codes.shape[1], count)]


class _Swaps:
    """Swaps in some channels at once.  Channels come first here, so that a channel lies in one piece of memory.

    A unit of sign s given up by weight i costs gram_ii / 2 - s slope_i, one taken by weight j gram_jj / 2 + s slope_j,
    and both together -s_i s_j gram_ij more; `give` and `take` hold the first terms, infinite where there is no unit to
    give up or the code is at its end.
    """

    def __init__(self, gram, slope, codes, signs, qmax):
        self.gram, self.signs, self.qmax = gram, signs, qmax
        self.codes = codes.T.copy()
        self.slope = slope.T.copy()
        self.half = np.diag(gram) / 2
        self.give, self.take = self._ends(self.codes, self.half)

    def _ends(self, codes, half):
        own = codes[:, None] * self.signs[:, None]
        give = np.where(own > 0, half, np.inf)
        return give, np.where((own >= 0) & (own < self.qmax), half, np.inf)

    def run(self, most) -> np.ndarray:
        """The codes (K, C) after at most `most` swaps in each channel."""
        least = LEAST_GAIN * 2 * self.half.max(initial=0)
        alive = np.arange(len(self.codes))
        codes = self.codes.copy()
        for _ in range(most):
            gain, give, take = self._best()
            found = gain > least
            if not found.any():
                break
            if not found.all():
                codes[alive] = self.codes
                alive = alive[found]
                for name in ("codes", "slope", "give", "take"):
                    setattr(self, name, getattr(self, name)[found])
            self._move(give[found], -1)
            self._move(take[found], 1)
        codes[alive] = self.codes
        return codes.T

    def _best(self):
        """(gain, giving place, taking place) of each channel: the cheapest unit to give up, and the best use for it."""
        channels, pull = np.arange(len(self.codes)), self.signs[:, None] * self.slope[:, None]
        cost = (self.give - pull).reshape(len(channels), -1)
        give = cost.argmin(axis=1)
        sign, i = self._place(give)
        together = sign[:, None, None] * self.signs[:, None] * self.gram[i][:, None]
        total = self.take + pull - together
        total[channels, :, i] = np.inf
        total = total.reshape(cost.shape)
        take = total.argmin(axis=1)
        return -(cost[channels, give] + total[channels, take]), give, take

    def _place(self, flat):
        return self.signs[flat // self.codes.shape[1]], flat % self.codes.shape[1]

    def _move(self, flat, direction):
        sign, i = self._place(flat)
        channels, change = np.arange(len(i)), direction * sign
        self.codes[channels, i] += change
        self.slope += change[:, None] * self.gram[i]
        ends = self._ends(self.codes[channels, i][:, None], self.half[i][:, None, None])
        self.give[channels, :, i], self.take[channels, :, i] = (part[:, :, 0] for part in ends)
