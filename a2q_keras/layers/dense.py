"""A2QDense: a dense layer whose accumulator cannot overflow."""

from __future__ import annotations

import keras
from keras import ops

from a2q_keras.layers.base import AccumulatorAware, Quantized, register
from a2q_keras.numerics.bounds import BIAS_SHARE
from a2q_keras.quantizers.serialize import get_activation


@register
class A2QDense(AccumulatorAware, keras.layers.Dense):
    """Keras' Dense with weights that fit an accumulator of `acc_bits` bits for any input.

    acc_bits: width of the accumulator, bias included; weight_bits: bits of a weight code, of which the symmetric range
    +-(2**(weight_bits-1) - 1) is used; method: "exact" (the exact condition), "a2q" (Colbert et al., ICCV 2023),
    "a2q+" (Colbert et al., ICML 2024) or "none" (no bound: the baseline); input_quantizer, bias_quantizer, activation:
    QKeras quantizers, as objects or strings; bias_share: how much of the accumulator a bias may take, from 0 to 1
    (`numerics.bounds.largest_bias`); tile: the products that an inner accumulator of `acc_bits` bits sums, whose sums
    and the bias are added in an outer one as wide as needed (`numerics.tiles`; not in hls4ml), None: one accumulator
    sums all.  The other arguments are those of keras.layers.Dense.

    Raises InputRangeError in a model where nothing before it says the range of its inputs.
    """

    def __init__(
        self,
        units,
        acc_bits=16,
        weight_bits=8,
        method="exact",
        activation=None,
        use_bias=True,
        input_quantizer=None,
        bias_quantizer=None,
        bias_share=BIAS_SHARE,
        tile=None,
        **kwargs,
    ):
        super().__init__(units, activation=get_activation(activation), use_bias=use_bias, **kwargs)
        self._set_up(acc_bits, weight_bits, method, input_quantizer, bias_quantizer, bias_share)
        self._set_tile(tile)

    def _linear(self, inputs, kernel):
        return ops.matmul(inputs, kernel)

    def _weighted_sums(self, inputs, quantized: Quantized):
        """The factor multiplies the sums, of which there are fewer than weights for its gradient to be summed of."""
        sums = self._linear(inputs, quantized.columns)
        return sums if quantized.factor is None else sums * quantized.factor
