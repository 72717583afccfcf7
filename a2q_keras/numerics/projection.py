"""Projections of weights onto what an accumulator can hold.

`project_l1` is the Euclidean projection onto an L1 ball; `project_codes` the exact integer one onto the exact condition
of `bounds`.  Weights are (K, C), output channel last; channels are independent of each other.

How `project_codes` works. Raising the magnitude of weight i from k-1 to k lowers ||q - u||**2 by 2r with the reward r
= |u_i| - k + 1/2. Rewards fall with k, so for a given number of units the best choice is those of the highest reward:
a soft threshold with the ties filled. What remains is how many units p go to positive weights and n to negative ones.
"""

from __future__ import annotations

import numpy as np

from a2q_keras.errors import ConfigurationError, WeightError
from a2q_keras.numerics import bounds

LARGEST = 2.0**40


def project_l1(w, radius) -> np.ndarray:
    """The nearest point to each column of `w` in the L1 ball of `radius` (Duchi et al. 2008), float64 (K, C).

    w' = sign(w) * max(|w| - t, 0) with the t per column that gives ||w'||_1 = radius; columns inside the ball stay.
    radius: a number or an array (C,), not negative.

    >>> project_l1(np.array([[3.0], [1.0]]), 2.0).ravel()
    array([2., 0.])
    """
    w, radius = _finite(w), np.asarray(radius, np.float64)
    if (radius < 0).any():
        raise ConfigurationError(f"radius={radius} is negative; an L1 ball has radius >= 0")
    magnitude = np.abs(w)
    return np.sign(w) * np.maximum(magnitude - soft_threshold(magnitude, radius), 0)


def soft_threshold(magnitude, radius) -> np.ndarray:
    """The least t >= 0 per column for which sum(max(magnitude - t, 0)) <= radius (Duchi et al. 2008), float64 (C,)."""
    if not len(magnitude):
        return np.zeros(magnitude.shape[1])
    falling = -np.sort(-magnitude, axis=0)
    levels = (np.cumsum(falling, axis=0) - radius) / np.arange(1, len(magnitude) + 1)[:, None]
    active = np.maximum((falling > levels).sum(axis=0), 1)
    return np.maximum(np.take_along_axis(levels, active[None] - 1, axis=0)[0], 0)


def project_codes(u, weight_bits, acc_bits, lo, hi, bias=0) -> np.ndarray:
    """The integer codes nearest to `u` that meet the exact condition, int64 (K, C).

    argmin ||q - u||**2 over |q_i| <= 2**(weight_bits-1) - 1 such that no partial sum leaves acc_bits bits for inputs
    in [lo, hi] and the bias code `bias` (an int or (C,)).  u = weights / scale.  Among equal minimisers: fewer units,
    then more positive ones (not where lo = -hi), then lower indices.

    Raises WeightError for NaN, infinite or huge u, AccumulatorOverflowError where the bias alone does not fit.

    >>> project_codes(np.array([[5.0], [3.0], [-2.0]]), 4, 8, 0, 15).ravel()   # hi * p <= 127, so p <= 8
    array([ 5,  3, -2])
    >>> project_codes(np.array([[5.0], [3.0], [-2.0]]), 4, 7, 0, 15).ravel()   # p <= 4
    array([ 3,  1, -2])
    """
    u = _finite(u)
    qmax = 2 ** (bounds.check_bits("weight_bits", weight_bits, 2, 32) - 1) - 1
    bounds.check_range(lo, hi)
    upward, downward = (np.broadcast_to(part, u.shape[1:]) for part in bounds.headroom(acc_bits, bias))
    if hi == -lo:
        budget = np.minimum(upward, downward) // max(hi, 1) if hi else np.full(u.shape[1], np.iinfo(np.int64).max)
        return _signed(u, take_units(np.abs(u), qmax, budget))
    p, n = _split(u, qmax, upward, downward, lo, hi)
    return _signed(u, take_units(np.maximum(u, 0), qmax, p) + take_units(np.maximum(-u, 0), qmax, n))


