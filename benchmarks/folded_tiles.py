"""LUTs and flip-flops of a folded layer over the products of a tile; no training, weights are random and the same.

    python benchmarks/folded_tiles.py

A dense layer 64 x 64, W4A4, pe = simd = 4, inner and outer accumulators as narrow as the certificate allows; the whole
design, weight memory included, by Yosys (xcup, DSPs off).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from a2q_keras import pipeline
from a2q_keras.integer import storage
from a2q_keras.integer.certificate import certify
from a2q_keras.integer.graph import Dense, Input, IntegerProgram
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.tools import YOSYS

RESULT = Path(__file__).parent / "results" / "folded_tiles"
TILES = (None, 32, 16, 8, 4)


def program(tile: int | None) -> IntegerProgram:
    """The layer alone, with random codes."""
    rng, x = np.random.default_rng(0), Input("x", (64,), FixedPoint(4, 4, False))
    codes = rng.integers(-7, 8, (64, 64)), rng.integers(-40, 41, 64)
    layer = Dense("fc", "x", *codes, FixedPoint(4, 3, True), acc_bits=32)
    return IntegerProgram("layer", (x,), (replace(layer, tile=tile),), ("fc",))


def measure(tile: int | None) -> dict:
    """Widths, LUTs and flip-flops with tiles of as many products, or without."""
    layer = certify(program(tile))["fc"]
    total = pipeline.resources(program(tile), acc_bits=None, style="folded", pe=4, simd=4).total
    outer = None if tile is None else layer.result_bits
    return {"tile": tile, "acc_bits": layer.acc_bits, "outer_bits": outer, "luts": total.luts, "ffs": total.ffs}


def table(rows: list[dict]) -> str:
    """Markdown, a row for each tile."""
    lines = ["| tile | accumulator bits | outer | LUT | FF |", "|---" * 5 + "|"]
    return "\n".join(
        [*lines, *("| " + " | ".join(str(cell or "none") for cell in row.values()) + " |" for row in rows)]
    )


def main():
    rows = [measure(tile) for tile in TILES]
    storage.write_text(RESULT.with_suffix(".json"), storage.to_text({"yosys": YOSYS.version(), "rows": rows}) + "\n")
    storage.write_text(RESULT.with_suffix(".md"), f"{YOSYS.version()}\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()
