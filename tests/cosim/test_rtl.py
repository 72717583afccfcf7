"""Verilog in simulation against the golden run."""

import re
from dataclasses import replace

import numpy as np
import pytest

from a2q_keras.cosim import rtl, rtl_build, vectors
from a2q_keras.cosim.run import cosim
from a2q_keras.errors import ConfigurationError, ToolFailedError, ToolMissingError
from a2q_keras.integer.certificate import certify
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.rtl import styles
from a2q_keras.tools import CACHE, GHDL, VERILATOR, YOSYS
from tests.programs import cnn, needs_cxxrtl, needs_da4ml, needs_ghdl, needs_verilator
from tests.strategies import mlp, needed, tiled


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """A cache of simulators that these tests share."""
    return tmp_path_factory.mktemp("simulators")


@pytest.fixture
def cached(kept, monkeypatch):
    monkeypatch.setenv(CACHE, str(kept))


def codes_of(program) -> list[np.ndarray]:
    groups = vectors.random_inputs(program, 500), vectors.first_layer_inputs(program)
    return [np.concatenate(parts) for parts in zip(*groups)]


class TestVerilator:
    pytestmark = needs_verilator

    def test_a_pipeline_takes_an_input_every_cycle(self, cached):
        program, design = mlp(), styles.build(mlp(), adders_per_stage=3)
        codes = codes_of(program)
        assert np.array_equal(rtl.simulate(design, codes, "verilator")[0], program.run_codes(codes[0]))

    def test_a_convolutional_network_with_tiles_and_a_max_pool(self, cached):
        """da4ml's module for negation, which other networks here do not have, needs an option in older Verilators."""
        program = needed(tiled(cnn(), {"conv": 3}))
        design = styles.build(program)
        assert any(path.endswith("negative.v") for path in design.sources)
        codes = codes_of(program)
        assert np.array_equal(rtl.simulate(design, codes, "verilator")[0], program.run_codes(codes[0]))

    def test_one_accumulator_bit_too_few_is_caught(self, cached):
        """Three layers side by side: too narrow the only, the inner, the outer accumulators."""
        fc, names = mlp().ops[0], ("only", "inner", "outer")
        ops = (replace(fc, name=name, tile=None if name == "only" else 4) for name in names)
        program = needed(IntegerProgram("net", mlp().inputs, tuple(ops), names))
        bits = certify(program).acc_bits
        narrow = program.with_acc_bits({name: bits[name] - 1 for name in ("only", "inner")})
        narrow.formats["outer"] = replace(narrow.formats["outer"], bits=narrow.formats["outer"].bits - 1)
        codes = vectors.first_layer_inputs(program)
        found = rtl.simulate(styles.build(narrow, adders_per_stage=0), codes, "verilator")
        assert all((got != wanted).any() for got, wanted in zip(found, program.run_codes(codes[0])))

    def test_engine_rtl_compares_the_network_and_every_layer_alone(self, cached):
        exact = cosim(needed(tiled(mlp(), {"fc1": 4})), engines=("rtl",), n_random=100)
        assert exact.ok and {part.engine for part in exact.parts} == {"rtl"} and len(exact.parts) == 4

    def test_a_simulator_is_compiled_once(self, cached, monkeypatch):
        design = styles.build(mlp(), adders_per_stage=3)
        wanted = rtl.simulate(design, codes_of(mlp()), "verilator")
        monkeypatch.setattr(rtl_build, "_compile", lambda *args: pytest.fail("compiled again"))
        assert np.array_equal(rtl.simulate(design, codes_of(mlp()), "verilator")[0], wanted[0])


class TestCxxrtl:
    pytestmark = needs_cxxrtl

    def test_combinational_logic_is_the_golden_run(self, cached):
        program, design = mlp(), styles.build(mlp(), adders_per_stage=0)
        codes = codes_of(program)
        assert np.array_equal(rtl.simulate(design, codes, "cxxrtl")[0], program.run_codes(codes[0]))


