"""Simulation of hardware that was written as Verilog: codes in, codes out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from a2q_keras.cosim import buses, folded, rtl_build
from a2q_keras.cosim.compare import port
from a2q_keras.errors import ToolFailedError
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.rtl import styles
from a2q_keras.rtl.design import RtlDesign
from a2q_keras.tools import Tool

NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True)
class Driver:
    """How a style is driven: the macros of design.h, and codes to words and back.

    macros: (design, simulator) -> names and values.  pack: (design, codes by input) -> uint32 (samples, words).
    unpack: (design, uint32 words of all samples, samples) -> codes by output.
    """

    macros: Callable[[RtlDesign, str], Mapping[str, object]]
    pack: Callable[[RtlDesign, list], np.ndarray]
    unpack: Callable[[RtlDesign, np.ndarray, int], list]


def _flat_macros(design: RtlDesign, simulator: str) -> dict[str, object]:
    clock = {"CLOCK": rtl_build.port_name(simulator, "clk")} if design.latency else {}
    return clock | {
        "MODULE": rtl_build.port_name(simulator, design.top),
        "INPUT": rtl_build.port_name(simulator, "model_inp"),
        "OUTPUT": rtl_build.port_name(simulator, "model_out"),
        "INPUT_WORDS": buses.words_of(design.inputs),
        "OUTPUT_WORDS": buses.words_of(design.outputs),
        "LATENCY": design.latency,
    }


def _flat_unpack(design: RtlDesign, words: np.ndarray, samples: int) -> list:
    return buses.unpack(design.outputs, words.reshape(samples, -1))


DRIVERS: dict[str, Driver] = {
    "parallel": Driver(_flat_macros, lambda design, codes: buses.pack(design.inputs, codes), _flat_unpack),
}


def simulate(design: RtlDesign, codes: list, simulator: str | None = None) -> list[np.ndarray]:
    """Codes int64 (samples, *shape) of every output, for codes of every input, from the design in simulation.

    A new sample enters in every clock cycle.  simulator: "verilator", "cxxrtl", or None for what is there and can do
    it.  Raises ToolMissingError, ToolFailedError.
    """
    driver, samples = DRIVERS[design.style], len(codes[0])
    simulator = simulator or rtl_build.choose(design)
    with tempfile.TemporaryDirectory(prefix="a2q_rtl_") as fresh:
        program = rtl_build.executable(design, driver.macros(design, simulator), simulator, Path(fresh))
        words = _run(program, driver.pack(design, codes), Path(fresh))
    wanted = samples * buses.words_of(design.outputs)
    if design.style == "parallel" and words.size != wanted:
        raise ToolFailedError(f"{design.name!r}: the simulation gave {words.size} words, wanted {wanted}")
    return driver.unpack(design, words, samples)


def _run(program: Path, words: np.ndarray, folder: Path) -> np.ndarray:
    np.ascontiguousarray(words, "<u4").tofile(folder / "inputs.bin")
    tool = Tool(str(program), "A2Q_SIMULATION", install="compile it again")
    tool.run([folder / "inputs.bin", folder / "outputs.bin"], cwd=folder)
    return np.fromfile(folder / "outputs.bin", "<u4")


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
