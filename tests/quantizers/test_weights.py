import math
from functools import partial

import numpy as np
import pytest
from keras import ops

from a2q_keras.numerics import bounds, quantize
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.numerics.projection import project_codes
from a2q_keras.quantizers import weights
from a2q_keras.quantizers.exact import meet_exact_condition
from tests.backend import compiled, gradients, tensors

K, CHANNELS = 33, 12
INPUTS = {
    "unsigned_1bit": FixedPoint(1, 0, signed=False),
    "unsigned_4bits": FixedPoint(4, 4, signed=False),
    "unsigned_8bits": FixedPoint(8, 8, signed=False),
    "symmetric_2bits": FixedPoint(2, 1, signed=True, symmetric=True),
    "symmetric_5bits": FixedPoint(5, 3, signed=True, symmetric=True),
    "signed_1bit": FixedPoint(1, 0, signed=True),
    "signed_2bits": FixedPoint(2, 0, signed=True),
    "signed_4bits": FixedPoint(4, 3, signed=True),
}
ACC_BITS = [2, 3, 5, 7, 9, 11, 13, 16, 23, 24, 25, 31, 32, 33, 64]
UNSIGNED = INPUTS["unsigned_4bits"]


def biases(acc_bits: int, rng) -> np.ndarray:
    """Bias codes (C,) of an accumulator, none, the extremes and everything between."""
    limit = 2 ** (min(acc_bits, 24) - 1)
    drawn = rng.integers(-limit, limit, CHANNELS)
    drawn[:6] = 0, -limit, limit - 1, limit // 2, -limit // 2, 0
    return drawn


def draws(seed: int, kind: str = "random") -> np.ndarray:
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(K, CHANNELS)) * rng.uniform(0.3, 6, CHANNELS)
    if kind == "halves":
        u = np.rint(2 * u) / 2
    if kind == "lopsided":
        u += 3 * rng.normal(size=CHANNELS)
    if kind == "equal":
        u = np.tile(u[0], (K, 1))
    return u.astype(np.float32)


def codes_of(values, scale=1.0) -> np.ndarray:
    codes = np.asarray(ops.convert_to_numpy(values), np.float64) / scale
    assert np.array_equal(codes, np.rint(codes))
    return codes


@pytest.mark.parametrize("format", INPUTS.values(), ids=INPUTS)
def test_exact_codes_are_those_of_project_codes(format):
    for seed, acc_bits in enumerate(ACC_BITS):
        spec, bias = weights.Accumulator(acc_bits, 4, format), biases(acc_bits, np.random.default_rng(seed))
        for kind in ("random", "halves", "equal", "lopsided"):
            u = draws(seed, kind)
            found = codes_of(weights.exact_codes(*tensors(u, bias), spec))
            assert np.array_equal(found, project_codes(u, 4, acc_bits, format.lo, format.hi, bias)), (acc_bits, kind)


@pytest.mark.parametrize("weight_bits", [2, 3, 8, 12])
def test_exact_codes_of_other_weight_widths(weight_bits):
    for acc_bits in (6, 10, 14, 18):
        bias = biases(acc_bits, np.random.default_rng(weight_bits))
        u = draws(weight_bits) * 2.0 ** (weight_bits - 4)
        found = codes_of(weights.exact_codes(*tensors(u, bias), weights.Accumulator(acc_bits, weight_bits, UNSIGNED)))
        assert np.array_equal(found, project_codes(u, weight_bits, acc_bits, 0, 15, bias))


def test_twos_complement_inputs_leave_more_room_than_their_symmetric_hull():
    """With codes -16 to 15 and 7 bits 4 units fit (64 <= 64, 62 <= 63), counted as -16 to 16 only 3."""
    u = np.array([[1.0], [1.0], [-1.0], [-1.0], [0.75]])
    spec = weights.Accumulator(7, 4, FixedPoint(5, 0, signed=True))
    assert codes_of(weights.exact_codes(*tensors(u, [0.0]), spec)).ravel().tolist() == [1, 1, -1, -1, 0]
    assert codes_of(weights.exact_codes(*tensors(-np.ones((5, 1)), [0.0]), spec)).sum() == -3  # 4 * 16 > 63