class TestGhdl:
    pytestmark = needs_ghdl

    @pytest.mark.parametrize(("network", "adders_per_stage"), [(mlp, 3), (mlp, 0), (cnn, 5)])
    def test_vhdl_is_the_golden_run(self, network, adders_per_stage):
        program = network()
        codes = codes_of(program)
        design = styles.build(program, language="vhdl", adders_per_stage=adders_per_stage)
        assert np.array_equal(rtl.simulate(design, codes)[0], program.run_codes(codes[0]))

    def test_one_accumulator_bit_too_few_is_caught(self):
        program = mlp()
        narrow = program.with_acc_bits({name: bits - 1 for name, bits in certify(program).acc_bits.items()})
        codes = vectors.first_layer_inputs(program)
        got = rtl.simulate(styles.build(narrow, language="vhdl", adders_per_stage=0), codes)[0]
        assert (got != program.run_codes(codes[0])).any()

    @pytest.mark.parametrize("adders_per_stage", [0, 3])
    def test_outputs_that_are_always_zero_have_a_bus_of_a_bit(self, adders_per_stage):
        program, last = mlp(), mlp().ops[-1]
        dead = replace(program, ops=(*program.ops[:-1], replace(last, weights=0 * last.weights, bias=0 * last.bias)))
        design = styles.build(dead, language="vhdl", adders_per_stage=adders_per_stage)
        assert not rtl.simulate(design, codes_of(dead))[0].any()
        verilog = styles.build(dead, adders_per_stage=adders_per_stage)
        assert re.search(r"output( reg)? \[0:0\] model_out", verilog.files["src/model.v"])


class TestChoice:
    pytestmark = needs_da4ml

    def test_a_large_design_needs_verilator(self, monkeypatch, stand_in):
        monkeypatch.setenv(VERILATOR.override, "/nowhere/verilator")
        monkeypatch.setenv(YOSYS.override, stand_in("exit 0"))
        design = styles.build(mlp())
        assert rtl_build.choose(design) == "cxxrtl"
        monkeypatch.setattr(rtl_build, "CXXRTL_MOST", 100)
        with pytest.raises(ToolMissingError, match=r"too many for CXXRTL \(100\); install verilator"):
            rtl_build.choose(design)

    def test_without_any_tool_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setenv(VERILATOR.override, "/nowhere/verilator")
        monkeypatch.setenv(YOSYS.override, "/nowhere/yosys")
        with pytest.raises(ToolMissingError, match=r"needs verilator \(Debian: apt install verilator\), or .* Yosys"):
            rtl_build.choose(styles.build(mlp()))

    def test_vhdl_without_ghdl_says_what_to_install(self, monkeypatch):
        monkeypatch.setenv(GHDL.override, "/nowhere/ghdl")
        with pytest.raises(ToolMissingError, match=r"install it \(Debian: apt install ghdl\)"):
            rtl.simulate(styles.build(mlp(), language="vhdl"), codes_of(mlp()))


class TestFaults:
    """Stand-ins for the tools: small shell scripts that do what the test says."""

    pytestmark = needs_da4ml

    def simulated(self):
        design = styles.build(mlp(), adders_per_stage=0)
        return rtl.simulate(design, vectors.random_inputs(mlp(), 5), "verilator")

    def test_a_tool_that_fails_is_no_result(self, monkeypatch, stand_in):
        monkeypatch.setenv(VERILATOR.override, stand_in("echo no such top module; exit 1"))
        with pytest.raises(ToolFailedError, match=r"(?s)verilator failed with exit status 1.*no such top module"):
            self.simulated()

    def test_a_tool_that_makes_nothing_is_no_result(self, monkeypatch, stand_in):
        monkeypatch.setenv(VERILATOR.override, stand_in("exit 0"))
        with pytest.raises(ToolMissingError, match="simulate was not found"):
            self.simulated()

    def test_a_simulation_that_is_cut_off_is_no_result(self, monkeypatch, stand_in):
        half = """printf '#!/bin/sh\\nprintf 12345678 > "$2"\\n' > simulate; chmod +x simulate"""
        monkeypatch.setenv(VERILATOR.override, stand_in(half))
        with pytest.raises(ToolFailedError, match="the simulation gave 2 words, wanted 5"):
            self.simulated()

    def test_a_simulation_that_writes_nothing_is_no_result(self, monkeypatch, stand_in):
        idle = """printf '#!/bin/sh\\nexit 0\\n' > simulate; chmod +x simulate"""
        monkeypatch.setenv(VERILATOR.override, stand_in(idle))
        with pytest.raises(ToolFailedError, match="the simulation gave 0 words, wanted 5"):
            self.simulated()

    def test_a_failed_compilation_leaves_nothing_in_the_cache(self, tmp_path, monkeypatch, stand_in):
        monkeypatch.setenv(CACHE, str(tmp_path / "kept"))
        monkeypatch.setenv(VERILATOR.override, stand_in('case "$1" in --version) echo 5;; *) exit 1;; esac'))
        with pytest.raises(ToolFailedError):
            self.simulated()
        assert list((tmp_path / "kept").iterdir()) == []


def test_engine_rtl_takes_the_options_of_a_style():
    with pytest.raises(ConfigurationError, match="style 'serial' is unknown"):
        cosim(mlp(), engines=("rtl",), n_random=5, rtl_options={"style": "serial"})
