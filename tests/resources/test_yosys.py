import pytest

from a2q_keras.errors import ConfigurationError, ToolFailedError, ToolMissingError
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.resources import run, yosys
from a2q_keras.resources.usage import ResourceReport, Usage
from a2q_keras.rtl.design import Place, Port, RtlDesign
from a2q_keras.tools import YOSYS
from tests.programs import needs_yosys

ADDER = """module part(input [7:0] a, input [7:0] b, output [8:0] s); assign s = a + b; endmodule
"""
TOP = """module model(input clk, input [23:0] model_inp, output reg [9:0] model_out);
  wire [8:0] first, second;
  part one(model_inp[7:0], model_inp[15:8], first);
  part two(model_inp[15:8], model_inp[23:16], second);
  always @(posedge clk) model_out <= first + second;
endmodule
"""
ENTRY = Port("model_inp", "x", (3,), FixedPoint(8, 0, False), tuple(Place(8 * i, 8, False, 0) for i in range(3)))
SUM = Port("model_out", "y", (1,), FixedPoint(10, 0, False), (Place(0, 10, False, 0),))
DESIGN = RtlDesign("adders", "model", "parallel", {"src/a.v": ADDER, "src/model.v": TOP}, (ENTRY,), (SUM,), 1)


class TestSynthesis:
    pytestmark = needs_yosys

    def test_registers_and_carry_chains_are_counted_by_family_and_module(self):
        found = run.of_design(DESIGN, run.Synthesis("xc7", by_module=True))
        assert found.total.ffs == 10 and 20 <= found.total.luts <= 40 and found.total.dsps == 0
        assert found.total.carries >= 5 and found.method == run.WHOLE and "Yosys" in found.tool
        assert set(found.parts) == {"model", "part"} and found.parts["part"].luts >= 16 > found.parts["model"].luts
        assert sum(part.ffs for part in found.parts.values()) == 10


STATISTICS = '{"modules": {"\\\\\\\\model": {"num_cells_by_type": {"LUT6": 5, "FDRE": 2, "INV": 3}}}}'
WRITES = f"""echo 'Yosys 1.0'; case "$1" in -q) printf '{STATISTICS}' > statistics.json;; esac"""


class TestStandIns:
    """Shell scripts in place of Yosys."""

    def test_a_report_is_kept_by_content_and_read_again(self, tmp_path, monkeypatch, stand_in):
        monkeypatch.setenv("A2Q_CACHE", str(tmp_path / "kept"))
        monkeypatch.setenv(YOSYS.override, stand_in(WRITES))
        first = run.of_design(DESIGN, run.Synthesis())
        assert first.total == Usage(luts=5, ffs=2) and first.tool == "Yosys 1.0"
        monkeypatch.setenv(YOSYS.override, stand_in("echo 'Yosys 1.0'; test $1 = -V"))
        assert run.of_design(DESIGN, run.Synthesis()) == first
        with pytest.raises(ToolFailedError):  # other text, other report
            run.of_design(DESIGN, run.Synthesis("xc7"))

    def test_a_damaged_report_is_made_again(self, tmp_path, monkeypatch, stand_in):
        monkeypatch.setenv("A2Q_CACHE", str(tmp_path))
        monkeypatch.setenv(YOSYS.override, stand_in(WRITES))
        first = run.of_design(DESIGN, run.Synthesis())
        (kept,) = tmp_path.glob("resources-*.json")
        kept.write_text(kept.read_text()[:-9])
        assert run.of_design(DESIGN, run.Synthesis()) == first == ResourceReport.load(kept)

    @pytest.mark.parametrize(
        ("does", "words"),
        [
            ("echo ERROR: syntax error; exit 1", r"(?s)yosys failed with exit status 1.*syntax error"),
            ("exit 0", "yosys ended well but left no statistics"),
            ("echo half '{' > statistics.json", "yosys ended well but left no statistics"),
            ("""echo '{"modules": {}}' > statistics.json""", "yosys counted no module 'model'; it has none"),
            (WRITES.replace("INV", "RAM9"), "yosys used a primitive 'RAM9' that is not counted here"),
        ],
    )
    def test_a_failure_is_no_report(self, does, words, tmp_path, monkeypatch, stand_in):
        monkeypatch.chdir(tmp_path)  # some stand-ins write when they are asked for their version, too
        monkeypatch.setenv(YOSYS.override, stand_in(does))
        with pytest.raises(ToolFailedError, match=words):
            run.of_design(DESIGN, run.Synthesis())

    def test_a_run_that_takes_too_long_is_ended(self, monkeypatch, stand_in):
        monkeypatch.setenv(YOSYS.override, stand_in("sleep 30"))
        with pytest.raises(ToolFailedError, match=r"yosys did not finish in 0.2 seconds"):
            run.of_design(DESIGN, run.Synthesis(timeout=0.2))

    def test_without_yosys_it_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setenv(YOSYS.override, "/nowhere/yosys")
        with pytest.raises(ToolMissingError, match=r"yosys was not found .*pip install a2q_keras\[rtl\]"):
            run.of_design(DESIGN, run.Synthesis())


def test_other_families_and_languages_are_refused():
    with pytest.raises(ConfigurationError, match="family is 'ice40'; supported are xcup, xc7"):
        yosys.check("verilog", "ice40")
    with pytest.raises(ConfigurationError, match="the design is in vhdl"):
        yosys.check("vhdl", "xc7")


def test_the_script_reads_relative_paths_and_keeps_modules_only_where_asked():
    assert yosys.script(DESIGN, "xcup", False, False) == (
        "read_verilog src/a.v src/model.v; hierarchy -top model; "
        "synth_xilinx -family xcup -flatten -noiopad -top model -nodsp; tee -q -o statistics.json stat -json"
    )
    assert "setattr -mod -set keep_hierarchy 1 part model" in yosys.script(DESIGN, "xc7", True, True)


def test_instances_of_a_module_count_together():
    modules = {"\\top": {"num_cells_by_type": {"\\mid": 2, "FDRE": 1}}, "\\mid": {"num_cells_by_type": {"\\low": 3}}}
    modules["\\low"] = {"num_cells_by_type": {"RAM32M": 1, "CARRY8": 2, "DSP48E2": 1, "RAMB36E2": 1}}
    found = yosys.usage(modules, "top")
    assert found == {"low": Usage(24, 0, 12, 6, 12), "mid": Usage(), "top": Usage(ffs=1)}
