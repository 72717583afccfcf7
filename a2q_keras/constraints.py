"""AccumulatorBound: a Keras constraint that keeps a kernel where the layer's own rounded codes fit an accumulator."""

from __future__ import annotations

from math import prod

import keras
from keras import ops

from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.numerics import bounds
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers.accumulator import Accumulator
from a2q_keras.quantizers.activations import format_of
from a2q_keras.quantizers.exact import exact_codes, meet_exact_condition
from a2q_keras.quantizers.serialize import get_quantizer, serialize

INSIDE = 0.49  # of the half step around a code: what rounds to it, on every float32


@keras.saving.register_keras_serializable(package="a2q_keras")
class AccumulatorBound(keras.constraints.Constraint):
    """For `kernel_constraint` (`depthwise_constraint`): after it, the codes of every channel meet the exact condition.

    quantizer: the layer's kernel quantizer, a QKeras quantized_bits(bits, integer, alpha=1) as object or string; for a
    float layer the one it will get.  input_bits, input_signed: of the codes of the layer's inputs.  depthwise: the
    channels are the last two axes of the kernel.  The bias is not seen: `certify` checks it.

    A channel that meets the bound stays as it is.  Another moves to the nearest weights that round to its projected
    codes (`numerics.projection.project_codes`): w' = s clip(w / s, q - 0.49, q + 0.49).

    Raises UnsupportedLayerError for a quantizer without power-of-two grid.
    """

    def __init__(
        self, acc_bits=16, quantizer="quantized_bits(8,0,alpha=1)", input_bits=8, input_signed=False, depthwise=False
    ):
        self.acc_bits = bounds.check_bits("acc_bits", acc_bits, 2, bounds.MAX_ACC_BITS)
        self.input_bits = bounds.check_bits("input_bits", input_bits, 1, 32)
        self.input_signed, self.depthwise = bool(input_signed), bool(depthwise)
        self.quantizer = get_quantizer(quantizer, "quantizer")
        self.format = format_of(self.quantizer, "AccumulatorBound")
        if not self.format.signed or self.format.bits > 16:
            raise UnsupportedLayerError(
                f"AccumulatorBound: weights of {self.format} are not supported; give quantized_bits(bits, integer, "
                "alpha=1) with 2 to 16 bits and a sign"
            )

    def __call__(self, kernel):
        channels = prod(kernel.shape[-2:]) if self.depthwise else kernel.shape[-1]
        u = ops.reshape(kernel, (-1, channels)) / self.format.step
        spec = Accumulator(self.acc_bits, self.format.bits, FixedPoint(self.input_bits, 0, self.input_signed))
        bias = ops.zeros((channels,))
        codes = exact_codes(u, bias, spec)
        near = ops.clip(u, codes - INSIDE, codes + INSIDE)
        own = ops.clip(ops.round(u), float(self.format.lo), float(self.format.hi))
        moved = ops.where(meet_exact_condition(own, bias, spec), u, near)
        return ops.reshape(moved * self.format.step, kernel.shape)

    def get_config(self):
        return {
            "acc_bits": self.acc_bits,
            "quantizer": serialize(self.quantizer),
            "input_bits": self.input_bits,
            "input_signed": self.input_signed,
            "depthwise": self.depthwise,
        }
