"""convert and quantize with least_act_bits: activations get the bits that suit the accumulators behind them."""

import keras
import numpy as np
import pytest
from keras import layers as L

import a2q_keras as a2q
from a2q_keras.errors import ConfigurationError
from a2q_keras.model.post_training import activation_bits
from a2q_keras.model.post_training.activation_bits import best
from a2q_keras.numerics.fit import fit
from tests.model.post_training.test_quantize import TABLE, mlp
from tests.model.post_training.test_warm_start import check_that_it_trains_on, output_error
from tests.model.test_convert import IMAGES, residual

EXACT_ENOUGH = {"acc_bits": 32, "weight_bits": 14}  # a layer that is as good as a float one


def bits(model) -> dict[str, int]:
    """Bits of the quantizer of every layer that has one, by the layer's name."""
    activations = {layer.name: getattr(layer, "activation", None) for layer in model.layers}
    found = {name: activation.bits for name, activation in activations.items() if hasattr(activation, "bits")}
    return {"inputs" if name.startswith("input_layer") else name: count for name, count in found.items()}


def narrow(model, data, acc_bits, **settings):
    return a2q.convert(model, acc_bits, 4, 4, data=data, least_act_bits=2, **settings)


def test_where_there_is_room_all_get_the_most():
    assert set(bits(narrow(mlp(), TABLE, 24)).values()) == {4}


def test_the_narrower_the_accumulators_the_fewer_bits():
    found = [sum(bits(narrow(mlp(), TABLE, acc_bits)).values()) for acc_bits in (14, 8, 6)]
    assert found[0] > found[1] > found[2]


def test_no_fewer_than_asked_and_no_more():
    model, settings = mlp(), {"dense_0": {"act_bits": 3}, "dense_1": {"least_act_bits": 4}}
    assert [bits(narrow(model, TABLE, 5, layers=settings))[name] for name in settings] == [2, 4]
    assert [bits(narrow(model, TABLE, 24, layers=settings))[name] for name in settings] == [3, 4]
    alone = a2q.convert(model, 5, 4, 4, data=TABLE, layers={"dense_0": {"least_act_bits": 3}})
    assert bits(alone) == {"inputs": 4, "dense_0": 3, "dense_1": 4}


def test_the_network_comes_closer_to_the_float_one():
    model = mlp()
    for quantize in (a2q.quantize, lambda model, data, *bits, **more: a2q.convert(model, *bits, data=data, **more)):
        fixed, fitted = (quantize(model, TABLE, 6, 4, 4, **how) for how in ({}, {"least_act_bits": 2}))
        assert output_error(model, fitted, TABLE) < output_error(model, fixed, TABLE)


def closest(model, data, acc_bits, places) -> int:
    """The bits of activations with which `quantize` comes clearly closest to the float outputs."""
    quantized = {n: a2q.quantize(model, data, acc_bits, 4, n, "optq", layers=places) for n in (2, 3, 4, 5)}
    return best({n: output_error(model, ours, data) for n, ours in quantized.items()})


@pytest.mark.parametrize("acc_bits", [7, 8, 9, 11])
def test_it_is_the_number_by_which_quantize_comes_clearly_closest(acc_bits):
    """One layer in narrow accumulators behind one that is as good as float: then its error is that of the outputs."""
    keras.utils.set_random_seed(acc_bits)
    model = keras.Sequential([keras.Input((12,)), L.Dense(24, "relu", name="first"), L.Dense(6, name="second")])
    places = {"first": EXACT_ENOUGH | {"input_bits": 12}}
    chosen = a2q.convert(model, acc_bits, 4, 5, data=TABLE, layers=places, least_act_bits=2)
    assert bits(chosen)["first"] == closest(model, TABLE, acc_bits, places)


