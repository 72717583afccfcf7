import keras
import numpy as np
import pytest

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.zoo import mlp, train


@pytest.fixture(scope="module")
def float_model():
    keras.utils.set_random_seed(0)
    model = mlp.float_mlp(64, (8, 10))
    train.fit_classifier(model, digits(), epochs=1, batch_size=64)
    return model


def digits():
    whole = data.digits()
    return data.Dataset("few", whole.x_train[:256], whole.y_train[:256], whole.x_test[:64], whole.y_test[:64])


def test_the_float_network_ends_in_logits(float_model):
    assert [layer.units for layer in float_model.layers] == [8, 10]
    assert float_model.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize("method", ["exact", "a2q", "none"])
def test_from_float_takes_the_weights_over(method, float_model):
    model = mlp.from_float(float_model, digits().x_train, 9, method=method)
    for layer, source in zip([model.get_layer("dense_1"), model.get_layer("dense_2")], float_model.layers):
        assert np.array_equal(layer.kernel, source.kernel) and np.array_equal(layer.bias, source.bias)
    assert a2q.certify(model, 9).ok is (method != "none")
    assert np.array_equal(golden(model), model.predict(digits().x_test, verbose=0))


def golden(model):
    return a2q.integer_model(model).run(digits().x_test)


def test_activations_below_one_half_are_calibrated_too(float_model):
    """They take negative integer bits, which QKeras accepts as a float only."""
    small = mlp.float_mlp(64, (8, 10))
    small.set_weights([weights * 0.02 for weights in float_model.get_weights()])
    model = mlp.from_float(small, digits().x_train, 12)
    assert model.get_layer("relu_1").activation.integer < 0
    assert np.array_equal(golden(model), model.predict(digits().x_test, verbose=0))


def test_training_advances_the_progress_once_an_epoch():
    keras.utils.set_random_seed(0)
    model, seen = mlp.a2q_mlp(64, (4, 10), 12), []
    history = train.fit_classifier(model, digits(), 2, batch_size=64, callbacks=[train.EpochProgress(seen.append)])
    assert len(seen) == 2 and all("loss" in text and "accuracy" in text for text in seen)
    assert np.isfinite(history.history["loss"]).all() and a2q.certify(model, 12).ok


def test_accuracy_counts_the_largest_output():
    assert train.accuracy(np.array([[0, 1], [2, 1], [3, 4]]), np.array([1, 1, 1])) == pytest.approx(2 / 3)
