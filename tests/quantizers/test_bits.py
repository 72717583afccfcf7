"""a2q_bits in the layers of QKeras: codes within the bound, saved and loaded, exported exactly."""

import keras
import numpy as np
import pytest
import qkeras

import a2q_keras as a2q
from a2q_keras.errors import ConfigurationError, UnsupportedLayerError
from a2q_keras.numerics import bounds, projection, quantize
from a2q_keras.quantizers import a2q_bits
from a2q_keras.quantizers.weights import METHODS

IMAGES = np.random.default_rng(0).random((32, 6, 6, 2)).astype(np.float32)
BIAS = "quantized_bits(6,2,alpha=1)"


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def codes(quantizer, kernel, columns=None):
    """Integer codes of a kernel, as (K, C)."""
    values = keras.ops.convert_to_numpy(quantizer(keras.ops.convert_to_tensor(kernel)))
    exponent = float(quantizer.exponent(keras.ops.convert_to_tensor(kernel if columns is None else columns)))
    found = values.astype(np.float64) * 2.0**-exponent
    assert np.array_equal(found, np.rint(found))
    return found.astype(np.int64), exponent


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_codes_meet_the_bound(method, signed):
    kernel = normal((50, 8))
    found, _ = codes(a2q_bits(4, 9, 4, signed, method), kernel)
    lo, hi = (-8, 7) if signed else (0, 15)
    needed = bounds.min_acc_bits(found, lo, hi)
    assert (needed <= 9).all() if method != "none" else (needed > 9).any()
    assert found.any()


def test_exact_codes_are_the_projection_at_the_best_scale():
    kernel = normal((40, 5))
    found, exponent = codes(a2q_bits(4, 9, 4), kernel)
    assert np.array_equal(found, projection.project_codes(kernel * 2.0**-exponent, 4, 9, 0, 15))
    assert exponent == quantize.search_scale_log2(kernel, 4, 9, 0, 15)


def test_a_fixed_scale_is_taken():
    quantizer = a2q_bits(4, 12, 4, scale_log2=-2)
    assert codes(quantizer, normal((10, 3)))[1] == -2
    assert (quantizer.max(), quantizer.min()) == (1.75, -1.75)


@pytest.mark.parametrize("exponent", [-3, 0, 2])
def test_the_papers_scale_puts_the_largest_weight_on_the_largest_code(exponent):
    for largest, wanted in ((7 * 2.0**exponent, exponent), (7.01 * 2.0**exponent, exponent + 1)):
        kernel = np.float32([[largest], [0.1]])
        assert float(a2q_bits(4, 12, 4, method="a2q").exponent(keras.ops.convert_to_tensor(kernel))) == wanted


def network(method="exact"):
    """A convolution, a depthwise one and a dense layer of plain QKeras."""
    keras.utils.set_random_seed(0)
    relu = "quantized_relu(4,1)"
    shared = f"acc_bits=11, input_bits=4, method='{method}'"
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            qkeras.QActivation("quantized_relu(4,0)"),
            qkeras.QConv2D(4, 3, kernel_quantizer=a2q_bits(4, 10, 4, method=method), bias_quantizer=BIAS, name="conv"),
            qkeras.QActivation(relu),
            qkeras.QDepthwiseConv2D(
                3,
                depthwise_quantizer=a2q_bits(4, 9, 4, method=method, depthwise=True),
                bias_quantizer=BIAS,
                name="deep",
            ),
            qkeras.QActivation(relu),
            keras.layers.Reshape((4, 4)),
            qkeras.QConv1D(3, 2, kernel_quantizer=a2q_bits(4, 10, 4, method=method), use_bias=False, name="line"),
            qkeras.QActivation(relu),
            keras.layers.Flatten(),
            qkeras.QDense(2, kernel_quantizer=f"a2q_bits(4, {shared})", bias_quantizer=BIAS, name="head"),
        ]
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_qkeras_model_trains_saves_and_runs_exactly(method, tmp_path):
    model = network(method)
    model.compile("adam", "mse", jit_compile=False)
    model.fit(IMAGES, np.ones((32, 2)), epochs=2, verbose=0)
    outputs = model.predict(IMAGES, verbose=0)
    program = a2q.integer_model(model)
    assert np.array_equal(program.run(IMAGES), outputs)
    assert [op.acc_bits for op in program.accumulator_ops] == [10, 9, 10, 11]
    without_bias = {
        op.name: bounds.min_acc_bits(a2q.certify(program)[op.name].weights, 0, 15).max()
        for op in program.accumulator_ops
    }
    assert method == "none" or all(without_bias[op.name] <= op.acc_bits for op in program.accumulator_ops)
    model.save(tmp_path / "m.keras")
    assert np.array_equal(a2q.load_model(tmp_path / "m.keras").predict(IMAGES, verbose=0), outputs)
    objects = {"a2q_bits": a2q_bits}
    again = keras.saving.load_model(tmp_path / "m.keras", custom_objects=objects)
    assert np.array_equal(again.predict(IMAGES, verbose=0), outputs)


def dense(**arguments):
    layer = qkeras.QDense(2, name="d", **arguments)
    model = keras.Sequential([keras.Input((3,)), qkeras.QActivation("quantized_relu(4,0)"), layer])
    return model, layer


def test_an_ordinary_qkeras_layer_is_exported_too():
    model, _ = dense(
        kernel_quantizer="quantized_bits(4,0,alpha=1)", bias_quantizer=BIAS, activation="quantized_relu(4,1)"
    )
    x = np.random.default_rng(1).random((20, 3)).astype(np.float32)
    assert np.array_equal(a2q.integer_model(model).run(x), model.predict(x, verbose=0))
    assert a2q.certify(model).ok


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({}, "layer 'd': its weights are not quantized; give a kernel_quantizer"),
        (
            {"kernel_quantizer": "quantized_bits(4,0,alpha='auto')"},
            "layer 'd', kernel_quantizer: quantized_bits with alpha",
        ),
        (
            {"kernel_quantizer": a2q_bits(4, 9, 4, depthwise=True)},
            "layer 'd': a2q_bits has depthwise=True; write a2q_bits",
        ),
    ],
)
def test_layers_off_the_grid_are_refused(arguments, words):
    with pytest.raises(UnsupportedLayerError, match=words):
        a2q.integer_model(dense(**arguments)[0])


def test_a_float_bias_off_the_grid_is_refused():
    model, layer = dense(kernel_quantizer=a2q_bits(4, 12, 4, scale_log2=-3))
    layer.set_weights([np.ones((3, 2)), np.array([0.0, 0.3])])
    with pytest.raises(
        UnsupportedLayerError, match=r"the bias of channel 1 is no multiple of 2\*\*-7, the step of its acc"
    ):
        a2q.integer_model(model)


def test_the_config_and_the_text_rebuild_it():
    quantizer = a2q_bits(4, 12, 5, True, "a2q+", -3, True)
    assert a2q_bits.from_config(quantizer.get_config()).get_config() == quantizer.get_config()
    assert qkeras.get_quantizer(str(quantizer)).get_config() == quantizer.get_config()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"weight_bits": 1}, "weight_bits=1 is not allowed"),
        ({"acc_bits": 1}, "acc_bits=1 is not allowed"),
        ({"input_bits": 0}, "input_bits=0 is not allowed"),
        ({"method": "best"}, "method='best' is unknown; allowed are exact, a2q"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        a2q_bits(**arguments)
