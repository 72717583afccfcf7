import dataclasses

import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer.graph import Dense, Input, IntegerProgram, Quantize, Reshape
from a2q_keras.numerics.formats import FixedPoint
from tests.strategies import mlp

UNSIGNED, SIGNED = FixedPoint(4, 4, signed=False), FixedPoint(4, 3, signed=True)


def program(*ops, outputs=None, shape=(2,)):
    return IntegerProgram("net", (Input("x", shape, UNSIGNED),), ops, outputs or (ops[-1].name,))


def dense(**changes):
    fields = {"weights": [[3], [-2]], "bias": [4], "weight_format": SIGNED, "acc_bits": 10}
    return Dense("fc", "x", **(fields | changes))


def test_formats_and_shapes_of_every_tensor():
    net = program(dense(), Quantize("relu", "fc", UNSIGNED), Reshape("row", "relu", (1, 1)))
    assert net.formats == {"x": UNSIGNED, "fc": FixedPoint(10, 7, signed=True), "relu": UNSIGNED, "row": UNSIGNED}
    assert net.shapes == {"x": (2,), "fc": (1,), "relu": (1,), "row": (1, 1)}
    assert net["fc"].name == "fc" and net.accumulator_ops == (net["fc"],)


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ([dense(weights=[[8], [0]])], r"layer 'fc': a weight code is outside fixed<4,1>"),
        ([dense(bias=[1, 2])], r"layer 'fc': input shape \(2,\), weights \(2, 1\) and bias \(2,\) do not fit"),
        ([dense(weights=[[1]])], "do not fit"),
        ([dense(acc_bits=1)], "layer 'fc': acc_bits is 1; allowed are 2 to 64"),
        ([dense(acc_bits=65)], "acc_bits is 65"),
        ([dense(), dense()], "two tensors of the integer program are called 'fc'; rename a layer"),
        ([Quantize("q", "y", UNSIGNED)], "'q' reads 'y', which nothing before it computes"),
        ([Reshape("r", "x", (3,))], r"'r': \(2,\) cannot be reshaped to \(3,\)"),
    ],
)
def test_ops_that_do_not_fit_are_refused(ops, message):
    with pytest.raises(ConfigurationError, match=message):
        program(*ops)


@pytest.mark.parametrize("outputs", [("y",), ()])
def test_unknown_outputs_are_refused(outputs):
    with pytest.raises(ConfigurationError, match="unknown outputs"):
        IntegerProgram("net", (Input("x", (2,), UNSIGNED),), (), outputs)


def test_codes_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="read-only"):
        mlp()["fc1"].weights[0, 0] = 1


def test_with_acc_bits_changes_only_what_it_names():
    narrow = mlp().with_acc_bits({"fc2": 11})
    assert [op.acc_bits for op in narrow.accumulator_ops] == [16, 11]
    assert narrow.formats["fc2"] == FixedPoint(11, 5, signed=True)


def test_digest_is_of_the_content():
    assert mlp().digest() == mlp().digest()
    weights = mlp()["fc1"].weights.copy()
    weights[2, 1] += 1
    changed = dataclasses.replace(mlp()["fc1"], weights=weights)
    variants = [
        mlp(acc_bits=15),
        mlp().with_acc_bits({"fc2": 11}),
        dataclasses.replace(mlp(), ops=(changed, *mlp().ops[1:])),
        dataclasses.replace(mlp(), outputs=("fc1",)),
        dataclasses.replace(mlp(), float_tail=""),
        dataclasses.replace(mlp(), inputs=(Input("x", (6,), SIGNED),)),
    ]
    assert len({mlp().digest(), *(variant.digest() for variant in variants)}) == 7


def test_run_codes_and_save_are_at_hand(tmp_path):
    codes = np.zeros((2, 6), int)
    assert mlp().run_codes(codes).shape == mlp().run(codes).shape == (2, 3)
    mlp().save(tmp_path / "net.a2q")
    assert (tmp_path / "net.a2q").exists()


def test_a_program_lists_its_tensors():
    shown = repr(program(dense(), Quantize("relu", "fc", UNSIGNED))).split("\n")
    assert shown[0] == "IntegerProgram 'net', outputs relu"
    assert [line.split()[:2] for line in shown[1:]] == [["Input", "x"], ["Dense", "fc"], ["Quantize", "relu"]]
    assert shown[2].endswith(f"(1,)             {FixedPoint(10, 7, signed=True)}")
