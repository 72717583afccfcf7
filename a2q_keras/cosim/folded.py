"""Folded hardware in Verilator: streams with gaps and back-pressure, its accumulator registers watched."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from a2q_keras.cosim.compare import port
from a2q_keras.cosim.folded_driver import DRIVER
from a2q_keras.errors import ConfigurationError, ToolFailedError
from a2q_keras.integer import storage
from a2q_keras.integer.graph import Input, IntegerProgram, sources
from a2q_keras.rtl import styles
from a2q_keras.rtl.design import Port, RtlDesign
from a2q_keras.rtl.folded.build import Registers, accumulator_registers, fold
from a2q_keras.rtl.folded.folding import Folding
from a2q_keras.rtl.folded.stages import plan
from a2q_keras.tools import VERILATOR, run_built

WORD = 32
# what the driver gains by optimisation is less than the compiler takes for it
FAST_COMPILE = ("-CFLAGS", "-O0", "-MAKEFLAGS", "OPT_GLOBAL=-O0")
# the registers stay as they are in the hardware; this only lets the driver read them
WATCH = """`verilator_config
public_flat_rd -module "*accumulate*" -var "acc*"
public_flat_rd -module "*accumulate*" -var "enable"
"""


@dataclass(frozen=True)
class Stalls:
    """How often, in percent of the cycles, no input is offered and no output is taken; seeded."""

    gaps: int = 30
    back_pressure: int = 30
    seed: int = 1


NO_STALLS = Stalls(0, 0)


@dataclass(frozen=True, eq=False)
class StreamRun:
    """What came out: codes (samples, *shape), and for every sample the clock cycle in which its last code did.

    extremes: by layer the smallest and the largest number that any of its accumulator registers held; of a layer with
    tiles, any of the inner ones, and outer_extremes any of the outer ones.
    """

    codes: np.ndarray
    cycles: np.ndarray
    extremes: dict[str, tuple[int, int]] = field(default_factory=dict)
    outer_extremes: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def cycles_per_sample(self) -> float:
        """Cycles from one sample to the next over the second half of the run, when the pipeline is full."""
        half = len(self.cycles) // 2
        return (self.cycles[-1] - self.cycles[half]) / (len(self.cycles) - 1 - half)


@dataclass(frozen=True, eq=False)
class Simulation:
    """A compiled simulation of a folded design, in a folder; see `compiled`."""

    design: RtlDesign
    folder: Path
    registers: tuple[Registers, ...]

    def run(self, codes, stalls: Stalls = NO_STALLS, timeout: float = 600) -> StreamRun:
        """Stream input codes (samples, *shape) through the hardware.

        Raises ConfigurationError for no samples, ToolFailedError where the hardware stops before the last output.
        """
        entry, exit = self.design.inputs[0], self.design.outputs[0]
        if not len(codes):
            raise ConfigurationError("there are no samples to simulate; give at least one")
        beats = _beats(exit, len(codes))
        with tempfile.TemporaryDirectory(prefix="a2q_stream_") as scratch:
            packed(entry, codes).tofile(Path(scratch, "in"))
            settings = (len(codes) * _per_sample(entry), beats, stalls.gaps, stalls.back_pressure, stalls.seed)
            program = self.folder / "obj_dir" / "simulation"
            report = run_built(program, "in", "out", "when", *settings, cwd=scratch, timeout=timeout)
            out = np.fromfile(Path(scratch, "out"), np.uint32)
            when = np.fromfile(Path(scratch, "when"), np.uint64)
        if len(when) != beats:
            raise ToolFailedError(f"{self.design.name!r}: {len(when)} of {beats} beats came out; the hardware stopped")
        ends = when[_per_sample(exit) - 1 :: _per_sample(exit)].astype(np.int64)
        return StreamRun(unpacked(exit, out, len(codes)), ends, *self._extremes(report))

    def _extremes(self, report: str) -> list[dict[str, tuple[int, int]]]:
        """Those of the accumulators of products, and those of the outer ones, by layer."""
        rows = [tuple(map(int, line.split())) for line in report.strip().splitlines()]
        seen = [(held, (low, high)) for held, (low, high) in zip(self.registers, rows)]
        return [{held.layer: both for held, both in seen if held.outer is outer} for outer in (False, True)]


def compiled(design: RtlDesign, registers: tuple[Registers, ...], folder) -> Simulation:
    """A simulation of a design, compiled in `folder`.

    Raises ToolMissingError without Verilator, ToolFailedError where it refuses the Verilog.
    """
    folder = design.write(folder)
    storage.write_text(folder / "watch.vlt", WATCH)
    storage.write_text(folder / "watch.h", _watch(design, registers))
    storage.write_text(folder / "driver.cpp", DRIVER)
    flags = ["--cc", "--exe", "--build", "-O3", "-Wno-fatal", *FAST_COMPILE, "--top-module", design.top]
    VERILATOR.run([*flags, "-o", "simulation", "watch.vlt", *design.sources, "driver.cpp"], cwd=folder)
    return Simulation(design, folder, registers)


def simulation(program: IntegerProgram, folding: Folding, folder) -> Simulation:
    """The compiled simulation of a program in folded hardware, with the accumulators that it has."""
    registers = accumulator_registers(plan(program, {}, folding))
    return compiled(fold(program, {}, folding), registers, folder)


def outputs(program: IntegerProgram, codes: list, options: Mapping[str, object], folder=None) -> dict[str, np.ndarray]:
    """Codes by output port for codes of every input: the co-simulation engine for style folded.

    Programs of several chains side by side, such as `vectors.isolate` makes, run one chain after the other.
    """
    folding = styles.configure(**options)
    found = {}
    with tempfile.TemporaryDirectory(prefix="a2q_folded_") as scratch:
        for i, chain in enumerate(chains(program)):
            given = codes[program.inputs.index(chain.inputs[0])]
            hardware = simulation(chain, folding.only(chain.shapes), Path(folder or scratch, f"chain{i}"))
            found[port(chain.outputs[0])] = hardware.run(given, Stalls()).codes
    return found


def chains(program: IntegerProgram) -> list[IntegerProgram]:
    """For each output a program of what it needs; a program with one output is one."""
    if len(program.outputs) == 1:
        return [program]
    return [_chain_to(program, name) for name in program.outputs]


def _chain_to(program: IntegerProgram, output: str) -> IntegerProgram:
    needed, nodes = {output}, []
    for node in reversed((*program.inputs, *program.ops)):
        if node.name in needed:
            needed.update(sources(node))
            nodes.insert(0, node)
    inputs = tuple(node for node in nodes if isinstance(node, Input))
    ops = tuple(node for node in nodes if not isinstance(node, Input))
    return IntegerProgram(f"{program.name}, {output}", inputs, ops, (output,))


def packed(bus: Port, codes) -> np.ndarray:
    """uint32 words (beats, words) of codes (samples, *shape): each beat in whole words, the first code lowest."""
    bits, per_beat = bus.format.bits, bus.per_beat
    beats = np.asarray(codes, np.int64).reshape(-1, per_beat)
    planes = (beats[:, :, None] >> np.arange(bits)) & 1
    flat = np.zeros((len(beats), _words(bus) * WORD), np.uint8)
    flat[:, : bits * per_beat] = planes.reshape(len(beats), -1)
    return np.packbits(flat, axis=1, bitorder="little").view("<u4")


def unpacked(bus: Port, words: np.ndarray, samples: int) -> np.ndarray:
    """int64 codes (samples, *shape) of what `packed` makes; the inverse."""
    bits, per_beat = bus.format.bits, bus.per_beat
    octets = np.ascontiguousarray(words.reshape(-1, _words(bus)), "<u4").view(np.uint8)
    flat = np.unpackbits(octets, axis=1, bitorder="little")[:, : bits * per_beat]
    weights = 1 << np.arange(bits, dtype=np.int64)
    weights[-1] *= -1 if bus.format.signed else 1
    return (flat.reshape(-1, bits).astype(np.int64) @ weights).reshape(samples, *bus.shape)


def _per_sample(bus: Port) -> int:
    return int(np.prod(bus.shape)) // bus.per_beat


def _beats(bus: Port, samples: int) -> int:
    return samples * _per_sample(bus)


def _words(bus: Port) -> int:
    return -(-bus.format.bits * bus.per_beat // WORD)


def _watch(design: RtlDesign, registers: tuple[Registers, ...]) -> str:
    """The part of the driver that knows the design: its word counts and its accumulators."""
    enabled = [f"on[{i}] = root->{_member(design, held.enable)};" for i, held in enumerate(registers)]
    seen = [
        f"if (on[{i}]) seen[{i}].see(root->{_member(design, path)}, {held.bits});"
        for i, held in enumerate(registers)
        for path in held.paths
    ]
    root = "Vfolded___024root* root, std::vector<char>& on"
    return "\n".join(
        [
            f"enum {{ IN_WORDS = {_words(design.inputs[0])}, OUT_WORDS = {_words(design.outputs[0])} }};",
            f"const int WATCHED = {len(registers)};",
            f"void enabled({root}) {{",
            *enabled,
            f"}}\nvoid watch({root}, std::vector<Watch>& seen) {{",
            *seen,
            "}\n",
        ]
    )


def _member(design: RtlDesign, path: str) -> str:
    return "__DOT__".join([design.top, *path.split(".")])
