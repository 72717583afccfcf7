"""AccumulatorBound: afterwards the layer's own rounded codes fit, and weights that fitted have not moved."""

import keras
import numpy as np
import pytest
import qkeras
from hypothesis import given
from hypothesis import strategies as st

import a2q_keras as a2q
from a2q_keras.constraints import AccumulatorBound
from a2q_keras.errors import ConfigurationError, UnsupportedLayerError
from a2q_keras.numerics import bounds
from tests.strategies import seeded


def own_codes(kernel, quantizer, frac):
    """What QKeras makes of the weights, as codes (K, C)."""
    values = keras.ops.convert_to_numpy(quantizer(keras.ops.convert_to_tensor(kernel))).astype(np.float64)
    return np.rint(values * 2.0**frac).astype(np.int64)


@seeded(60)
@given(
    st.integers(0, 10**6), st.integers(2, 8), st.integers(-2, 2), st.integers(5, 12), st.booleans(), st.floats(0.1, 4)
)
def test_the_layers_own_codes_fit_and_a_second_time_changes_nothing(seed, bits, integer, acc_bits, signed, spread):
    quantizer = qkeras.quantized_bits(bits, float(integer), alpha=1)
    constraint = AccumulatorBound(acc_bits, quantizer, input_bits=4, input_signed=signed)
    kernel = np.random.default_rng(seed).normal(0, spread * 2.0**integer, (30, 4)).astype(np.float32)
    bound = keras.ops.convert_to_numpy(constraint(kernel))
    lo, hi = (-8, 7) if signed else (0, 15)
    after = own_codes(bound, quantizer, bits - 1 - integer)
    assert (bounds.min_acc_bits(after, lo, hi) <= acc_bits).all()
    assert np.array_equal(constraint(bound), bound)
    before = bounds.min_acc_bits(own_codes(kernel, quantizer, bits - 1 - integer), lo, hi)
    assert np.array_equal(bound[:, before <= acc_bits], kernel[:, before <= acc_bits])


def test_weights_that_a_wide_accumulator_holds_stay():
    kernel = np.random.default_rng(0).uniform(0.5, 1, (100, 2)).astype(np.float32)
    constraint = AccumulatorBound(44, "quantized_bits(16,0,alpha=1)", input_bits=16)
    assert np.array_equal(constraint(kernel), kernel)


@pytest.mark.parametrize("beyond", [0, 1])
def test_sums_of_more_units_than_float32_counts_are_checked_to_the_unit(beyond):
    limit = (2**30 - 1) // 31  # units of weight behind inputs of 5 bits
    codes = np.full((1200, 1), 28863)
    codes[0] += limit + beyond - codes.sum()
    bound = AccumulatorBound(31, "quantized_bits(16,15,alpha=1)", input_bits=5)(codes.astype(np.float32))
    bound = keras.ops.convert_to_numpy(bound)
    assert np.array_equal(bound, codes) == (not beyond)
    assert (bounds.min_acc_bits(np.rint(bound).astype(np.int64), 0, 31) <= 31).all()


X = np.random.default_rng(0).random((64, 6, 6, 2)).astype(np.float32)


@pytest.mark.parametrize(
    "make, depthwise",
    [
        (lambda **a: keras.layers.Conv2D(3, 3, kernel_constraint=a["bound"]), False),
        (lambda **a: qkeras.QConv2D(3, 3, kernel_quantizer=a["bits"], kernel_constraint=a["bound"]), False),
        (lambda **a: keras.layers.DepthwiseConv2D(3, depthwise_constraint=a["bound"]), True),
        (lambda **a: qkeras.QDepthwiseConv2D(3, depthwise_quantizer=a["bits"], depthwise_constraint=a["bound"]), True),
        (lambda **a: qkeras.QDense(5, kernel_quantizer=a["bits"], kernel_constraint=a["bound"]), False),
    ],
)
def test_it_holds_after_every_training_step(make, depthwise, tmp_path):
    bits = "quantized_bits(4,1,alpha=1)"
    layer = make(bits=bits, bound=AccumulatorBound(8, bits, input_bits=4, depthwise=depthwise))
    model = keras.Sequential([keras.Input((6, 6, 2)), qkeras.QActivation("quantized_relu(4,0)"), layer])
    model.compile(keras.optimizers.Adam(0.3), "mse", jit_compile=False)
    model.fit(X, np.ones((64, *model.output_shape[1:])), epochs=2, verbose=0)
    kernel = np.asarray(layer.get_weights()[0])
    kernel = kernel.reshape(-1, np.prod(kernel.shape[-2:]) if depthwise else kernel.shape[-1])
    codes = own_codes(kernel, qkeras.get_quantizer(bits), 2)
    assert (bounds.min_acc_bits(codes, 0, 15) <= 8).all() and codes.any()
    model.save(tmp_path / "m.keras")
    assert np.array_equal(a2q.load_model(tmp_path / "m.keras").predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"acc_bits": 1}, ConfigurationError, "acc_bits=1 is not allowed"),
        (
            {"quantizer": "quantized_bits(4,0,alpha='auto')"},
            UnsupportedLayerError,
            "AccumulatorBound: quantized_bits with",
        ),
        ({"quantizer": "quantized_relu(4,0)"}, UnsupportedLayerError, "weights of ufixed<4,0> are not supported; give"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        AccumulatorBound(**arguments)
