import keras
import numpy as np
import pytest
import qkeras
from keras import layers

from a2q_keras.model.fold import float_weights

CASES = {
    "dense": (lambda: layers.Dense(4), (3,)),
    "dense without bias": (lambda: layers.Dense(4, use_bias=False), (3,)),
    "conv2d": (lambda: layers.Conv2D(4, 3), (5, 5, 2)),
    "depthwise with multiplier": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (5, 5, 2)),
    "separable": (lambda: layers.SeparableConv2D(4, 3), (5, 5, 2)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("gamma_and_beta", [True, False])
def test_the_folded_layer_computes_what_layer_and_batch_norm_compute(case, gamma_and_beta):
    keras.utils.set_random_seed(0)
    make, shape = CASES[case]
    layer = make()
    norm = layers.BatchNormalization(center=gamma_and_beta, scale=gamma_and_beta)
    model = keras.Sequential([keras.Input(shape), layer, norm])
    rng = np.random.default_rng(1)
    norm.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in norm.get_weights()])
    *kernels, bias = float_weights(layer, norm)
    twin = type(layer).from_config(layer.get_config() | {"use_bias": True})
    twin.build((None, *shape))
    twin.set_weights([*kernels, bias])
    x = rng.normal(size=(8, *shape)).astype(np.float32)
    # the same numbers multiplied in another order: float32 rounds differently
    np.testing.assert_allclose(twin(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_batch_norm_behind_a_layer_with_one_of_its_own_is_folded_too():
    keras.utils.set_random_seed(0)
    layer, norm = qkeras.QDenseBatchnorm(4), layers.BatchNormalization()
    model = keras.Sequential([keras.Input((3,)), layer, norm])
    rng = np.random.default_rng(1)
    norm.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in norm.get_weights()])
    kernel, bias = float_weights(layer, norm)
    x = rng.normal(size=(8, 3)).astype(np.float32)
    np.testing.assert_allclose(x @ kernel + bias, model(x), rtol=1e-4, atol=1e-5)  # floats, as above


def test_without_batch_norm_the_weights_are_the_layers_own():
    layer = layers.Dense(4, use_bias=False)
    layer.build((None, 3))
    kernel, bias = float_weights(layer)
    assert np.array_equal(kernel, layer.get_weights()[0]) and bias is None
