import numpy as np
import pytest

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.folding import Tiles
from a2q_keras.rtl.folded.mac import Mac, Matrix
from tests.rtl.folded.play import play

SIGNED, UNSIGNED = FixedPoint(4, 0, signed=True), FixedPoint(3, 0, signed=False)


def matrix(k, channels, pe, simd, source=SIGNED, acc_bits=14, tiles=None) -> Matrix:
    rng = np.random.default_rng(k)
    weights, bias = rng.integers(-8, 8, (k, channels)), rng.integers(-99, 100, channels)
    return Matrix(weights, bias, SIGNED, source, accumulator(acc_bits), pe, simd, tiles)


def accumulator(bits) -> FixedPoint:
    return FixedPoint(bits, 0, signed=True)


def wrapped(codes, bits):
    return (codes + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def outputs(matrix: Matrix, x) -> np.ndarray:
    """Sums (samples, C) of the unit for input codes (samples, K)."""
    groups, beats = matrix.folds
    played = np.repeat(x.reshape(len(x), 1, beats, matrix.simd), groups, axis=1).reshape(-1, matrix.simd)
    return play(Mac(matrix), played, len(x) * groups).reshape(len(x), -1)


@pytest.mark.parametrize("source", [SIGNED, UNSIGNED], ids=str)
@pytest.mark.parametrize(("pe", "simd"), [(1, 1), (2, 3), (3, 12), (6, 4), (6, 12)])
def test_sums_equal_the_matrix_product_for_every_folding(pe, simd, source):
    unit = matrix(12, 6, pe, simd, source)
    x = np.random.default_rng(1).integers(source.lo, source.hi + 1, (4, 12))
    np.testing.assert_array_equal(outputs(unit, x), x @ unit.weights + unit.bias)


def test_the_accumulator_has_its_bits_and_wraps_beyond_them():
    narrow = matrix(12, 6, 2, 3, acc_bits=7)
    x = np.random.default_rng(2).integers(-8, 8, (4, 12))
    exact = x @ narrow.weights + narrow.bias
    assert abs(exact).max() >= 64
    np.testing.assert_array_equal(outputs(narrow, x), wrapped(exact, 7))


@pytest.mark.parametrize("tile", [2, 4, 8, 12, 50])
@pytest.mark.parametrize("pe", [2, 6])
def test_tiles_are_summed_from_zero_in_narrow_accumulators_that_wrap(pe, tile):
    """Of 8 the last tile is shorter, of 2 a tile is a beat, of 12 and 50 there is one."""
    unit = matrix(12, 6, pe, 2, acc_bits=7, tiles=Tiles(tile, accumulator(8)))
    x = np.random.default_rng(3).integers(-8, 8, (4, 12))
    inner = [x[:, i : i + tile] @ unit.weights[i : i + tile] for i in range(0, 12, tile)]
    sums = sum(wrapped(sums, 7) for sums in inner) + unit.bias
    assert abs(np.array(inner)).max() >= 64 and abs(sums).max() >= 128
    np.testing.assert_array_equal(outputs(unit, x), wrapped(sums, 8))
