"""Vitis HLS and Vivado HLS where they are installed: C simulation, synthesis, and co-simulation of the RTL.

Written from hls4ml's scripts and tried with a stand-in for the tools only: no machine of ours has them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from a2q_keras.cosim import testbench
from a2q_keras.errors import ConfigurationError
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.integer.storage import write_text
from a2q_keras.resources import vendor as reports
from a2q_keras.resources.usage import ResourceReport
from a2q_keras.tools import Tool

HOURS = 12
STEPS = {"reset": 1, "csim": 1, "synth": 1, "cosim": 1, "validation": 0, "export": 0, "vsynth": 0, "fifo_opt": 0}
ELSEWHERE = (
    "install it, or export the project with a2q.export_project, run it where the tool is, and judge its logs there "
    "with python check_cosim.py"
)


class Vendor(NamedTuple):
    """A tool and the hls4ml backend whose projects it runs."""

    tool: Tool
    backend: str
    arguments: tuple[str, ...]


VENDORS = {
    "vitis": Vendor(
        Tool("vitis-run", "A2Q_VITIS_RUN", ELSEWHERE), "Vitis", ("--tcl", "build_prj.tcl", "--mode", "hls")
    ),
    "vivado": Vendor(
        Tool("vivado_hls", "A2Q_VIVADO_HLS", ELSEWHERE),
        "Vivado",
        ("-f", "build_prj.tcl", " ".join(f"{step}={on}" for step, on in STEPS.items())),
    ),
}


OnReport = Callable[[ResourceReport], object]


def ignore(report: ResourceReport):
    """What is done with a report that nobody asked for."""


def run_vitis(
    program: IntegerProgram, values: list, config: HlsConfig | None = None, on_report: OnReport = ignore
) -> dict[str, np.ndarray]:
    """Codes by output port of the RTL that Vitis made; see `run`."""
    return run("vitis", program, values, config, on_report)


def run_vivado(
    program: IntegerProgram, values: list, config: HlsConfig | None = None, on_report: OnReport = ignore
) -> dict[str, np.ndarray]:
    """Codes by output port of the RTL that Vivado HLS made; see `run`."""
    return run("vivado", program, values, config, on_report)


def run(
    name: str, program, values, config: HlsConfig | None = None, on_report: OnReport = ignore
) -> dict[str, np.ndarray]:
    """Codes (int64) by output port in the log of the RTL co-simulation.

    on_report: is called with the report of the C synthesis, if this run left one and its logs are whole.

    Raises ToolMissingError saying how to run the project elsewhere, ToolFailedError where the tool fails or a log of
    this run, that of the C simulation too, is not whole; ConfigurationError for another backend's config; FileError for
    a report that is not whole.
    """
    vendor, config = VENDORS[name], config or HlsConfig()
    if config.backend != vendor.backend:
        raise ConfigurationError(f"engine {name!r} runs backend {vendor.backend}; the backend is {config.backend}")
    vendor.tool.find()
    with tempfile.TemporaryDirectory(prefix="a2q_vendor_") as fresh:
        folder = Path(config.output_dir or fresh).resolve()
        testbench.write(program, values, replace(config, output_dir=str(folder)))
        reports.remove(folder, config.project_name)
        write_text(folder / "build_opt.tcl", build_options())
        vendor.tool.run(vendor.arguments, cwd=folder, timeout=HOURS * 3600)
        testbench.read_log(program, folder / testbench.CSIM_LOG, len(values[0]))
        codes = testbench.read_log(program, folder / testbench.RTL_LOG, len(values[0]))
        estimate = reports.estimate_of(folder, config.project_name)
        if estimate.is_file():
            on_report(reports.read(estimate))
        return codes


def build_options() -> str:
    """What hls4ml's script for Vitis reads: which steps to run."""
    return "".join(["array set opt {\n", *(f"    {step} {on}\n" for step, on in STEPS.items()), "}\n"])
