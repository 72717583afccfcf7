"""Style `parallel`: the whole network at once, every adder its own, in Verilog or VHDL written by da4ml."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from a2q_keras.errors import ConfigurationError, ToolMissingError
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.rtl.design import SUFFIXES, Place, Port, RtlDesign
from a2q_keras.rtl.trace import trace

TOP = "model"


@dataclass(frozen=True)
class ParallelConfig:
    """How a design of style `parallel` is built.

    adders_per_stage: how many adders may stand in a row between two registers; 0: combinational logic, no clock.
    language: "verilog" or "vhdl".  clock_period (ns) and part go into the constraints and the script for Vivado.

    Raises ConfigurationError for what is not allowed.
    """

    adders_per_stage: int = 5
    language: str = "verilog"
    clock_period: float = 5
    part: str = "xcvu13p-flga2577-2-e"

    def __post_init__(self):
        if type(self.adders_per_stage) is not int or self.adders_per_stage < 0:
            raise ConfigurationError(f"adders_per_stage is {self.adders_per_stage!r}; give 0, 1, 2, ...")
        if self.language not in SUFFIXES:
            raise ConfigurationError(f"language is {self.language!r}; supported are {', '.join(SUFFIXES)}")
        if not self.clock_period > 0:
            raise ConfigurationError(f"clock_period is {self.clock_period!r} ns; give a positive number")


def build(
    program: IntegerProgram,
    config: ParallelConfig | None = None,
    on_op: Callable[[str], None] = lambda name: None,
) -> RtlDesign:
    """The design that computes `program`, with accumulators that wrap at their `acc_bits`.

    Raises ToolMissingError without da4ml, UnsupportedLayerError for what it cannot compute exactly.
    """
    if importlib.util.find_spec("da4ml") is None:
        raise ToolMissingError("style 'parallel' needs da4ml; pip install a2q_keras[rtl]")
    from da4ml.trace import comb_trace

    config = config or ParallelConfig()
    tensors = trace(program, on_op)
    inputs = [item for node in program.inputs for item in tensors[node.name].ravel()]
    outputs = [item for name in program.outputs for item in tensors[name].ravel()]
    logic = comb_trace(inputs, outputs, keep_dead_inputs=True)
    if not any(interval.min or interval.max for interval in logic.out_qint):  # and a bus has a bit at least
        logic = comb_trace(inputs, [*outputs, 0 * inputs[0] + 1], keep_dead_inputs=True)
    return _design(program, config, logic)


def _design(program, config: ParallelConfig, logic) -> RtlDesign:
    files, latency = _written(logic, config)
    return RtlDesign(
        name=program.name,
        top=TOP,
        style="parallel",
        files=files,
        inputs=_ports(program, "model_inp", [node.name for node in program.inputs], logic.inp_qint),
        outputs=_ports(program, "model_out", program.outputs, logic.out_qint),
        latency=latency,
        language=config.language,
        estimated_luts=float(logic.cost),
    )


def _ports(program, bus: str, tensors: Iterable[str], intervals) -> tuple[Port, ...]:
    """The values of all tensors lie one behind the other on the bus, each as narrow as its range allows."""
    from da4ml.cmvm.types import _minimal_kif

    kifs = [tuple(map(int, _minimal_kif(interval))) for interval in intervals]
    lows = np.cumsum([0, *map(sum, kifs)]).tolist()
    places = [Place(low, sum(kif), bool(kif[0]), -kif[2]) for low, kif in zip(lows, kifs)]
    ports, start = [], 0
    for name in tensors:
        shape = tuple(program.shapes[name])
        end = start + prod(shape)
        ports.append(Port(bus, name, shape, program.formats[name], tuple(places[start:end])))
        start = end
    return tuple(ports)


def _written(logic, config: ParallelConfig) -> tuple[dict[str, str], int]:
    """The files that da4ml writes and the design uses, by path, and the latency in clock cycles."""
    from da4ml.codegen import RTLModel

    design = _pipelined(logic, config.adders_per_stage) if config.adders_per_stage else logic
    with tempfile.TemporaryDirectory(prefix="a2q_rtl_") as folder:
        RTLModel(
            design,
            TOP,
            folder,
            flavor=config.language,
            print_latency=False,
            part_name=config.part,
            clock_period=config.clock_period,
        ).write()
        files = _used(Path(folder), SUFFIXES[config.language])
    return files, len(design.solutions) + 1 if config.adders_per_stage else 0


def _pipelined(logic, adders_per_stage: int):
    """Stages with so many adders in a row at most.  da4ml's balancing of the stages may take inputs that nothing reads
    off the bus: then the stages stay as they are."""
    from da4ml.trace.pipeline import to_pipeline

    balanced = to_pipeline(logic, adders_per_stage, verbose=False)
    if list(balanced.inp_qint) == list(logic.inp_qint):
        return balanced
    return to_pipeline(logic, adders_per_stage, retiming=False, verbose=False)


def _used(folder: Path, suffix: str) -> dict[str, str]:
    """Modules, those of da4ml's common ones that they instantiate, constraints and the script for Vivado."""
    own = [path for path in sorted((folder / "src").glob(f"*{suffix}")) if path.stem != f"{TOP}_wrapper"]
    words = set(re.findall(r"\w+", "\n".join(path.read_text() for path in own)))
    common = [path for path in sorted((folder / "src" / "static").glob(f"*{suffix}")) if path.stem in words]
    kept = [*own, *common, *sorted((folder / "src").glob("*.xdc")), folder / "build_vivado_prj.tcl"]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in kept if path.exists()}
