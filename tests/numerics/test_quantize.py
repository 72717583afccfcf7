from fractions import Fraction

import numpy as np
import pytest

from a2q_keras.errors import AccumulatorOverflowError, WeightError
from a2q_keras.numerics import bounds, quantize


def by_the_paper(v, norm, scale, acc_bits, weight_bits, input_bits, signed, zero_centered, bias):
    """The codes of one channel, from the formulas in rational arithmetic."""
    v = [Fraction(x) for x in v]
    if zero_centered:
        v = [x - sum(v) / len(v) for x in v]
    left = max(2 ** (acc_bits - 1) - 1 - abs(bias), 0)
    limit = Fraction(2 * left, 2**input_bits - 1) if zero_centered else Fraction(left * 2**signed, 2**input_bits)
    g = min(Fraction(norm), Fraction(scale) * limit)
    length, qmax = sum(map(abs, v)), 2 ** (weight_bits - 1) - 1
    codes = [g * x / (length * Fraction(scale)) for x in v] if length else v
    return [max(min(int(code), qmax), -qmax) for code in codes]  # int() rounds toward zero


@pytest.mark.parametrize("zero_centered", [False, True], ids=["a2q", "a2q+"])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("scale", [2.0**-5, 1.0, 0.1, 1 / 3, 0.0371], ids=lambda s: f"scale{s:.3g}")
@pytest.mark.parametrize(
    "acc_bits, weight_bits, input_bits", [(8, 4, 4), (12, 4, 4), (16, 8, 8), (10, 6, 1), (20, 8, 4)]
)
def test_a2q_is_the_formula(acc_bits, weight_bits, input_bits, signed, scale, zero_centered):
    rng = np.random.default_rng([acc_bits, input_bits, signed])
    v, norm = rng.normal(size=(23, 6)), scale * rng.uniform(1, 400, 6)
    bias = rng.integers(-(2 ** (acc_bits - 1)), 2 ** (acc_bits - 1), 6) // rng.choice([1, 4, 100], 6)
    q = quantize.a2q(v, norm, scale, acc_bits, weight_bits, input_bits, signed, zero_centered, bias)
    for c in range(6):
        setting = (acc_bits, weight_bits, input_bits, signed, zero_centered, int(bias[c]))
        assert q[:, c].tolist() == by_the_paper(v[:, c], norm[c], scale, *setting)


@pytest.mark.parametrize("scale", [0.1, 0.3, 1 / 3, 0.7, 1e-3, 2.0**-6])
@pytest.mark.parametrize("signed", [False, True])
def test_equal_weights_with_codes_on_integers_stay_within_the_bound(scale, signed):
    """The float trap: w/s may land above the integer it stands for, and K of them exceed the budget."""
    for k in [1, 2, 3, 7, 10, 49, 100, 127, 129, 255]:
        for sign in (1, -1):
            v = sign * np.full((k, 1), 0.3)
            q = quantize.a2q(v, 1e9, scale, 16, 8, 8, signed)
            assert np.abs(q).sum() <= bounds.max_l1_norm(16, 8, signed)
        v = np.where(np.arange(k) % 2, 0.1, -0.1)[:, None]
        q = quantize.a2q(v, 1e9, scale, 16, 8, 8, signed, zero_centered=True)
        for side in (np.maximum(q, 0), np.maximum(-q, 0)):
            assert side.sum() <= bounds.max_l1_norm(16, 8, signed, zero_centered=True) / 2


@pytest.mark.parametrize("scale", [0.1, 0.3, 1 / 3, 0.7, 1e-3, 2.0**-6])
def test_a_budget_of_whole_units_for_equal_weights(scale):
    """The budget is exactly `unit` for each of K weights, at scales where s * x / s misses x."""
    for k in range(1, 120):
        for unit in (1, 2, 3, 7):
            bias = 2**15 - 1 - k * unit * 16
            q = quantize.a2q(np.full((k, 1), 0.3), 1e9, scale, 16, 4, 4, False, bias=bias)
            assert set(q.ravel()) <= {unit - 1, unit} and bounds.min_acc_bits(q, 0, 15, bias) <= 16


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6, -7.0])
def test_equal_weights_centred_are_zero_and_not_noise(value):
    for k in (1, 3, 10, 33, 784):
        v = np.full((k, 2), value)
        assert not quantize.a2q(v, 1e9, 0.1, 16, 8, 8, False, zero_centered=True).any()
        assert not quantize.a2q_plus_start(v, 0.1, 16, 8, False).any()


