"""Folded hardware in Verilator against the golden run."""

from dataclasses import replace

import numpy as np
import pytest

from a2q_keras import pipeline
from a2q_keras.cosim import folded, vectors
from a2q_keras.integer.certificate import certify
from a2q_keras.integer.graph import Input, IntegerProgram, MaxPool, Quantize, Reshape
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.design import Port
from a2q_keras.rtl.folded.build import accumulator_registers, fold
from a2q_keras.rtl.folded.folding import Folding
from a2q_keras.rtl.folded.stages import cycles_per_sample, plan
from a2q_keras.tools import VERILATOR
from tests import programs
from tests.strategies import needed, tiled

needs_verilator = [pytest.mark.rtl, pytest.mark.skipif(not VERILATOR.available(), reason="verilator is not installed")]


def conv_net() -> IntegerProgram:
    """6x6x2 -> conv 3x3, 4, same -> max pool 2x2 -> depthwise 2x2, same -> conv 2x2, 3, padded -> dense 5."""
    rng = np.random.default_rng(3)
    entry, weight = FixedPoint(4, 2, signed=True), FixedPoint(4, 3, signed=True)
    relu, hidden = FixedPoint(3, 1, signed=False), FixedPoint(4, 0, signed=True, symmetric=True)
    ops = (
        programs.conv(rng, "c1", "x", (3, 3, 2, 4), (entry, weight), pads=((1, 1), (1, 1))),
        Quantize("r1", "c1", relu),
        MaxPool("pool", "r1", (2, 2), (2, 2), ((0, 0), (0, 0))),
        replace(programs.conv(rng, "dw", "pool", (2, 2, 1, 4), (relu, weight), pads=((1, 0), (0, 1))), groups=4),
        Quantize("r_dw", "dw", relu),
        programs.conv(rng, "c2", "r_dw", (2, 2, 4, 3), (relu, weight), pads=((0, 0), (0, 1))),
        Quantize("r2", "c2", hidden),
        Reshape("flat", "r2", (18,)),
        programs.dense(rng, "logits", "flat", (18, 5), hidden, weight),
    )
    return IntegerProgram("conv_net", (Input("x", (6, 6, 2), entry),), ops, ("logits",))


# with tiles whose last one is shorter, of 18 products that are 4 at a time, 12 that are 9; and with one tile for all 18
MLP, CONV_NET = tiled(programs.mlp(), {"FC/1": 9}), tiled(conv_net(), {"c1": 4, "logits": 18})
NETS = {
    "mlp": (needed(MLP), Folding({"fc/1": 4, "FC/1": 2, "logits": 5}, {"fc/1": 4, "FC/1": 3, "logits": 2})),
    "conv_net": (
        needed(CONV_NET),
        Folding({"c1": 2, "pool": 2, "dw": 2, "c2": 3, "logits": 5}, {"c1": 2, "c2": 2, "logits": 2}),
    ),
}


@pytest.fixture(scope="module", params=NETS)
def hardware(request, tmp_path_factory):
    """Program, plan and compiled simulation of a network."""
    program, folding = NETS[request.param]
    stages, folder = plan(program, {}, folding), tmp_path_factory.mktemp("folded")
    return program, stages, folded.compiled(fold(program, {}, folding), accumulator_registers(stages), folder)


def inputs(program, n=150) -> np.ndarray:
    return np.concatenate([vectors.first_layer_inputs(program)[0], vectors.random_inputs(program, n)[0]])


class TestHardware:
    pytestmark = needs_verilator

    @pytest.mark.parametrize("stalls", [folded.NO_STALLS, folded.Stalls(70, 0), folded.Stalls(20, 70, seed=2)])
    def test_codes_equal_the_golden_run_whatever_stalls(self, hardware, stalls):
        program, _, simulation = hardware
        x = inputs(program)
        np.testing.assert_array_equal(simulation.run(x, stalls).codes, program.run_codes(x))

    def test_a_sample_takes_the_cycles_that_the_plan_promises(self, hardware):
        program, stages, simulation = hardware
        assert simulation.run(inputs(program)).cycles_per_sample == cycles_per_sample(stages)

    def test_the_first_accumulators_reach_the_extremes_of_their_sums_and_nothing_beyond(self, hardware):
        program, _, simulation = hardware
        op, record, seen = program.accumulator_ops[0], certify(program).layers[0], simulation.run(inputs(program))
        whole = final_extremes(op, program.inputs[0].format)
        if op.tile is None:
            assert seen.extremes[op.name] == whole and op.name not in seen.outer_extremes
        else:
            assert seen.extremes[op.name] == (record.acc_min.min(), record.acc_max.max())
            # with the bias first; where it has the other sign, an extreme of the certificate lies before it is added
            low, high = record.outer_min + np.maximum(op.bias, 0), record.outer_max + np.minimum(op.bias, 0)
            assert seen.outer_extremes[op.name] == whole == (low.min(), high.max())


def final_extremes(op, source) -> tuple[int, int]:
    """The smallest and the largest whole sum, bias included, over all channels and inputs."""
    weights = op.weights.reshape(-1, op.weights.shape[-1])
    plus, minus = np.maximum(weights, 0).sum(axis=0), np.maximum(-weights, 0).sum(axis=0)
    low, high = op.bias + source.lo * plus - source.hi * minus, op.bias + source.hi * plus - source.lo * minus
    return int(low.min()), int(high.max())


def test_packing_and_unpacking_are_inverse():
    for bits, signed, per_beat in ((5, True, 3), (1, False, 40), (33, True, 2)):
        port = Port("i", "x", (2 * per_beat,), FixedPoint(bits, 0, signed), per_beat=per_beat)
        codes = np.random.default_rng(0).integers(port.format.lo, port.format.hi + 1, (7, 2 * per_beat))
        np.testing.assert_array_equal(folded.unpacked(port, folded.packed(port, codes), 7), codes)


def test_every_output_has_a_chain_of_its_own():
    isolated = vectors.isolate(programs.mlp())
    found = folded.chains(isolated)
    assert [chain.outputs for chain in found] == [(name,) for name in isolated.outputs]
    assert all(len(chain.inputs) == len(chain.ops) == 1 for chain in found)


class TestEngine:
    pytestmark = needs_verilator

    def test_cosim_runs_a_network_and_its_layers_alone(self):
        entry, weight = FixedPoint(4, 0, signed=True), FixedPoint(4, 0, signed=True)
        op = programs.dense(np.random.default_rng(0), "fc", "x", (6, 4), entry, weight)
        coarser = Quantize("q", "fc", FixedPoint(4, -2, signed=True))  # alone it has no register
        program = tiled(IntegerProgram("net", (Input("x", (6,), entry),), (op, coarser), ("q",)), 4)
        options = {"style": "folded", "pe": {"fc": 2}, "simd": 2}
        report = pipeline.cosim(program, engines=("rtl",), acc_bits=None, n_random=20, rtl=options)
        assert report.ok and [part.name for part in report.parts][-1] == "worst cases of every layer, alone"
