import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError
from a2q_keras.numerics import bounds
from a2q_keras.numerics.formats import FixedPoint
from tests.strategies import formats, seeded


def test_datatype_anchors():
    assert bounds.datatype_acc_bits(4608, 8, 8, True) == 28
    assert bounds.datatype_acc_bits(128, 4, 4, False) == 16


@seeded(300)
@given(st.integers(1, 2**20), st.integers(2, 16), st.integers(1, 16), st.booleans())
def test_datatype_bits_are_the_smallest_of_the_paper(k, weight_bits, input_bits, signed):
    bits = bounds.datatype_acc_bits(k, weight_bits, input_bits, signed)
    largest = k * 2 ** (weight_bits - 1) * 2 ** (input_bits - signed)
    assert 2 ** (bits - 1) - 1 >= largest > 2 ** (bits - 2) - 1


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bias", [0, 5, -5])
def test_l1_norms_of_the_papers(signed, bias):
    left = Fraction(2**15 - 1 - abs(bias))
    assert bounds.max_l1_norm(16, 8, signed, bias=bias) == float(left * 2**signed / 2**8)
    assert bounds.max_l1_norm(16, 8, signed, zero_centered=True, bias=bias) == float(2 * left / 255)


def test_l1_norm_per_channel():
    norms = bounds.max_l1_norm(12, 4, False, bias=np.array([0, 47, -2047]))
    assert norms.tolist() == [2047 / 16, 2000 / 16, 0.0]


def every_partial_sum(q, lo, hi, bias):
    """All sums that any order, any bias position and any input gives, the empty one included."""
    for x in itertools.product(range(lo, hi + 1), repeat=len(q)):
        terms = [a * b for a, b in zip(q, x)] + [bias]
        for order in itertools.permutations(terms):
            yield from itertools.accumulate(order, initial=0)


@pytest.mark.parametrize("lo, hi", [(0, 3), (-2, 1), (-1, 1), (-3, 0), (0, 0), (-1, 2)])
def test_acc_range_is_the_range_of_all_partial_sums(lo, hi):
    rng = np.random.default_rng(hi - 7 * lo)
    cases = [(rng.integers(-7, 8, k), int(rng.integers(-9, 10))) for k in (1, 2, 2, 3) for _ in range(3)]
    for q, bias in [*cases, (np.zeros(2, int), 0), (np.array([3, -3]), -9)]:
        sums = list(every_partial_sum(q.tolist(), lo, hi, bias))
        bottom, top = bounds.acc_range(q[:, None], lo, hi, bias)
        assert (bottom.tolist(), top.tolist()) == ([min(sums)], [max(sums)])


def test_acc_range_of_many_axes_and_channels():
    rng = np.random.default_rng(1)
    q, bias = rng.integers(-7, 8, (3, 3, 2, 5)), rng.integers(-50, 50, 5)
    bottom, top = bounds.acc_range(q, -8, 7, bias)
    for c in range(5):
        one = bounds.acc_range(q[..., c].reshape(-1, 1), -8, 7, int(bias[c]))
        assert (bottom[c], top[c]) == (one[0][0], one[1][0])


@seeded(300)
@given(st.lists(st.integers(-15, 15), min_size=1, max_size=20), formats(), st.integers(-500, 500))
def test_min_acc_bits_is_the_smallest_width_that_holds_the_range(q, format, bias):
    codes = np.array(q)[:, None]
    bits = int(bounds.min_acc_bits(codes, format.lo, format.hi, bias)[0])
    bottom, top = (int(end[0]) for end in bounds.acc_range(codes, format.lo, format.hi, bias))
    assert -(2 ** (bits - 1)) <= bottom and top <= 2 ** (bits - 1) - 1
    assert bits == 1 or bottom < -(2 ** (bits - 2)) or top > 2 ** (bits - 2) - 1


@pytest.mark.parametrize(
    "least, most, bits", [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 0, 3), (-(2**63), 2**63 - 1, 64)]
)
def test_bits_for(least, most, bits):
    assert bounds.bits_for(least, most) == bits


def test_sums_near_64_bits_do_not_wrap():
    q = np.array([[2**31 - 1], [-(2**31 - 1)]])
    bottom, top = bounds.acc_range(q, 0, 2**31, bias=2**31 - 1)
    assert (bottom[0], top[0]) == (-(2**31 - 1) * 2**31, (2**31 - 1) * 2**31 + 2**31 - 1)
    assert bounds.min_acc_bits(q, np.int64(0), np.int64(2**31)) == 63
    edge = np.array([[2**31], [-(2**31)]])
    assert bounds.min_acc_bits(edge, 0, 2**32 - 1, bias=2**31 - 1)[0] == 64
    assert bounds.acc_range(edge, 0, 2**32 - 1, bias=2**31 - 1)[1][0] == 2**63 - 1


