"""A folded design: the Verilog of an integer program whose layers reuse their multipliers."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from a2q_keras.errors import ToolMissingError
from a2q_keras.integer import storage
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.rtl.design import Port, RtlDesign
from a2q_keras.rtl.folded.folding import Folding
from a2q_keras.rtl.folded.stages import MacStage, Stage, plan
from a2q_keras.tools import YOSYS

TOP = "folded"
TO_VERILOG = "read_rtlil design.il; proc -nomux -norom; memory_collect; write_verilog -norename design.v"


@dataclass(frozen=True)
class Registers:
    """The accumulators of a layer: hierarchical names below the top module, and bits.

    outer: whether they are those that add tiles; else they add products.  They take a new sum at every clock edge at
    which `enable` is high.
    """

    layer: str
    outer: bool
    paths: tuple[str, ...]
    enable: str
    bits: int


def build(program: IntegerProgram, config: Folding, on_op: Callable[[str], None] = lambda name: None) -> RtlDesign:
    """The design of a program with the accumulators that it has; see `fold`.  on_op: is called with every op's name."""
    for op in program.ops:
        on_op(op.name)
    return fold(program, {}, config)


def fold(program: IntegerProgram, accumulators: Mapping[str, int], folding: Folding) -> RtlDesign:
    """Verilog of a program with accumulators of the widths given by layer name; layers missing there keep theirs.

    Ports: clk and rst (where there are registers), and the streams i and o of _data, _valid and _ready each: a beat
    passes in a clock cycle in which valid and ready are high.
    Nothing is certified here: a width that is too small gives hardware that wraps.

    Raises what `stages.plan` raises; ToolMissingError without Amaranth or Yosys, which writes the Verilog.
    """
    stages = plan(program, accumulators, folding)
    network = _network(program, stages)
    source, output = program.inputs[0], program.outputs[0]
    result = program.with_acc_bits(dict(accumulators)).formats[output]
    return RtlDesign(
        name=program.name,
        top=TOP,
        style="folded",
        files={f"{TOP}.v": verilog(network)},
        inputs=(Port("i", source.name, source.shape, source.format, per_beat=network.per_beat),),
        outputs=(Port("o", output, program.shapes[output], result, per_beat=network.per_beat_out),),
        latency=None,
    )


def module_names(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    """A name for the module of each stage: that of the layer in Verilog's letters, numbered so that none clash."""
    letters = (re.sub(r"[^A-Za-z0-9]+", "_", stage.name).strip("_") for stage in stages)
    return tuple(f"{'' if name[:1].isalpha() else 'layer_'}{name}_{i}" for i, name in enumerate(letters))


def accumulator_registers(stages: tuple[Stage, ...]) -> tuple[Registers, ...]:
    """The accumulator registers of every layer in order; where it has tiles, the inner ones and then the outer ones."""
    layers = [(stage, name) for stage, name in zip(stages, module_names(stages)) if isinstance(stage, MacStage)]
    return tuple(
        _registers(stage, name, outer)
        for stage, name in layers
        for outer in ((False, True) if stage.tiles else (False,))
    )


def _registers(stage: MacStage, name: str, outer: bool) -> Registers:
    unit = f"{name}.mac.accumulate{'_outer' if outer else ''}"
    paths = tuple(f"{unit}.acc{channel}" for channel in range(stage.fold.pe))
    return Registers(stage.name, outer, paths, f"{unit}.enable", (stage.result if outer else stage.acc).bits)


def _network(program: IntegerProgram, stages: tuple[Stage, ...]):
    try:
        from a2q_keras.rtl.folded.network import Network
    except ModuleNotFoundError as missing:
        if missing.name != "amaranth":
            raise
        raise ToolMissingError("Amaranth is not installed; pip install a2q_keras[rtl]") from missing
    return Network(program.inputs[0].format, stages, module_names(stages))


def verilog(network) -> str:
    """The Verilog text of a network, one module for each unit."""
    from amaranth.back import rtlil

    with tempfile.TemporaryDirectory(prefix="a2q_folded_") as folder:
        storage.write_text(Path(folder, "design.il"), rtlil.convert(network, name=TOP, emit_src=False))
        YOSYS.run(["-q", "-p", TO_VERILOG], cwd=folder)
        return Path(folder, "design.v").read_text()
