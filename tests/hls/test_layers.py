from dataclasses import replace

import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.hls.layers import plan
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import AvgPool, Dense, Input, IntegerProgram, MaxPool, Quantize, Reshape, Upsample
from a2q_keras.numerics.formats import FixedPoint
from tests.programs import mlp

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
        Reshape("row", "x", (1, 4)),
        Reshape("flat", "row", (4,)),
        dense("fc", "flat"),
        Reshape("out", "fc", (2, 2)),
    )
    found = plan(program(*ops, outputs=("out",), inputs=(replace(X, shape=(2, 2)),)))
    assert kinds(found) == [("x", "InputLayer", None), ("flat", "Reshape", ["x"]), ("fc", "Dense", ["flat"])]
    assert found.outputs == ("fc",)
    assert found.computed == {"fc": "fc"}


def test_a_requantization_to_the_same_format_costs_nothing():
    found = plan(program(Quantize("q", "x", X.format), dense("fc", "q"), outputs=("fc",)))
    assert kinds(found) == [("x", "InputLayer", None), ("fc", "Dense", ["x"])]
    assert found.computed == {"fc": "fc"}


def test_a_requantization_of_an_accumulator_to_its_own_width_is_not_dropped():
    accumulator = FixedPoint(9, 3, signed=True)
    found = plan(program(dense("fc", "x"), Quantize("q", "fc", accumulator), outputs=("q",)))
    assert found.layers[2].kind == "Activation"


def test_an_input_as_output_is_refused():
    with pytest.raises(ConfigurationError, match="output 'r' is the quantized input 'x' and nothing more"):
        plan(program(dense("fc", "x"), Reshape("r", "x", (2, 2)), outputs=("fc", "r")))


def test_the_same_output_twice_is_refused():
    with pytest.raises(ConfigurationError, match="'fc' is also another output"):
        plan(program(dense("fc", "x"), Reshape("r", "fc", (2, 2)), outputs=("fc", "r")))


def test_several_inputs_and_outputs_keep_their_order():
    inputs = (X, replace(X, name="y"))
    found = plan(program(dense("b", "y"), dense("a", "x"), outputs=("a", "b"), inputs=inputs))
    assert (found.inputs, found.outputs) == (("x", "y"), ("a", "b"))


def image(*ops):
    return program(*ops, outputs=(ops[-1].name,), inputs=(replace(X, shape=(6, 4)),))


def test_in_a_stream_words_that_do_not_divide_one_another_are_repacked_by_way_of_one_word():
    ops = (Reshape("r", "x", (4, 6)), MaxPool("m", "r", (2,), (2,), ((0, 0),)))
    found = plan(image(*ops), HlsConfig(io_type="io_stream"))
    assert kinds(found)[1:] == [
        ("r_words", "Repack", ["x"]),
        ("r", "Repack", ["r_words"]),
        ("m", "MaxPooling1D", ["r"]),
    ]


def test_a_global_pool_is_viewed_in_its_shape_only_where_that_is_read():
    pool = AvgPool("a", "x", (4,), (4,), ((0, 0),))
    inputs = (replace(X, shape=(4, 2)),)
    whole = plan(program(pool, Reshape("f", "a", (2,)), dense("d", "f", 2), outputs=("d",), inputs=inputs))
    assert kinds(whole)[1:] == [("a", "GlobalAveragePooling1D", ["x"]), ("d", "Dense", ["a"])]
    viewed = plan(program(pool, Upsample("u", "a", (3,)), outputs=("u",), inputs=inputs))
    assert kinds(viewed)[1:] == [
        ("a", "GlobalAveragePooling1D", ["x"]),
        ("a_view", "Reshape", ["a"]),
        ("u", "Resize", ["a_view"]),
    ]


def test_a_mean_has_room_for_the_sum_and_its_division():
    pool = AvgPool("a", "x", (4,), (2,), ((0, 0),))
    found = plan(program(pool, outputs=("a",), inputs=(replace(X, shape=(6, 2)),))).layers[1]
    assert found.types == {"result": "fixed<6,2,TRN,WRAP,0>", "accum": "fixed<8,4,TRN,WRAP,0>"}


def test_settings_follow_the_layer_and_a_name_without_a_layer_is_refused():
    two = program(dense("a", "x"), dense("b", "a"), outputs=("b",))
    found = plan(two, HlsConfig(strategy={"b": "Resource"}, reuse_factor={"b": 3}))
    assert [(layer.strategy, layer.reuse_factor) for layer in found.layers[1:]] == [("Latency", 1), ("Resource", 2)]
    assert len(found.notices) == 1 and "layer 'b' gets reuse factor 2 in place of 3" in found.notices[0]
    with pytest.raises(ConfigurationError, match="no layer is called c; layers with weights are a, b"):
        plan(two, HlsConfig(reuse_factor={"c": 2}))