def test_rounding_in_front_of_an_average_counts():
    """If the average were rounded instead, two bits would be best."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(4, 3, activation="relu", name="conv")(image)
    model = keras.Model(image, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(L.ZeroPadding2D(1)(x))))
    places = {"conv": EXACT_ENOUGH | {"input_bits": 8}}
    chosen = bits(a2q.convert(model, 13, 4, 5, data=IMAGES, layers=places, least_act_bits=2))["conv"]
    assert chosen == closest(model, IMAGES, 13, places) > 2


def pictures(dense_reads_first: bool):
    """Two convolutions, the second one behind the first; its weights are the same with every backend."""
    image = keras.Input((8, 8, 3), name="image")
    first = L.Conv2D(8, 3, activation="relu", name="first")(image)
    second = L.Conv2D(8, 3, activation="relu", name="second")(first)
    ends = [L.Flatten()(second)] + ([L.Flatten()(first)] if dense_reads_first else [])
    model = keras.Model(image, [L.Dense(3)(end) for end in ends])
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) * (w.ndim > 1) / w.shape[-1] for w in model.get_weights()])
    return model


def test_fewer_in_front_of_a_convolution_that_trains():
    trained, untrained, mixed = (
        bits(convert(pictures(mixed), IMAGES, 8))
        for convert, mixed in ((narrow, False), (quantized, False), (narrow, True))
    )
    assert trained["first"] < untrained["first"] == mixed["first"]
    assert trained["second"] == untrained["second"]  # it is read by a dense layer


def quantized(model, data, acc_bits):
    return a2q.quantize(model, data, acc_bits, 4, 4, least_act_bits=2)


def test_the_inputs_of_the_model_and_layers_with_input_bits_keep_theirs():
    assert bits(narrow(mlp(), TABLE, 5))["inputs"] == 4
    assert bits(narrow(mlp(), TABLE, 5, input_bits=7))["inputs"] == 7
    linear = keras.Sequential([keras.Input((12,)), L.Dense(24, name="linear"), L.Dense(4, name="head")])
    assert bits(narrow(linear, TABLE, 5))["linear_quantizer"] < 4
    assert bits(narrow(linear, TABLE, 5, layers={"head": {"input_bits": 6}}))["linear_quantizer"] == 6


def test_a_residual_network_with_every_kind_of_quantizer():
    """Also inside a separable convolution, in front of a layer, behind a sum, in front of a pool and an average."""
    model = residual()
    ours = narrow(model, IMAGES, 7, input_bits=5)
    found = bits(ours) | {"left/depthwise": ours.get_layer("left").depthwise_activation.bits}
    assert found["image_quantizer"] == 5 and min(found.values()) < 4
    assert set(found) == {"image_quantizer", "stem_relu", "sum_relu", "right", "mean_quantizer", "left/depthwise"}
    check_that_it_trains_on(ours, 7)


def test_by_the_exact_condition_whatever_the_method_unless_there_is_no_bound():
    found = {method: bits(narrow(mlp(), TABLE, 6, method=method)) for method in ("exact", "a2q", "a2q+", "none")}
    assert found["a2q"] == found["a2q+"] == found["exact"] and min(found["exact"].values()) < 4
    assert set(found["none"].values()) == {4}
    mixed = bits(narrow(mlp(), TABLE, 6, layers={"dense_1": {"method": "a2q"}}, last={"method": "a2q+"}))
    assert mixed == found["exact"]


def test_of_a_wide_layer_some_channels_are_tried(monkeypatch):
    """Every third of 24 at most 10; groups have inputs of their own and are all tried."""
    seen = []

    def watched(task, *more):
        seen.append([group.w.shape[1] for group in task])
        return fit(task, *more)

    image = keras.Input((6, 6, 3), name="image")
    x = L.Conv2D(24, 3, activation="relu")(image)
    x = L.DepthwiseConv2D(3, activation="relu")(x)
    model = keras.Model(image, L.Dense(3)(L.Flatten()(x)))
    monkeypatch.setattr(activation_bits, "fit", watched)
    monkeypatch.setattr(activation_bits, "CHANNELS", 10)
    a2q.convert(model, 8, 4, 4, data=IMAGES[:, :6, :6], least_act_bits=3)
    assert seen == 2 * [[8], 24 * [1], [3]]


def test_bits_that_a_qkeras_model_brings_stay():
    model = narrow(mlp(), TABLE, 8)
    qkeras_model = a2q.to_qkeras(model)
    assert bits(narrow(qkeras_model, TABLE, 5)) == bits(model)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"data": None}, "least_act_bits needs data=, about a hundred inputs"),
        ({"least_act_bits": 1}, "least_act_bits=1 is not allowed; give a whole number from 2 to 16"),
        ({"layers": {"dense_0": {"least_act_bits": 0}}}, "least_act_bits=0 is not allowed"),
        ({"layers": {"dense_0": {"least_act_bits": "2"}}}, "least_act_bits='2' is not allowed"),
        ({"layers": {"dense_0": {"act_bits": 4.5}}}, "act_bits=4.5 is not allowed; give a whole number from 1 to 32"),
    ],
)
def test_mistakes_are_named(given, words):
    with pytest.raises(ConfigurationError, match=words):
        a2q.convert(mlp(), 8, 4, 4, **{"data": TABLE, "least_act_bits": 2} | given)
