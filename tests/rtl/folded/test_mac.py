import numpy as np
import pytest

from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.mac import Mac, Matrix
from tests.rtl.folded.play import play

SIGNED, UNSIGNED = FixedPoint(4, 0, signed=True), FixedPoint(3, 0, signed=False)


def matrix(k, channels, pe, simd, source=SIGNED, acc_bits=14) -> Matrix:
    rng = np.random.default_rng(k)
    weights, bias = rng.integers(-8, 8, (k, channels)), rng.integers(-99, 100, channels)
    return Matrix(weights, bias, SIGNED, source, FixedPoint(acc_bits, 0, signed=True), pe, simd)


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
    np.testing.assert_array_equal(outputs(narrow, x), (exact + 64) % 128 - 64)
