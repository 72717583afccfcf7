"""Every layer of the reference networks, alone, with a fault in it: worst-case inputs must show each one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from a2q_keras.cosim import csim, vectors
from a2q_keras.cosim.compare import mismatches
from a2q_keras.cosim.run import golden
from a2q_keras.hls.project import build
from a2q_keras.integer.graph import IntegerProgram, Quantize
from a2q_keras.integer.run import trace
from benchmarks.firmware import ops
from benchmarks.firmware.networks import NETWORKS
from tests.programs import needs_gxx

ALONE = vectors.isolate(ops.side_by_side([make() for make in NETWORKS.values()]))
CODES = vectors.isolated_inputs(ALONE)
VALUES = [node.format.values(codes) for node, codes in zip(ALONE.inputs, CODES)]
SUMS = [op.name for op in ALONE.accumulator_ops]
ROUNDED = [op.name for op in ALONE.ops if isinstance(op, Quantize)]


def with_sums(change) -> IntegerProgram:
    """The layers alone, each with accumulators changed."""
    return replace(ALONE, ops=tuple(change(op) if op.name in SUMS else op for op in ALONE.ops))


def one_bit_less(op):
    return replace(op, acc_bits=op.acc_bits - 1)


def one_weight_off(op):
    weights = op.weights.copy()
    place = (*(0 for _ in weights.shape[:-1]), weights.shape[-1] - 1)
    weights[place] += -1 if weights[place] > 0 else 1
    return replace(op, weights=weights)


def channels_swapped(op):
    order = np.r_[1, 0, 2 : op.weights.shape[-1]]
    return replace(op, weights=op.weights[..., order], bias=op.bias[order])


def caught(firmware: IntegerProgram) -> list[str]:
    """The layers that differ from the golden run."""
    return [found.layer for found in mismatches(ALONE.outputs, golden(ALONE, VALUES), csim.run(firmware, VALUES))]


def needing_every_bit() -> list[str]:
    """The layers in which a final sum, and not only a partial one, leaves an accumulator that is one bit short."""
    sums = trace(ALONE, CODES)
    return [
        op.name
        for op in ALONE.accumulator_ops
        if sums[op.name].max() >= 2 ** (op.acc_bits - 2) or sums[op.name].min() < -(2 ** (op.acc_bits - 2))
    ]


class TestFaults:
    pytestmark = needs_gxx

    def test_an_accumulator_one_bit_below_the_certificate(self):
        """Wrapping tolerates partial sums that leave the accumulator, if the final one does not: few layers are so."""
        wanted = needing_every_bit()
        assert len(wanted) > 0.8 * len(SUMS)
        assert caught(with_sums(one_bit_less)) == wanted

    @pytest.mark.parametrize("fault", [one_weight_off, channels_swapped], ids=lambda fault: fault.__name__)
    def test_wrong_weights(self, fault):
        assert caught(with_sums(fault)) == SUMS

    def test_truncation_in_place_of_rounding(self, monkeypatch):
        def truncating(program, config):
            graph = build(program, config)
            for name in ROUNDED:
                graph.graph[name].get_output_variable().type.precision.rounding_mode = "TRN"
            return graph

        monkeypatch.setattr(csim, "build", truncating)
        assert caught(ALONE) == ROUNDED
