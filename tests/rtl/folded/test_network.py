"""Whole networks in Amaranth's simulator: no tool is needed."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from a2q_keras.cosim.vectors import worst_case_inputs
from a2q_keras.integer.certificate import certify
from a2q_keras.integer.graph import Input, IntegerProgram, Quantize
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.folding import Folding, Work
from a2q_keras.rtl.folded.network import Layer, Network
from a2q_keras.rtl.folded.stages import plan
from tests import programs
from tests.rtl.folded.play import play
from tests.strategies import convolution, input_codes, needed, tiled

ENTRY, WEIGHT = FixedPoint(4, 0, signed=True), FixedPoint(4, 0, signed=True)


def simulate(program, accumulators, x, folding) -> np.ndarray:
    """Output codes of a network whose result comes in one beat, for inputs of 4 signed bits."""
    return simulate_stages(plan(program, accumulators, folding), x)


def simulate_stages(stages, x) -> np.ndarray:
    """The same for the stages of a plan."""
    network, got, result = Network(ENTRY, stages, ("fc", "relu")[: len(stages)]), [], stages[-1].result

    async def drive(context):
        context.set(network.o_ready, 1)
        for row in x:
            for beat in row.reshape(-1, network.per_beat):
                context.set(network.i_data, sum((int(code) & 15) << (4 * i) for i, code in enumerate(beat)))
                context.set(network.i_valid, 1)
                await context.tick().until(network.i_ready)
                context.set(network.i_valid, 0)
            (word,) = await context.tick().sample(network.o_data).until(network.o_valid)
            got.append([word >> (result.bits * i) & (2**result.bits - 1) for i in range(network.per_beat_out)])

    simulator = Simulator(network)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    half = 2 ** (result.bits - 1) if result.signed else 2**result.bits
    return np.where(np.array(got) >= half, np.array(got) - 2 * half, got)


def network(*ops) -> IntegerProgram:
    op = programs.dense(np.random.default_rng(0), "fc", "x", (8, 4), ENTRY, WEIGHT)
    return IntegerProgram("net", (Input("x", (8,), ENTRY),), (op, *ops), ("relu" if ops else "fc",))


def test_a_layer_with_its_requantization_equals_the_golden_run():
    program = network(Quantize("relu", "fc", FixedPoint(3, -4, signed=False)))
    x = np.random.default_rng(1).integers(-8, 8, (30, 8))
    np.testing.assert_array_equal(simulate(program, {}, x, Folding(4, 8)), program.run_codes(x))


def test_one_accumulator_bit_too_few_is_seen_on_the_worst_cases_only():
    program = network()
    op = program.accumulator_ops[0]
    random, worst = np.random.default_rng(1).integers(-8, 8, (30, 8)), worst_case_inputs(op, ENTRY, (8,))
    np.testing.assert_array_equal(simulate(program, {}, worst, Folding(4, 8)), program.run_codes(worst))
    narrow = {"fc": op.acc_bits - 1}
    np.testing.assert_array_equal(simulate(program, narrow, random, Folding(4, 8)), program.run_codes(random))
    assert (simulate(program, narrow, worst, Folding(4, 8)) != program.run_codes(worst)).any()


@pytest.mark.parametrize("short", ["inner", "outer"])
def test_one_bit_too_few_in_inner_or_outer_accumulators_is_seen_on_the_worst_cases(short):
    program = tiled(network(), 4)  # of 8 products
    (stage,) = plan(program, certify(program).acc_bits, Folding(4, 2))
    bits = {"inner": stage.acc.bits, "outer": stage.result.bits}
    assert bits["inner"] < bits["outer"]
    narrow = FixedPoint(bits[short] - 1, stage.acc.frac, signed=True)
    faulty = (
        replace(stage, acc=narrow) if short == "inner" else replace(stage, tiles=replace(stage.tiles, outer=narrow))
    )
    worst = worst_case_inputs(program.accumulator_ops[0], ENTRY, (8,))
    np.testing.assert_array_equal(simulate_stages((stage,), worst), program.run_codes(worst))
    assert (simulate_stages((faulty,), worst) != program.run_codes(worst)).any()


PADS = ((1, 0), (0, 1))
GROUPED = {
    "depthwise": convolution((3, 4, 6), (2, 2), channels=6, groups=6, pads=PADS),
    "depthwise, tiles": tiled(convolution((3, 3, 4), (3, 2), channels=8, groups=4, pads=PADS), 4),
    "groups": convolution((3, 4, 4), (2, 1), channels=6, groups=2, strides=(1, 2)),
    "groups, tiles": tiled(convolution((5, 4), (3,), channels=4, groups=2), 4),
    "groups of a place": convolution((3, 4), (1,), channels=4, groups=4),
}


@pytest.mark.parametrize("case", GROUPED)
def test_every_fold_of_a_convolution_with_groups_equals_the_golden_run(case):
    program = needed(GROUPED[case])
    x = np.concatenate([input_codes(program, 2), worst_case_inputs(program.ops[0], *source(program))[:2]])
    (stage,) = plan(program, {}, Folding())
    folds = Work(stage.geometry, stage.weights.shape[1], stage.groups, program.ops[0].tile).folds()
    assert max(fold.groups for fold in folds) == stage.groups
    for fold in folds:
        layer = Layer(replace(stage, fold=fold), fold.lanes)
        got = play(layer, x.reshape(-1, fold.lanes), program.run_codes(x).size // fold.pe, stalls=0.1)
        np.testing.assert_array_equal(got.reshape(len(x), *program.shapes["conv"]), program.run_codes(x), str(fold))


def source(program) -> tuple:
    """Format and shape of the input."""
    return program.inputs[0].format, program.inputs[0].shape
