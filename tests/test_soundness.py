"""No channel that any method lets through overflows, and no certified width has a bit to spare.

A2Q_SOUNDNESS_CHANNELS sets how many random channels are tried.
"""

import os
from dataclasses import dataclass

import numpy as np
import pytest

from a2q_keras.integer.certificate import certify
from a2q_keras.integer.graph import Dense, Input, IntegerProgram
from a2q_keras.numerics import bounds, projection, quantize
from a2q_keras.numerics.fit import BUDGETS, Group, Recipe, fit
from a2q_keras.numerics.fit import METHODS as POST_TRAINING
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.numerics.moments import Moments
from a2q_keras.numerics.running import Target

CHANNELS = int(os.environ.get("A2Q_SOUNDNESS_CHANNELS", 100_000))
BATCH = 20  # channels that share a setting
METHODS = ["exact", "a2q", "a2q_zero_centered"]
SCALES = [1.0, 2.0**-7, 0.1, 0.3, 1 / 3, 0.7, 1e-3]


@dataclass(frozen=True)
class Setting:
    """What a batch of channels has in common; input codes go from lo to hi, a part of what input_bits can hold."""

    method: str
    k: int
    weight_bits: int
    input_bits: int
    signed: bool
    lo: int
    hi: int
    acc_bits: int

    @property
    def format(self) -> FixedPoint | None:
        """The format whose codes are lo to hi, where there is one."""
        found = [FixedPoint(self.input_bits, 0, self.signed, symmetric) for symmetric in (False, self.input_bits > 1)]
        return next((format for format in found if (format.lo, format.hi) == (self.lo, self.hi)), None)


def draw_setting(method: str, rng) -> Setting:
    k = int(np.exp(rng.uniform(0, np.log(2049))))
    weight_bits, input_bits, signed = int(rng.integers(2, 13)), int(rng.integers(1, 13)), bool(rng.integers(2))
    whole = FixedPoint(input_bits, 0, signed)
    lo, hi = whole.lo, whole.hi
    kind = rng.integers(3)
    if kind == 1 and signed:
        lo = max(lo, -hi)
    if kind == 2:
        lo, hi = int(rng.integers(lo, 1)), int(rng.integers(0, hi + 1))
    widest = bounds.datatype_acc_bits(k, weight_bits, input_bits, signed) + 1
    return Setting(method, k, weight_bits, input_bits, signed, lo, hi, int(rng.integers(2, widest + 1)))


def draw_weights(k: int, qmax: int, rng) -> np.ndarray:
    """Weights over scale (K, BATCH): normal, on halves, equal, equal up to the last float, or codes near integers."""
    size = np.exp(rng.uniform(np.log(0.05), np.log(2.0 * qmax), BATCH))
    u = rng.normal(size=(k, BATCH)) * size
    signs = rng.choice([-1, 1], (k, BATCH))
    kind = rng.integers(5, size=BATCH)
    u = np.where(kind == 1, np.rint(u * 2) / 2, u)
    u = np.where(kind == 2, np.ceil(size), u)
    u = np.where(kind == 3, np.ceil(size) * signs, u)
    return np.where(kind == 4, np.nextafter(np.ceil(size) * signs, rng.choice([-np.inf, np.inf], (k, BATCH))), u)


