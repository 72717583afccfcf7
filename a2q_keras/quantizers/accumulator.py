"""What a layer's weights must fit, and how many units of weight fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

from a2q_keras.numerics import bounds, tiles
from a2q_keras.numerics.formats import FixedPoint

COUNTABLE_BITS = 24  # whole numbers below 2**24 are exact in float32
BIAS_BITS = 30
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
    def most(self) -> int:
        """The largest sum that is counted with in int32, 2**(P-1) - 1 where that fits."""
        return 2 ** (min(self.acc_bits, INT32_BITS) - 1) - 1


def bias_codes(bias, scale, spec: Accumulator):
    """float32 codes (C,) of `bias` on the accumulator's grid, ties to even, saturated to `bias_limit`."""
    limit = float(bias_limit(spec))
    return ops.clip(ops.round(bias / (scale * spec.input_step)), -limit, limit)


def bias_limit(spec: Accumulator) -> int:
    """The largest bias code that training gives: `bounds.largest_bias`, of 30 bits at most; any with tiles.

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
    """What the bias codes (C,) leave of the accumulator above and below zero, int32 so that nothing rounds."""
    bias = ops.cast(bias, "int32")
    return spec.most - ops.maximum(bias, 0), ops.minimum(bias, 0) + spec.most + (spec.acc_bits < INT32_BITS)


def l1_budgets(bias, spec: Accumulator, zero_centered):
    """The A2Q bounds in units: float32 (1, C), both signs together; zero-centred (2, C), above and below zero."""
    left = ops.maximum(spec.most - ops.abs(ops.cast(bias, "int32")), 0)
    if zero_centered:
        return whole_units(ops.stack([left, left]), 2**spec.input.bits - 1)
    return whole_units(left[None], 2 ** (spec.input.bits - spec.input.signed))


def whole_units(left, largest):
    return ops.cast(ops.minimum(left // min(largest, 2**INT32_BITS - 1), 2**COUNTABLE_BITS), "float32")
