"""Callbacks, and training that stops, is saved and goes on."""

import keras
import numpy as np
import pytest
from qkeras import QActivation

import a2q_keras as a2q
from a2q_keras.callbacks import AccumulatorLogger, AccumulatorSchedule
from a2q_keras.errors import ConfigurationError
from tests.models import inputs, two_layers

X, Y = inputs(64), np.random.default_rng(1).normal(0, 3, (64, 3)).astype(np.float32)


def fit(model, **arguments):
    return model.fit(X, Y, batch_size=16, shuffle=False, verbose=0, **arguments).history


def compiled(model, jit=False):
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=jit)
    return model


class Spy(keras.callbacks.Callback):
    """The width asked and the least width needed after each epoch."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        layer = self.model.get_layer("first")
        self.seen.append((layer.acc_bits, a2q.certify(self.model)["first"].acc_bits <= layer.acc_bits))


@pytest.mark.parametrize("jit", [False, True])
def test_a_schedule_narrows_the_accumulators(jit):
    model, spy = compiled(two_layers(16), jit), Spy()
    fit(model, epochs=5, callbacks=[AccumulatorSchedule({0: 14, 2: 10, 4: 8}), spy])
    assert spy.seen == [(14, True), (14, True), (10, True), (10, True), (8, True)]
    assert a2q.certify(model, 8).ok
    assert np.array_equal(a2q.integer_model(model).run(X), model.predict(X, verbose=0))


def test_a_schedule_for_some_layers_and_a_later_start():
    model = compiled(two_layers(16))
    fit(model, initial_epoch=3, epochs=4, callbacks=[AccumulatorSchedule({0: 14, 2: 10, 9: 8}, layers=["second"])])
    assert [model.get_layer(name).acc_bits for name in ("first", "second")] == [16, 10]


def separable(name):
    relu = "quantized_relu(4,1)"
    return a2q.A2QSeparableConv2D(2, 3, input_quantizer=relu, depthwise_activation=relu, name=name)


def test_a_schedule_for_both_parts_of_a_separable_layer_or_one():
    model = keras.Sequential([keras.Input((9, 9, 2)), *map(separable, "st")])
    for layers in (["s"], ["t_pointwise"]):
        schedule = AccumulatorSchedule({0: 10}, layers=layers)
        schedule.set_model(model)
        schedule.on_epoch_begin(0)
    parts = [part for layer in model.layers for part in (layer.depthwise, layer.pointwise)]
    assert [part.acc_bits for part in parts] == [10, 10, 16, 10]


def test_layers_of_a_model_inside_the_model_are_scheduled_and_logged():
    inner = two_layers(16)
    model = compiled(keras.Sequential([keras.Input((6,)), inner]))
    history = fit(model, callbacks=[AccumulatorSchedule({0: 9}), AccumulatorLogger()])
    assert inner.get_layer("first").acc_bits == 9 and "acc_bits_needed/second" in history


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: AccumulatorSchedule({}), "schedule={} is none; give {epoch: acc_bits}"),
        (lambda: AccumulatorSchedule([8, 9]), r"schedule=\[8, 9\] is none; give {epoch: acc_bits}"),
        (lambda: AccumulatorSchedule({2: 1}), "acc_bits of epoch 2=1 is not allowed"),
        (lambda: AccumulatorSchedule({1.5: 8}), "the epoch of a schedule=1.5 is not allowed"),
        (lambda: AccumulatorSchedule({-1: 8}), "the epoch of a schedule=-1 is not allowed"),
        (
            lambda: fit(compiled(two_layers()), callbacks=[AccumulatorSchedule({0: 8}, layers=["third"])]),
            "the schedule names 'third', no accumulator-aware layer; those are first, second",
        ),
    ],
)
def test_bad_schedules_are_refused(make, words):
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_the_logger_says_what_each_layer_needs(tmp_path):
    model = compiled(two_layers(9))
    csv = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(model, epochs=2, callbacks=[AccumulatorLogger(), csv])
    proof = a2q.certify(model)
    for layer in ("first", "second"):
        assert history[f"acc_bits_needed/{layer}"][-1] == proof[layer].needed_bits.max()
        assert history[f"weight_sparsity/{layer}"][-1] == proof[layer].sparsity
    assert "acc_bits_needed/first" in (tmp_path / "log.csv").read_text().splitlines()[0]


def test_the_logger_counts_what_the_inner_accumulators_of_tiles_need():
    layer = a2q.A2QDense(3, acc_bits=8, weight_bits=4, tile=4, input_quantizer="quantized_relu(4,2)", name="d")
    model = compiled(keras.Sequential([keras.Input((16,)), layer]))
    layer.bias.assign([100.0, 0.0, 0.0])  # in the outer accumulators, which have room for it
    logs, logger = {}, AccumulatorLogger()
    logger.set_model(model)
    logger.on_epoch_end(0, logs)
    assert logs["acc_bits_needed/d"] == a2q.certify(model)["d"].needed_bits.max() <= 8


def test_the_logger_looks_into_separable_convolutions():
    layer = a2q.A2QSeparableConv2D(2, 3, acc_bits=9, depthwise_activation="quantized_relu(4,1)", name="s")
    model = keras.Sequential([keras.Input((5, 5, 2)), QActivation("quantized_relu(4,1)"), layer])
    logs = {}
    logger = AccumulatorLogger()
    logger.set_model(model)
    logger.on_epoch_end(0, logs)
    assert {"acc_bits_needed/s_depthwise", "weight_sparsity/s_pointwise"} <= set(logs)


def test_the_logger_says_how_many_biases_are_at_their_limit():
    model = two_layers(9)
    layer = model.get_layer("first")
    bias = np.zeros(layer.bias.shape)
    bias[:2] = 1e3, -1e3
    layer.bias.assign(bias)
    logs = {}
    logger = AccumulatorLogger()
    logger.set_model(model)
    logger.on_epoch_end(0, logs)
    assert logs["bias_at_limit/first"] == 2 / len(bias)
    assert logs["bias_at_limit/second"] == 0


class Interrupted(keras.callbacks.Callback):
    """Training stops at the beginning of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def normed():
    """Layers whose thresholds and scales are found in training, one behind a batch norm."""
    keras.utils.set_random_seed(0)
    return compiled(
        keras.Sequential(
            [
                keras.Input((6,)),
                keras.layers.Reshape((3, 2)),
                QActivation("quantized_bits(5,1,alpha=1)"),
                a2q.A2QConv1D(4, 2, acc_bits=12, weight_bits=4, name="conv"),
                QActivation("quantized_relu(4,2)"),
                keras.layers.Flatten(),
                a2q.A2QDenseBatchnorm(3, acc_bits=12, weight_bits=4, name="dense"),
            ]
        )
    )


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_schedule_resumes_from_weights_as_if_it_had_not_stopped(epoch, tmp_path):
    """Also where the width is due at once, 1, and where it was before, 3."""

    def train(model, *callbacks):
        fit(model, epochs=5, callbacks=[*callbacks, AccumulatorSchedule({0: 14, 1: 9})])
        return [model.get_layer(name).integer_weights() for name in ("conv", "dense")]

    wanted = train(normed())
    with pytest.raises(KeyboardInterrupt):
        train(normed(), keras.callbacks.BackupAndRestore(tmp_path / "backup"), Interrupted(epoch))
    found = train(normed(), keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    assert all(np.array_equal(*pair) for one, other in zip(wanted, found) for pair in zip(one, other))


def test_weights_of_a_file_without_their_width_load(tmp_path):
    """Written before the width was kept."""
    store = {}
    layer, twin = (two_layers(9, seed=seed).get_layer("first") for seed in (0, 1))
    layer.save_own_variables(store)
    del store["held_for"]
    twin.load_own_variables(store)
    assert all(np.array_equal(*pair) for pair in zip(layer.get_weights(), twin.get_weights()))


@pytest.mark.parametrize("method", ["exact", "a2q+"])
def test_training_that_was_saved_goes_on_as_if_it_had_not_stopped(method, tmp_path):
    whole = compiled(two_layers(9, method))
    fit(whole, epochs=6)
    half = compiled(two_layers(9, method))
    fit(half, epochs=3)
    half.save(tmp_path / "half.keras")
    resumed = a2q.load_model(tmp_path / "half.keras")
    fit(resumed, initial_epoch=3, epochs=6)
    for one, other in zip(whole.variables, resumed.variables):
        assert np.array_equal(*(keras.ops.convert_to_numpy(variable) for variable in (one, other))), one.path