@pytest.mark.parametrize("acc_bits", [7, 9, 12, 20])
def test_the_start_of_a2q_plus_is_the_nearest_within_its_bound(acc_bits):
    w, bias = np.random.default_rng(acc_bits).normal(size=(30, 5)) + 0.3, np.array([0, 3, -9, 40, -63])
    start = quantize.a2q_plus_start(w, 2.0**-4, acc_bits, 4, False, bias)
    radius = 2.0**-4 * bounds.max_l1_norm(acc_bits, 4, False, zero_centered=True, bias=bias)
    centred = w - w.mean(axis=0)
    # floats: distances; by the variational inequality no point of the ball is nearer
    assert (np.abs(start).sum(axis=0) <= radius + 1e-12).all()
    worst = radius * np.abs(centred - start).max(axis=0)
    assert (worst - ((centred - start) * start).sum(axis=0) <= 1e-9).all()


def test_a_channel_of_zeros_and_a_bias_that_takes_all():
    v = np.array([[0.0, 1.0], [0.0, -2.0]])
    assert not quantize.a2q(v, 1e9, 1.0, 8, 4, 4, False, bias=np.array([0, -127])).any()
    assert quantize.a2q(v, 1e9, 1.0, 8, 4, 4, False).tolist() == [[0, 2], [0, -5]]


@pytest.mark.parametrize("zero_centered", [False, True], ids=["a2q", "a2q+"])
@pytest.mark.parametrize("acc_bits", [60, 62, 63, 64])
def test_accumulators_that_hold_everything(acc_bits, zero_centered):
    v = np.array([[3.0], [-3.0], [1.0], [-1.0]])
    assert quantize.a2q(v, 8.0, 1.0, acc_bits, 4, 1, True, zero_centered).ravel().tolist() == [3, -3, 1, -1]


def test_nan_is_refused():
    with pytest.raises(WeightError, match="weight 0 of channel 0 is nan"):
        quantize.a2q(np.array([[np.nan]]), 1.0, 1.0, 8, 4, 4, False)


def test_codes_for_bias_are_nearest_ties_to_even():
    assert quantize.codes_for_bias([0.5, 1.5, -0.5, 0.26], 0).tolist() == [0, 2, 0, 0]
    assert quantize.codes_for_bias([0.5, -0.25], 2).tolist() == [2, -1]


def test_searched_scale_is_the_best_of_all():
    rng = np.random.default_rng(6)
    w, bias = rng.normal(size=(40, 8)) * 0.2, rng.normal(size=8) * 0.1
    for acc_bits in (9, 10, 12, 16):
        found = quantize.search_scale_log2(w, 4, acc_bits, 0, 15, bias, input_frac=4)
        errors = {e: quantize._error_at(e, w, 4, acc_bits, 0, 15, bias, 4) for e in range(-12, 4)}
        assert errors[found] == min(errors.values())


def test_a_narrow_accumulator_takes_a_coarser_scale():
    w = np.random.default_rng(8).normal(size=(200, 4))
    fine, coarse = (quantize.search_scale_log2(w, 4, bits, 0, 15) for bits in (16, 9))
    assert coarse > fine


def test_scale_of_zero_weights_and_of_a_bias_too_large():
    assert quantize.search_scale_log2(np.zeros((3, 2)), 4, 8, 0, 15) == 0
    with pytest.raises(AccumulatorOverflowError, match="acc_bits=8 cannot hold the bias"):
        quantize.search_scale_log2(np.ones((3, 1)), 4, 8, 0, 15, bias=np.array([1e4]), input_frac=4)
