from dataclasses import replace

import numpy as np
import pytest

from a2q_keras.cosim import csim, vectors
from a2q_keras.cosim.compare import first_mismatch, mismatches, port
from a2q_keras.cosim.run import golden
from a2q_keras.errors import ConfigurationError, ToolFailedError, ToolMissingError
from a2q_keras.hls.project import build
from a2q_keras.hls.settings import IO_TYPES, HlsConfig
from a2q_keras.integer.graph import Dense, Input, IntegerProgram, Quantize, Reshape
from a2q_keras.integer.run import trace
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.tools import GXX
from tests.programs import dense, mlp, needs_gxx

LAYERS = ["fc/1", "float", "FC/1", "w2", "logits"]


def values(program, codes):
    return [node.format.values(array) for node, array in zip(program.inputs, codes)]


def narrowed(program):
    """The program with every accumulator one bit too narrow."""
    return program.with_acc_bits({op.name: op.acc_bits - 1 for op in program.accumulator_ops})


def inputs(program, n):
    return values(program, vectors.random_inputs(program, n))


def network_inputs():
    whole = zip(vectors.random_inputs(mlp(), 400), vectors.first_layer_inputs(mlp()))
    return values(mlp(), [np.concatenate(parts) for parts in whole])


def broken(monkeypatch, fault):
    """Let csim build graphs in which `fault` changed something after they were checked."""

    def build_broken(program, config):
        graph = build(program, config)
        fault(graph)
        return graph

    monkeypatch.setattr(csim, "build", build_broken)


def test_without_a_compiler_there_is_no_result(monkeypatch):
    monkeypatch.delenv("A2Q_GXX", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissingError, match=r"g\+\+ was not found"):
        csim.run(mlp(), network_inputs())


@pytest.mark.skipif(not GXX.available(), reason="g++ is not installed")
def test_formats_that_doubles_do_not_hold_are_refused():
    with pytest.raises(ConfigurationError, match="'logits' has 54 bits"):
        csim.run(mlp().with_acc_bits({"logits": 54}), network_inputs())


def test_a_value_between_codes_is_an_error():
    with pytest.raises(ToolFailedError, match=r"layer 'w2': C simulation gave 3\.0, which is no code of fixed<5,6>"):
        csim._codes(mlp(), "w2", np.array([[2.0, 3.0]]))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return csim.compile_firmware(mlp(), HlsConfig(output_dir=str(tmp_path_factory.mktemp("network"))))


class TestFirmware:
    pytestmark = needs_gxx

    def test_every_layer_and_output_is_the_golden_run(self, network):
        wanted = golden(mlp(), network_inputs())
        assert list(wanted) == [*LAYERS, port("logits")]
        assert first_mismatch(wanted, wanted, csim.simulate(network, network_inputs())) is None

    def test_inputs_between_and_beyond_the_codes_are_rounded_alike(self, network):
        x = vectors.off_grid_values(mlp(), 400)
        assert first_mismatch(LAYERS, golden(mlp(), x), csim.simulate(network, x)) is None

    def test_no_samples_give_no_codes(self, network):
        assert csim.simulate(network, [np.zeros((0, 2, 8))])["logits"].shape == (0, 5)

    def test_the_layers_alone_are_the_golden_run(self, tmp_path):
        alone = vectors.isolate(mlp())
        x = values(alone, vectors.isolated_inputs(alone))
        wanted = golden(alone, x)
        assert first_mismatch(wanted, wanted, csim.run(alone, x, HlsConfig(output_dir=str(tmp_path / "kept")))) is None
        assert (tmp_path / "kept" / "firmware").is_dir()

    @pytest.mark.parametrize("io_type", IO_TYPES)
    def test_right_shifts_by_all_bits_of_the_source_and_more(self, io_type):
        program, config = dead(), HlsConfig(io_type=io_type)
        x = [np.concatenate(parts) for parts in zip(inputs(program, 40), vectors.off_grid_values(program, 40))]
        wanted = golden(program, x, config)
        assert {name for name in program.outputs if wanted[name].any()} == {"q_1"}  # more than half, in all bits
        assert first_mismatch(wanted, wanted, csim.run(program, x, config)) is None

    def test_many_formats_side_by_side(self):
        program = branches()
        x = [np.concatenate(parts) for parts in zip(inputs(program, 200), vectors.off_grid_values(program, 200))]
        wanted = golden(program, x)
        assert first_mismatch(wanted, wanted, csim.run(program, x)) is None


# input, weights, bits of the requantization, and how many of its fraction bits the accumulator does not have
BRANCHES = [
    (FixedPoint(3, 0, False), FixedPoint(1, 1, True), FixedPoint(1, 0, False), -2),
    (FixedPoint(1, 1, False), FixedPoint(3, -4, True), FixedPoint(1, 0, True), -1),
    (FixedPoint(5, -2, True), FixedPoint(4, 2, True), FixedPoint(2, 0, True, True), -5),
    (FixedPoint(4, 9, True, True), FixedPoint(5, 7, True, True), FixedPoint(6, 0, True), -3),
    (FixedPoint(4, 0, True), FixedPoint(2, 0, True), FixedPoint(8, 0, True), 2),
    (FixedPoint(2, 3, False), FixedPoint(6, 0, True), FixedPoint(5, 0, False), 0),
]


