"""Convolutions: the battery, and their arguments against Keras' own layers."""

import keras
import numpy as np
import pytest
from qkeras import QActivation

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.conv import A2QConv1D, A2QConv2D, A2QDepthwiseConv1D, A2QDepthwiseConv2D
from tests.layers.battery import Battery


class TestA2QConv1D(Battery):
    shape = (7, 3)

    def make(self, **arguments):
        return A2QConv1D(3, 3, padding="causal", dilation_rate=2, **arguments)


class TestA2QConv2D(Battery):
    shape = (6, 5, 2)

    def make(self, **arguments):
        return A2QConv2D(3, (3, 2), strides=(1, 2), padding="same", **arguments)


class TestGroupedA2QConv2D(Battery):
    shape = (4, 4, 4)

    def make(self, **arguments):
        return A2QConv2D(6, 3, groups=2, use_bias=False, **arguments)


class TestA2QDepthwiseConv1D(Battery):
    shape = (7, 2)

    def make(self, **arguments):
        return A2QDepthwiseConv1D(3, padding="same", **arguments)


class TestA2QDepthwiseConv2D(Battery):
    shape = (5, 5, 2)

    def make(self, **arguments):
        return A2QDepthwiseConv2D(3, depth_multiplier=2, **arguments)


def wide(layer, shape):
    """The layer behind a quantizer, with so many bits that each weight is its nearest code."""
    return keras.Sequential([keras.Input(shape), QActivation("quantized_relu(4,1)"), layer])


@pytest.mark.parametrize(
    "make, ours, shape, arguments",
    [
        (keras.layers.Conv1D, A2QConv1D, (9, 4), {"filters": 6, "kernel_size": 3, "padding": "causal"}),
        (keras.layers.Conv1D, A2QConv1D, (9, 4), {"filters": 6, "kernel_size": 3, "strides": 2, "groups": 2}),
        (keras.layers.Conv2D, A2QConv2D, (8, 9, 3), {"filters": 4, "kernel_size": (3, 2), "padding": "same"}),
        (keras.layers.Conv2D, A2QConv2D, (8, 9, 3), {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}),
        (keras.layers.Conv2D, A2QConv2D, (8, 9, 3), {"filters": 4, "kernel_size": 3, "dilation_rate": 2}),
        (keras.layers.DepthwiseConv2D, A2QDepthwiseConv2D, (8, 8, 3), {"kernel_size": 3, "depth_multiplier": 2}),
        (keras.layers.DepthwiseConv2D, A2QDepthwiseConv2D, (8, 8, 3), {"kernel_size": 3, "strides": 2}),
        (keras.layers.DepthwiseConv1D, A2QDepthwiseConv1D, (8, 3), {"kernel_size": 3, "padding": "same"}),
    ],
)
def test_on_the_same_grid_the_outputs_are_those_of_keras(make, ours, shape, arguments):
    rng = np.random.default_rng(0)
    source, layer = make(**arguments), ours(**arguments, acc_bits=24, weight_bits=4)
    source.build((None, *shape))
    model = wide(layer, shape)
    weights = [rng.integers(-7, 8, part.shape).astype(np.float32) for part in source.get_weights()]
    source.set_weights(weights)
    layer.set_weights(weights)
    x = rng.integers(0, 16, (5, *shape)).astype(np.float32) / 8  # codes of the quantizer, so all sums are exact
    assert np.array_equal(model.predict(x, verbose=0), source(x))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: A2QConv2D(4, 3, data_format="channels_first"), "data_format='channels_first' is not supported; use"),
        (lambda: A2QConv2D(4, 3, lora_rank=2), "lora_rank=2 has no bound here; leave it out"),
        (lambda: A2QConv2D(4, 3).enable_lora(2), "lora of rank 2 has no bound here; train the kernel itself"),
        (lambda: A2QDepthwiseConv2D(3, acc_bits=1), "acc_bits=1 is not allowed"),
        (lambda: A2QConv1D(4, 3, method="best"), "method='best' is unknown"),
    ],
)
def test_bad_arguments_are_refused(make, words):
    with pytest.raises(ConfigurationError, match=words):
        make()
