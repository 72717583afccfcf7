"""From Keras to the integer program: what each layer becomes, and what is refused in which words."""

import keras
import numpy as np
import pytest
import qkeras
from qkeras import QActivation

from a2q_keras.errors import ConfigurationError, UnsupportedLayerError, WeightError
from a2q_keras.integer.export import export
from a2q_keras.integer.graph import Dense, Input, Quantize, Reshape
from a2q_keras.layers.dense import A2QDense
from a2q_keras.numerics.formats import FixedPoint
from tests.models import inputs, two_layers


def deep_and_shallow():
    """A model whose first input is read by fewer layers than its second."""
    deep, shallow = keras.Input((4,), name="deep"), keras.Input((4,), name="shallow")
    sums = A2QDense(4, acc_bits=12, weight_bits=4)(QActivation("quantized_bits(4,1,alpha=1)")(deep))
    parts = [QActivation("quantized_bits(4,1,alpha=1)")(sums), QActivation("quantized_relu(3,1)")(shallow)]
    return keras.Model([shallow, deep], keras.layers.Concatenate()(parts))


def equal(model, x):
    return np.array_equal(export(model).run(x), model.predict(x, verbose=0))


def test_a_sequential_model():
    model = two_layers()
    program = export(model)
    assert program.inputs == (Input("x", (6,), FixedPoint(5, 3, signed=True)),)
    assert [(type(op), op.name, op.source) for op in program.ops] == [
        (Dense, "first", "x"),
        (Quantize, "relu", "first"),
        (Dense, "second", "relu"),
    ]
    assert program["relu"].format == FixedPoint(4, 2, signed=False)
    assert program.outputs == ("second",) and program.float_tail == ""
    assert equal(model, inputs())


def test_a_functional_model_with_flatten_dropout_and_activation_argument():
    x = keras.Input((2, 3), name="x")
    y = QActivation("quantized_relu(4,1)", name="q")(keras.layers.Flatten(name="flat")(x))
    y = A2QDense(4, acc_bits=11, weight_bits=3, activation=qkeras.quantized_relu(3, 1), name="d")(y)
    y = A2QDense(2, acc_bits=12, name="out")(keras.layers.Dropout(0.5)(y))
    model = keras.Model(x, y)
    program = export(model)
    assert [type(op) for op in program.ops] == [Reshape, Dense, Quantize, Dense]
    assert program["d_activation"].format == FixedPoint(3, 2, signed=False)
    assert equal(model, inputs(features=6).reshape(-1, 2, 3))


def test_a_keras_activation_layer_with_a_quantizer():
    quantize = keras.layers.Activation(qkeras.quantized_relu(4, 1), name="q")
    model = keras.Sequential([keras.Input((6,), name="x"), quantize, A2QDense(2, acc_bits=11)])
    assert export(model).inputs[0].format == FixedPoint(4, 3, signed=False)
    assert equal(model, inputs())


def test_an_input_quantizer_on_an_input_and_on_codes():
    first = A2QDense(4, acc_bits=12, input_quantizer="quantized_bits(6,1,alpha=1)", name="a")
    second = A2QDense(2, acc_bits=12, input_quantizer="quantized_relu(3,1)", name="b")
    model = keras.Sequential([keras.Input((6,), name="x"), first, second])
    program = export(model)
    assert program.inputs[0].format == FixedPoint(6, 4, signed=True)
    assert program["b_input"].format == FixedPoint(3, 2, signed=False)
    assert equal(model, inputs())


@pytest.mark.parametrize("tail", [keras.layers.Softmax, lambda: keras.layers.Activation("softmax")])
def test_a_final_softmax_layer_is_left_out_and_said_so(tail):
    model = two_layers()
    with_tail = keras.Sequential([keras.Input((6,)), *model.layers, tail()])
    program = export(with_tail)
    assert program.float_tail == "softmax" and program.outputs == ("second",)
    assert np.array_equal(program.run(inputs()), model.predict(inputs(), verbose=0))


