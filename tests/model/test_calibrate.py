import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.model.calibrate import integer_bits
from a2q_keras.numerics.formats import FixedPoint


def error(values, bits, integer, signed) -> float:
    format = FixedPoint(bits, bits - signed - integer, signed)
    return float(np.square(format.values(format.quantize(values)) - values).sum())


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_no_other_number_of_integer_bits_is_better(bits, spread, signed):
    values = np.random.default_rng(bits).normal(0, spread, 500)
    values = values if signed else np.maximum(values, 0)
    found = integer_bits(values, bits, signed)
    best = error(values, bits, found, signed)
    assert all(error(values, bits, integer, signed) >= best for integer in range(-12, 12))


def test_an_outlier_is_clipped_rather_than_the_rest_lost():
    values = np.append(np.random.default_rng(0).uniform(0, 1, 5000), 7.9)
    assert integer_bits(values, 3) < 3


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("percentile", [90, 99.9, 100])
def test_a_percentile_clips_no_more_than_it_says(percentile, signed, bits=5):
    values = np.random.default_rng(1).normal(0, 3, 5000) ** 3
    values = values if signed else np.maximum(values, 0)
    reach = np.percentile(np.abs(values), percentile)

    def clipping(integer):  # the value from which rounding would go beyond the largest code
        format = FixedPoint(bits, bits - signed - integer, signed)
        return (format.hi + 0.5) * format.step

    found = integer_bits(values, bits, signed, percentile)
    assert clipping(found) >= reach > clipping(found - 1)


@pytest.mark.parametrize("percentile", [0, 100.1, -3, "99"])
def test_percentiles_that_are_none(percentile):
    with pytest.raises(ConfigurationError, match="percentile=.* is not allowed; give a number above 0"):
        integer_bits(np.ones(3), 4, False, percentile)


def test_negative_values_count_as_zero_for_an_unsigned_quantizer():
    assert integer_bits([0.9, -100.0], 8) == 0


def test_nothing_but_zeros_has_an_answer():
    assert integer_bits(np.zeros(5), 4) == integer_bits(np.zeros(0), 4) == integer_bits(-np.ones(3), 4) == 0


@pytest.mark.parametrize("bits, signed", [(0, False), (1, True)])
def test_too_few_bits_are_refused(bits, signed):
    with pytest.raises(ConfigurationError, match=f"bits={bits} is not allowed; give a whole number from {1 + signed}"):
        integer_bits(np.ones(3), bits, signed)
