"""Convolutions of method "exact", whose kernel is a direction: what is taken over, kept and loaded."""

import keras
import numpy as np
import pytest
from keras import ops
from qkeras import QActivation

import a2q_keras as a2q
from a2q_keras.errors import WeightError
from a2q_keras.layers.conv import A2QConv2D
from a2q_keras.layers.weight_norm import WeightNorm

X = np.random.default_rng(0).uniform(0, 2, (64, 5, 5, 2)).astype(np.float32)


def convolution(**arguments):
    """(model, its convolution) with weights that 9 bits bind."""
    keras.utils.set_random_seed(1)
    layer = A2QConv2D(3, 3, acc_bits=9, weight_bits=4, bias_initializer="normal", name="layer", **arguments)
    model = keras.Sequential([keras.Input(X.shape[1:]), QActivation("quantized_relu(4,1)"), layer])
    model.compile(keras.optimizers.Adam(0.03), "mse")
    return model, layer


def trained(epochs=2):
    model, layer = convolution()
    y = np.random.default_rng(1).normal(0, 4, (len(X), *model.output_shape[1:]))
    model.fit(X, y.astype(np.float32), batch_size=16, epochs=epochs, verbose=0)
    return model, layer, y


def names(layer) -> set:
    return {variable.name for variable in layer.variables}


def codes(layer) -> list:
    weights, bias, frac = layer.integer_weights()
    return [weights.tolist(), bias.tolist(), frac]


def test_float_weights_given_after_training_are_those_of_a_fresh_layer():
    _, layer, _ = trained()
    _, fresh = convolution()
    given = fresh.get_weights()[:2]
    before = codes(layer)
    for each in (layer, fresh):
        each.set_weights(given)
    assert codes(layer) == codes(fresh) != before


def test_a_new_scale_leaves_the_float_weights_alone():
    _, layer, _ = trained()
    before = layer._float_weights()[0]
    assert not np.array_equal(before, ops.convert_to_numpy(layer.kernel).reshape(before.shape))
    layer.fit_scale()
    assert np.array_equal(layer._float_weights()[0], before)


def test_the_weights_keep_the_mean_of_the_start_beside_their_norm():
    _, layer, _ = trained(epochs=0)
    start = layer._float_weights()[0]
    _, layer, _ = trained()
    now = layer._float_weights()[0]
    norm = 2.0 ** ops.convert_to_numpy(layer.norm_log2)
    # floats: norms and means are sums in single precision
    assert np.allclose(np.abs(now).sum(axis=0), norm, rtol=1e-5)
    assert np.allclose(ops.convert_to_numpy(layer.kernel_mean), start.mean(axis=0), atol=1e-6)


def test_what_a_version_without_norms_saved_loads():
    _, layer, _ = trained()
    _, old = convolution(kernel_constraint=lambda kernel: kernel)
    old.set_weights(convolution()[1].get_weights()[:2])
    store = {}
    old.save_own_variables(store)
    assert "norm_log2" not in store
    layer.load_own_variables(store)
    assert codes(layer) == codes(old)


def test_what_was_saved_with_norms_loads_into_a_layer_without():
    _, layer, _ = trained()
    _, plain = convolution(kernel_constraint=lambda kernel: kernel)
    store = {}
    layer.save_own_variables(store)
    plain.load_own_variables(store)
    assert codes(plain) == codes(layer)


def test_a_channel_of_one_weight_has_no_norm_and_may_change_its_sign():
    keras.utils.set_random_seed(0)
    layer = a2q.A2QConv1D(1, 1, acc_bits=12, use_bias=False, name="layer")
    model = keras.Sequential([keras.Input((4, 1)), QActivation("quantized_relu(4,0)"), layer])
    assert "norm_log2" not in names(layer)
    layer.set_weights([np.full((1, 1, 1), 0.5)])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = np.random.default_rng(0).random((256, 4, 1), np.float32)
    model.fit(x, -x, epochs=20, verbose=0)
    assert layer.integer_weights()[0].item() < 0


def test_a_file_without_a_kernel_says_so():
    _, layer = convolution()
    with pytest.raises(WeightError, match="no 'kernel'"):
        layer.load_own_variables({})


@pytest.mark.parametrize("argument", ["kernel_regularizer", "kernel_constraint"])
def test_a_regularizer_or_a_constraint_is_of_the_weights(argument):
    given = {"kernel_regularizer": "l2", "kernel_constraint": "non_neg"}[argument]
    model, layer = convolution(**{argument: given})
    assert "norm_log2" not in names(layer) and "norm_log2" in names(convolution()[1])
    model.fit(X, np.zeros((len(X), *model.output_shape[1:])), epochs=1, verbose=0)
    assert np.array_equal(layer._float_weights()[0].ravel(), ops.convert_to_numpy(layer.kernel).ravel())


def test_a_folded_batch_norm_is_the_norm():
    layer = a2q.A2QConv2DBatchnorm(3, 3, acc_bits=9, input_quantizer="quantized_relu(4,1)")
    layer.build((None, *X.shape[1:]))
    assert isinstance(layer, WeightNorm) and "norm_log2" not in names(layer)


def test_a_kernel_of_zeros_comes_alive():
    model, layer = convolution(kernel_initializer="zeros")
    assert not layer.integer_weights()[0].any()
    model.fit(X, np.full((len(X), *model.output_shape[1:]), 4.0), epochs=20, verbose=0)
    assert layer.integer_weights()[0].any(axis=(0, 1, 2)).all()


def test_polished_codes_stay_and_train_on():
    model, layer, y = trained()
    losses = a2q.polish(model, X, y, sweeps=2)
    assert losses[-1] < losses[0]
    assert model.evaluate(X, y, batch_size=len(X), verbose=0) == np.float32(losses[-1])
    norms = ops.convert_to_numpy(layer.norm_log2)
    model.fit(X, y, batch_size=16, epochs=1, verbose=0)
    assert (ops.convert_to_numpy(layer.norm_log2) != norms).all()


def test_polish_that_fails_leaves_the_weights():
    model, layer, y = trained()
    before = codes(layer)
    with pytest.raises(WeightError, match="loss"):
        a2q.polish(model, X, np.full_like(y, np.nan))
    assert codes(layer) == before and layer._normalises