def draw_bias(acc_bits: int, rng) -> np.ndarray:
    """Bias codes (BATCH,) that the accumulator holds: none, small, any, and the extremes."""
    least, most = -(2 ** (acc_bits - 1)), 2 ** (acc_bits - 1) - 1
    bias = rng.integers(least, most + 1, BATCH)
    kind = rng.integers(5, size=BATCH)
    bias = np.where(kind == 0, 0, np.where(kind == 1, bias // 16, bias))
    return np.where(kind == 2, rng.choice([least, most], BATCH), bias)


def draw_codes(setting: Setting, bias, rng) -> np.ndarray:
    u = draw_weights(setting.k, 2 ** (setting.weight_bits - 1) - 1, rng)
    if setting.method == "exact":
        return projection.project_codes(u, setting.weight_bits, setting.acc_bits, setting.lo, setting.hi, bias)
    scale = rng.choice(SCALES)
    norm = np.where(
        rng.integers(2, size=BATCH), np.abs(u).sum(axis=0) * scale, 1e12
    )  # as wanted, or all that is allowed
    widths = (setting.acc_bits, setting.weight_bits, setting.input_bits, setting.signed)
    return quantize.a2q(u * scale, norm, scale, *widths, setting.method == "a2q_zero_centered", bias)


def extreme_sums(q, lo, hi, bias):
    """(smallest, largest) partial sum (C,) seen while adding up the worst-case products, bias first and bias last."""
    highest = np.cumsum(q * np.where(q > 0, hi, lo), axis=0)
    lowest = np.cumsum(q * np.where(q > 0, lo, hi), axis=0)
    sums = np.concatenate([highest, highest + bias, lowest, lowest + bias, [bias, 0 * bias]])
    return sums.min(axis=0), sums.max(axis=0)


def wraps(sums, bits):
    """Whether two's complement accumulators of `bits` bits hold something else than `sums`."""
    half = 1 << (bits - 1)
    return ((sums + half) & (2 * half - 1)) - half != sums


def certified_bits(setting, q, bias) -> np.ndarray:
    """The widths (C,) by a certificate of a layer of these codes; by the bound where the range is of no format."""
    if setting.format is None:
        return bounds.min_acc_bits(q, setting.lo, setting.hi, bias)
    dense = Dense("fc", "x", q, bias, FixedPoint(setting.weight_bits, 0, signed=True), setting.acc_bits)
    program = IntegerProgram("net", (Input("x", (setting.k,), setting.format),), (dense,), ("fc",))
    certificate = certify(program, setting.acc_bits)
    assert certificate.ok
    return certificate["fc"].needed_bits


def check_batch(setting: Setting, rng):
    bias = draw_bias(setting.acc_bits, rng)
    q = draw_codes(setting, bias, rng)
    assert np.abs(q).max() <= 2 ** (setting.weight_bits - 1) - 1
    least, most = extreme_sums(q, setting.lo, setting.hi, bias)
    assert not (wraps(least, setting.acc_bits) | wraps(most, setting.acc_bits)).any(), setting
    bits = certified_bits(setting, q, bias)
    assert not (wraps(least, bits) | wraps(most, bits)).any(), setting
    tight = wraps(least, np.maximum(bits - 1, 1)) | wraps(most, np.maximum(bits - 1, 1))
    assert (tight | (bits == 1)).all(), setting
    # any input in any order stays inside, too
    x = rng.integers(setting.lo, setting.hi + 1, setting.k)
    sums = np.cumsum((q * x[:, None])[rng.permutation(setting.k)], axis=0) + bias
    assert not wraps(sums, setting.acc_bits).any(), setting


@pytest.mark.parametrize("method", METHODS)
def test_no_channel_overflows_and_no_bit_is_wasted(method):
    rng = np.random.default_rng([METHODS.index(method), 2026])
    for _ in range(-(-CHANNELS // (BATCH * len(METHODS)))):
        check_batch(draw_setting(method, rng), rng)


def draw_layer(rng):
    """(a layer to quantize, the format of its inputs, their fraction bits): dependent, dead and rare inputs, too."""
    k, channels, frac = int(rng.integers(1, 40)), int(rng.integers(1, 5)), int(rng.integers(-1, 5))
    format = FixedPoint(int(rng.integers(2, 9)), frac, bool(rng.integers(2)), symmetric=True)
    x = rng.normal(size=(60, 8)) @ rng.normal(size=(8, k)) * rng.choice([0, 0.1, 1, 4], k) * format.hi * format.step / 6
    w, moments = rng.normal(0, np.exp(rng.normal(0, 2)), (k, channels)), Moments(k, channels)
    moments.add(format.values(format.quantize(x)), x, x @ w)
    bias = None if rng.integers(3) == 0 else rng.normal(0, 0.3, channels) * np.abs(w).max()
    return Group(w, bias, moments), format, frac


def sums_by_stages(codes, x, bias, tile):
    """All partial sums of inner accumulators (n, C) and of outer ones, for inputs x (K, C); without tiles all are
    those of one accumulator, which has the bias first or last."""
    if tile is None:
        sums = np.cumsum(codes * x, axis=0)
        return np.concatenate([sums, sums + bias, [bias]]), None
    parts = [np.cumsum((codes * x)[i : i + tile], axis=0) for i in range(0, len(codes), tile)]
    outer = np.cumsum([part[-1] for part in parts], axis=0)
    return np.concatenate(parts), np.concatenate([outer, outer + bias, [bias]])


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("method", POST_TRAINING)
def test_post_training_overflows_neither_inner_nor_outer_accumulators(method, budget):
    rng = np.random.default_rng([POST_TRAINING.index(method), BUDGETS.index(budget), 6])
    for tile in [None, *rng.integers(1, 20, 30).tolist()] * 5:
        group, format, frac = draw_layer(rng)
        target = Target(int(rng.integers(4, 18)), int(rng.integers(2, 9)), format.lo, format.hi, tile)
        _, (found,) = fit([group], target, frac, Recipe(method, budget, correct_bias=bool(rng.integers(2))))
        check_layer(found.codes, found.bias, target, format)


def check_layer(codes, bias, target, format):
    """The extremes of every accumulator fit; the certificate grants just those bits, and one less would wrap."""
    dense = Dense("fc", "x", codes, bias, FixedPoint(target.weight_bits, 0, True), target.acc_bits, target.tile)
    program = IntegerProgram("net", (Input("x", (len(codes),), format),), (dense,), ("fc",))
    record = certify(program, target.acc_bits).raise_if_unsafe().verify()["fc"]
    extremes = [
        sums_by_stages(codes, np.where((codes > 0) == up, format.hi, format.lo), bias, target.tile) for up in (1, 0)
    ]
    for stage, bits in enumerate((record.needed_bits, record.outer_bits)):
        if bits is not None:
            sums = np.concatenate([extreme[stage] for extreme in extremes])
            assert not wraps(sums, bits).any() and not (stage == 0 and wraps(sums, target.acc_bits).any())
            assert (wraps(sums, np.maximum(bits - 1, 1)).any(axis=0) | (bits == 1)).all()


def test_wraps_is_what_two_s_complement_does():
    codes = np.arange(-40, 40)
    for bits in range(1, 8):
        inside = (codes >= -(2 ** (bits - 1))) & (codes < 2 ** (bits - 1))
        assert np.array_equal(wraps(codes, np.int64(bits)), ~inside)