@pytest.mark.parametrize("format", INPUTS.values(), ids=INPUTS)
def test_exact_weights_are_codes_that_fit(format):
    spec, scale = weights.Accumulator(9, 4, format), 2.0**-3
    kernel, bias = draws(3) * scale, biases(9, np.random.default_rng(3))
    codes = codes_of(weights.exact(*tensors(kernel, scale, bias), spec), scale).astype(int)
    least, most = bounds.acc_range(codes, format.lo, format.hi, bias)
    assert least.min() >= -256 and most.max() <= 255 and codes.any()


@pytest.mark.parametrize("format", INPUTS.values(), ids=INPUTS)
def test_which_codes_meet_the_exact_condition(format):
    rng = np.random.default_rng(4)
    for acc_bits in (2, 5, 9, 12, 30, 31):
        bias = rng.integers(-(2 ** (acc_bits - 1)), 2 ** (acc_bits - 1), CHANNELS) // 4
        codes = rng.integers(-8, 8, (K, CHANNELS)) * (rng.random((K, CHANNELS)) < np.linspace(0, 1, CHANNELS))
        fits = meet_exact_condition(*tensors(codes, bias), weights.Accumulator(acc_bits, 4, format))
        wanted = bounds.min_acc_bits(codes, format.lo, format.hi, bias) <= acc_bits
        assert np.array_equal(ops.convert_to_numpy(fits), wanted)


@pytest.mark.parametrize("format", [FixedPoint(16, 0, False), FixedPoint(16, 0, True), FixedPoint(16, 0, True, True)])
@pytest.mark.parametrize("acc_bits", [31, 32, 33, 36, 39, 44, 64])
def test_wide_accumulators_are_used_to_the_last_but_one_bit(acc_bits, format):
    """Sums beyond 31 bits are counted in larger units, rounded up: less than one bit, nothing where all codes fit."""
    spec, bias = weights.Accumulator(acc_bits, 16, format), np.zeros(CHANNELS)
    u = np.random.default_rng(0).uniform(1e4, 3e4, (100, CHANNELS)).astype(np.float32)
    bias[:2] = 2.0 ** (acc_bits - 3), -(2.0 ** (acc_bits - 3))
    found = codes_of(weights.exact_codes(*tensors(u, bias), spec)).astype(int)
    whole, sure = (
        project_codes(u, 16, bits, format.lo, format.hi, bias.astype(np.int64)) for bits in (acc_bits, acc_bits - 1)
    )
    needed = bounds.min_acc_bits(found, format.lo, format.hi, bias.astype(np.int64))
    assert needed.max() <= acc_bits
    assert (np.abs(sure).sum(axis=0) <= np.abs(found).sum(axis=0)).all()
    assert (np.abs(found).sum(axis=0) <= np.abs(whole).sum(axis=0)).all()
    if acc_bits >= 44:
        assert np.array_equal(found, whole)


@pytest.mark.parametrize("bits", [24, 30, 31, 32])
def test_exact_codes_of_very_wide_inputs_fit(bits):
    """Budgets are counted in int32, of accumulators beyond 31 bits in larger units."""
    format = FixedPoint(bits, 0, signed=True)
    for acc_bits in (bits - 1, bits, bits + 1, 64):
        spec, bias = weights.Accumulator(acc_bits, 4, format), np.zeros(CHANNELS)
        codes = codes_of(weights.exact_codes(*tensors(draws(1), bias), spec)).astype(int)
        least, most = bounds.acc_range(codes, format.lo, format.hi)
        assert bounds.bits_for(least, most).max() <= acc_bits


A2Q_CASES = [(acc_bits, name) for acc_bits in (6, 9, 12, 16, 24) for name in ("unsigned_4bits", "signed_4bits")]


