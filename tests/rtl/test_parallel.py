from dataclasses import replace

import numpy as np
import pytest

from a2q_keras.cosim import rtl
from a2q_keras.errors import ConfigurationError, ToolMissingError
from a2q_keras.rtl import parallel, styles
from tests.programs import needs_da4ml, needs_yosys
from tests.strategies import mlp


class TestBuild:
    pytestmark = needs_da4ml

    def test_pipelined_design_has_a_module_per_stage_and_constraints(self):
        design = styles.build(mlp(), adders_per_stage=3, clock_period=2)
        stages = [path for path in design.sources if "stage" in path]
        assert design.latency == len(stages) + 1 > 2 and design.style == "parallel"
        assert "set clock_period 2\n" in design.files["src/model.xdc"] and "build_vivado_prj.tcl" in design.files
        assert design.estimated_luts > 50

    def test_combinational_design_is_one_module_without_clock(self):
        design = styles.build(mlp(), adders_per_stage=0)
        assert design.latency == 0 and "clk" not in design.files["src/model.v"]
        assert "src/static/lookup_table.v" not in design.files

    def test_ports_say_where_each_value_is(self):
        design = styles.build(mlp(), adders_per_stage=0)
        (entry,), (logits,) = design.inputs, design.outputs
        assert [place.low for place in entry.places] == [0, 4, 8, 12, 16, 20]
        assert (logits.tensor, logits.shape, logits.format) == ("fc2", (3,), mlp().formats["fc2"])
        assert all(place.signed and 1 <= place.bits <= 16 for place in logits.places)

    @pytest.mark.parametrize("adders_per_stage", range(7))
    def test_inputs_that_nothing_reads_stay_on_the_bus(self, adders_per_stage):
        fc1, *rest = mlp().ops
        deaf = replace(fc1, weights=fc1.weights * np.array([1, 0, 1, 1, 0, 1])[:, None])
        design = styles.build(replace(mlp(), ops=(deaf, *rest)), adders_per_stage=adders_per_stage)
        assert [place.bits for place in design.inputs[0].places] == [4] * 6
        assert "input [23:0] model_inp" in design.files["src/model.v"]

    def test_vhdl_on_request(self):
        design = styles.build(mlp(), language="vhdl")
        assert "entity model is" in design.files["src/model.vhd"]
        assert all(path.endswith(".vhd") for path in design.sources)

    def test_the_same_program_gives_the_same_design(self):
        assert styles.build(mlp()).digest() == styles.build(mlp()).digest()

    def test_each_op_is_announced(self):
        seen = []
        styles.build(mlp(), on_op=seen.append)
        assert seen == ["fc1", "relu1", "fc2"]


class TestOtherStyle:
    pytestmark = needs_yosys

    def test_folded_takes_its_own_options_and_has_no_driver_in_engine_rtl(self):
        design = styles.build(mlp(), style="folded", pe=1, simd=2)
        assert design.style == "folded" and design.latency is None
        with pytest.raises(
            ConfigurationError, match=r"simulates style parallel; 'folded' is simulated by cosim\.folded"
        ):
            rtl.simulate(design, [])


def test_without_da4ml_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(parallel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match=r"needs da4ml; pip install a2q_keras\[rtl\]"):
        styles.build(mlp())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"style": "serial"}, "style 'serial' is unknown; there are parallel, folded"),
        ({"pipeline": 3}, "style 'parallel' has no option 'pipeline'; it has adders_per_stage"),
        ({"adders_per_stage": -1}, "adders_per_stage is -1; give 0, 1, 2"),
        ({"language": "chisel"}, "language is 'chisel'; supported are verilog, vhdl"),
        ({"clock_period": 0}, "clock_period is 0 ns"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ConfigurationError, match=words):
        styles.build(mlp(), **options)
