"""A2QDense: the battery, and what is particular to a dense layer."""

import h5py
import keras
import numpy as np
import pytest
from qkeras import QActivation

import a2q_keras as a2q
from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError, UnsupportedLayerError, WeightError
from a2q_keras.layers.dense import A2QDense
from a2q_keras.layers.search import SCALE_STAYS, SCALE_STEPS
from a2q_keras.layers.weight_norm import WeightNorm
from a2q_keras.numerics import projection, quantize
from tests.backend import wide_floats
from tests.layers.battery import FORMATS, METHODS, Battery
from tests.programs import needs_gxx


class TestA2QDense(Battery):
    def make(self, **arguments):
        return A2QDense(4, **arguments)

    @pytest.mark.parametrize("inputs", FORMATS)
    @pytest.mark.parametrize("method", METHODS)
    def test_the_bound_holds_for_every_format(self, inputs, method):
        self.check_golden_and_bound(self.trained(inputs, method)[0], method)

    def test_a_model_compiled_elsewhere_loads_uncompiled_under_torch(self, tmp_path):
        model = self.model()
        model.compile("adam", "mse", jit_compile=True)
        model.save(tmp_path / "m.keras")
        assert a2q.load_model(tmp_path / "m.keras").jit_compile == (keras.backend.backend() != "torch")

    @pytest.mark.parametrize("method", METHODS)
    def test_golden_run_of_a_layer_trained_with_wide_floats(self, method):
        x, y = self.data()
        with wide_floats():
            model = self.model(method=method)
            model.compile("adam", "mse")
            model.fit(x, y, verbose=0)
            self.check_golden_and_bound(model, method)


class TestCSimulation:
    pytestmark = needs_gxx

    def test_firmware_of_a_trained_layer_is_keras(self):
        model, x = TestA2QDense().trained("unsigned", "exact")[0], TestA2QDense().data()[0]
        report = a2q.cosim(model, x, n_random=50)
        assert report.ok, report


def quantized_input(layer, features=6):
    return keras.Sequential([keras.Input((features,)), QActivation("quantized_relu(4,1)"), layer])


@pytest.mark.parametrize("start", ["set_weights", "set_float_weights"])
def test_a_float_layer_is_a_start(start):
    keras.utils.set_random_seed(3)
    source = keras.layers.Dense(5, bias_initializer="normal")
    source.build((None, 6))
    layer = A2QDense(5, acc_bits=20, weight_bits=8)
    quantized_input(layer)
    if start == "set_weights":
        layer.set_weights(source.get_weights())
    else:
        layer.set_float_weights(*source.get_weights())
    codes, bias, frac = layer.integer_weights()
    kernel, float_bias = source.get_weights()
    # 20 bits do not bind, so each weight is within half a step of the float one: a float comparison by nature
    assert np.abs(codes * 2.0**-frac - kernel).max() <= 2.0 ** -(frac + 1)
    assert np.array_equal(bias, np.rint(float_bias * 2.0 ** (frac + layer.input_format.frac)))


def test_codes_are_the_exact_minimiser_for_the_fitted_scale():
    layer = A2QDense(8, acc_bits=9, weight_bits=4)
    quantized_input(layer, features=40)
    layer.set_weights([np.random.default_rng(0).normal(size=(40, 8)), np.random.default_rng(1).normal(size=8)])
    codes, bias, frac = layer.integer_weights()
    u = layer.kernel.numpy().astype(float) * 2.0**frac
    assert np.array_equal(codes, projection.project_codes(u, 4, 9, 0, 15, bias))


def test_set_weights_still_takes_its_own_weights():
    model, twin = (quantized_input(A2QDense(3, acc_bits=9)) for _ in range(2))
    twin.layers[-1].set_weights(model.layers[-1].get_weights())
    x = np.random.default_rng(0).random((20, 6), np.float32)
    assert np.array_equal(model.predict(x, verbose=0), twin.predict(x, verbose=0))


def test_training_searches_anew_after_weights_were_given():
    model = quantized_input(A2QDense(3, acc_bits=9))
    model.compile("sgd", "mse", jit_compile=False)
    x = np.ones((4, 6), np.float32)
    model.fit(x, np.ones((4, 3)), verbose=0, epochs=5)
    model.layers[-1].set_weights([np.eye(6, 3, dtype=np.float32), np.zeros(3, np.float32)])
    assert not model.layers[-1].held.numpy().any()


