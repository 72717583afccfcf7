from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics.formats import FixedPoint
from tests.strategies import formats, seeded


@pytest.mark.parametrize(
    ("format", "lo", "hi", "text"),
    [
        (FixedPoint(4, 2, signed=True), -8, 7, "fixed<4,2>"),
        (FixedPoint(4, 2, signed=True, symmetric=True), -7, 7, "fixed<4,2>"),
        (FixedPoint(4, 6, signed=False), 0, 15, "ufixed<4,-2>"),
        (FixedPoint(1, 0, signed=False), 0, 1, "ufixed<1,1>"),
        (FixedPoint(1, 0, signed=True), -1, 0, "fixed<1,1>"),
        (FixedPoint(3, -2, signed=False, symmetric=True), 0, 7, "ufixed<3,5>"),
    ],
)
def test_range_and_name(format, lo, hi, text):
    assert (format.lo, format.hi, str(format)) == (lo, hi, text)


@pytest.mark.parametrize("bits, symmetric", [(0, False), (-3, False), (1, True)])
def test_a_format_without_codes_is_refused(bits, symmetric):
    with pytest.raises(ConfigurationError, match=f"of {bits} bits has no codes"):
        FixedPoint(bits, 0, signed=True, symmetric=symmetric)


@seeded(300)
@given(formats(), st.floats(-(2.0**40), 2.0**40))
def test_quantize_is_the_nearest_code_ties_to_even(format, value):
    exact = round(Fraction(value) * Fraction(2) ** format.frac)  # Python rounds half to even
    assert format.quantize(value) == min(max(exact, format.lo), format.hi)


@seeded(100)
@given(formats(most_bits=40), st.data())
def test_values_of_codes_quantize_to_the_codes(format, data):
    codes = np.array(data.draw(st.lists(st.integers(format.lo, format.hi), min_size=1)))
    assert np.array_equal(format.quantize(format.values(codes)), codes)


@pytest.mark.parametrize("value, code", [(np.inf, 7), (-np.inf, -8), (1e300, 7), (-0.0, 0), (0.125, 0), (0.375, 2)])
def test_special_values(value, code):
    assert FixedPoint(4, 2, signed=True).quantize(value) == code


def test_nan_has_no_code():
    with pytest.raises(ConfigurationError, match="NaN and has no fixed-point code"):
        FixedPoint(4, 2, signed=True).quantize([0.0, np.nan])
