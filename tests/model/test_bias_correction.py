"""Bias correction: after it, every channel has the float model's mean output, as far as a code reaches."""

import keras
import numpy as np
import pytest
from keras import layers as L

import a2q_keras as a2q
from a2q_keras.errors import ConfigurationError
from a2q_keras.model.bias_correction import correct_bias

IMAGES = np.random.default_rng(0).random((96, 8, 8, 2)).astype(np.float32)
BITS = {"acc_bits": 12, "weight_bits": 3, "act_bits": 4}


def settled(layer, x):
    """The outputs of a batch norm with statistics of its own."""
    y = layer(x)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.5, 1.5, part.shape) for part in layer.get_weights()])
    return y


@pytest.fixture(scope="module")
def model():
    """Every kind of layer that is corrected, a sum, and a convolution without bias."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 2), name="image")
    x = L.Conv2D(4, 3, padding="same", activation="relu", name="conv")(image)
    y = L.ReLU()(settled(L.BatchNormalization(), L.DepthwiseConv2D(3, padding="same", name="depthwise")(x)))
    x = L.ReLU(name="sum_relu")(L.Add()([x, y]))
    x = L.Conv2D(4, 1, use_bias=False, name="unbiased")(x)
    x = L.SeparableConv2D(3, 3, name="separable", activation="relu")(x)
    return keras.Model(image, L.Dense(5, name="head")(L.Flatten()(x)))


def mean_outputs(model, name):
    """Mean of what a layer without activation of its own computes, per channel."""
    inner = keras.Model(model.inputs, model.get_layer(name).output)
    return inner.predict(IMAGES, verbose=0).reshape(-1, inner.output_shape[-1]).mean(axis=0)


def test_mean_outputs_are_the_float_models(model):
    ours = a2q.convert(model, data=IMAGES, **BITS)
    before = ours.predict(IMAGES, verbose=0)
    shifts = correct_bias(ours, model, IMAGES)
    assert set(shifts) == {"conv", "depthwise", "separable", "head"} and min(shifts.values()) > 0
    wanted = mean_outputs(model, "head")
    # float means by nature: less than the biases' own step, and far below what it was
    assert np.abs(mean_outputs(ours, "head") - wanted).max() < 0.02 < np.abs(before.mean(axis=0) - wanted).max()
    assert a2q.certify(ours, 12).ok
    assert np.array_equal(a2q.integer_model(ours).run(IMAGES), ours.predict(IMAGES, verbose=0))


def test_convert_corrects_when_asked(model):
    ours = a2q.convert(model, data=iter([IMAGES[:50], IMAGES[50:]]), bias_correction=True, **BITS)
    by_hand = a2q.convert(model, data=IMAGES, **BITS)
    correct_bias(by_hand, model, IMAGES)
    assert all(np.array_equal(*pair) for pair in zip(ours.get_weights(), by_hand.get_weights()))
    with pytest.raises(ConfigurationError, match="bias_correction needs data=, about a hundred inputs"):
        a2q.convert(model, bias_correction=True)


def test_a_layer_with_its_own_batch_norm_takes_it_into_beta():
    keras.utils.set_random_seed(0)
    x = keras.Input((6,))
    dense = L.Dense(3, name="dense")
    float_model = keras.Model(x, settled(L.BatchNormalization(name="norm"), dense(x)))
    layer = a2q.A2QDenseBatchnorm(
        3, acc_bits=14, weight_bits=6, input_quantizer="quantized_bits(4,1,alpha=1)", name="dense"
    )
    ours, data = keras.Sequential([keras.Input((6,)), layer]), np.random.default_rng(0).normal(0, 1, (200, 6))
    layer.set_float_weights(*dense.get_weights(), *float_model.get_layer("norm").get_weights())
    bias = np.array(layer.bias)
    correct_bias(ours, float_model, data)
    wanted, got = (made.predict(data, verbose=0).mean(axis=0) for made in (float_model, ours))
    assert np.abs(wanted - got).max() < 0.02 and np.array_equal(bias, layer.bias)


def test_data_that_are_no_numbers_leave_the_biases_alone(model):
    ours = a2q.convert(model, data=IMAGES, **BITS)
    before, data = ours.get_weights(), IMAGES.copy()
    data[0, 0, 0, 0] = np.nan
    with pytest.raises(ConfigurationError, match="makes NaN or infinity on the calibration data"):
        correct_bias(ours, model, data)
    assert all(np.array_equal(*pair) for pair in zip(before, ours.get_weights()))
