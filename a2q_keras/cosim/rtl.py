"""Simulation of hardware that was written as Verilog: codes in, codes out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from a2q_keras.cosim import buses, folded, ghdl, rtl_build
from a2q_keras.cosim.compare import port
from a2q_keras.errors import ConfigurationError, ToolFailedError
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.rtl import styles
from a2q_keras.rtl.design import RtlDesign
from a2q_keras.tools import run_built

NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


def _macros(design: RtlDesign, simulator: str) -> dict[str, object]:
    """What the driver has to know of the design."""
    clock = {"CLOCK": rtl_build.port_name(simulator, "clk")} if design.latency else {}
    return clock | {
        "MODULE": rtl_build.port_name(simulator, design.top),
        "INPUT": rtl_build.port_name(simulator, "model_inp"),
        "OUTPUT": rtl_build.port_name(simulator, "model_out"),
        "INPUT_WORDS": buses.words_of(design.inputs),
        "OUTPUT_WORDS": buses.words_of(design.outputs),
        "LATENCY": design.latency,
    }


def simulate(design: RtlDesign, codes: list, simulator: str | None = None) -> list[np.ndarray]:
    """Codes int64 (samples, *shape) of every output, for codes of every input, from the design in simulation.

    A new sample enters in every clock cycle.  simulator: "verilator", "cxxrtl", "ghdl" (VHDL), or None for what can
    do it and is there.  Raises ToolMissingError, ToolFailedError, ConfigurationError for a style without a driver here.
    """
    if design.style != "parallel":
        raise ConfigurationError(
            f"engine 'rtl' simulates style parallel; {design.style!r} is simulated by cosim.{design.style}"
        )
    simulator = simulator or rtl_build.choose(design)
    with tempfile.TemporaryDirectory(prefix="a2q_rtl_") as fresh:
        words = _run(design, buses.pack(design.inputs, codes), simulator, Path(fresh))
    samples, width = len(codes[0]), buses.words_of(design.outputs)
    if words.size != samples * width:
        raise ToolFailedError(f"{design.name!r}: the simulation gave {words.size} words, wanted {samples * width}")
    return buses.unpack(design.outputs, words.reshape(samples, width))


def _run(design: RtlDesign, words: np.ndarray, simulator: str, folder: Path) -> np.ndarray:
    if simulator == "ghdl":
        return ghdl.run(design, words, folder)
    program = rtl_build.executable(design, _macros(design, simulator), simulator, folder)
    np.ascontiguousarray(words, "<u4").tofile(folder / "inputs.bin")
    run_built(program, folder / "inputs.bin", folder / "outputs.bin", cwd=folder)
    outputs = folder / "outputs.bin"
    return np.fromfile(outputs, "<u4") if outputs.exists() else np.zeros(0, np.uint32)


def run(
    program: IntegerProgram,
    values: list,
    config: HlsConfig | None = None,
    options: Mapping[str, object] = NO_OPTIONS,
) -> dict[str, np.ndarray]:
    """Codes by output port of the Verilog of `program` in simulation: a co-simulation engine.

    values: one array per input.  config: its output_dir is where the Verilog stays.  options: style and options of
    `rtl.styles.build`.
    """
    config = config or HlsConfig()
    codes = [node.format.quantize(array) for node, array in zip(program.inputs, values)]
    if options.get("style") == "folded":
        return folded.outputs(program, codes, options, config.output_dir)
    design = styles.build(program, **options)
    if config.output_dir:
        design.write(config.output_dir)
    found = simulate(design, codes)
    return {port(name): codes for name, codes in zip(program.outputs, found)}
