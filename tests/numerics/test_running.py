"""Running budgets: what fits them fits the exact condition, and what does not is one unit away."""

import numpy as np
import pytest

from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError
from a2q_keras.numerics import bounds
from a2q_keras.numerics.running import Running, Target

RANGES = [(0, 15), (-8, 7), (-7, 7), (-3, 0), (-1, 5), (0, 0)]


def worst(codes, target: Target, bias):
    """The extremes of every accumulator, inner ones one after the other: lists of (bottom, top)."""
    step = target.tile or len(codes)
    bias = bias if target.tile is None else np.zeros_like(bias)
    return [bounds.acc_range(codes[i : i + step], target.lo, target.hi, bias) for i in range(0, len(codes), step)]


def check(codes, target: Target, bias):
    """No accumulator overflows for any input, and every code is one of the weight format."""
    half = 2 ** (target.acc_bits - 1)
    for bottom, top in worst(codes, target, bias):
        assert bottom.min() >= -half and top.max() <= half - 1
    assert np.abs(codes).max(initial=0) <= target.qmax


@pytest.mark.parametrize("tile", [None, 3])
@pytest.mark.parametrize("lo, hi", RANGES)
def test_greedy_filling_is_sound_and_leaves_no_room(lo, hi, tile):
    rng = np.random.default_rng([hi, -lo])
    for acc_bits in (3, 5, 8):
        target = Target(acc_bits, 4, lo, hi, tile)
        bias = rng.integers(-(2 ** (acc_bits - 1)), 2 ** (acc_bits - 1), 40) // 2
        running = Running(target, 8, bias)
        codes = np.stack([running.choose(i, rng.normal(0, 6, 40))[0] for i in range(8)])
        check(codes, target, bias)
        least, most = running.limits(7)
        # one more unit than the limit does not fit
        for side, limit in ((1, most), (-1, least)):
            more = codes.copy()
            more[7] = np.where(np.sign(codes[7]) * side >= 0, codes[7] + limit + side, codes[7])
            grown = (np.sign(codes[7]) * side >= 0) & (np.abs(limit) < target.qmax)
            bottom, top = worst(more, target, bias)[-1]
            assert ((bottom < -(2 ** (acc_bits - 1))) | (top > 2 ** (acc_bits - 1) - 1))[grown].all()


def test_release_undoes_take():
    running = Running(Target(8, 4, -8, 7, 2), 5, np.array([3, -4]))
    before = running.up.copy(), running.down.copy()
    running.take(3, np.array([4, -5]))
    assert not np.array_equal(running.up, before[0])
    running.release(3, np.array([4, -5]))
    assert np.array_equal(running.up, before[0]) and np.array_equal(running.down, before[1])


def test_codes_that_do_not_fit_are_refused():
    running = Running(Target(6, 4, 0, 15), 2, np.array([0]))
    with pytest.raises(ConfigurationError, match="do not fit the accumulators"):
        running.take_all(np.array([[2], [1]]))


def test_a_bias_that_does_not_fit_is_refused_unless_it_has_an_accumulator_of_its_own():
    with pytest.raises(AccumulatorOverflowError, match="channel 1: the bias code 40"):
        Target(6, 4, 0, 15).room(4, np.array([0, 40]))
    assert Target(6, 4, 0, 15, tile=2).room(4, np.array([0, 40]))[0].tolist() == [[31, 31], [31, 31]]