A2Q_METHODS = pytest.mark.parametrize("centred", [False, True], ids=["a2q", "a2q+"])


@A2Q_METHODS
@pytest.mark.parametrize("acc_bits, name", A2Q_CASES, ids=[f"P{bits}_{name}" for bits, name in A2Q_CASES])
def test_a2q_codes_are_those_of_numerics(acc_bits, name, centred):
    spec = weights.Accumulator(acc_bits, 4, INPUTS[name])
    for seed, kind in enumerate(["random", "halves", "equal"]):
        rng = np.random.default_rng([acc_bits, seed])
        v, bias = draws(seed, kind), biases(acc_bits, rng)
        norm_log2 = rng.uniform(-3, 6, CHANNELS).astype(np.float32)
        norm_log2[6:9] = 30  # far above the cap, which then decides: with equal weights w / s is on ties
        for scale in (2.0**-4, 0.5):
            norm = np.exp(norm_log2.astype(np.float64) * math.log(2))
            wanted = quantize.a2q(v, norm, scale, acc_bits, 4, spec.input.bits, spec.input.signed, centred, bias)
            found = codes_of(weights.a2q(*tensors(v, norm_log2, scale, bias), spec, zero_centered=centred), scale)
            assert np.array_equal(found, wanted), (kind, scale)


@A2Q_METHODS
@pytest.mark.parametrize("name", ["unsigned_8bits", "symmetric_5bits", "signed_4bits"])
def test_a2q_codes_fit_the_accumulator_with_the_bias(name, centred):
    format = INPUTS[name]
    for acc_bits in range(8, 14):
        spec, bias = weights.Accumulator(acc_bits, 8, format), biases(acc_bits, np.random.default_rng(acc_bits))
        values = weights.a2q(*tensors(draws(acc_bits), np.full(CHANNELS, 50), 1.0, bias), spec, zero_centered=centred)
        least, most = bounds.acc_range(codes_of(values).astype(int), format.lo, format.hi, bias)
        assert bounds.bits_for(least, most).max() <= acc_bits


@A2Q_METHODS
def test_a2q_keeps_its_bound_where_the_quotient_falls_on_integers(centred):
    """Equal weights under the largest norm: w / s is the bound over their number, often whole but for rounding."""
    spec = weights.Accumulator(16, 8, FixedPoint(8, 8, signed=False))
    for count in (2, 3, 5, 7, 10, 49, 100, 127):
        v = np.where(centred & (np.arange(count) % 2 > 0), -1 / 3, 1 / 3)[:, None]
        codes = codes_of(weights.a2q(*tensors(v, [50.0], 1.0, [0.0]), spec, zero_centered=centred))
        assert np.abs(codes).sum() <= bounds.max_l1_norm(16, 8, False, zero_centered=centred) and codes.any()


@pytest.mark.parametrize("training", [False, True])
def test_a2q_plus_of_equal_weights_is_zero(training):
    """Their mean is taken out, and what is left must not be noise that is then scaled up."""
    spec, v = weights.Accumulator(12, 4, UNSIGNED), np.full((K, CHANNELS), 0.1, np.float32)
    assert not codes_of(weights.a2q(*tensors(v, v[0], 2.0**-9, 0 * v[0]), spec, training, zero_centered=True)).any()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("scale", [0.5, 2.0**-60])
def test_a2q_of_zero_weights_is_zero(scale, training):
    spec = weights.Accumulator(12, 4, UNSIGNED)
    zeros = np.zeros((K, CHANNELS))
    assert not codes_of(weights.a2q(*tensors(zeros, zeros[0], scale, zeros[0]), spec, training)).any()


