from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2q_keras.cosim import vectors
from a2q_keras.integer.certificate import certify
from a2q_keras.integer.graph import Dense, Input, IntegerProgram, Quantize, Reshape
from a2q_keras.integer.run import trace
from a2q_keras.numerics.formats import FixedPoint
from tests.programs import mlp
from tests.strategies import convolution

WEIGHTS = FixedPoint(4, 0, signed=True)


def random_dense(seed, n_in=6, n_out=4, source="x") -> Dense:
    rng = np.random.default_rng(seed)
    return Dense("fc", source, rng.integers(-8, 8, (n_in, n_out)), rng.integers(-9, 9, n_out), WEIGHTS, 32)


def test_random_inputs_start_with_the_corners_and_stay_in_range():
    codes = vectors.random_inputs(mlp(), 500, seed=3)[0]
    assert codes.shape == (500, 2, 8) and codes.dtype == np.int64
    assert [np.unique(row).tolist() for row in codes[:3]] == [[-32], [31], [0]]
    assert (codes.min(), codes.max()) == (-32, 31)
    assert np.unique(codes).size == 64


def test_random_inputs_depend_on_the_seed_alone():
    first, again, other = (vectors.random_inputs(mlp(), 9, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_off_grid_values_are_between_and_beyond_the_codes():
    values = vectors.off_grid_values(mlp(), 500)[0] * 2**4
    assert values.min() < -33 and values.max() > 32
    assert {0.25, 0.5, 0.75} <= set(np.unique(values % 1))


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(2, 5), st.booleans(), st.booleans())
def test_worst_cases_reach_the_extremes_of_every_channel(seed, bits, signed, symmetric):
    op, source = random_dense(seed), FixedPoint(bits, 1, signed, symmetric)
    sums = vectors.worst_case_inputs(op, source, (len(op.weights),)) @ op.weights
    plus, minus = np.maximum(op.weights, 0).sum(axis=0), np.maximum(-op.weights, 0).sum(axis=0)
    assert np.array_equal(np.diag(sums[:4]), source.hi * plus - source.lo * minus)
    assert np.array_equal(np.diag(sums[4:]), source.lo * plus - source.hi * minus)


def chain(*between) -> IntegerProgram:
    inputs = (Input("x", (2, 3), FixedPoint(5, 2, signed=True)), Input("y", (5,), FixedPoint(3, 0, signed=False)))
    return IntegerProgram("p", inputs, (*between, random_dense(0, source=between[-1].name)), ("fc",))


def extremes(op, source):
    return (vectors.worst_case_inputs(op, source, (len(op.weights),)) @ op.weights + op.bias).tolist()


@pytest.mark.parametrize(
    "between",
    [
        [Reshape("flat", "x", (6,))],
        [Reshape("flat", "x", (6,)), Quantize("q", "flat", FixedPoint(5, 2, signed=True))],
        [Quantize("q", "x", FixedPoint(3, 1, signed=False)), Reshape("flat", "q", (6,))],
    ],
    ids=["reshape", "same-format", "coarser-unsigned"],
)
def test_first_layers_are_driven_to_their_worst_case_through_the_real_input(between):
    program = chain(*between)
    x, y = vectors.first_layer_inputs(program)
    op = program["fc"]
    assert x.shape == (8, 2, 3) and not y.any() and y.shape == (8, 5)
    assert trace(program, [x, y])["fc"].tolist() == extremes(op, program.formats[op.source])


def test_only_layers_behind_an_input_are_driven():
    assert len(vectors.first_layer_inputs(mlp())[0]) == 2 * 12


def test_isolated_layers_have_inputs_and_outputs_of_their_own():
    program = mlp()
    alone = vectors.isolate(program)
    assert [node.name for node in alone.inputs] == ["fc/1_in", "float_in", "FC/1_in", "w2_in", "logits_in"]
    assert [node.format for node in alone.inputs] == [program.formats[op.source] for op in program.ops[1:]]
    assert alone.outputs == ("fc/1", "float", "FC/1", "w2", "logits")
    assert [(op.weights.tolist(), op.bias.tolist(), op.acc_bits) for op in alone.accumulator_ops] == [
        (op.weights.tolist(), op.bias.tolist(), op.acc_bits) for op in program.accumulator_ops
    ]


@pytest.mark.parametrize("finer", [-3, 0, 4])
@pytest.mark.parametrize("signed", [True, False])
def test_edge_codes_hold_every_place_where_a_requantization_changes_its_mind(finer, signed):
    source, target = FixedPoint(9, 3, signed=True), FixedPoint(4, 3 - finer, signed)
    x = Input("x", (), source)
    program = IntegerProgram("p", (x,), (Quantize("q", "x", target),), ("q",))
    every = np.arange(source.lo, source.hi + 1)
    steps = np.flatnonzero(np.diff(program.run_codes(every)))
    codes = vectors.edge_codes(source, target)
    saturating = every[steps[[0, 1, -2, -1]]]
    assert np.isin(np.concatenate([saturating, saturating + 1, [0, source.lo, source.hi]]), codes).all()
    assert len(codes) < 80


def test_isolated_input_names_do_not_clash():
    x = Input("x", (6,), WEIGHTS)
    ops = (random_dense(0), replace(random_dense(1), name="fc_in"))
    alone = vectors.isolate(IntegerProgram("p", (x,), ops, ("fc",)))
    assert [node.name for node in alone.inputs] == ["fc_in_", "fc_in_in"]


def test_isolated_inputs_hold_the_worst_cases_of_every_layer():
    alone = vectors.isolate(mlp())
    codes = vectors.isolated_inputs(alone)
    assert [array.shape for array in codes] == [(65, 16), (65, 1), (65, 12), (65, 1), (65, 8)]
    sums = trace(alone, codes)
    for op in alone.accumulator_ops:
        cases = vectors.worst_case_inputs(op, alone.formats[op.source], alone.shapes[op.source]) @ op.weights + op.bias
        assert (sums[op.name].min(), sums[op.name].max()) == (cases.min(), cases.max())


CONVOLUTIONS = {
    "padded": ((6, 7, 2), (3, 2), {"pads": ((1, 1), (0, 1)), "strides": (2, 1)}),
    "dilated": ((7, 7, 2), (3, 2), {"dilation": (2, 3)}),
    "grouped": ((4, 4, 4), (2, 2), {"groups": 2}),
    "sequence": ((9, 3), (3,), {"pads": ((2, 0),)}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_reach_their_certified_extremes_in_the_network_and_alone(case):
    shape, window, geometry = CONVOLUTIONS[case]
    program = convolution(shape, window, **geometry)
    record = certify(program)["conv"]
    alone = vectors.isolate(program)
    for which, codes in ((program, vectors.first_layer_inputs(program)), (alone, vectors.isolated_inputs(alone))):
        sums = trace(which, codes)["conv"] - program["conv"].bias
        axes = tuple(range(1, sums.ndim - 1))
        channels = np.arange(record.channels)
        most = sums.max(axis=axes)[channels, channels] + np.maximum(record.bias, 0)
        least = sums.min(axis=axes)[len(channels) + channels, channels] + np.minimum(record.bias, 0)
        assert np.array_equal(most, record.acc_max) and np.array_equal(least, record.acc_min)


def test_a_window_that_fits_nowhere_without_padding_has_no_vectors():
    program = convolution((2, 2, 1), (3, 3), pads=((1, 1), (1, 1)))
    assert len(vectors.first_layer_inputs(program)[0]) == 0
