"""Where a layer's input range comes from, and what is said where nothing tells it."""

import keras
import numpy as np
import pytest
import qkeras
from qkeras import QActivation

from a2q_keras.errors import ConfigurationError, InputRangeError, UnsupportedLayerError
from a2q_keras.layers.conv import A2QConv2D
from a2q_keras.layers.dense import A2QDense
from a2q_keras.layers.upstream import input_format, quantizers_upstream
from a2q_keras.numerics.formats import FixedPoint


def format_after(*layers, shape=(2, 3)):
    last = A2QDense(2)
    keras.Sequential([keras.Input(shape), *layers, last])
    return last.input_format


def test_through_layers_that_keep_the_values():
    layers = QActivation("quantized_relu(5,2)"), keras.layers.Reshape((3, 2)), keras.layers.Flatten()
    assert format_after(*layers, keras.layers.Dropout(0.1)) == FixedPoint(5, 3, signed=False)


IMAGE = (4, 4, 2)


@pytest.mark.parametrize(
    "layer, format",
    [
        (keras.layers.MaxPooling2D(), FixedPoint(5, 3, signed=False)),
        (keras.layers.GlobalMaxPooling2D(), FixedPoint(5, 3, signed=False)),
        (keras.layers.ZeroPadding2D(1), FixedPoint(5, 3, signed=False)),
        (keras.layers.Cropping2D(1), FixedPoint(5, 3, signed=False)),
        (keras.layers.UpSampling2D(2), FixedPoint(5, 3, signed=False)),
        (keras.layers.AveragePooling2D((2, 1)), FixedPoint(6, 4, signed=False)),
        (keras.layers.GlobalAveragePooling2D(), FixedPoint(9, 7, signed=False)),
        (keras.layers.Permute((3, 1, 2)), FixedPoint(5, 3, signed=False)),
        (keras.layers.SpatialDropout2D(0.1), FixedPoint(5, 3, signed=False)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.layers.Layer) else None,
)
def test_through_layers_on_images(layer, format):
    assert format_after(QActivation("quantized_relu(5,2)"), layer, shape=IMAGE) == format


@pytest.mark.parametrize(
    "merge, format",
    [
        (keras.layers.Add(), FixedPoint(6, 3, signed=True, symmetric=True)),  # codes -16 to 29
        (keras.layers.Concatenate(), FixedPoint(5, 3, signed=True)),
    ],
)
def test_where_two_tensors_meet(merge, format):
    x, last = keras.Input((4,)), A2QDense(2)
    last(merge([QActivation("quantized_relu(3,1)")(x), QActivation("quantized_bits(5,1,alpha=1)")(x)]))
    assert last.input_format == format


def test_a_pool_used_twice_averages_as_many_values_as_each_input_has():
    pool = keras.layers.GlobalAveragePooling1D()
    formats = [format_after(QActivation("quantized_relu(4,2)"), pool, shape=(size, 3)) for size in (2, 16)]
    assert [format.bits for format in formats] == [5, 8]


def test_a_sum_written_with_a_plus():
    x = keras.Input((4,))
    sides = [QActivation(f"quantized_relu({bits},1)")(x) for bits in (3, 5)]
    assert input_format(sides[0] + sides[1], "d") == input_format(keras.layers.Add()(sides), "d")
    with pytest.raises(InputRangeError, match="they come from Add"):
        input_format(sides[0] + 1.0, "d")


def test_through_a_layer_used_twice():
    x, pool = keras.Input(IMAGE), keras.layers.MaxPooling2D()
    first, second = (A2QDense(2)(pool(QActivation(f"quantized_relu({bits},1)")(x))) for bits in (3, 5))
    assert [tensor._keras_history.operation.input_format.bits for tensor in (first, second)] == [3, 5]


def test_the_mean_of_an_unknown_number_of_values_is_refused():
    pool = keras.layers.GlobalAveragePooling2D(name="p")
    with pytest.raises(UnsupportedLayerError, match="layer 'p' averages inputs of unknown size"):
        format_after(QActivation("quantized_relu(5,2)"), pool, shape=(None, None, 3))


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_upstream_is_refused(dtype):
    with pytest.raises(ConfigurationError, match="layer 'r': b?float16 cannot hold exact sums; use dtype float32"):
        format_after(
            QActivation("quantized_relu(5,2)"), keras.layers.Reshape((-1,), dtype=dtype, name="r"), shape=IMAGE
        )


@pytest.mark.parametrize(
    "layer, words",
    [
        (
            keras.layers.AveragePooling2D(3, name="p"),
            "layer 'p': the mean of 9 values is no fixed-point number; use win",
        ),
        (
            keras.layers.UpSampling2D(interpolation="bilinear", name="p"),
            "'p': interpolation='bilinear' makes new values",
        ),
    ],
)
def test_layers_that_leave_the_grid_are_refused(layer, words):
    with pytest.raises(UnsupportedLayerError, match=words):
        format_after(QActivation("quantized_relu(5,2)"), layer, shape=IMAGE)


def test_from_the_activation_argument_of_the_layer_before():
    before = A2QDense(3, activation=qkeras.quantized_bits(6, 2, 1, alpha=1), input_quantizer="quantized_relu(4,0)")
    assert format_after(before, shape=(4,)) == FixedPoint(6, 3, signed=True, symmetric=True)


def test_in_a_functional_model():
    x = keras.Input((4,))
    layer = A2QDense(2)
    layer(QActivation("quantized_bits(4,0,alpha=1)")(x))
    assert layer.input_format == FixedPoint(4, 3, signed=True)


@pytest.mark.parametrize(
    "before, found",
    [
        (keras.layers.Dense(3, name="plain"), "come from Dense 'plain'"),
        (keras.layers.ReLU(name="relu"), "come from ReLU 'relu'"),
        (None, "come from InputLayer 'x'"),
    ],
)
def test_an_unknown_range_is_refused_in_words(before, found):
    layers = [keras.Input((4,), name="x"), *([before] if before else []), A2QDense(2, name="late")]
    with pytest.raises(InputRangeError, match=f"layer 'late': .* {found}; put a QActivation.*or give 'late'"):
        keras.Sequential(layers)


def test_outside_a_model_the_range_is_unknown():
    with pytest.raises(
        InputRangeError, match="layer 'alone': the range of its inputs is unknown; give it an input_quant"
    ):
        A2QDense(2, name="alone")(np.ones((1, 4), np.float32))


def test_a_layer_used_on_two_formats_is_refused():
    x, layer = keras.Input((4,)), A2QDense(2, name="shared")
    layer(QActivation("quantized_relu(4,0)")(x))
    with pytest.raises(InputRangeError, match=r"'shared' is used on inputs of format ufixed<4,0> and on ufixed<5,0>"):
        layer(QActivation("quantized_relu(5,0)")(x))


def test_an_activation_without_integer_format_is_refused():
    with pytest.raises(UnsupportedLayerError, match="layer 'soft': the quantizer quantized_tanh"):
        format_after(QActivation("quantized_tanh(4)", name="soft"), shape=(4,))


def test_the_quantizers_upstream_are_found_through_layers_that_move_values_and_not_beyond_others():
    x = keras.Input((4, 4, 2))
    a = QActivation("quantized_relu(4,1)", name="a")(x)
    b = A2QConv2D(2, 3, padding="same", activation="quantized_relu(3,1)", name="b")(a)
    joined = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([keras.layers.MaxPooling2D(1)(a), b]))
    assert quantizers_upstream(joined) == {"a", "b"} and quantizers_upstream(b) == {"b"}
    assert quantizers_upstream(A2QConv2D(2, 1)(a)) == quantizers_upstream(x) == set()
