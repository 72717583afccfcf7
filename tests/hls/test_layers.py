from dataclasses import replace

import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError, UnsupportedLayerError
from a2q_keras.hls.layers import plan
from a2q_keras.integer.graph import Dense, Input, IntegerProgram, Quantize, Reshape
from a2q_keras.numerics.formats import FixedPoint
from tests.programs import mlp
from tests.strategies import convolution

X = Input("x", (4,), FixedPoint(4, 2, signed=True))


def program(*ops, outputs, inputs=(X,)):
    return IntegerProgram("p", tuple(inputs), ops, outputs)


def dense(name, source, n_in=4, n_out=4):
    return Dense(name, source, np.ones((n_in, n_out)), np.arange(n_out), FixedPoint(3, 1, signed=True), 9)


def kinds(plan):
    return [(layer.name, layer.kind, layer.layer.get("inputs")) for layer in plan.layers]


def test_every_type_is_given():
    layer = plan(program(dense("fc", "x"), outputs=("fc",))).layers[1]
    assert layer.types == {
        "result": "fixed<9,6,TRN,WRAP,0>",
        "accum": "fixed<9,6,TRN,WRAP,0>",
        "weight": "fixed<3,2,TRN,WRAP,0>",
        "bias": "fixed<9,6,TRN,WRAP,0>",
    }


def test_weights_and_biases_are_values():
    layer = plan(program(dense("fc", "x"), outputs=("fc",))).layers[1].layer
    assert layer["weight_data"].tolist() == [[0.5] * 4] * 4
    assert layer["bias_data"].tolist() == [0, 0.125, 0.25, 0.375]


def test_the_plan_of_an_mlp_is_readable():
    text = str(plan(mlp()))
    assert "n_input          InputLayer   (2, 8)" in text
    assert "n_float          Activation   (12,)            result=ufixed<4,-1,RND_CONV,SAT,0> <- fc_1" in text
    assert text.endswith("outputs: logits")


def test_a_reshape_stays_where_its_shape_is_needed_and_goes_behind_the_last_op():
    ops = (
        Reshape("square", "x", (2, 2)),
        Reshape("flat", "square", (4,)),
        dense("fc", "flat"),
        Reshape("out", "fc", (2, 2)),
    )
    found = plan(program(*ops, outputs=("out",)))
    assert kinds(found) == [("x", "InputLayer", None), ("flat", "Reshape", ["x"]), ("fc", "Dense", ["flat"])]
    assert found.outputs == ("fc",)
    assert found.computed == {"fc": "fc"}


def test_a_requantization_to_the_same_format_costs_nothing():
    found = plan(program(Quantize("q", "x", X.format), dense("fc", "q"), outputs=("fc",)))
    assert kinds(found) == [("x", "InputLayer", None), ("q", "Reshape", ["x"]), ("fc", "Dense", ["q"])]


def test_a_requantization_of_an_accumulator_to_its_own_width_is_not_dropped():
    accumulator = FixedPoint(9, 3, signed=True)
    found = plan(program(dense("fc", "x"), Quantize("q", "fc", accumulator), outputs=("q",)))
    assert found.layers[2].kind == "Activation"


def test_an_input_as_output_is_refused():
    with pytest.raises(ConfigurationError, match="output 'r' is the input 'x' unchanged"):
        plan(program(dense("fc", "x"), Reshape("r", "x", (2, 2)), outputs=("fc", "r")))


def test_the_same_output_twice_is_refused():
    with pytest.raises(ConfigurationError, match="'fc' is also another output"):
        plan(program(dense("fc", "x"), Reshape("r", "fc", (2, 2)), outputs=("fc", "r")))


def test_several_inputs_and_outputs_keep_their_order():
    inputs = (X, replace(X, name="y"))
    found = plan(program(dense("b", "y"), dense("a", "x"), outputs=("a", "b"), inputs=inputs))
    assert (found.inputs, found.outputs) == (("x", "y"), ("a", "b"))


def test_an_op_without_firmware_is_refused_by_name():
    with pytest.raises(
        UnsupportedLayerError, match="layer 'conv': Conv of shape .* has no firmware yet; dense layers on"
    ):
        plan(convolution((4, 4, 1), (2, 2)))
