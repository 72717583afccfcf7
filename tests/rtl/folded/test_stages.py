from dataclasses import replace

import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError, UnsupportedLayerError
from a2q_keras.integer.graph import Add, AvgPool, Input, IntegerProgram, Quantize
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.folding import Folding
from a2q_keras.rtl.folded.stages import MacStage, QuantizeStage, cycles_per_sample, plan
from tests import programs
from tests.strategies import convolution

X = Input("x", (4, 4, 2), FixedPoint(4, 0, signed=True))


def test_the_plan_has_the_ops_in_order_and_the_widths_granted():
    stages = plan(programs.mlp(), {"fc/1": 20}, Folding(pe={"fc/1": 6}, simd=4))
    assert [stage.name for stage in stages] == ["fc/1", "float", "FC/1", "w2", "logits"]
    assert isinstance(stages[1], QuantizeStage) and stages[1].source == stages[0].result
    assert stages[0].result.bits == 20 and cycles_per_sample(stages) == 8 * 3


def test_a_sequence_is_an_image_of_one_row():
    (stage,) = plan(convolution((7, 2), (3,), pads=((1, 1),)), {}, Folding())
    assert isinstance(stage, MacStage) and stage.geometry.image == (1, 7, 2) and stage.geometry.places == (1, 7)
    assert np.array_equal(stage.weights.shape, (6, 4))


def test_widths_granted_are_those_of_inner_accumulators_and_the_outer_ones_have_the_format_of_the_op():
    op = replace(programs.mlp().accumulator_ops[0], source="x", tile=4)
    program = IntegerProgram("net", (Input("x", (16,), X.format),), (op,), (op.name,))
    (stage,) = plan(program, {op.name: 9}, Folding(simd=2))
    assert (stage.acc.bits, stage.result, stage.tiles.products) == (9, program.formats[op.name], 4)
    with pytest.raises(
        ConfigurationError, match="layer 'fc/1': simd=8 divides not both its 16 input channels and its tile of 4"
    ):
        plan(program, {}, Folding(simd=8))


@pytest.mark.parametrize(
    ("ops", "told"),
    [
        ((Quantize("q", "x", X.format), Add("sum", ("q", "x"))), "layer 'sum' (Add): it does not read the one layer"),
        ((AvgPool("mean", "x", (2, 2), (2, 2), ((0, 0), (0, 0))),), "layer 'mean' (AvgPool): folded hardware has"),
    ],
)
def test_other_ops_are_refused_and_the_alternative_named(ops, told):
    with pytest.raises(UnsupportedLayerError) as error:
        plan(IntegerProgram("net", (X,), ops, (ops[-1].name,)), {}, Folding())
    assert told in str(error.value) and 'style="parallel"' in str(error.value)


def test_groups_and_early_outputs_are_refused():
    with pytest.raises(UnsupportedLayerError, match=r"layer 'conv' \(Conv\): its 2 groups"):
        plan(convolution((4, 4, 2), (2, 2), groups=2), {}, Folding())
    ops = (Quantize("a", "x", X.format), Quantize("b", "a", X.format))
    with pytest.raises(UnsupportedLayerError, match="a chain from one input to its last layer"):
        plan(IntegerProgram("net", (X,), ops, ("a",)), {}, Folding())


def test_an_unknown_layer_in_a_folding_is_named():
    with pytest.raises(ConfigurationError, match="no layer 'fc' to fold; there are 'fc/1', 'FC/1', 'logits'"):
        plan(programs.mlp(), {}, Folding(pe={"fc": 2}))
