"""The other side of `step_time.py --hgq2 PYTHON`, run by that interpreter: training steps of HGQ2's layers.

Reads a JSON list from each line of its input and answers with a number: ["build", shape, jit] makes the trainers (0),
["turn", "hgq2"] and ["turn", "dense"] take a turn (seconds per step).
"""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from hgq.layers import QConv2D, QDense
from steps import plain, trainer, turn


def hgq2(shape):
    """HGQ2's layer as it comes: it quantizes its inputs, and the bits of every weight train."""
    return QDense(128) if shape.startswith("Dense") else QConv2D(64, 3, padding="same")


def main():
    trainers = {}
    for line in sys.stdin:
        what, *details = json.loads(line)
        if what == "build":
            shape, jit = details
            trainers = {name: trainer([make(shape)], shape, jit) for name, make in (("hgq2", hgq2), ("dense", plain))}
        print(turn(trainers[details[0]]) if what == "turn" else 0, flush=True)


if __name__ == "__main__":
    main()
