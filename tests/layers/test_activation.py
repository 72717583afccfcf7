"""A2QActivation: its codes, its gradient, and layers that follow its exponent."""

import keras
import numpy as np
import pytest
from qkeras import QActivation

from a2q_keras.errors import ConfigurationError, InputRangeError
from a2q_keras.layers.activation import A2QActivation
from a2q_keras.layers.dense import A2QDense
from a2q_keras.numerics.formats import FixedPoint
from tests.backend import gradients


@pytest.mark.parametrize("bits, integer, signed", [(4, 1, False), (5, 0, True), (3, -2, False), (8, 9, True)])
def test_the_codes_are_those_of_its_format(bits, integer, signed):
    layer, format = A2QActivation(bits, integer, signed), FixedPoint(bits, bits - signed - integer, signed)
    x = np.random.default_rng(0).normal(0, 2.0**integer, 500).astype(np.float32)
    assert np.array_equal(layer(x), format.values(format.quantize(x)))
    assert layer.learned_format == format


@pytest.mark.parametrize("bits, signed", [(4, False), (5, False), (8, True)])
def test_codes_and_format_round_a_trained_exponent_alike(bits, signed):
    layer = A2QActivation(bits, 0, signed)
    layer.build((None, 3))
    for integer in [-100, *np.arange(-8, 8.5, 0.5), np.nextafter(np.float32(2.5), np.float32(0)), 100]:
        layer.integer.assign(integer)
        assert float(keras.ops.convert_to_numpy(layer.step)) == layer.learned_format.step


def test_the_exponent_moves_to_where_the_error_is_small():
    layer, x = A2QActivation(4, 4), np.linspace(0, 0.99, 256, dtype=np.float32)[:, None]
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
    model.fit(x, x, epochs=40, verbose=0)
    assert layer.learned_format.integer <= 1  # the best is 0; between it and 1 the trained exponent swings


def test_the_gradient_passes_where_codes_do_not_saturate():
    layer, x = A2QActivation(3, 0, signed=True), np.array([-2.0, -0.4, 0.3, 5.0], np.float32)
    layer.build((None, 4))
    (gradient,) = gradients(lambda x: keras.ops.sum(layer(x)), x)
    assert np.array_equal(gradient, [0, 1, 1, 0])


def following():
    """A network whose dense layer reads the codes of a trained activation through an average."""
    keras.utils.set_random_seed(0)
    dense = A2QDense(4, acc_bits=9, weight_bits=4)
    layers = A2QActivation(5, 0, signed=True), keras.layers.GlobalAveragePooling2D(), dense
    return keras.Sequential([keras.Input((4, 4, 3)), *layers])


def test_a_layer_behind_it_follows_its_exponent(tmp_path):
    model, rng = following(), np.random.default_rng(0)
    x = rng.normal(0, 5, (64, 4, 4, 3)).astype(np.float32)
    y = (x.mean((1, 2)) @ rng.normal(size=(3, 4))).astype(np.float32)
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
    model.fit(x, y, epochs=40, verbose=0)
    activation, _, dense = model.layers
    assert activation.learned_format.integer > 1
    format = dense.input_format
    assert (format.bits, format.frac) == (9, activation.learned_format.frac + 4)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.layers[-1].input_format == format


def test_codes_that_meet_others_are_refused():
    x = keras.Input((4,))
    both = keras.layers.Add(name="sum")([A2QActivation(4)(x), QActivation("quantized_relu(4,1)")(x)])
    with pytest.raises(
        InputRangeError, match="layer 'd': 'sum' joins the codes of an activation whose exponent trains"
    ):
        A2QDense(2, name="d")(both)


def test_the_config_rebuilds_it():
    layer = A2QActivation(5, -1, signed=True, name="a")
    twin = A2QActivation.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config() and twin.learned_format == layer.learned_format


@pytest.mark.parametrize(
    "arguments, words", [((1, 0, True), "bits=1 is not allowed"), ((4, 0.5), "integer=0.5 is not")]
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        A2QActivation(*arguments)


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16", "float64"])
def test_other_floats_are_refused(dtype):
    with pytest.raises(ConfigurationError, match=f"layer 'a': dtype {dtype} cannot hold exact sums; use float32"):
        A2QActivation(4, dtype=dtype, name="a")