def take_units(magnitude, qmax, budget) -> np.ndarray:
    """Codes 0..qmax nearest to `magnitude` (K, C) whose sum per column is at most `budget` (C,), int64.

    The units of the highest reward are taken, ties by index: a soft threshold.
    """
    units, reward = _units(magnitude)
    nearest = np.minimum(units, qmax)
    if (nearest.sum(axis=0) <= budget).all():
        return nearest
    level = _level(units, qmax, budget)
    base = np.clip(units - level - 1, 0, qmax)
    at_level = np.where(np.clip(units - level, 0, qmax) > base, reward, 0.0)
    order = np.argsort(-at_level, axis=0, kind="stable")
    missing = np.maximum(budget - base.sum(axis=0), 0)
    chosen = np.arange(len(order))[:, None] < missing
    taken = np.zeros_like(units)
    np.put_along_axis(taken, order, chosen.astype(np.int64), axis=0)
    return base + (taken & (at_level > 0))


def _units(magnitude):
    """(m, r): the m units of positive reward that each weight has, and the reward r in (0, 1] of the last of them.

    Halves go toward zero.  The reward of the unit before is r + 1, and so on; all are exact in floating point.
    """
    units = np.ceil(magnitude - 0.5)
    return units.astype(np.int64), magnitude - units + 0.5


def _level(units, qmax, budget):
    """The smallest integer threshold at which the units of a reward above level + 1 fit the budget, per column."""
    below, above = np.full(units.shape[1], -1), units.max(axis=0, initial=0)
    while (above - below > 1).any():
        middle = (below + above + 1) // 2  # rounded up, so that a settled column (above = below + 1) stays
        fits = np.clip(units - middle - 1, 0, qmax).sum(axis=0) <= budget
        below, above = np.where(fits, below, middle), np.where(fits, middle, above)
    return above


def _split(u, qmax, upward, downward, lo, hi):
    """How many units go to positive and to negative weights: arrays p, n (C,), the best pair of each column."""
    wanted = [np.minimum(_units(np.maximum(side, 0))[0], qmax).sum(axis=0) for side in (u, -u)]
    if lo == 0 or hi == 0:
        size, (up, down) = hi - lo, (upward, downward) if lo == 0 else (downward, upward)
        return np.minimum(wanted[0], up // size), np.minimum(wanted[1], down // size)
    p, n = wanted
    tight = (hi * p - lo * n > upward) | (hi * n - lo * p > downward)
    for c in np.flatnonzero(tight):
        p[c], n[c] = _best_pair(u[:, c], qmax, (p[c], n[c]), (upward[c], downward[c]), lo, hi)
    return p, n


def _best_pair(u, qmax, wanted, room, lo, hi):
    """The (p, n) of one column with hi*p - lo*n <= room[0] and hi*n - lo*p <= room[1] and the highest total reward.

    For each p the best n is the largest that fits; both rewards are concave, so this is a scan over p.
    """
    limits = [min(count, room[side] // hi, room[1 - side] // -lo) for side, count in enumerate(wanted)]
    gain_p, gain_n = (_gains(np.maximum(side, 0), qmax, limit) for side, limit in zip((u, -u), limits))
    p = np.arange(limits[0] + 1)
    n = np.minimum(limits[1], np.minimum((room[0] - hi * p) // -lo, (room[1] + lo * p) // hi))
    total = gain_p[p] + gain_n[n]
    best = np.flatnonzero(total == total.max())
    best = best[np.lexsort((-p[best], (p + n)[best]))[0]]
    return p[best], n[best]


def _gains(magnitude, qmax, limit):
    """Total reward of the best 0, 1, ... `limit` units of one column."""
    taken = take_units(magnitude[:, None], qmax, np.array([limit]))[:, 0]
    last = np.repeat(np.cumsum(taken), taken)
    step = last - np.arange(taken.sum())
    rewards = np.repeat(magnitude, taken) - (np.repeat(taken, taken) - step + 1) + 0.5
    return np.concatenate([[0.0], np.cumsum(-np.sort(-rewards))])


def _signed(u, magnitude):
    return np.where(u < 0, -magnitude, magnitude)


def _finite(u) -> np.ndarray:
    u = np.asarray(u, np.float64)
    if u.ndim != 2:
        raise WeightError(f"weights are an array (K, C), output channel last; got shape {u.shape}")
    bad = np.argwhere(~(np.abs(u) < LARGEST))
    if len(bad):
        value = u[tuple(bad[0])]
        raise WeightError(
            f"weight {int(bad[0][0])} of channel {int(bad[0][1])} is {value}; NaN, infinite and huge (2**40) weights "
            "have no codes: check the training (learning rate, loss) or the scale"
        )
    return u