@A2Q_METHODS
def test_a2q_in_training_is_at_most_a_unit_off(centred):
    """In single precision a quotient may fall on the other side of a whole number, and only there."""
    spec, (v, t, bias) = weights.Accumulator(12, 4, UNSIGNED), (draws(1), np.linspace(-2, 8, CHANNELS), np.zeros(12))
    fast, exact = (
        codes_of(weights.a2q(*tensors(v, t, 0.25, bias), spec, training, centred), 0.25) for training in (True, False)
    )
    assert np.abs(fast - exact).max() <= 1 and (fast != exact).mean() < 0.01


def test_plain_weights_are_the_nearest_codes():
    for scale in (0.125, 2.0):
        kernel = np.concatenate([draws(0), draws(1, "halves")]) * np.float32(scale)
        u = kernel.astype(np.float64) / scale
        found = codes_of(weights.plain(*tensors(kernel, scale), weights.Accumulator(8, 4, UNSIGNED)), scale)
        assert np.array_equal(found, np.sign(u) * np.clip(np.ceil(np.abs(u) - 0.5), 0, 7))


@pytest.mark.parametrize("acc_bits", [2, 8, 12, 24, 25, 64])
def test_bias_codes_are_rounded_to_even_and_saturated(acc_bits):
    spec, scale = weights.Accumulator(acc_bits, 4, UNSIGNED), 2.0**-3
    unit = scale * UNSIGNED.step
    bias = np.array([0, 0.5, 1.5, -0.5, -1.5, 2.49, -3.51, 100.5, 1e9, -1e9], np.float32) * np.float32(unit)
    limit = bounds.largest_bias(min(acc_bits, 62), UNSIGNED.lo, UNSIGNED.hi)
    most = int(np.nextafter(np.float32(limit), np.float32(0))) if np.float32(limit) > limit else int(np.float32(limit))
    wanted = np.clip(quantize.codes_for_bias(bias, UNSIGNED.frac + 3), -most, most)
    assert np.array_equal(codes_of(weights.bias_codes(*tensors(bias, scale), spec)), wanted)


def error_at(e, kernel, bias, spec, method) -> float:
    """||2**e q - w||**2 for the codes of `numerics`."""
    acc_bits = spec.acc_bits if method == "exact" else 64
    codes = quantize.codes_for_bias(bias, spec.input.frac - e)
    codes = np.clip(codes, -(2 ** (spec.acc_bits - 1)), 2 ** (spec.acc_bits - 1) - 1) if method == "exact" else 0
    q = project_codes(kernel * 2.0**-e, spec.weight_bits, acc_bits, spec.input.lo, spec.input.hi, codes)
    return float(((q * 2.0**e - kernel) ** 2).sum())


def better_scale_log2(kernel, bias, e, method, spec) -> float:
    """The exponent that a step finds, from e; the thresholds are those of that scale, or what they were."""
    held = np.zeros(weights.thresholds_shape(K, CHANNELS, spec), np.float32)
    found, thresholds = weights.found_anew(*tensors(kernel, bias, e, held, True), method, spec)
    if method == "exact":
        scale = 2.0 ** float(found)
        codes = weights.bias_codes(*tensors(bias, scale), spec)
        assert np.array_equal(thresholds, weights.codes_and_thresholds(*tensors(kernel / scale), codes, spec)[1])
    else:
        assert np.array_equal(thresholds, held)
    return float(found)


def test_scale_stays_where_it_may_not_move():
    spec, kernel, bias = weights.Accumulator(10, 4, UNSIGNED), draws(0), np.zeros(CHANNELS, np.float32)
    held = np.zeros(weights.thresholds_shape(K, CHANNELS, spec), np.float32)
    assert better_scale_log2(kernel, bias, 3.0, "exact", spec) == 2
    found, thresholds = weights.found_anew(*tensors(kernel, bias, 3.0, held, False), "exact", spec)
    assert float(found) == 3
    assert np.array_equal(thresholds, weights.codes_and_thresholds(*tensors(kernel / 8, bias), spec)[1])


def test_thresholds_are_found_for_weights_whose_error_is_infinite():
    spec, bias = weights.Accumulator(10, 4, UNSIGNED), np.zeros(CHANNELS, np.float32)
    kernel = np.full((K, CHANNELS), 1e25, np.float32)
    assert better_scale_log2(kernel, bias, 3.0, "exact", spec) == 3


