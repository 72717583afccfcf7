"""An exported project, run with g++ in the vendor's place and judged by its own script; and the vendor engines."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from a2q_keras import pipeline
from a2q_keras.cosim import testbench, vendor
from a2q_keras.cosim.compare import port
from a2q_keras.cosim.run import ENGINES, cosim, golden
from a2q_keras.errors import ConfigurationError, ToolFailedError, ToolMissingError
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.certificate import Certificate
from a2q_keras.resources import csynth
from tests.programs import mlp, needs_gxx
from tests.resources import samples


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    return pipeline.export_project(mlp(), folder, acc_bits=None, n_random=40)


def check(folder: Path, *args) -> subprocess.CompletedProcess:
    """The project's own script, on an interpreter that sees no installed package."""
    command = [sys.executable, "-I", "-S", str(folder / "check_cosim.py"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_project_holds_vectors_golden_outputs_proof_and_hashes(project):
    golden = json.loads((project / "golden.json").read_text())
    lines = (project / "tb_data" / "tb_input_features.dat").read_text().splitlines()
    assert len(lines) == len(golden["codes"]) == 40 + 40 + 24 and len(lines[0].split()) == 16
    program = pipeline.load_integer_model(project / "program.a2q")
    x = np.array([line.split() for line in lines], float).reshape(-1, 2, 8)
    wanted = (program.run(x) * 2.0 ** program.formats["logits"].frac).astype(int)
    assert golden["codes"] == wanted.tolist()
    assert Certificate.load(project / "certificate.json").verify().ok
    manifest = json.loads((project / "manifest.json").read_text())
    assert {"golden.json", "check_cosim.py", "build_opt.tcl", "firmware/myproject.cpp"} <= set(manifest)
    assert "vitis-run --tcl build_prj.tcl --mode hls" in (project / "README.txt").read_text()


def test_without_a_log_nothing_is_judged(project):
    assert check(project).returncode == 2


@pytest.fixture(scope="module")
def log(project) -> Path:
    testbench.compile_and_run(HlsConfig(output_dir=str(project)))
    return project / testbench.CSIM_LOG


class TestBench:
    pytestmark = needs_gxx

    def test_the_log_of_the_real_bench_passes(self, project, log):
        done = check(project, log)
        assert done.returncode == 0 and "passed, all 104 lines are equal" in done.stdout

    def test_a_missing_log_of_the_rtl_is_no_success(self, project, log):
        done = check(project)
        assert done.returncode == 2 and "rtl_cosim_results.log: no such log" in done.stdout

    def test_an_export_over_a_project_removes_its_logs(self, log, tmp_path):
        """They are of other firmware: check_cosim.py would take them for its own."""
        pipeline.export_project(mlp(), tmp_path, acc_bits=None, n_random=40)
        for name in (testbench.CSIM_LOG, testbench.RTL_LOG):
            (tmp_path / name).write_text(log.read_text())
        assert check(tmp_path).returncode == 0
        again = {"strategy": "Resource", "reuse_factor": 2}
        pipeline.export_project(mlp(), tmp_path, acc_bits=None, n_random=40, **again)
        assert check(tmp_path).returncode == 2
        assert not any("log" in name for name in json.loads((tmp_path / "manifest.json").read_text()))

    @pytest.mark.parametrize(
        "fault, words",
        [
            (lambda lines: lines[:50], "it has 50 lines, wanted 104"),
            (lambda lines: lines[::-1], "line 1 (sample 0, output 'logits'): value"),
            (
                lambda lines: [*lines[:7], f"9{lines[7]}", *lines[8:]],
                "line 8 (sample 7, output 'logits'): value 0: got 9",
            ),
        ],
        ids=["truncated", "shuffled", "tampered"],
    )
    def test_what_was_done_to_a_log_is_named(self, project, log, tmp_path, fault, words):
        (tmp_path / "log").write_text("\n".join(fault(log.read_text().splitlines())) + "\n")
        done = check(project, tmp_path / "log")
        assert done.returncode == 1 and words in done.stdout

    def test_the_vitis_engine_reads_the_logs_of_this_run(self, project, log, tmp_path, monkeypatch):
        """A stand-in in the place of vitis-run: it runs no tool, it leaves the log of the g++ bench as both logs."""
        stand_in(tmp_path, monkeypatch, f"cp {log} {testbench.CSIM_LOG}; cp {log} {testbench.RTL_LOG}")
        program, values = vectors_of(project)
        got = vendor.run_vitis(program, values)
        assert np.array_equal(got[port("logits")], program.run_codes(program.inputs[0].format.quantize(values[0])))

    def test_a_report_of_this_run_comes_with_the_codes_and_an_older_one_never(
        self, project, log, tmp_path, monkeypatch
    ):
        program, values = vectors_of(project)
        made = vendor.reports.estimate_of(tmp_path / "kept", "myproject")
        (tmp_path / "report.xml").write_text(samples.csynth())
        logs = f"cp {log} {testbench.CSIM_LOG}; cp {log} {testbench.RTL_LOG}"
        found, config = [], HlsConfig(output_dir=str(tmp_path / "kept"))
        stand_in(tmp_path, monkeypatch, f"{logs}; mkdir -p {made.parent}; cp {tmp_path}/report.xml {made}")
        vendor.run_vitis(program, values, config, found.append)
        assert [report.total.luts for report in found] == [4711]
        (tmp_path / "kept" / "vivado_synth.rpt").write_text(samples.ULTRASCALE)
        stand_in(tmp_path, monkeypatch, logs)
        vendor.run_vitis(program, values, config, found.append)
        assert len(found) == 1 and not made.exists() and not (tmp_path / "kept" / "vivado_synth.rpt").exists()

    @pytest.mark.parametrize(
        "does, words",
        [
            ("exit 3", "vitis-run failed with exit status 3"),
            ("true", "csim_results.log: 0 lines, wanted 104"),
            (f"head -9 LOG > {testbench.CSIM_LOG}; cp LOG {testbench.RTL_LOG}", "csim_results.log: 9 lines"),
            (f"cp LOG {testbench.CSIM_LOG}; sed s/^/x/ LOG > {testbench.RTL_LOG}", "is not 5 numbers in each line"),
        ],
        ids=["fails", "leaves no log", "truncated log", "no numbers"],
    )
    def test_a_run_that_is_not_whole_is_no_result(self, project, log, tmp_path, monkeypatch, does, words):
        stand_in(tmp_path, monkeypatch, does.replace("LOG", str(log)))
        with pytest.raises(ToolFailedError, match=words):
            vendor.run_vitis(*vectors_of(project))

    def test_cosim_takes_the_bench_as_an_engine(self):
        report = cosim(mlp(), engines=("testbench",), n_random=10)
        assert report.ok and {part.engine for part in report.parts} == {"testbench"}


def vectors_of(project):
    program = pipeline.load_integer_model(project / "program.a2q")
    lines = (project / "tb_data" / "tb_input_features.dat").read_text().splitlines()
    return program, [np.array([line.split() for line in lines], float).reshape(-1, 2, 8)]


def stand_in(folder: Path, monkeypatch, does: str):
    """Put a script that is no vendor's tool, and says so, where vitis-run is looked for."""
    script = folder / "stand-in-for-vitis-run"
    script.write_text(f"#!/bin/sh\necho 'a stand-in, not vitis-run'\n{does}\n")
    script.chmod(0o755)
    monkeypatch.setenv("A2Q_VITIS_RUN", str(script))
    monkeypatch.setenv("PATH", os.environ["PATH"])


@pytest.mark.parametrize("engine, backend", [("vitis", "Vitis"), ("vivado", "Vivado")])
def test_a_missing_tool_says_how_to_go_on(engine, backend, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissingError, match=r"was not found .*export the project with a2q\.export_project"):
        vendor.run(engine, mlp(), [np.zeros((1, 2, 8))], HlsConfig(backend=backend))


def test_cosim_reports_what_the_network_takes(monkeypatch):
    """A stand-in for the engine: the golden run, and a report that bears the name of what it was given."""

    def engine(program, values, config, on_report):
        on_report(replace(csynth.parse(samples.csynth(), "sample"), name=program.name))
        return golden(program, values, config)

    monkeypatch.setitem(ENGINES, "vitis", engine)
    report = cosim(mlp(), engines=("vitis",), n_random=5)
    assert report.ok and report.resources["vitis"].name == mlp().name
    assert report.to_dict()["resources"]["vitis"]["total"]["luts"] == 4711
    assert "vitis  'mlp' on xcvu13p-flga2577-2-e (C synthesis estimate, Vitis HLS 2023.2): 4,711 luts" in str(report)


def test_an_engine_runs_its_own_backend_only():
    with pytest.raises(ConfigurationError, match="engine 'vivado' runs backend Vivado; the backend is Vitis"):
        vendor.run_vivado(mlp(), [np.zeros((1, 2, 8))])


@pytest.mark.parametrize(
    "program, values, config, words",
    [
        (mlp(), np.zeros((1, 2, 8)), {"backend": "Quartus"}, "there for Vitis, Vivado, not for Quartus; use csim"),
        (mlp(), np.full((1, 2, 8), 0.1), {}, "input 'input': the test bench reads float32"),
        (mlp().with_acc_bits({"logits": 20}), np.zeros((1, 2, 8)), {}, "output 'logits' has 20 bits; .* enough for 19"),
    ],
    ids=["backend", "values", "bits"],
)
def test_what_the_bench_cannot_show_is_refused(program, values, config, words, tmp_path):
    with pytest.raises(ConfigurationError, match=words):
        testbench.write(program, [values], HlsConfig(output_dir=str(tmp_path), **config))
