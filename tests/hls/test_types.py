import pytest

from a2q_keras.hls.types import plain, saturating
from a2q_keras.numerics.formats import FixedPoint

FORMATS = [
    FixedPoint(bits, frac, signed, symmetric)
    for bits in (1, 2, 7, 16)
    for frac in (-3, 0, bits, bits + 4)
    for signed, symmetric in ((False, False), (True, False), (True, True))
    if bits > 1 or not symmetric
]


def parse(text):
    from hls4ml.backends.fpga.fpga_backend import FPGABackend

    return FPGABackend.convert_precision_string(text)


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f"{f}{'_sym' * f.symmetric}")
@pytest.mark.parametrize("notation", [plain, saturating])
def test_hls4ml_reads_the_type_as_it_is_meant(notation, format):
    precision = parse(notation(format))
    assert str(precision) == notation(format)
    assert (precision.width, precision.fractional, precision.signed) == (format.bits, format.frac, format.signed)


@pytest.mark.parametrize("format", FORMATS, ids=lambda f: f"{f}{'_sym' * f.symmetric}")
def test_a_saturating_type_has_the_codes_of_the_format(format):
    precision = parse(saturating(format))
    assert (precision.min, precision.max) == (format.lo * format.step, format.hi * format.step)
    assert str(precision.rounding_mode) == "RND_CONV"


def test_a_symmetric_flag_on_an_unsigned_format_means_nothing():
    assert saturating(FixedPoint(4, 0, signed=False, symmetric=True)) == "ufixed<4,4,RND_CONV,SAT,0>"
