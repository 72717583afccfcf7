"""A2QSeparableConv2D: a depthwise and a pointwise convolution, each with its own accumulator that cannot overflow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.base import AccumulatorAware, register
from a2q_keras.layers.conv import A2QConv2D, A2QDepthwiseConv2D
from a2q_keras.layers.inputs import with_input_format
from a2q_keras.numerics.bounds import BIAS_SHARE
from a2q_keras.quantizers.activations import format_of
from a2q_keras.quantizers.serialize import get_quantizer, serialize

SHARED = ("weight_bits", "method", "bias_quantizer", "bias_share", "tile")
DEPTHWISE = {"depth_multiplier": "depth_multiplier"} | {
    f"depthwise_{kind}": f"depthwise_{kind}" for kind in ("initializer", "regularizer", "constraint")
}
POINTWISE = {f"pointwise_{kind}": f"kernel_{kind}" for kind in ("initializer", "regularizer", "constraint")} | {
    f"bias_{kind}": f"bias_{kind}" for kind in ("initializer", "regularizer", "constraint")
}


@register
class A2QSeparableConv2D(keras.layers.Layer):
    """Keras' SeparableConv2D, with weights of both convolutions that fit accumulators of `acc_bits` bits.

    depthwise_activation: the QKeras quantizer between the two, called so in QKeras, too.  It is needed, because the
    pointwise convolution reads its codes.  depthwise_acc_bits: the width of the depthwise accumulators, by default
    acc_bits.  `layer.depthwise` and `layer.pointwise` are the two layers.  The bias is the pointwise one's.

    Raises ConfigurationError without a depthwise_activation.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        dilation_rate=(1, 1),
        acc_bits=16,
        weight_bits=8,
        method="exact",
        activation=None,
        use_bias=True,
        input_quantizer=None,
        bias_quantizer=None,
        bias_share=BIAS_SHARE,
        tile=None,
        depthwise_activation=None,
        depthwise_acc_bits=None,
        data_format=None,
        **kwargs,
    ):
        parts = [_take(kwargs, names) for names in (DEPTHWISE, POINTWISE)]
        super().__init__(**kwargs)
        self.depthwise_activation = get_quantizer(depthwise_activation, "depthwise_activation")
        shared = dict(zip(SHARED, (weight_bits, method, bias_quantizer, bias_share, tile)))
        shared |= {"data_format": data_format, "dtype": self.dtype_policy}
        self.depthwise = A2QDepthwiseConv2D(
            kernel_size,
            strides=strides,
            padding=padding,
            dilation_rate=dilation_rate,
            acc_bits=acc_bits if depthwise_acc_bits is None else depthwise_acc_bits,
            activation=self.depthwise_activation,
            use_bias=False,
            input_quantizer=input_quantizer,
            name=f"{self.name}_depthwise",
            **shared,
            **parts[0],
        )
        self.pointwise = A2QConv2D(
            filters,
            1,
            acc_bits=acc_bits,
            activation=activation,
            use_bias=use_bias,
            name=f"{self.name}_pointwise",
            **shared,
            **parts[1],
        )
        self.pointwise._input_format = self._between()

    def _between(self):
        if self.depthwise_activation is None:
            raise ConfigurationError(
                f"layer {self.name!r}: depthwise_activation is missing, so the pointwise convolution has no integer "
                'inputs; write for example depthwise_activation="quantized_bits(8, 3, alpha=1)"'
            )
        return format_of(self.depthwise_activation, f"layer {self.name!r}")

    def __call__(self, inputs, *args, **kwargs):
        self.depthwise._read_input_format(inputs)
        return super().__call__(inputs, *args, **kwargs)

    @property
    def activation(self):
        """What the pointwise convolution ends in."""
        return self.pointwise.activation

    @property
    def weight_bits(self) -> int:
        """Bits of a weight code in both convolutions."""
        return self.pointwise.weight_bits

    @property
    def method(self) -> str:
        """How both convolutions are kept within their accumulators."""
        return self.pointwise.method

    @property
    def acc_bits(self) -> int:
        """The width of the pointwise accumulators; those of the depthwise convolution are `depthwise.acc_bits`."""
        return self.pointwise.acc_bits

    @acc_bits.setter
    def acc_bits(self, acc_bits):
        self.depthwise.acc_bits = self.pointwise.acc_bits = acc_bits

    def build(self, input_shape):
        self.depthwise.build(input_shape)
        self.pointwise.build(self.depthwise.compute_output_shape(input_shape))

    def get_build_config(self):
        return with_input_format(super().get_build_config(), self.depthwise)

    def build_from_config(self, config):
        self.depthwise._restore_input_format(config)
        super().build_from_config(config)

    def call(self, inputs, training=None):
        return self.pointwise(self.depthwise(inputs, training=training), training=training)

    def compute_output_shape(self, input_shape):
        return self.pointwise.compute_output_shape(self.depthwise.compute_output_shape(input_shape))

    def set_float_weights(self, depthwise_kernel, pointwise_kernel, bias=None):
        """Start from the weights of a float SeparableConv2D: take them over and fit the scales to them."""
        self.depthwise.set_float_weights(depthwise_kernel)
        self.pointwise.set_float_weights(pointwise_kernel, bias)

    def get_config(self):
        depthwise, pointwise = self.depthwise.get_config(), self.pointwise.get_config()
        shared = ("kernel_size", "strides", "padding", "dilation_rate", "input_quantizer", "data_format")
        own = {key: depthwise[key] for key in shared}
        own |= {key: pointwise[key] for key in ("filters", "acc_bits", "activation", "use_bias", *SHARED)}
        own |= {key: depthwise[name] for key, name in DEPTHWISE.items()}
        own |= {key: pointwise[name] for key, name in POINTWISE.items()}
        between = {"depthwise_activation": serialize(self.depthwise_activation)}
        return super().get_config() | own | between | {"depthwise_acc_bits": self.depthwise.acc_bits}

    def get_quantization_config(self):
        """What QKeras' print_qstats and friends show."""
        shown = self.pointwise.get_quantization_config()
        shown["input_quantizer"] = str(self.depthwise.input_quantizer)
        return shown | {"depthwise_activation": str(self.depthwise_activation)}


def accumulator_parts(layer) -> list[AccumulatorAware]:
    """The accumulator-aware layers in a layer, in the order of computation: itself, two, or none."""
    parts = [layer.depthwise, layer.pointwise] if isinstance(layer, A2QSeparableConv2D) else [layer]
    return [part for part in parts if isinstance(part, AccumulatorAware)]


def accumulator_layers(model) -> list[AccumulatorAware]:
    """The accumulator-aware layers of a model, those inside separable convolutions and models inside it included."""
    return [part for _, part in accumulator_places(model)]


def accumulator_places(model) -> Iterator[tuple[Any, AccumulatorAware]]:
    """(the layer of the model, the accumulator-aware layer that it is or holds) for all of `accumulator_layers`."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from accumulator_places(layer)
        else:
            yield from ((layer, part) for part in accumulator_parts(layer))


def _take(kwargs, names) -> dict:
    return {own: kwargs.pop(key) for key, own in names.items() if key in kwargs}
