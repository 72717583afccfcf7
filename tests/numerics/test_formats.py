from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics.formats import FixedPoint, format_for, mean_format, sum_format, union_format
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


@pytest.mark.parametrize("signed, symmetric", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("bits", [53, 54, 55, 62, 63, 64])
def test_saturation_is_exact_beyond_the_53_bits_of_a_float(bits, signed, symmetric):
    format = FixedPoint(bits - (not signed), 0, signed, symmetric)
    near = [float(format.hi), np.nextafter(format.hi, 0), 1e30, np.inf]
    values = [*near, *(-value for value in near)]
    wanted = [min(max(round(value) if abs(value) < 1e40 else value, format.lo), format.hi) for value in values]
    assert format.quantize(values).tolist() == wanted


def test_codes_beyond_64_bits_are_refused():
    with pytest.raises(ConfigurationError, match="the codes of ufixed<64,64> do not fit 64 bits; use at most 63 bits"):
        FixedPoint(64, 0, signed=False).quantize(1.0)


def test_nan_has_no_code():
    with pytest.raises(ConfigurationError, match="NaN and has no fixed-point code"):
        FixedPoint(4, 2, signed=True).quantize([0.0, np.nan])


def extremes(format):
    """Least and largest value as fractions: what a format must hold of another."""
    return [Fraction(code) / Fraction(2) ** format.frac for code in (format.lo, format.hi)]


def holds(format, value):
    code = value * Fraction(2) ** format.frac
    return code.denominator == 1 and format.lo <= code <= format.hi


@seeded(200)
@given(st.lists(formats(most_bits=20), min_size=1, max_size=4))
def test_sums_and_unions_hold_every_value_and_not_with_a_bit_less(parts):
    for make, combine in ((sum_format, sum), (union_format, None)):
        whole = make(*parts)
        lows, highs = zip(*(extremes(part) for part in parts))
        lo, hi = (sum(lows), sum(highs)) if combine else (min(lows), max(highs))
        steps = [Fraction(1) / Fraction(2) ** part.frac for part in parts]
        assert all(holds(whole, value) for value in (lo, hi, *steps[: whole.hi > 0]))
        narrower = FixedPoint(whole.bits - 1, whole.frac, whole.signed) if whole.bits > 1 else None
        assert narrower is None or not (holds(narrower, lo) and holds(narrower, hi))


@seeded(100)
@given(formats(most_bits=20), st.integers(0, 6))
def test_means_of_powers_of_two_are_exact(format, count_log2):
    count, whole = 2**count_log2, mean_format(format, 2**count_log2)
    for total in (format.lo * count, format.hi * count, format.hi * count - (format.hi > 0)):
        assert holds(whole, Fraction(total, count) / Fraction(2) ** format.frac)
    assert whole.bits <= format.bits + count_log2 + (format.bits == 1)


@pytest.mark.parametrize("count", [0, 3, 9, 49])
def test_other_means_are_refused(count):
    with pytest.raises(ConfigurationError, match=f"the mean of {count} values is no fixed-point number; use windows"):
        mean_format(FixedPoint(4, 0, signed=False), count)


@pytest.mark.parametrize(
    "lo, hi, format",
    [
        (0, 0, FixedPoint(1, 0, signed=False)),
        (0, 16, FixedPoint(5, 0, signed=False)),
        (-1, 0, FixedPoint(1, 0, signed=True)),
        (-7, 7, FixedPoint(4, 0, signed=True, symmetric=True)),
        (-8, 3, FixedPoint(4, 0, signed=True)),
    ],
)
def test_the_smallest_format_for_a_range(lo, hi, format):
    assert format_for(lo, hi, 0) == format
