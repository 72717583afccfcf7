"""LUTs and flip-flops of the units of a folded layer over the accumulator width P; no training, weights are random.

    python benchmarks/folded_units.py

A dense layer 64 x 64, W4A4, pe = simd = 4: four accumulators, sixteen multipliers.  Each unit is synthesised alone by
Yosys (xcup, DSPs off, no pads), from Amaranth's RTLIL.  Weight memory and input buffer do not depend on P.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from amaranth.back import rtlil

from a2q_keras.integer import storage
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.resources.yosys import usage
from a2q_keras.rtl.folded.geometry import vectors
from a2q_keras.rtl.folded.mac import Accumulate, Matrix, Multiply, Rom
from a2q_keras.rtl.folded.requantize import Requantize
from a2q_keras.rtl.folded.streams import codes
from a2q_keras.rtl.folded.window import Play, Window
from a2q_keras.tools import YOSYS

RESULT = Path(__file__).parent / "results" / "folded_units"
WIDTHS = (32, 24, 16, 14, 12)
WEIGHT, SOURCE, RELU = FixedPoint(4, 3, True), FixedPoint(4, 4, False), FixedPoint(4, 2, False)


def matrix(acc_bits: int) -> Matrix:
    """The layer, with random codes."""
    rng = np.random.default_rng(0)
    weights, bias = rng.integers(-7, 8, (64, 64)), rng.integers(-40, 41, 64)
    return Matrix(weights, bias, WEIGHT, SOURCE, FixedPoint(acc_bits, 7, signed=True), 4, 4)


def units() -> dict:
    """Every unit by name; multiply at the two ends of P only, where its adder tree is not clipped it is the same."""
    found = {"window": Window(SOURCE, vectors((64,)), Play(4, 16))}
    found["weight_rom"] = Rom(codes(WEIGHT, 16), matrix(12).weight_words())
    for acc_bits in WIDTHS:
        layer = matrix(acc_bits)
        found[f"accumulate_{acc_bits}"] = Accumulate(layer.acc, layer.acc, layer.pe)
        found[f"requantize_{acc_bits}"] = Requantize(layer.acc, RELU, 4)
    return found | {f"multiply_{acc_bits}": Multiply(matrix(acc_bits)) for acc_bits in (WIDTHS[0], WIDTHS[-1])}


def synthesize(name: str, unit) -> dict[str, int]:
    """LUTs and flip-flops of a unit."""
    script = (
        f"read_rtlil unit.il; synth_xilinx -family xcup -flatten -noiopad -nodsp -top {name}; "
        "tee -q -o statistics.json stat -json"
    )
    with tempfile.TemporaryDirectory() as folder:
        storage.write_text(Path(folder, "unit.il"), rtlil.convert(unit, name=name, emit_src=False))
        YOSYS.run(["-q", "-p", script], cwd=folder)
        text = Path(folder, "statistics.json").read_text()
    total = usage(json.loads(text[text.index("{") :])["modules"], name)[name]
    return {"luts": total.luts, "ffs": total.ffs}


def table(found: dict) -> str:
    """Markdown: one row per P, LUT/FF."""
    lines = [
        "| P | " + " | ".join(("multiply, tree", "accumulator", "requantize", "weight memory", "input buffer")) + " |"
    ]
    lines.append("|---" * 6 + "|")
    for acc_bits in WIDTHS:
        names = (f"multiply_{acc_bits}", f"accumulate_{acc_bits}", f"requantize_{acc_bits}", "weight_rom", "window")
        cells = [f"{found[name]['luts']}/{found[name]['ffs']}" if name in found else "" for name in names]
        lines.append(f"| {acc_bits} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    found = {name: synthesize(name, unit) for name, unit in units().items()}
    record = {"yosys": YOSYS.version(), "units": found}
    storage.write_text(RESULT.with_suffix(".json"), storage.to_text(record) + "\n")
    storage.write_text(RESULT.with_suffix(".md"), f"LUT/FF, {YOSYS.version()}\n\n{table(found)}\n")


if __name__ == "__main__":
    main()
