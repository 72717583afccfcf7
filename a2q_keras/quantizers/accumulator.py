"""What a layer's weights must fit, and how many units of weight fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from a2q_keras.numerics import bounds, tiles
from a2q_keras.numerics.formats import FixedPoint

COUNTABLE_BITS = 24  # whole numbers below 2**24 are exact in float32
BIAS_BITS = 62
INT32_BITS = 31


@dataclass(frozen=True)
class Accumulator:
    """What a layer's weights must fit: the accumulator, the weight codes and the codes of the inputs.

    live_step: the value of input code 1 as a tensor, where it trains and `input.frac` is only what it was.
    bias_share: of the units of weight that fit, for the bias.  tile: products of an inner accumulator
    (`numerics.tiles`); acc_bits is then that of each of these, and the bias has an outer one.
    """

    acc_bits: int
    weight_bits: int
    input: FixedPoint
    live_step: Any = None
    bias_share: float = bounds.BIAS_SHARE
    tile: int | None = None

    @property
    def input_step(self):
        """The value of input code 1, a power of two."""
        return self.input.step if self.live_step is None else self.live_step

    @property
    def qmax(self) -> float:
        """The largest weight code, +-(2**(M-1) - 1)."""
        return float(2 ** (self.weight_bits - 1) - 1)

    @property
    def grain_log2(self) -> int:
        """Sums are counted in int32, in units of 2**grain_log2: 1 up to 31 bits, more in wider accumulators."""
        return max(self.acc_bits - INT32_BITS, 0)

    @property
    def most(self) -> int:
        """The largest sum, 2**(P-1) - 1, counted in whole units."""
        return 2 ** (self.acc_bits - self.grain_log2 - 1) - 1

    @property
    def lo(self) -> int:
        """The smallest input code, counted in units, away from zero."""
        return -in_units(-self.input.lo, self)

    @property
    def hi(self) -> int:
        """The largest input code, counted in units, away from zero."""
        return in_units(self.input.hi, self)

    def holds_all(self, k: int, largest: int) -> bool:
        """Whether any k codes fit with inputs up to `largest` and any bias that training gives, and are too many, or
        the accumulator too wide, to be counted one by one: then nothing is projected."""
        terms, bias = (k, bias_limit(self)) if self.tile is None else (min(k, self.tile), 0)
        units = terms * int(self.qmax)
        fits = units * largest + bias < 2 ** (self.acc_bits - 1)
        return fits and (self.grain_log2 > 0 or units > 2**COUNTABLE_BITS)


def in_units(magnitude: int, spec: Accumulator) -> int:
    """A magnitude in units of 2**grain_log2, rounded up."""
    return -(-magnitude >> spec.grain_log2)


def bias_units(magnitude, spec: Accumulator):
    """The int32 tensor of magnitudes of bias codes in units of 2**grain_log2, rounded up."""
    if spec.grain_log2:
        magnitude = ops.ceil(magnitude * 2.0**-spec.grain_log2)
    return ops.cast(magnitude, "int32")


def bias_codes(bias, scale, spec: Accumulator):
    """float32 codes (C,) of `bias` on the accumulator's grid, ties to even, saturated to `bias_limit`."""
    limit = float(bias_limit(spec))
    return ops.clip(ops.round(bias / (scale * spec.input_step)), -limit, limit)


def bias_limit(spec: Accumulator) -> int:
    """The largest bias code that training gives: `bounds.largest_bias`, of 62 bits at most; any with tiles.

    Beyond 24 bits a float32 is a whole number, but not every whole number is one: then the next one below that is.
    """
    if spec.tile is None:
        limit = bounds.largest_bias(min(spec.acc_bits, BIAS_BITS), spec.input.lo, spec.input.hi, spec.bias_share)
    else:
        limit = 2 ** (tiles.BIAS_BITS - 1) - 1
    grid = 2 ** max(limit.bit_length() - COUNTABLE_BITS, 0)
    return limit // grid * grid


def apart(columns, bias, spec: Accumulator):
    """(columns, bias codes) with a column for every inner accumulator, none of which has a bias.

    (K, C) -> (T, tiles * C), the twin of `numerics.tiles.apart`; without tiles columns and bias as they are.
    """
    if spec.tile is None:
        return columns, bias
    k, channels = columns.shape
    count = tiles.count(k, spec.tile)
    filled = ops.pad(columns, [[0, count * spec.tile - k], [0, 0]])
    split = ops.transpose(ops.reshape(filled, (count, spec.tile, channels)), (1, 0, 2))
    return ops.reshape(split, (spec.tile, count * channels)), ops.zeros((count * channels,))


def together(columns, k: int, spec: Accumulator):
    """The inverse of `apart`: (T, tiles * C) -> (k, C)."""
    if spec.tile is None:
        return columns
    split = ops.transpose(ops.reshape(columns, (spec.tile, tiles.count(k, spec.tile), -1)), (1, 0, 2))
    return ops.reshape(split, (-1, split.shape[-1]))[:k]


def headroom(bias, spec: Accumulator):
    """What the bias codes (C,) leave of the accumulator above and below zero, in int32 units so that nothing rounds."""
    above, below = (bias_units(ops.relu(side), spec) for side in (bias, -bias))
    return spec.most - above, spec.most - below + (spec.acc_bits < INT32_BITS)


def l1_budgets(bias, spec: Accumulator, zero_centered):
    """The A2Q bounds in units: float32 (1, C), both signs together; zero-centred (2, C), above and below zero."""
    left = ops.maximum(spec.most - bias_units(ops.abs(bias), spec), 0)
    largest = in_units(largest_input(spec, zero_centered), spec)
    return units_of_weight(ops.stack([left, left]) if zero_centered else left[None], largest)


def largest_input(spec: Accumulator, zero_centered) -> int:
    """What the A2Q bounds take an input code for: 2**(N - signed), zero-centred 2**N - 1."""
    return 2**spec.input.bits - 1 if zero_centered else 2 ** (spec.input.bits - spec.input.signed)


def units_of_weight(left, largest):
    """How many units of weight on inputs up to `largest` fit what is left, as many as float32 counts: float32."""
    return ops.cast(ops.minimum(left // min(largest, 2**INT32_BITS - 1), 2**COUNTABLE_BITS), "float32")
