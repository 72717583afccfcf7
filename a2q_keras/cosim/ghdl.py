"""VHDL in simulation by GHDL: the words of the input bus in, those of the output bus out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a2q_keras.cosim import buses
from a2q_keras.errors import ToolFailedError
from a2q_keras.integer.storage import write_text
from a2q_keras.rtl.design import RtlDesign
from a2q_keras.tools import GHDL

BENCH = Path(__file__).parent / "drivers" / "parallel.vhd"
STANDARD = "--std=08"


def run(design: RtlDesign, words: np.ndarray, folder: Path) -> np.ndarray:
    """uint32 (samples, words) of the output bus for those of the input bus, of a design of style parallel.

    Raises ToolMissingError, ToolFailedError, the latter also for bits that the design leaves undefined.
    """
    design.write(folder / "design")
    bench = BENCH.read_text()
    write_text(folder / "bench.vhd", bench if design.latency else bench.replace("clk => clk, ", ""))
    write_text(folder / "inputs.hex", "".join(f"{_hexadecimal(row)}\n" for row in words))
    sources = [f"design/{path}" for path in design.sources]
    GHDL.run(["-i", STANDARD, *sources, "bench.vhd"], cwd=folder)
    GHDL.run(["-m", STANDARD, "bench"], cwd=folder)
    sizes = {"input_bits": buses.bits_of(design.inputs), "output_bits": buses.bits_of(design.outputs)}
    generics = (f"-g{name}={size}" for name, size in (sizes | {"latency": design.latency}).items())
    GHDL.run(["-r", STANDARD, "bench", *generics], cwd=folder)
    return _words(design, (folder / "outputs.hex").read_text().split())


def _hexadecimal(row: np.ndarray) -> str:
    return "".join(f"{word:08x}" for word in row[::-1])


def _words(design: RtlDesign, lines: list[str]) -> np.ndarray:
    digits = 8 * buses.words_of(design.outputs)
    try:
        if any(len(line) != digits for line in lines):
            raise ValueError
        rows = np.array([list(bytes.fromhex(line)[::-1]) for line in lines], np.uint8)
    except ValueError as error:
        raise ToolFailedError(f"{design.name!r}: the simulation by GHDL left bits of its outputs undefined") from error
    return rows.reshape(len(lines), digits // 2).view("<u4")