@pytest.mark.parametrize("method", ["exact", "none"])
def test_scale_found_anew_is_the_best_of_three_neighbours(method):
    seen = set()
    for seed in range(6):
        for acc_bits in (8, 11):
            spec, e = weights.Accumulator(acc_bits, 4, UNSIGNED), -4 + seed % 5
            rng = np.random.default_rng(seed)
            kernel = (rng.normal(size=(K, CHANNELS)) * 0.3).astype(np.float32)
            bias = rng.normal(size=CHANNELS).astype(np.float32) * 0.1
            errors = {shift: error_at(e + shift, kernel, bias, spec, method) for shift in (0, -1, 1)}
            errors[0] *= weights.HYSTERESIS
            found = better_scale_log2(kernel, bias, e, method, spec) - e
            assert found == min(errors, key=lambda shift: errors[shift])
            seen.add(found)
    assert seen == {-1, 0, 1}  # every answer is among the cases


def test_repeated_search_ends_where_the_whole_search_does():
    spec = weights.Accumulator(10, 4, UNSIGNED)
    kernel, bias = draws(0) * np.float32(0.1), np.zeros(CHANNELS, np.float32)
    e = best = quantize.search_scale_log2(kernel, 4, 10, 0, 15)
    for start in (best - 3, best + 3):
        e = float(start)
        for _ in range(4):
            e = better_scale_log2(kernel, bias, e, "exact", spec)
        assert abs(e - best) <= 1  # the hysteresis may keep it one step off


def weighed(function):
    """A scalar of the weights with a known gradient, and that gradient."""
    upstream = np.random.default_rng(8).normal(size=(K, CHANNELS)).astype(np.float32)
    return lambda *values: ops.sum(function(*values) * ops.convert_to_tensor(upstream)), upstream