def test_a_softmax_as_activation_argument_is_left_out():
    out = A2QDense(3, acc_bits=12, activation="softmax", input_quantizer="quantized_relu(4,2)", name="out")
    program = export(keras.Sequential([keras.Input((6,)), out]))
    assert program.float_tail == "softmax" and program.outputs == ("out",)


def sequence(*layers):
    return keras.Sequential([keras.Input((6,), name="x"), *layers])


QUANTIZED = "quantized_relu(4,2)"
REFUSED = {
    "a float layer in the middle": (
        lambda: sequence(
            QActivation(QUANTIZED), keras.layers.Dense(4, name="plain"), A2QDense(2, input_quantizer=QUANTIZED)
        ),
        r"layer 'plain' \(Dense\) has no exact integer meaning here; supported are the A2Q.*Put A2QDense for Dense",
    ),
    "a QKeras layer": (
        lambda: sequence(QActivation(QUANTIZED), qkeras.QDense(4, name="q", kernel_quantizer="quantized_bits(4,0,1)")),
        r"layer 'q', kernel_quantizer: quantized_bits with alpha='auto_po2' has no exact integer format",
    ),
    "a float activation": (
        lambda: sequence(A2QDense(2, input_quantizer=QUANTIZED, activation="relu", name="d")),
        r"layer 'd': the float activation 'relu' has no exact integer meaning; use QActivation",
    ),
    "a layer after the softmax": (
        lambda: sequence(
            A2QDense(2, input_quantizer=QUANTIZED), keras.layers.Softmax(), QActivation(QUANTIZED, name="late")
        ),
        r"layer 'late' \(QActivation\) comes after a softmax",
    ),
    "an output that nothing quantizes": (lambda: sequence(keras.layers.Flatten()), "input 'x' reaches an output"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    make, words = REFUSED[case]
    with pytest.raises(UnsupportedLayerError, match=words):
        export(make())


def test_inputs_stay_in_the_order_of_the_model():
    model, x = deep_and_shallow(), [inputs(9, 4, seed=1), inputs(9, 4, seed=2)]
    assert [node.name for node in export(model).inputs] == ["shallow", "deep"]
    assert equal(model, x) and not np.array_equal(export(model).run(x), export(model).run(x[::-1]))


def test_inputs_by_name():
    model, (shallow, deep) = deep_and_shallow(), [inputs(9, 4, seed=1), inputs(9, 4, seed=2)]
    named = keras.Model(dict(zip(("shallow", "deep"), model.inputs)), model.outputs[0])
    x = {"shallow": shallow, "deep": deep}
    assert np.array_equal(export(named).run(x), model.predict([shallow, deep], verbose=0)) and equal(named, x)


def test_an_input_that_no_layer_reads_is_refused():
    model = deep_and_shallow()
    spare = keras.Model([model.inputs[0], keras.Input((3,), name="spare"), model.inputs[1]], model.outputs, name="m")
    with pytest.raises(UnsupportedLayerError, match="model 'm': no layer reads its input 'spare'.*Model without it"):
        export(spare)


def test_two_formats_for_one_input_are_refused():
    x = keras.Input((6,), name="x")
    wide, narrow = (A2QDense(2, input_quantizer=f"quantized_relu({bits},2)") for bits in (6, 4))
    with pytest.raises(UnsupportedLayerError, match="input .x. is already quantized to .*; use one QActivation"):
        export(keras.Model(x, [wide(x), narrow(x)]))


def test_a_model_that_is_not_built_is_refused():
    model = keras.Sequential([A2QDense(2, input_quantizer=QUANTIZED)], name="later")
    with pytest.raises(ConfigurationError, match=r"'later' is not a built .* start it with keras.Input"):
        export(model)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value):
    model = two_layers()
    model.get_layer("second").kernel.assign(np.full((5, 3), value, np.float32))
    with pytest.raises(WeightError, match="layer 'second': its kernel holds NaN or infinity; train again"):
        export(model)
