import re

import pytest

from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError, ToolMissingError
from a2q_keras.pipeline import to_rtl
from a2q_keras.rtl.folded import build
from a2q_keras.rtl.folded.folding import Folding
from a2q_keras.rtl.folded.stages import plan
from tests import programs

FOLDING = Folding(pe={"fc/1": 4, "FC/1": 2, "logits": 5}, simd={"fc/1": 4, "FC/1": 3, "logits": 2})


def test_the_design_has_its_ports_and_a_module_for_each_unit():
    program = programs.mlp()
    design = build.fold(program, {}, FOLDING)
    text = design.files["folded.v"]
    assert design.files == build.fold(program, {}, FOLDING).files
    assert (design.inputs[0].per_beat, design.outputs[0].per_beat) == (4, 5)
    assert set(re.search(r"module folded\((.+?)\)", text)[1].split(", ")) == {
        *("clk", "rst", "i_data", "i_valid", "i_ready", "o_data", "o_valid", "o_ready")
    }
    units = set(re.findall(r"module \\folded\.(\S+) ", text))
    assert {"fc_1_0.window", "fc_1_0.mac.multiply", "float_1.requantize", "FC_1_2.widen", "FC_1_2.narrow"} <= units
    registers = build.accumulator_registers(plan(program, {}, FOLDING))
    for held in registers:
        assert all(re.search(rf"reg (signed )?\[{held.bits - 1}:0\] {path[-4:]}\b", text) for path in held.paths)


def test_without_yosys_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setenv("A2Q_YOSYS", "no-such-yosys")
    with pytest.raises(ToolMissingError, match="pip install a2q_keras"):
        build.fold(programs.mlp(), {}, FOLDING)


def test_to_rtl_makes_it_with_proven_accumulators_only(tmp_path):
    program = programs.mlp()
    design = to_rtl(program, acc_bits=None, style="folded", output_dir=tmp_path, pe=FOLDING.pe, simd=FOLDING.simd)
    assert design.files == build.fold(program, {}, FOLDING).files
    assert (tmp_path / "folded.v").read_text() == design.files["folded.v"]
    with pytest.raises(AccumulatorOverflowError, match="layer 'fc/1'"):
        to_rtl(program, acc_bits={"fc/1": 8}, style="folded")


def test_an_unknown_option_is_refused():
    with pytest.raises(ConfigurationError, match="style 'folded' has no option 'pes'; it has pe, simd, cycles"):
        to_rtl(programs.mlp(), acc_bits=None, style="folded", pes=2)