class TestGradientOfExact:
    scale = 0.25
    bias = np.zeros(CHANNELS, np.float32)

    def gradient(self, kernel, acc_bits, format=UNSIGNED, held=None):
        spec = weights.Accumulator(acc_bits, 4, format)
        loss, upstream = weighed(lambda kernel: weights.exact(kernel, *tensors(self.scale, self.bias), spec, held))
        return gradients(loss, kernel)[0], upstream

    def codes(self, kernel, acc_bits, format=UNSIGNED):
        spec = weights.Accumulator(acc_bits, 4, format)
        return codes_of(weights.exact_codes(*tensors(kernel / self.scale, self.bias), spec))

    def test_straight_through_where_nothing_is_full(self):
        kernel = draws(0) * np.float32(self.scale)
        found, upstream = self.gradient(kernel, 24)
        assert np.array_equal(found, upstream)

    @pytest.mark.parametrize("name", ["unsigned_4bits", "symmetric_5bits", "signed_4bits"])
    def test_nothing_moves_along_a_full_budget(self, name):
        kernel = draws(0) * np.float32(4 * self.scale)  # every budget is used up
        found, upstream = self.gradient(kernel, 9, INPUTS[name])
        for side in self.sides(kernel, INPUTS[name]):
            along, before = (self.along(part, kernel, side, 9, INPUTS[name]) for part in (found, upstream))
            # floats: a mean of float32 is taken out, so what is left is rounding
            assert np.abs(along).max() < 1e-5 and np.abs(before).max() > 1

    @pytest.mark.parametrize("name", ["unsigned_4bits", "symmetric_5bits", "signed_4bits"])
    def test_weights_projected_to_zero_grow_where_they_are_worth_more_than_the_others(self, name):
        kernel = draws(0) * np.float32(self.scale)
        found, upstream = self.gradient(kernel, 9, INPUTS[name])
        codes, nearest = self.codes(kernel, 9, INPUTS[name]), np.ceil(np.abs(kernel) / self.scale - 0.5)
        for side in self.sides(kernel, INPUTS[name]):
            drawing = ((codes != 0) & side).sum(axis=0)
            worth = -self.along(upstream, kernel, side, 9, INPUTS[name]) / np.maximum(drawing, 1)
            full = (np.minimum(nearest, 7) * side).sum(axis=0) > (np.abs(codes) * side).sum(axis=0)
            zero = (codes == 0) & side & full
            assert (zero & (worth > 0)).any() and (zero & (worth < 0)).any()
            assert np.array_equal(found[zero & (worth < 0)], upstream[zero & (worth < 0)])
            own = -upstream * np.sign(kernel)
            clear = zero & (worth > 0) & (np.abs(own - worth) > 1e-5)  # floats: the worth is a mean of float32
            assert np.array_equal((-found * np.sign(kernel) > 0)[clear], (own > worth)[clear])

    def sides(self, kernel, format):
        """The weights of each price, taken up or not."""
        return [kernel > 0, kernel < 0] if 0 in (format.lo, format.hi) else [kernel != 0]

    def along(self, gradient, kernel, side, acc_bits, format):
        """The sum of a gradient over the weights that share a price, toward larger magnitudes, (C,)."""
        return (np.sign(self.codes(kernel, acc_bits, format)) * gradient * side).sum(axis=0)

    @pytest.mark.parametrize("acc_bits", [2, 4, 9, 24, 64])
    @pytest.mark.parametrize("kind", ["zeros", "equal", "halves", "huge"])
    def test_finite_everywhere(self, kind, acc_bits):
        kernel = {"zeros": 0 * draws(0), "huge": draws(0) * 1e6}.get(kind, draws(0, kind)).astype(np.float32)
        for name in ("unsigned_4bits", "signed_4bits"):
            assert np.isfinite(self.gradient(kernel, acc_bits, INPUTS[name])[0]).all()

    def test_held_thresholds_give_the_same_gradient(self):
        kernel = draws(0) * np.float32(self.scale)
        _, held = weights.codes_and_thresholds(
            *tensors(kernel / self.scale, self.bias), weights.Accumulator(9, 4, UNSIGNED)
        )
        assert np.array_equal(self.gradient(kernel, 9, held=held)[0], self.gradient(kernel, 9)[0])


def test_plain_gradient_is_straight_through():
    loss, upstream = weighed(lambda kernel: weights.plain(kernel, 0.25, weights.Accumulator(8, 4, UNSIGNED)))
    assert np.array_equal(gradients(loss, draws(0))[0], upstream)


@A2Q_METHODS
@pytest.mark.parametrize("kind", ["random", "equal", "zeros"])
def test_a2q_gradients_are_finite_and_reach_weights_norms_and_scale(kind, centred):
    spec = weights.Accumulator(12, 4, UNSIGNED)
    v = 0 * draws(0) if kind == "zeros" else draws(0, kind)
    norm_log2, bias = np.linspace(-2, 8, CHANNELS), np.zeros(CHANNELS)
    loss, _ = weighed(lambda v, t, s: weights.a2q(v, t, s, *tensors(bias), spec, True, centred))
    found = gradients(loss, v, norm_log2, 0.25)
    assert all(np.isfinite(part).all() for part in found)
    if kind == "random":
        assert found[0].any() and found[1][0] and not found[1][-1]  # a capped norm has the penalty, not this gradient


