"""Polishing: the loss falls, the bounds hold, and the model computes what its integer program computes."""

import keras
import numpy as np
import pytest
from keras import layers as L

import a2q_keras as a2q
from a2q_keras.errors import ConfigurationError, WeightError
from a2q_keras.layers.separable import accumulator_layers
from a2q_keras.model import polish as module
from a2q_keras.numerics import bounds
from tests.model.post_training.test_warm_start import scales

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64) + (X[:, 2] > 0)
IMAGES = RNG.random((64, 6, 6, 2)).astype(np.float32)
LABELS = (IMAGES[:, 2, 2, 0] > IMAGES[:, 3, 3, 1]).astype(np.int64)


def mlp():
    """Signed inputs, which limit the signs of the units; a bias and none."""
    return keras.Sequential([keras.Input((6,)), L.Dense(8, "relu", use_bias=False), L.Dense(3)])


def cnn():
    """Every other kind of layer with codes of its own, and a sum that shares a tensor."""
    image = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 3, padding="same", activation="relu")(image)
    y = L.SeparableConv2D(4, 3, padding="same", activation="relu")(x)
    x = L.Add()([x, L.DepthwiseConv2D(3, padding="same", activation="relu")(y)])
    return keras.Model(image, L.Dense(2)(L.Flatten()(L.AveragePooling2D(2)(x))))


CASES = {
    "mlp": (mlp, X, Y, {"acc_bits": 7}),
    "cnn": (cnn, IMAGES, LABELS, {"acc_bits": 10}),
    "tiles": (mlp, X, Y, {"acc_bits": 7, "tile": 4}),
}


def trained(case, **changed):
    """An accumulator-aware model with a loss, after two epochs."""
    build, x, y, settings = CASES[case]
    keras.utils.set_random_seed(0)
    model = a2q.convert(build(), weight_bits=4, act_bits=4, data=x, **settings | changed)
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=2, verbose=0)
    return model, x, y


@pytest.mark.parametrize("case", CASES)
def test_the_loss_falls_and_the_codes_stay_safe(case):
    model, x, y = trained(case)
    before = model.evaluate(x, y, batch_size=len(x), verbose=0)
    losses = a2q.polish(model, x, y, sweeps=2)
    assert losses[0] == np.float32(before)  # the codes do not change on the way to latent weights that are codes
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    program = a2q.integer_model(model)
    a2q.certify(program, {op.name: op.acc_bits for op in program.accumulator_ops}).raise_if_unsafe()
    assert np.array_equal(program.run(x), model.predict(x, verbose=0))
    assert model.evaluate(x, y, batch_size=len(x), verbose=0) == np.float32(losses[-1])


def test_training_goes_on_with_the_optimizer_of_before():
    model, x, y = trained("mlp")
    optimizer, steps = model.optimizer, int(model.optimizer.iterations)
    a2q.polish(model, x, y, sweeps=1)
    assert model.optimizer is optimizer and int(optimizer.iterations) == steps
    model.fit(x, y, epochs=1, verbose=0)
    assert int(optimizer.iterations) == steps + 7


def test_the_scales_of_the_polished_codes_stay_in_training():
    model, x, y = trained("mlp")
    a2q.polish(model, x, y, sweeps=1)
    before = scales(model)
    for layer in accumulator_layers(model):
        layer.kernel.assign(5 * layer.kernel)
    model.fit(x, y, epochs=1, verbose=0)
    assert scales(model) == before


def test_it_ends_where_no_change_helps():
    model, x, y = trained("mlp")
    losses = a2q.polish(model, x, y, sweeps=50, tries=1)
    assert len(losses) < 51 and losses[-1] == losses[-2]