@pytest.mark.parametrize("step, moves", [(SCALE_STEPS, True), (2 * SCALE_STEPS, False)])
def test_the_scale_follows_the_weights_early_in_training_only(step, moves):
    model = quantized_input(A2QDense(3, acc_bits=12))
    layer, x = model.layers[-1], np.ones((4, 6), np.float32)
    before = float(layer.scale_log2)
    layer.kernel.assign(16 * layer.kernel)
    layer.held.assign(np.full(layer.held.shape, step))
    model.compile("sgd", "mse", jit_compile=False)
    model.train_on_batch(x, np.ones((4, 3)))
    assert (float(layer.scale_log2) != before) == moves


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("step", [0, SCALE_STEPS, 2 * SCALE_STEPS])
def test_a_scale_that_was_given_stays_in_training(step, given):
    model = quantized_input(A2QDense(3, acc_bits=12))
    layer, x = model.layers[-1], np.ones((4, 6), np.float32)
    layer.fit_scale(-9 if given else None)
    before = float(layer.scale_log2)
    layer.kernel.assign(16 * layer.kernel)
    layer.held.assign(layer.held + step)
    model.compile("sgd", "mse", jit_compile=False)
    model.train_on_batch(x, np.ones((4, 3)))
    assert (float(layer.scale_log2) == before) == (given or step > SCALE_STEPS)
    assert layer.held.numpy()[-1].max() == (SCALE_STEPS if step > SCALE_STEPS else step) + 1 + SCALE_STAYS * given


@pytest.mark.parametrize("method, rows", [("exact", 3), ("none", 1)])
def test_training_counts_its_steps_up_to_a_number_that_float32_holds(method, rows):
    model = quantized_input(A2QDense(3, acc_bits=12, method=method))
    layer, x = model.layers[-1], np.ones((4, 6), np.float32)
    model.compile("sgd", "mse", jit_compile=False)
    for before, after in [(0, 1), (1, 2), (2 * SCALE_STEPS - 1, 2 * SCALE_STEPS), (2 * SCALE_STEPS, SCALE_STEPS + 1)]:
        layer.held.assign(np.full(layer.held.shape, before))
        model.train_on_batch(x, np.ones((4, 3)))
        assert layer.held.shape[0] == rows and (layer.held.numpy()[-1] == after).all()


def test_what_another_version_held_is_found_anew(tmp_path):
    model = quantized_input(A2QDense(3, acc_bits=9))
    kernel = model.layers[-1].kernel.numpy()
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5", "a") as file:
        held = file.visit(lambda name: name if name.endswith("/held") else None)
        del file[held]
        file[held] = np.ones((2, 2, 3), np.float32)
    model.layers[-1].kernel.assign(0 * kernel)
    model.layers[-1].held.assign(np.ones((3, 2, 3)))
    model.load_weights(tmp_path / "model.weights.h5")
    assert not model.layers[-1].held.numpy().any() and np.array_equal(model.layers[-1].kernel, kernel)


def test_a_bias_quantizer_comes_before_the_grid_of_the_accumulator():
    layer = A2QDense(2, acc_bits=20, bias_quantizer="quantized_bits(3,1,alpha=1)")
    quantized_input(layer)
    layer.set_weights([np.ones((6, 2)), np.array([0.7, -5.0])])
    _, bias, frac = layer.integer_weights()
    assert np.array_equal(bias * 2.0 ** -(frac + layer.input_format.frac), [0.5, -2.0])