@A2Q_METHODS
@pytest.mark.parametrize("training", [True, False])
def test_a2q_gradients_are_those_of_the_weights_without_rounding(training, centred):
    spec, rng = weights.Accumulator(12, 4, UNSIGNED), np.random.default_rng(6)
    norm_log2, bias = np.linspace(0, 8, CHANNELS), rng.integers(-100, 100, CHANNELS)
    limit = tensors(bounds.max_l1_norm(12, 4, False, centred, bias))[0]

    def without_rounding(v, t, s):
        v = v - ops.mean(v, axis=0) if centred else v
        u = v * ops.minimum(ops.exp(t * math.log(2.0)), s * limit) / (ops.sum(ops.abs(v), axis=0) * s)
        rounded = ops.stop_gradient(ops.clip(ops.trunc(u), -spec.qmax, spec.qmax))
        within = ops.clip(u, -spec.qmax, spec.qmax)
        return s * (within + ops.stop_gradient(rounded - within))

    with_rounding = partial(weights.a2q, bias=tensors(bias)[0], spec=spec, training=training, zero_centered=centred)
    values = draws(6), norm_log2, 0.25
    found, wanted = (gradients(weighed(weigh)[0], *values) for weigh in (with_rounding, without_rounding))
    for part, other in zip(found, wanted):
        # floats: the same sums, taken in another order
        assert np.allclose(part, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


@A2Q_METHODS
def test_norm_penalty_is_what_exceeds_the_bound(centred):
    spec, bias = weights.Accumulator(12, 4, UNSIGNED), np.array([0, 100, -100])
    limit = bounds.max_l1_norm(12, 4, False, centred, bias)
    over = np.array([1.5, -2.0, 0.25])
    norm_log2 = np.log2(0.25 * limit) + over
    found = float(weights.norm_penalty(*tensors(norm_log2, 0.25, bias), spec, centred))
    assert found == pytest.approx(1.75, rel=1e-5)  # floats: logarithms in float32
    slope = gradients(lambda t: weights.norm_penalty(t, *tensors(0.25, bias), spec, centred), norm_log2)[0]
    assert np.array_equal(slope, [1, 0, 1])


def test_norm_penalty_is_finite_where_the_bias_takes_everything():
    spec = weights.Accumulator(8, 4, UNSIGNED)
    assert np.isfinite(float(weights.norm_penalty(*tensors([3.0, 3.0], 0.25, [127, -128]), spec)))


@pytest.mark.parametrize("format", INPUTS.values(), ids=INPUTS)
def test_held_thresholds_give_the_codes_of_fresh_ones_where_nothing_moved(format):
    spec, scale = weights.Accumulator(9, 4, format), 0.25
    kernel, bias = draws(5) * np.float32(scale), biases(9, np.random.default_rng(5))
    _, held = weights.codes_and_thresholds(*tensors(kernel / scale, bias), spec)
    assert held.shape == weights.thresholds_shape(len(kernel), CHANNELS, spec)
    fresh, reused = (weights.exact(*tensors(kernel, scale, bias), spec, part) for part in (None, held))
    assert np.array_equal(ops.convert_to_numpy(fresh), ops.convert_to_numpy(reused))


def test_held_thresholds_leave_ties_out():
    spec = weights.Accumulator(7, 4, UNSIGNED)  # 63 // 15 = 4 units above zero
    kernel = np.full((10, 1), 1.0, np.float32)
    _, held = weights.codes_and_thresholds(*tensors(kernel, [0.0]), spec)
    fresh, reused = (codes_of(weights.exact(*tensors(kernel, 1.0, [0.0]), spec, part)) for part in (None, held))
    assert fresh.sum() == 4 and reused.sum() == 0


def test_compiled_weights_are_the_eager_ones():
    spec = weights.Accumulator(9, 4, UNSIGNED)
    values = tensors(draws(0), 0.5, biases(9, np.random.default_rng(0)))
    both = [make(lambda *parts: weights.exact(*parts, spec))(*values) for make in (compiled, lambda f: f)]
    assert np.array_equal(*map(ops.convert_to_numpy, both))
    norm_log2 = tensors(np.linspace(-2, 8, CHANNELS))[0]
    for centred in (False, True):
        a2q = partial(weights.a2q, norm_log2=norm_log2, spec=spec, zero_centered=centred)
        both = [make(lambda v, s, b, a2q=a2q: a2q(v, scale=s, bias=b))(*values) for make in (compiled, lambda f: f)]
        assert np.array_equal(*map(ops.convert_to_numpy, both))
