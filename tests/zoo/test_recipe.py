import keras
import numpy as np
import pytest

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.callbacks import AccumulatorSchedule
from a2q_keras.zoo import mlp, networks, recipe, train


def digits():
    whole = data.digits()
    return data.Dataset("few", whole.x_train[:256], whole.y_train[:256], whole.x_test[:64], whole.y_test[:64])


@pytest.fixture(scope="module")
def float_model():
    keras.utils.set_random_seed(0)
    model = mlp.float_mlp(64, (8, 10))
    train.fit_classifier(model, digits(), epochs=4, batch_size=64)
    return model


def test_the_float_network_ends_in_logits(float_model):
    assert [(layer.name, layer.units) for layer in float_model.layers] == [("dense_1", 8), ("dense_2", 10)]
    assert float_model.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize("method", ["exact", "a2q+"])
def test_the_recipe_trains_and_holds_the_bound(method, float_model):
    seen = []
    model = recipe.train(
        float_model, digits(), 2, batch_size=64, callbacks=[train.EpochProgress(seen.append)],
        acc_bits=10, weight_bits=4, act_bits=4, method=method,
    )  # fmt: skip
    assert len(seen) == 2 and all("loss" in text and "accuracy" in text for text in seen)
    program = a2q.integer_model(model)
    assert a2q.certify(program, 10).ok
    assert np.array_equal(program.run(digits().x_test), model.predict(digits().x_test, verbose=0))
    assert train.score(program, digits()) == train.score(model, digits())


def test_the_recipe_starts_from_convert_and_corrects_biases_when_asked(float_model):
    settings = {"acc_bits": 10, "weight_bits": 4, "act_bits": 4, "bias_correction": True}
    made = recipe.train(float_model, digits(), 1, 0.0, **settings)
    by_hand = a2q.convert(float_model, data=digits().x_train, **settings)
    for name in ("dense_1", "dense_2"):
        assert np.array_equal(made.get_layer(name).bias, by_hand.get_layer(name).bias)
        assert not np.array_equal(made.get_layer(name).bias, float_model.get_layer(name).bias)


def test_accumulators_that_narrow(float_model):
    schedule = AccumulatorSchedule({0: 12, 1: 10})
    model = recipe.train(float_model, digits(), 2, callbacks=[schedule], acc_bits=12, weight_bits=4, act_bits=4)
    assert a2q.certify(model, 10).ok


def test_super_resolution():
    pictures = np.random.default_rng(0).random((8, 4, 4, 1)).astype(np.float32)
    large = pictures.repeat(2, 1).repeat(2, 2)
    few = data.SuperResolution("few", 2, pictures, large, pictures, large)
    network = networks.build("espcn", input_shape=(4, 4, 1), factor=2, width=2)
    model = recipe.train(network, few, 1, acc_bits=12, weight_bits=4, act_bits=4)
    program = a2q.integer_model(model)
    assert train.score(program, few) == train.score(model, few) and set(train.score(model, few)) == {"psnr"}


def test_accuracy_counts_the_largest_output():
    assert train.accuracy(np.array([[0, 1], [2, 1], [3, 4]]), np.array([1, 1, 1])) == pytest.approx(2 / 3)
