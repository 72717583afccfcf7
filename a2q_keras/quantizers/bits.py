"""a2q_bits: a kernel quantizer for the layers of QKeras, whose codes fit an accumulator."""

from __future__ import annotations

from math import prod

import keras
import qkeras
from keras import ops
from qkeras.base_quantizer import BaseQuantizer

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics import bounds
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers import weights
from a2q_keras.quantizers.pow2 import LEAST, POWERS, exp2, whole_exponent

LEAST_NORM = 2.0**-60


@keras.saving.register_keras_serializable(package="a2q_keras")
class a2q_bits(BaseQuantizer):
    """Quantizes a kernel to codes whose sums with any inputs fit an accumulator; for QDense, QConv1D, QConv2D, ...

    As `kernel_quantizer=a2q_bits(4, acc_bits=12, input_bits=4)` or as a string of the same words; for a depthwise layer
    `depthwise_quantizer=a2q_bits(..., depthwise=True)`, because its channels are the last two axes of the kernel.

    weight_bits, acc_bits, method: as in `A2QDense`.  input_bits, input_signed: of the codes of the layer's inputs.
    scale_log2: the scale is 2**scale_log2; None takes the best one in every call (for the papers' methods the one that
    puts the largest weight on the largest code), which costs time: the A2Q layers keep theirs.

    The quantizer does not see the bias.  Give it one bit less than the accumulator has and any bias of that many bits
    fits; `certify` on the model then proves the sum.
    """

    def __init__(
        self,
        weight_bits=8,
        acc_bits=16,
        input_bits=8,
        input_signed=False,
        method="exact",
        scale_log2=None,
        depthwise=False,
    ):
        super().__init__()
        self.bits = self.weight_bits = bounds.check_bits("weight_bits", weight_bits, 2, 16)
        self.acc_bits = bounds.check_bits("acc_bits", acc_bits, 2, bounds.MAX_ACC_BITS)
        self.input_bits = bounds.check_bits("input_bits", input_bits, 1, 32)
        if method not in weights.METHODS:
            raise ConfigurationError(f"method={method!r} is unknown; allowed are {', '.join(weights.METHODS)}")
        self.method, self.input_signed, self.depthwise = method, bool(input_signed), bool(depthwise)
        self.scale_log2 = None if scale_log2 is None else bounds.check_bits("scale_log2", scale_log2, LEAST, -LEAST)
        # what QKeras asks of a quantizer
        self.alpha, self.keep_negative, self.symmetric, self.qnoise_factor = None, True, 1, 1.0

    @property
    def spec(self) -> weights.Accumulator:
        """What the codes must fit."""
        inputs = FixedPoint(self.input_bits, 0, self.input_signed)
        return weights.Accumulator(self.acc_bits, self.weight_bits, inputs)

    def __call__(self, kernel):
        columns = ops.reshape(kernel, (-1, self._channels(kernel)))
        scale, bias = exp2(self.exponent(columns)), ops.zeros((columns.shape[1],))
        if self.method == "exact":
            values = weights.exact(columns, scale, bias, self.spec)
        elif self.method == "none":
            values = weights.plain(columns, scale, self.spec)
        else:
            centred = self.method == "a2q+"
            v = columns - ops.mean(columns, axis=0) if centred else columns
            norm = ops.log2(ops.maximum(ops.sum(ops.abs(v), axis=0), LEAST_NORM))
            values = weights.a2q(columns, norm, scale, bias, self.spec, zero_centered=centred)
        return ops.reshape(values, kernel.shape)

    def _channels(self, kernel) -> int:
        return prod(kernel.shape[-2:]) if self.depthwise else kernel.shape[-1]

    def exponent(self, columns):
        """The log2 scale for weights (K, C), a float32 scalar."""
        if self.scale_log2 is not None:
            return ops.convert_to_tensor(float(self.scale_log2))
        columns = ops.stop_gradient(columns)
        least = _covering(ops.max(ops.abs(columns)) / self.spec.qmax)
        if self.method in weights.LEARNED_NORM:
            return least
        # the largest weight saturates at most twofold, and a tight bound wants coarser codes
        exponents = least + ops.arange(-1.0, self.weight_bits + 1.0)
        bias = ops.zeros((columns.shape[1],))
        errors = weights.scale_errors(columns, bias, exponents, self.method, self.spec)
        return ops.take(exponents, ops.argmin(errors))

    def format(self, kernel) -> FixedPoint:
        """Of the codes of a kernel."""
        columns = ops.reshape(ops.convert_to_tensor(kernel), (-1, self._channels(kernel)))
        return FixedPoint(self.bits, -whole_exponent(ops.convert_to_numpy(self.exponent(columns))), signed=True)

    def max(self):
        """The largest value, if the scale is fixed; else 1, as QKeras' quantizers with a scale of their own say."""
        return 1.0 if self.scale_log2 is None else self.spec.qmax * 2.0**self.scale_log2

    def min(self):
        """The smallest value; see `max`."""
        return -self.max()

    def get_config(self):
        return {
            "weight_bits": self.weight_bits,
            "acc_bits": self.acc_bits,
            "input_bits": self.input_bits,
            "input_signed": self.input_signed,
            "method": self.method,
            "scale_log2": self.scale_log2,
            "depthwise": self.depthwise,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __str__(self):
        default = a2q_bits().get_config()
        changed = [f"{key}={value!r}" for key, value in self.get_config().items() if value != default[key]]
        return f"a2q_bits({', '.join(changed)})"


def _covering(largest):
    """The smallest exponent e with 2**e >= largest, by comparisons, which are the same compiled and not."""
    return ops.cast(ops.sum(ops.cast(largest > ops.convert_to_tensor(POWERS), "int32")) + LEAST, "float32")


# QKeras looks the words of a quantizer string up in this module.
qkeras.quantizers.a2q_bits = a2q_bits