def test_the_slope_is_that_of_the_loss():
    """Of a layer of sums, by finite differences: the loss is a parabola in each code.  Floats: sums of 200 errors."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), a2q.A2QDense(2, acc_bits=16, input_quantizer="quantized_bits(4,2,alpha=1)")]
    )
    y = RNG.normal(size=(len(X), 2)).astype(np.float32)
    codes, judge = module._Codes(model.layers[0]), module._Judge(model, X, y, "mse")
    slope = judge.gradient(codes)

    def loss(row, channel, by):
        here = codes.codes.columns[:, channel].copy()
        here[row] += by
        before = codes.exchange(channel, module._Point(here, codes.codes.bias[channel]))
        found = judge.loss()
        codes.exchange(channel, before)
        return found

    for row, channel in np.ndindex(6, 2):
        expected = (loss(row, channel, 1) - loss(row, channel, -1)) / 2
        assert abs(slope.columns[row, channel] - expected) < 1e-5


@pytest.mark.parametrize("case", ["mlp", "tiles"])
def test_every_change_fits_and_differs(case):
    model, _, _ = trained(case)
    layer = model.layers[-1]
    codes = module._Codes(layer)
    slope = module._Point(RNG.normal(size=codes.codes.columns.shape), RNG.normal(size=codes.codes.bias.shape))
    inputs, tried = layer.input_format, 0
    for channel in range(3):
        for change in codes.changes(channel, slope):
            tried += 1
            parts = np.array_split(change.columns, 2) if layer.tile else [change.columns]
            bias = 0 if layer.tile else change.bias
            assert all(bounds.min_acc_bits(part[:, None], inputs.lo, inputs.hi, bias) <= 7 for part in parts)
            assert (change.columns != codes.codes.columns[:, channel]).any() or change.bias != codes.codes.bias[channel]
    assert tried > 10


def test_codes_that_do_not_fit_are_caught(monkeypatch):
    """Without the test of the bound, polishing asks for codes that the layer's own projection has to take back."""
    monkeypatch.setattr(module._Codes, "_fits", lambda self, codes: True)
    model, x, y = trained("mlp", acc_bits=6)
    kept = []
    monkeypatch.setattr(module._Codes, "exchange", lambda self, channel, codes: kept.append((self, codes)) or codes)
    a2q.polish(model, x, y, sweeps=1)
    formats = [(codes, layer.layer.input_format) for layer, codes in kept]
    assert any(bounds.min_acc_bits(c.columns[:, None], f.lo, f.hi, c.bias) > 6 for c, f in formats)


def test_weights_are_those_of_the_codes_after_an_interruption(monkeypatch):
    model, x, y = trained("mlp")
    step = keras.Model.train_on_batch

    def interrupted(self, *data):
        step(self, *data)
        raise KeyboardInterrupt

    before = [layer.integer_weights()[0] for layer in accumulator_layers(model)]
    monkeypatch.setattr(keras.Model, "train_on_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        a2q.polish(model, x, y)
    after = [layer.integer_weights()[0] for layer in accumulator_layers(model)]
    assert all(np.array_equal(*pair) for pair in zip(before, after))


class TestRefusals:
    def test_no_layer_of_its_own_codes(self):
        keras.utils.set_random_seed(0)
        model = a2q.convert(mlp(), 12, 4, 4, method="a2q+", data=X)
        with pytest.raises(ConfigurationError, match="no trainable layer of method 'exact'"):
            a2q.polish(model, X, Y, "mse")

    def test_no_loss(self):
        model = a2q.convert(mlp(), 12, 4, 4, data=X)
        with pytest.raises(ConfigurationError, match="not compiled; give polish"):
            a2q.polish(model, X, Y)

    @pytest.mark.parametrize(
        "change, words",
        [
            (lambda x, y: (x, y[:10]), r"labels for the \d+ samples; got labels of lengths \[10\]"),
            (lambda x, y: (x, 1.0), r"got labels of lengths \[\]"),
            (lambda x, y: (x[:, :2], y), "data of shapes .* does not fit the inputs of"),
            (lambda x, y: ((row for row in x), y), "data of shapes .* does not fit the inputs of"),
            (lambda x, y: (x[:0], y[:0]), "data is empty"),
        ],
    )
    def test_data_that_do_not_fit(self, change, words):
        model, x, y = trained("mlp")
        before = model.get_weights()
        with pytest.raises(ConfigurationError, match=words):
            a2q.polish(model, *change(x, y))
        assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights()))

    def test_a_loss_that_is_not_finite(self):
        model, x, y = trained("mlp")
        with pytest.raises(WeightError, match="its loss is nan; train again"):
            a2q.polish(model, x, y, lambda y_true, y_pred: keras.ops.mean(y_pred) * np.nan)

    def test_nan_weights_name_the_layer(self):
        model, x, y = trained("mlp")
        model.layers[-1].kernel.assign(np.full(model.layers[-1].kernel.shape, np.nan))
        with pytest.raises(WeightError, match=model.layers[-1].name):
            a2q.polish(model, x, y)
