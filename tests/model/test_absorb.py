"""Batch norms behind activations: which are taken in, and that nothing else changes."""

import keras
import numpy as np
import pytest
from keras import layers as L

import a2q_keras as a2q
from a2q_keras.model.absorb import absorbed

PICTURE, ROW = (8, 8, 4), (6,)
TAKEN = {
    "dense": (ROW, lambda: [L.Dense(5, "relu"), L.BatchNormalization(), L.Dense(3)]),
    "behind dropout, without bias": (
        ROW,
        lambda: [L.Dense(5, "relu"), L.BatchNormalization(), L.Dropout(0.5), L.Dense(3, use_bias=False)],
    ),
    "no scale, no center": (
        ROW,
        lambda: [L.Dense(5, "relu"), L.BatchNormalization(scale=False, center=False), L.Dense(3)],
    ),
    "conv2d with groups": (
        PICTURE,
        lambda: [L.Conv2D(4, 3, activation="relu"), L.BatchNormalization(), L.Conv2D(6, 3, groups=2), L.Flatten()],
    ),
    "conv1d, strides": (
        (9, 4),
        lambda: [L.Conv1D(4, 2, activation="relu"), L.BatchNormalization(), L.Conv1D(3, 3, strides=2), L.Flatten()],
    ),
    "depthwise with multiplier": (
        PICTURE,
        lambda: [
            L.Conv2D(3, 3, activation="relu"),
            L.BatchNormalization(),
            L.DepthwiseConv2D(3, depth_multiplier=2),
            L.Flatten(),
        ],
    ),
    "pooled and flattened": (
        PICTURE,
        lambda: [L.Conv2D(3, 3, activation="relu"), L.BatchNormalization(), L.MaxPooling2D(), L.Flatten(), L.Dense(3)],
    ),
    "averaged": (
        PICTURE,
        lambda: [L.Conv2D(3, 3), L.ReLU(), L.BatchNormalization(), L.GlobalAveragePooling2D(), L.Dense(3)],
    ),
    "another one folded behind the reader": (
        ROW,
        lambda: [
            L.Dense(5, "relu"),
            L.BatchNormalization(),
            L.Dense(4),
            L.BatchNormalization(),
            L.ReLU(),
            L.BatchNormalization(),
            L.Dense(3),
        ],
    ),
}
LEFT = {
    "of the inputs": (ROW, lambda: [L.BatchNormalization(), L.Dense(3)]),
    "padded": (
        PICTURE,
        lambda: [L.Conv2D(4, 3, activation="relu"), L.BatchNormalization(), L.Conv2D(3, 3, padding="same")],
    ),
    "in front of an activation": (
        ROW,
        lambda: [L.Dense(5, "relu"), L.BatchNormalization(), L.ReLU(), L.Dense(3)],
    ),
    "at the end": (ROW, lambda: [L.Dense(5, "relu"), L.BatchNormalization()]),
    "folded already": (ROW, lambda: [L.Dense(5), L.BatchNormalization(), L.Dense(3)]),
    "negative in front of a maximum": (
        PICTURE,
        lambda: [
            L.Conv2D(3, 3, activation="relu"),
            L.BatchNormalization(gamma_initializer=keras.initializers.Constant(-1)),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(3),
        ],
    ),
}


def model_of(shape, layers):
    """A model whose batch norms have statistics of their own, as after some training."""
    keras.utils.set_random_seed(0)
    model, rng = keras.Sequential([keras.Input(shape), *layers]), np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.set_weights(
                [rng.uniform(0.5, 1.5, part.shape) * np.sign(part[0] or 1) for part in layer.get_weights()]
            )
    return model


def norms(model):
    return [layer for layer in model.layers if isinstance(layer, L.BatchNormalization)]


def inputs(shape):
    return np.random.default_rng(2).random((40, *shape)).astype(np.float32)


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_left_computes_the_same(case):
    shape, layers = TAKEN[case]
    model = model_of(shape, layers())
    before = [part.copy() for part in model.get_weights()]
    found = absorbed(model._functional)
    assert len(norms(found)) == (case == "another one folded behind the reader")
    assert [layer.name for layer in found.layers if layer not in norms(found)] == [
        layer.name for layer in model._functional.layers if layer not in norms(model)
    ]
    # the same numbers multiplied in another order: float32 rounds differently
    np.testing.assert_allclose(found(inputs(shape)), model(inputs(shape)), rtol=1e-4, atol=1e-5)
    assert all(map(np.array_equal, before, model.get_weights()))


@pytest.mark.parametrize("case", LEFT)
def test_what_cannot_be_taken_in_is_left_alone(case):
    shape, layers = LEFT[case]
    model = model_of(shape, layers())
    assert absorbed(model._functional) is model._functional


def test_a_norm_that_an_activation_reads_besides_is_left_alone():
    row = keras.Input(ROW)
    normed = L.BatchNormalization()(L.Dense(4, "relu")(row))
    model = keras.Model(row, L.Add()([L.Dense(3)(normed), L.Dense(3)(L.ReLU()(normed))]))
    assert absorbed(model) is model


def test_all_readers_take_it_in():
    row = keras.Input(ROW)
    normed = L.BatchNormalization()(L.Dense(4, "relu")(row))
    model = keras.Model(row, L.Add()([L.Dense(3)(normed), L.Dense(3)(L.Dropout(0.5)(normed))]))
    norms(model)[0].set_weights([np.full(4, value) for value in (2.0, -1.0, 0.5, 3.0)])
    found = absorbed(model)
    assert not norms(found)
    # the same numbers multiplied in another order: float32 rounds differently
    np.testing.assert_allclose(found(inputs(ROW)), model(inputs(ROW)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", ["dense", "pooled and flattened", "depthwise with multiplier"])
def test_converted_and_quantized_models_run_exactly_and_close_to_the_float_one(case):
    shape, layers = TAKEN[case]
    model, x = model_of(shape, layers()), inputs(shape)
    wide = {"acc_bits": 24, "weight_bits": 8, "act_bits": 8, "data": x}
    for ours in (a2q.convert(model, **wide), a2q.convert(model, start="gpfq", **wide), a2q.quantize(model, **wide)):
        got, wanted = ours.predict(x, verbose=0), model.predict(x, verbose=0)
        assert np.array_equal(a2q.integer_model(ours).run(x), got)
        # 8-bit weights and activations are not the float ones: within two percent of the largest output
        assert np.abs(got - wanted).max() < 0.02 * np.abs(wanted).max()
