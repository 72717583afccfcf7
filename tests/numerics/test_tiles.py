"""Columns cut into tiles and put together again, and what inner and outer accumulators hold."""

import numpy as np
import pytest

from a2q_keras.numerics import bounds, tiles


@pytest.mark.parametrize("tile", [None, 1, 3, 5, 9, 20])
def test_apart_and_together_are_inverse_and_keep_every_tile_by_itself(tile):
    columns = np.arange(1, 28).reshape(9, 3)
    cut = tiles.apart(columns, tile)
    assert np.array_equal(tiles.together(cut, tile, 9), columns)
    if tile is not None:
        assert cut.shape == (tile, tiles.count(9, tile) * 3)
        for j in range(tiles.count(9, tile)):
            part = columns[j * tile : (j + 1) * tile]
            assert np.array_equal(cut[: len(part), 3 * j : 3 * j + 3], part) and not cut[len(part) :, 3 * j].any()


def test_inner_accumulators_have_no_bias_and_the_outer_one_has_it_all():
    rng = np.random.default_rng(0)
    q, bias = rng.integers(-7, 8, (10, 4)), np.array([0, 500, -500, 3])
    bottom, top = tiles.inner_range(q, -3, 5, 4)
    for j in range(3):
        wanted = bounds.acc_range(q[4 * j : 4 * j + 4], -3, 5)
        assert np.array_equal(bottom[j], wanted[0]) and np.array_equal(top[j], wanted[1])
    assert tiles.outer_bits(q, -3, 5, bias) == bounds.min_acc_bits(q, -3, 5, bias).max()
    assert tiles.outer_bits(np.zeros((1, 1), int), 0, 1, 0) == 2