def test_no_bias():
    model = quantized_input(A2QDense(3, acc_bits=9, use_bias=False))
    program = a2q.integer_model(model)
    assert not program.accumulator_ops[0].bias.any() and len(model.trainable_variables) == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"acc_bits": 1}, "acc_bits=1 is not allowed; give a whole number from 2 to 64"),
        ({"acc_bits": 12.5}, "acc_bits=12.5 is not allowed"),
        ({"weight_bits": 1}, "weight_bits=1 is not allowed; give a whole number from 2 to 16"),
        ({"method": "best"}, "method='best' is unknown; allowed are exact, a2q, a2q., none"),
        ({"dtype": "mixed_float16"}, "cannot hold exact sums; use float32"),
        ({"input_quantizer": "quantized_nonsense(4)"}, "input_quantizer='quantized_nonsense.4.' is not a quantizer"),
        ({"bias_quantizer": 3}, "bias_quantizer=3 is not a quantizer; give a QKeras quantizer such as"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        A2QDense(4, **arguments)


@pytest.mark.parametrize("acc_bits", [1, 65, 8.5])
def test_a_width_given_later_is_checked_too(acc_bits):
    layer = A2QDense(3, acc_bits=12)
    with pytest.raises(ConfigurationError, match=f"acc_bits={acc_bits} is not allowed"):
        layer.acc_bits = acc_bits
    assert layer.acc_bits == 12


def test_an_input_quantizer_without_integer_format_is_refused():
    with pytest.raises(UnsupportedLayerError, match="layer 'd': quantized_bits with alpha='auto'"):
        A2QDense(4, name="d", input_quantizer="quantized_bits(4,0,alpha='auto')")


def test_a_bias_that_does_not_fit_is_refused_by_name():
    layer = A2QDense(3, acc_bits=4, weight_bits=4, name="tight")
    quantized_input(layer)
    with pytest.raises(
        AccumulatorOverflowError, match="layer 'tight': acc_bits=4 cannot hold the bias .* raise acc_bits"
    ):
        layer.set_weights([np.ones((6, 3)), np.full(3, 1000.0)])


def test_nan_weights_are_refused_by_name():
    layer = A2QDense(3, acc_bits=9, name="broken")
    quantized_input(layer)
    with pytest.raises(WeightError, match="layer 'broken': its kernel holds NaN or infinity; train again"):
        layer.set_weights([np.full((6, 3), np.nan), np.zeros(3)])


@pytest.mark.parametrize("variable, method", [("scale_log2", "exact"), ("norm_log2", "a2q")])
def test_nan_in_the_trained_state_is_refused_by_name(variable, method):
    layer = A2QDense(3, acc_bits=9, method=method, name="broken")
    quantized_input(layer)
    getattr(layer, variable).assign(np.nan * np.ones(getattr(layer, variable).shape))
    with pytest.raises(WeightError, match=f"layer 'broken': its {variable} holds NaN or infinity"):
        layer.integer_weights()


def test_a_frozen_layer_keeps_its_codes():
    layer = A2QDense(3, acc_bits=9, weight_bits=4)
    model = quantized_input(layer)
    model.add(keras.layers.Dense(1))
    layer.kernel.assign(8 * layer.kernel)  # another scale would be better
    layer.trainable, (codes, bias, frac) = False, layer.integer_weights()
    model.compile("adam", "mse", jit_compile=False)
    model.fit(np.ones((32, 6), np.float32), np.ones((32, 1), np.float32), batch_size=4, epochs=2, verbose=0)
    after = layer.integer_weights()
    assert np.array_equal(after[0], codes) and np.array_equal(after[1], bias) and after[2] == frac


def test_unbuilt_it_is_serialized_as_keras_layers_are(tmp_path):
    layer = keras.layers.TimeDistributed(A2QDense(4, input_quantizer="quantized_relu(4,0)"))
    assert layer.get_config()["layer"]["config"]["units"] == 4
    assert keras.saving.serialize_keras_object(A2QDense(4))["config"]["units"] == 4
    model = keras.Sequential([A2QDense(4, input_quantizer="quantized_relu(4,0)")])
    model.save(tmp_path / "m.keras")
    assert keras.saving.load_model(tmp_path / "m.keras").layers[0].units == 4


def test_a_bias_for_a_layer_without_is_refused():
    layer = A2QDense(3, use_bias=False, name="plain")
    quantized_input(layer)
    with pytest.raises(ConfigurationError, match="layer 'plain' has no bias to give weights to"):
        layer.set_float_weights(np.zeros((6, 3)), np.ones(3))


def test_a2q_plus_starts_from_the_projection_onto_its_ball():
    layer = A2QDense(4, acc_bits=10, weight_bits=4, method="a2q+")
    quantized_input(layer, features=40)
    kernel, bias = np.random.default_rng(0).normal(size=(40, 4)), np.zeros(4)
    layer.set_weights([kernel, bias])
    scale = 2.0 ** float(layer.scale_log2)
    start = quantize.a2q_plus_start(kernel.astype(np.float32), scale, 10, 4, False)
    assert np.array_equal(layer.kernel, start.astype(np.float32))
    assert np.array_equal(
        layer.norm_log2, np.log2(np.abs(quantize.centred(layer.kernel.numpy())).sum(axis=0)).astype(np.float32)
    )


@pytest.mark.parametrize("share, largest", [(0.25, 18), (1.0, 63), (0.0, 3)])
def test_a_bias_takes_no_more_than_its_share(share, largest):
    layer = A2QDense(2, acc_bits=7, bias_share=share, input_quantizer="quantized_relu(4,0)")
    layer.build((None, 3))
    layer.bias.assign([1000.0, -1000.0])
    _, bias, _ = layer.integer_weights()
    assert bias.tolist() == [largest, -largest]
    assert type(layer).from_config(layer.get_config()).bias_share == share


def test_a_share_is_from_0_to_1():
    with pytest.raises(ConfigurationError, match=r"layer 'd': bias_share=2 is not a share; allowed are numbers from 0"):
        A2QDense(2, bias_share=2, name="d")


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_that_of_a_convolution_of_one_pixel(method, monkeypatch):
    monkeypatch.setattr(WeightNorm, "may_normalise", False)
    trained, rng = [], np.random.default_rng(9)
    x, y = rng.random((16, 1, 6), np.float32), rng.random((16, 1, 5), np.float32)
    start = rng.normal(size=(6, 5)).astype(np.float32)
    for layer in (A2QDense(5, 9, 4, method), a2q.A2QConv1D(5, 1, acc_bits=9, weight_bits=4, method=method)):
        model = keras.Sequential([keras.Input((1, 6)), QActivation("quantized_relu(4,1)"), layer])
        layer.set_float_weights(start.reshape(layer.kernel.shape))
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(x, y, epochs=3, batch_size=16, verbose=0)
        trained.append({variable.name: keras.ops.convert_to_numpy(variable) for variable in layer.variables})
    for name, value in trained[0].items():
        # floats: where a gradient is summed over the weights or over the outputs, the order differs
        assert np.allclose(value, trained[1][name].reshape(value.shape), rtol=1e-5, atol=1e-6), name
    assert not np.array_equal(trained[0]["kernel"], start)
