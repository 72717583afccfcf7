"""Rows times weights are what the layer's accumulators hold."""

import keras
import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.conv import A2QConv1D, A2QConv2D, A2QDepthwiseConv1D, A2QDepthwiseConv2D
from a2q_keras.layers.dense import A2QDense
from a2q_keras.model.graph import functional
from a2q_keras.model.post_training.rows import Values, groups, pixels_read, rows
from a2q_keras.model.record import samples

QUANTIZER = {"input_quantizer": "quantized_relu(4,2)"}
LAYERS = {
    "dense": (lambda: A2QDense(3, **QUANTIZER), (5,)),
    "dense on steps": (lambda: A2QDense(3, **QUANTIZER), (4, 5)),
    "conv1d causal": (lambda: A2QConv1D(4, 3, padding="causal", dilation_rate=2, **QUANTIZER), (9, 2)),
    "conv2d same strides": (lambda: A2QConv2D(3, (3, 2), strides=2, padding="same", **QUANTIZER), (7, 6, 2)),
    "conv2d groups": (lambda: A2QConv2D(6, 3, groups=2, **QUANTIZER), (6, 6, 4)),
    "depthwise1d": (lambda: A2QDepthwiseConv1D(3, **QUANTIZER), (8, 3)),
    "depthwise2d": (lambda: A2QDepthwiseConv2D(3, depth_multiplier=2, padding="same", **QUANTIZER), (5, 5, 3)),
}


def all_rows(layer, x):
    read = pixels_read(layer, x.shape[1:-1])
    return rows(layer, x, read, np.arange(len(x) * len(read)))


@pytest.mark.parametrize("name", LAYERS)
def test_rows_times_columns_are_the_sums(name):
    make, shape = LAYERS[name]
    layer = make()
    layer.build((None, *shape))
    rng = np.random.default_rng(0)
    x = rng.integers(0, 16, (3, *shape)).astype(np.float32)
    layer.kernel.assign(rng.integers(-7, 8, layer.kernel.shape))
    columns = keras.ops.convert_to_numpy(layer.kernel).reshape(-1, layer._channels)
    found = [part @ w for part, w in zip(all_rows(layer, x), np.split(columns, groups(layer), axis=1))]
    wanted = keras.ops.convert_to_numpy(layer._linear(x, layer.kernel))
    assert np.array_equal(np.concatenate(found, axis=1), wanted.reshape(-1, layer._channels))


def test_chosen_rows_are_those_of_all():
    layer = A2QConv2D(3, 3, padding="same", **QUANTIZER)
    layer.build((None, 4, 4, 2))
    x = np.random.default_rng(0).integers(0, 16, (3, 4, 4, 2)).astype(np.float32)
    chosen = np.array([0, 7, 16, 47])
    found = rows(layer, x, pixels_read(layer, (4, 4)), chosen)
    assert np.array_equal(found, all_rows(layer, x)[:, chosen])


def test_pixels_keep_their_numbers_where_pictures_are_large():
    layer = A2QConv1D(1, 2, **QUANTIZER)
    layer.build((None, 70_000, 1))
    x = np.zeros((1, 70_000, 1), np.float32)
    x[0, 69_998:, 0] = 1, 2
    assert all_rows(layer, x)[0, -2:].tolist() == [[0, 1], [1, 2]]


class TestValues:
    def graph(self, ran):
        class Spy(keras.layers.Layer):
            def call(self, x):
                ran.append(self.name)
                return x + 1.0

        x = keras.Input((3,), name="x")
        a = Spy(name="a")(x)
        b = Spy(name="b")(a)
        c = keras.layers.Add(name="c")([a, b])
        model = keras.Model(x, Spy(name="d")(c))
        ran.clear()
        return model

    def test_every_layer_runs_once(self):
        ran = []
        values = Values(self.graph(ran), [np.zeros((2, 3), np.float32)])
        found = {name: values.entering(name)[0, 0] for name in "abcd"}
        assert found == {"a": 0, "b": 1, "c": 1, "d": 3}
        assert ran == ["a", "b"]

    def test_a_layer_may_read_a_tensor_twice(self):
        x = keras.Input((1,))
        y = keras.layers.ReLU(name="y")(x)
        model = keras.Model(x, keras.layers.ReLU(name="z")(keras.layers.Add()([y, y])))
        assert Values(model, [np.ones((1, 1), np.float32)]).entering("z").item() == 2.0

    def test_what_nobody_reads_any_more_is_dropped(self):
        values = Values(self.graph([]), [np.zeros((2, 3), np.float32)])
        values.entering("d")
        assert len(values.made) == 1

    def test_a_layer_runs_as_it_is_when_it_is_asked_for(self):
        scale = keras.layers.Rescaling(1.0, name="scale")
        model = keras.Sequential(
            [keras.Input((1,)), keras.layers.ReLU(name="first"), scale, keras.layers.ReLU(name="r")]
        )
        values = Values(functional(model), [np.ones((1, 1), np.float32)])
        values.entering("scale")
        scale.scale = 5.0
        assert values.entering("r").item() == 5.0


def test_no_more_of_the_data_is_read_than_asked():
    model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU()])
    read = []

    def batches():
        for i in range(100):
            read.append(i)
            yield np.full((4, 2), i), np.zeros(4)

    assert samples(functional(model), batches(), 10)[0][:, 0].tolist() == [0] * 4 + [1] * 4 + [2] * 2
    assert read == [0, 1, 2]


@pytest.mark.parametrize("data, words", [(np.zeros((4, 3)), r"data of shapes \[\(3,\)\]"), ([], "data is empty")])
def test_data_that_does_not_fit_is_refused(data, words):
    with pytest.raises(ConfigurationError, match=words):
        samples(functional(keras.Sequential([keras.Input((2,)), keras.layers.ReLU()])), data, 10)


def test_a_model_without_inputs_is_refused():
    with pytest.raises(ConfigurationError, match=r"'open' is not a built.*start it with keras.Input"):
        samples(functional(keras.Sequential([keras.layers.Dense(2)], name="open")), np.zeros((4, 3)), 10)
