"""A2QSeparableConv2D: the battery, and its two halves."""

import keras
import numpy as np
import pytest
from qkeras import QActivation

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.separable import A2QSeparableConv2D
from tests.layers.battery import Battery


class TestA2QSeparableConv2D(Battery):
    shape = (5, 5, 2)

    def make(self, **arguments):
        between = "quantized_bits(4,1,alpha=1)"
        return A2QSeparableConv2D(3, 3, depthwise_activation=between, depth_multiplier=2, **arguments)


def test_on_the_same_grid_the_outputs_are_those_of_keras():
    rng, shape = np.random.default_rng(0), (6, 6, 2)
    source = keras.layers.SeparableConv2D(3, 3, padding="same")
    source.build((None, *shape))
    layer = A2QSeparableConv2D(
        3, 3, padding="same", acc_bits=24, weight_bits=4, depthwise_activation="quantized_bits(12,11,alpha=1)"
    )
    model = keras.Sequential([keras.Input(shape), QActivation("quantized_relu(4,4)"), layer])
    weights = [rng.integers(-7, 8, part.shape).astype(np.float32) for part in source.get_weights()]
    source.set_weights(weights)
    layer.set_float_weights(*weights)
    x = rng.integers(0, 16, (5, *shape)).astype(np.float32)  # whole numbers everywhere, so all sums are exact
    assert np.array_equal(model.predict(x, verbose=0), source(x))


def test_each_half_has_its_width():
    layer = A2QSeparableConv2D(
        3, 3, acc_bits=12, depthwise_acc_bits=10, depthwise_activation="quantized_relu(4,2)", name="s"
    )
    assert (layer.depthwise.acc_bits, layer.pointwise.acc_bits) == (10, 12)
    assert str(layer.pointwise.input_format) == "ufixed<4,2>"


def test_the_quantizer_between_is_needed():
    with pytest.raises(ConfigurationError, match="layer 's': depthwise_activation is missing.*write for example"):
        A2QSeparableConv2D(3, 3, name="s")
