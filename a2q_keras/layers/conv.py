"""Convolutions whose accumulators cannot overflow: one accumulator per output channel, bias included.

The arguments beyond Keras' own are those of `A2QDense`.  Only data_format "channels_last" is supported.  In A2QConv1D
and A2QConv2D of method "exact" `kernel` is a direction, whose norm trains beside it: see `layers.weight_norm`.
"""

from __future__ import annotations

from math import prod

import keras
from keras import ops

from a2q_keras.layers.base import AccumulatorAware, register
from a2q_keras.layers.weight_norm import WeightNorm
from a2q_keras.numerics.bounds import BIAS_SHARE
from a2q_keras.quantizers.serialize import get_activation


class _Conv(AccumulatorAware):
    """What the convolutions share."""

    def _linear(self, inputs, kernel):
        return ops.conv(
            inputs, kernel, strides=list(self.strides), padding=self.padding, dilation_rate=self.dilation_rate
        )


@register
class A2QConv1D(WeightNorm, _Conv, keras.layers.Conv1D):
    """Keras' Conv1D, padding "causal" included, with weights that fit an accumulator of `acc_bits` bits."""

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        acc_bits=16,
        weight_bits=8,
        method="exact",
        activation=None,
        input_quantizer=None,
        bias_quantizer=None,
        bias_share=BIAS_SHARE,
        tile=None,
        **kwargs,
    ):
        super().__init__(filters, kernel_size, strides, padding, activation=get_activation(activation), **kwargs)
        self._set_up(acc_bits, weight_bits, method, input_quantizer, bias_quantizer, bias_share)
        self._set_tile(tile)

    def _linear(self, inputs, kernel):
        if self.padding != "causal":
            return super()._linear(inputs, kernel)
        inputs = ops.pad(inputs, [[0, 0], [self.dilation_rate[0] * (self.kernel_size[0] - 1), 0], [0, 0]])
        return ops.conv(inputs, kernel, strides=list(self.strides), dilation_rate=self.dilation_rate)


@register
class A2QConv2D(WeightNorm, _Conv, keras.layers.Conv2D):
    """Keras' Conv2D with weights that fit an accumulator of `acc_bits` bits."""

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        acc_bits=16,
        weight_bits=8,
        method="exact",
        activation=None,
        input_quantizer=None,
        bias_quantizer=None,
        bias_share=BIAS_SHARE,
        tile=None,
        **kwargs,
    ):
        super().__init__(filters, kernel_size, strides, padding, activation=get_activation(activation), **kwargs)
        self._set_up(acc_bits, weight_bits, method, input_quantizer, bias_quantizer, bias_share)
        self._set_tile(tile)


class _DepthwiseConv(AccumulatorAware):
    """What the depthwise convolutions share: channel c of the inputs feeds the accumulators c*m to c*m + m - 1."""

    @property
    def _channels(self) -> int:
        return prod(self.kernel.shape[-2:])

    def _linear(self, inputs, kernel):
        return ops.depthwise_conv(
            inputs, kernel, strides=self.strides, padding=self.padding, dilation_rate=self.dilation_rate
        )


@register
class A2QDepthwiseConv1D(_DepthwiseConv, keras.layers.DepthwiseConv1D):
    """Keras' DepthwiseConv1D with weights that fit an accumulator of `acc_bits` bits."""

    def __init__(
        self,
        kernel_size,
        strides=1,
        padding="valid",
        acc_bits=16,
        weight_bits=8,
        method="exact",
        activation=None,
        input_quantizer=None,
        bias_quantizer=None,
        bias_share=BIAS_SHARE,
        tile=None,
        **kwargs,
    ):
        super().__init__(kernel_size, strides, padding, activation=get_activation(activation), **kwargs)
        self._set_up(acc_bits, weight_bits, method, input_quantizer, bias_quantizer, bias_share)
        self._set_tile(tile)


@register
class A2QDepthwiseConv2D(_DepthwiseConv, keras.layers.DepthwiseConv2D):
    """Keras' DepthwiseConv2D with weights that fit an accumulator of `acc_bits` bits."""

    def __init__(
        self,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        acc_bits=16,
        weight_bits=8,
        method="exact",
        activation=None,
        input_quantizer=None,
        bias_quantizer=None,
        bias_share=BIAS_SHARE,
        tile=None,
        **kwargs,
    ):
        super().__init__(kernel_size, strides, padding, activation=get_activation(activation), **kwargs)
        self._set_up(acc_bits, weight_bits, method, input_quantizer, bias_quantizer, bias_share)
        self._set_tile(tile)
