"""A2QActivation: a fixed-point quantizer of activations whose power-of-two exponent trains."""

from __future__ import annotations

from math import prod

import keras
from keras import ops

from a2q_keras.layers.base import refuse_inexact, register
from a2q_keras.numerics import bounds
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers.pow2 import exp2, whole_exponent
from a2q_keras.quantizers.ste import straight_through


@register
class A2QActivation(keras.layers.Layer):
    """Activations rounded to `bits` bits, ties to even, saturated; the number of integer bits trains.

    q(x) = s * clip(round(x / s), lo, hi) with s = 2**(integer - bits + signed); the gradient of `integer` is that of
    learned step size quantization (Esser et al., ICLR 2020, section 2), straight through the rounding of the exponent.

    bits: of a code (1 to 16; 2 or more with signed); integer: QKeras' integer bits at the start of training (see
    `model.calibrate.integer_bits`); signed: codes from -2**(bits-1), else from 0, which makes it a ReLU.
    An accumulator-aware layer behind it, also through layers that only move or average values, follows its exponent.

    Raises ConfigurationError for bits, integer and a dtype that are not allowed.
    """

    def __init__(self, bits=8, integer=2, signed=False, **kwargs):
        super().__init__(**kwargs)
        refuse_inexact(self)
        self.bits = bounds.check_bits("bits", bits, 1 + bool(signed), 16)
        self.initial_integer = bounds.check_bits("integer", integer, -32, 32)
        self.signed = bool(signed)

    def build(self, input_shape):
        self.integer = self.add_weight(
            name="integer", shape=(), initializer=keras.initializers.Constant(self.initial_integer), autocast=False
        )

    @property
    def learned_format(self) -> FixedPoint:
        """The format of the codes now."""
        integer = whole_exponent(ops.convert_to_numpy(self.integer)) if self.built else self.initial_integer
        return FixedPoint(self.bits, self.bits - self.signed - integer, self.signed)

    @property
    def step(self):
        """The value of code 1, a float32 scalar."""
        return self._step(self.integer)

    def _step(self, integer):
        return exp2(integer) * 2.0 ** (self.signed - self.bits)  # `integer` is rounded alone, as in `learned_format`

    def call(self, inputs):
        lo, hi = self.format_limits
        share = max(prod(size or 1 for size in inputs.shape[1:]) * hi, 1.0) ** -0.5
        slow = self.integer * share
        step = self._step(straight_through(self.integer, slow))  # the gradient of many activations at once, scaled down
        u = ops.clip(inputs / step, lo, hi)
        return straight_through(ops.round(u), u) * step

    @property
    def format_limits(self) -> tuple[float, float]:
        """The least and the largest code."""
        format = FixedPoint(self.bits, 0, self.signed)
        return float(format.lo), float(format.hi)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"bits": self.bits, "integer": self.initial_integer, "signed": self.signed}