@pytest.mark.parametrize("hi", [2**33, np.int64(2**33)])
def test_sums_beyond_64_bits_are_refused(hi):
    with pytest.raises(ConfigurationError, match="leaves 64 bits; use fewer"):
        bounds.acc_range(np.array([[2**31], [1]]), 0, hi)


def test_zero_weights_with_a_wide_input():
    assert bounds.min_acc_bits(np.zeros((3, 1), int), 0, 2**64 - 1).tolist() == [1]


@pytest.mark.parametrize("acc_bits", [2, 8, 63, 64])
def test_headroom_is_what_the_bias_leaves(acc_bits):
    most, least = 2 ** (acc_bits - 1) - 1, -(2 ** (acc_bits - 1))
    for bias in {0, 1, -1, most, least, least + 1}:
        up, down = (int(part) for part in bounds.headroom(acc_bits, bias))
        assert up == most - max(bias, 0)
        assert max(min(bias, 0) - least - (acc_bits == 64), 0) == down  # 64 bits: one less, 2**63 is no int64


def test_headroom_names_the_channel_whose_bias_does_not_fit():
    with pytest.raises(
        AccumulatorOverflowError, match=r"channel 1: the bias code -200 needs 9 bits, acc_bits=8 holds -128 to 127"
    ):
        bounds.headroom(8, np.array([100, -200, 130]))


@pytest.mark.parametrize("bias", [4.9, np.array([1.0]), np.array(["1"]), np.array([1.5], object)])
def test_a_bias_that_is_no_code(bias):
    with pytest.raises(ConfigurationError, match="bias codes are whole numbers"):
        bounds.acc_range(np.ones((2, 1), int), 0, 15, bias)


@pytest.mark.parametrize("value", [1, 65, 8.0, True, "8", None])
def test_bits_that_are_not_allowed(value):
    with pytest.raises(ConfigurationError, match=r"acc_bits=.* is not allowed; give a whole number from 2 to 64"):
        bounds.headroom(value)


@pytest.mark.parametrize("lo, hi", [(1, 3), (-3, -1), (0.0, 3), (0, None)])
def test_ranges_that_are_not_allowed(lo, hi):
    with pytest.raises(ConfigurationError, match="whole numbers with lo <= 0 <= hi"):
        bounds.acc_range(np.array([[1]]), lo, hi)


@pytest.mark.parametrize("q", [np.ones((2, 2)), np.array(3)])
def test_weights_that_are_no_codes(q):
    with pytest.raises(ConfigurationError, match="integer array"):
        bounds.acc_range(q, 0, 3)


def test_hls4ml_bits_equal_hls4ml():
    """Every combination of signs and places, against the pass of hls4ml itself."""
    pytest.importorskip("hls4ml")
    rng = np.random.default_rng(3)
    for _ in range(200):
        weight, inputs, bias = (_random_format(rng) for _ in range(3))
        k = int(rng.integers(1, 3000))
        assert bounds.hls4ml_acc_bits(k, weight, inputs, bias) == _by_hls4ml(k, weight, inputs, bias)


def _random_format(rng):
    return FixedPoint(int(rng.integers(2, 17)), int(rng.integers(-3, 18)), signed=bool(rng.integers(2)))


def _by_hls4ml(k, weight, inputs, bias) -> int:
    """The width that `_infer_common_precision` gives a node that has only what it looks at."""
    from types import SimpleNamespace

    from hls4ml.model.optimizer.passes.infer_precision import InferPrecisionTypes
    from hls4ml.model.types import FixedPrecisionType

    def kept(format):
        return SimpleNamespace(precision=FixedPrecisionType(format.bits, format.integer, format.signed), name="")

    types = {"weight_t": kept(weight), "bias_t": kept(bias), "accum_t": kept(weight)}
    node = SimpleNamespace(
        name="fc",
        types=types,
        weights={"bias": SimpleNamespace(nonzeros=0)},
        model=SimpleNamespace(config=SimpleNamespace(model_precision={})),
        get_input_variable=lambda: SimpleNamespace(type=kept(inputs)),
    )
    InferPrecisionTypes()._infer_common_precision(node, ["accum_t"], k)
    return types["accum_t"].precision.width