def branches() -> IntegerProgram:
    """Input, Dense, Quantize for each of BRANCHES, side by side in one firmware."""
    rng, nodes = np.random.default_rng(5), []
    for i, (entry, weights, result, finer) in enumerate(BRANCHES):
        op = dense(rng, f"fc_{i}", f"x_{i}", (4, 3), entry, weights)
        result = replace(result, frac=entry.frac + weights.frac + finer)
        nodes.append((Input(op.source, (4,), entry), op, Quantize(f"q_{i}", op.name, result)))
    inputs, ops, results = zip(*nodes)
    return IntegerProgram("branches", inputs, (*ops, *results), tuple(node.name for node in results))


# bits and sign of the source, how many bits beyond them the shift goes, and what is quantized: a sum or an input
DEAD = [
    (7, True, 0, "sum"),
    (3, False, 0, "input"),
    (7, True, 1, "sum"),
    (12, True, 1, "sum"),
    (7, True, 6, "input"),
    (1, False, 1, "input"),
    (1, True, 2, "input"),
    (4, False, 1, "input"),
    (4, False, 70, "input"),
]


def dead() -> IntegerProgram:
    """A requantization for each of DEAD, side by side in one firmware."""
    eye, none, ops, entries = np.eye(6, dtype=np.int64), np.zeros(6, np.int64), [], []
    for i, (bits, signed, beyond, kind) in enumerate(DEAD):
        entries.append(Input(f"x_{i}", (3, 2), FixedPoint(bits, 2, signed)))
        ops.append(Reshape(f"flat_{i}", f"x_{i}", (6,)))
        if kind == "sum":
            ops.append(Dense(f"sum_{i}", ops[-1].name, eye, none, FixedPoint(2, 0, True), bits))
        result = FixedPoint(4, 2 - bits - beyond, signed=i % 2 == 0, symmetric=i % 4 == 0)
        ops.append(Quantize(f"q_{i}", ops[-1].name, result))
    return IntegerProgram("dead", tuple(entries), tuple(ops), tuple(f"q_{i}" for i in range(len(DEAD))))


class TestFaultsAreSeen:
    """Each comparator is broken on purpose once."""

    pytestmark = needs_gxx

    def test_one_bit_too_few_in_any_accumulator(self):
        alone = vectors.isolate(mlp())
        x = values(alone, vectors.isolated_inputs(alone))
        found = mismatches(alone.outputs, golden(alone, x), csim.run(vectors.isolate(narrowed(mlp())), x))
        assert [record.layer for record in found] == ["fc/1", "FC/1", "logits"]
        wraps = {2 ** (op.acc_bits - 1) for op in alone.accumulator_ops}
        assert {abs(record.got - record.wanted) for record in found} == wraps

    def test_one_weight_off_by_one_code(self):
        program = mlp()
        op = program["FC/1"]
        weights = op.weights.copy()
        weights[5, 3] += -1 if weights[5, 3] > 0 else 1
        faulty = replace(program, ops=tuple(replace(op, weights=weights) if o is op else o for o in program.ops))
        record = first_mismatch(LAYERS, golden(program, network_inputs()), csim.run(faulty, network_inputs()))
        assert (record.layer, record.index) == ("FC/1", (3,))

    def test_truncation_in_place_of_rounding(self, monkeypatch):
        def truncate(graph):
            graph.graph["n_w2"].get_output_variable().type.precision.rounding_mode = "TRN"

        broken(monkeypatch, truncate)
        record = first_mismatch(LAYERS, golden(mlp(), network_inputs()), csim.run(mlp(), network_inputs()))
        assert record.layer == "w2"

    def test_firmware_that_does_not_compile(self, monkeypatch):
        def spoil(graph):
            graph.graph["fc_1"].set_attr("function_cpp", "no_such_function();")

        broken(monkeypatch, spoil)
        with pytest.raises(ToolFailedError, match=r"(?s)g\+\+ failed with exit status 1.*no_such_function"):
            csim.run(mlp(), network_inputs())

    def test_an_assertion_in_the_firmware(self, tmp_path):
        (tmp_path / "abort.cpp").write_text(
            "#include <cassert>\n#include <cstddef>\n"
            'extern "C" void allocate_trace_storage(size_t) { assert(!"a precondition of this layer"); }\n'
            'extern "C" void abort_double() {}\n'
        )
        GXX.run(["-shared", "-fPIC", "abort.cpp", "-o", "abort.so"], cwd=tmp_path)
        job = {"library": str(tmp_path / "abort.so"), "function": "abort_double", "outputs": [1], "layers": {}}
        with pytest.raises(ToolFailedError, match=r"(?s)csim_worker was ended by SIGABRT.*precondition of this layer"):
            csim._in_child(job, [np.zeros((1, 1))])


def test_narrowing_is_no_vacuous_fault():
    """Somewhere in every layer the final sum itself, not only a partial one, needs all bits."""
    alone = vectors.isolate(mlp())
    sums = trace(alone, vectors.isolated_inputs(alone))
    for op in alone.accumulator_ops:
        limit = 2 ** (op.acc_bits - 2)
        assert sums[op.name].max() >= limit or sums[op.name].min() < -limit
        assert sums[op.name].max() < 2 * limit and sums[op.name].min() >= -2 * limit
