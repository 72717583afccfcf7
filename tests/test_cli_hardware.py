"""`a2q rtl` and `a2q resources`, in this process; Yosys is a stand-in."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

import a2q_keras as a2q
from a2q_keras import pipeline
from a2q_keras.cli import hardware
from a2q_keras.cli.main import main
from a2q_keras.cosim.report import CosimReport
from a2q_keras.tools import YOSYS
from tests.programs import needs_da4ml
from tests.resources import samples
from tests.resources.test_yosys import WRITES
from tests.strategies import mlp

pytestmark = needs_da4ml


@pytest.fixture
def a2q_command(tmp_path, monkeypatch, capfd):
    """(arguments) -> exit status, standard output, lines of standard error."""
    mlp().save(tmp_path / "net.a2q")

    def run(command: str, *more, source="net.a2q"):
        monkeypatch.setattr(sys, "argv", ["a2q", command, str(tmp_path / source), *map(str, more)])
        try:
            main()
        except SystemExit as ended:
            return ended.code, *capfd.readouterr()
        raise AssertionError("the command did not end")

    return run


def test_rtl_writes_the_design_with_its_proof(a2q_command, tmp_path):
    folder = tmp_path / "design"
    status, output, _ = a2q_command("rtl", "--output-dir", folder, "--adders-per-stage", 0, "--json")
    assert status == 0 and json.loads(output)["latency"] == 0
    assert {path.name for path in folder.iterdir()} >= {"design.json", "src", "certificate.json", "program.a2q"}
    assert a2q.Certificate.load(folder / "certificate.json").verify().ok


def test_resources_prints_a_table_or_json(a2q_command, monkeypatch, stand_in):
    monkeypatch.setenv(YOSYS.override, stand_in(WRITES))
    status, output, _ = a2q_command("resources", "--family", "xc7", "--json")
    report = json.loads(output)
    assert status == 0 and report["total"]["luts"] == 5 and report["family"] == "xc7"
    status, output, _ = a2q_command("resources", "--by-layer")
    assert status == 0 and "layer by layer, added" in output and "fc2" in output and "15" in output


def test_resources_reads_the_report_of_a_vendors_tool(a2q_command, tmp_path):
    (tmp_path / "myproject_csynth.xml").write_text(samples.csynth())
    status, output, _ = a2q_command("resources", source="myproject_csynth.xml")
    assert status == 0 and "C synthesis estimate, Vitis HLS 2023.2" in output and "4,711" in output
    assert "latency 7 to 11, a sample every 1 cycles" in output
    status, _, error = a2q_command("resources", source="lost.rpt")
    assert status == 2 and "a2q: FileError:" in error and "check the name, or run synthesis" in error


def test_cosim_hands_the_style_and_its_options_to_the_engine(a2q_command, monkeypatch):
    seen = {}
    monkeypatch.setattr(pipeline, "cosim", lambda model, **chosen: seen.update(chosen) or CosimReport("", "", ()))
    options = ("--style", "folded", "--pe", 2, "--simd", 4)
    assert a2q_command("cosim", "--engines", "rtl", *options)[0] == 1  # nothing was compared
    assert seen["rtl"] == {"style": "folded", "pe": 2, "simd": 4} and seen["engines"] == ["rtl"]
    status, _, error = a2q_command("cosim", *options)
    assert status == 2 and "a2q: ConfigurationError: options style, pe, simd are of engine rtl, not of csim" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rtl", "--acc-bits", "9"), "AccumulatorOverflowError"),
        (("rtl", "--style", "serial"), "ConfigurationError: style 'serial' is unknown"),
        (("resources", "--family", "ice40"), "ConfigurationError: family is 'ice40'"),
        (("resources",), "ToolMissingError: yosys was not found"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, words, a2q_command, tmp_path, monkeypatch):
    monkeypatch.setenv(YOSYS.override, "/nowhere/yosys")
    target = ("--output-dir", tmp_path / "never") if arguments[0] == "rtl" else ()
    status, _, error = a2q_command(*arguments, *target)
    assert status == 2 and f"a2q: {words}" in error and "Traceback" not in error and not (tmp_path / "never").exists()


def test_the_demo_says_how_to_get_what_hardware_needs(monkeypatch):
    monkeypatch.setenv("A2Q_YOSYS", "no-such-yosys")
    console = Console(file=io.StringIO())
    settings = SimpleNamespace(acc_bits=32, method="exact")
    assert hardware.compare(settings, mlp(), None, console) == []
    assert "pip install a2q_keras[rtl]" in console.file.getvalue()
