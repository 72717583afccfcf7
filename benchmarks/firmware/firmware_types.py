"""Accumulator bits of the reference networks: as hls4ml's automatic types, its pass bit_exact, and a2q_keras take them.

    python benchmarks/firmware/firmware_types.py

Networks of the zoo with their first weights (seeded), converted for W4A4 and accumulators of ACC_BITS bits.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import keras
import numpy as np

import a2q_keras as a2q
from a2q_keras.integer.storage import write_text
from a2q_keras.zoo import networks

ACC_BITS, WEIGHT_BITS, ACT_BITS = 12, 4, 4
UNBOUNDED = 24  # so wide that no weight is changed
RESULTS = ROOT / "benchmarks" / "results" / "firmware_types.json"
COMMAND = "python benchmarks/firmware/firmware_types.py"
NETWORKS = {  # settings of the builder; narrow, where the reference would take minutes
    "jet_tagger": {},
    "magic_gamma": {},
    "lenet": {"input_shape": (28, 28, 1)},
    "mobilenet_v1": {"input_shape": (32, 32, 3), "width": 8},
    "resnet8": {"input_shape": (32, 32, 3), "width": 8},
    "unet": {},
}


COLUMNS = {
    "hls4ml auto": "auto",
    "hls4ml bit_exact, no bound": "bit_exact_unbounded",
    "hls4ml bit_exact": "bit_exact",
    "needed": "needed",
    "a2q_keras": "asked",
}


def rows(name: str, arguments: dict) -> list[dict]:
    """The rows of `firmware_types` of a network of the zoo."""
    keras.utils.set_random_seed(0)
    model = networks.build(name, **arguments)
    data = np.random.default_rng(0).normal(0, 1, (64, *model.input_shape[1:])).astype(np.float32)
    bits = {"weight_bits": WEIGHT_BITS, "act_bits": ACT_BITS, "data": data}
    free = a2q.firmware_types(a2q.convert(model, UNBOUNDED, **bits))
    ours = a2q.firmware_types(a2q.convert(model, ACC_BITS, **bits))
    return [row | {"bit_exact_unbounded": other["bit_exact"]} for row, other in zip(ours, free)]


def markdown(found: dict[str, list[dict]]) -> str:
    """The rows as a page."""
    head = ["network", "layer", "K x C", "inputs", *COLUMNS]
    lines = [
        "# Accumulator bits of the reference networks",
        "",
        f"Networks of the zoo with their first weights, W{WEIGHT_BITS}A{ACT_BITS}, by layer. *auto*: what hls4ml takes "
        "from the data types. *bit_exact*: what its pass of that name takes from the weights, without a bound on them "
        f"and with the weights projected to {ACC_BITS} bits (-: it cannot handle the layer; of a depthwise convolution "
        "it adds all channels up). *needed*: the exact condition on the projected weights. *a2q_keras*: `accum_t` of "
        f"the firmware. Made by `{COMMAND}`.",
        "",
        "The pass finds the width that given weights need; the bound makes them need no more than was asked for.",
        "",
        *(f"| {' | '.join(map(str, row))} |" for row in [head, ["---"] * len(head)]),
    ]
    for name, network in found.items():
        for row in network:
            bits = ["-" if row[key] is None else row[key] for key in COLUMNS.values()]
            cells = [name, row["layer"], f"{row['k']} x {row['channels']}", row["input"], *bits]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def main():
    found = {}
    for name, arguments in NETWORKS.items():
        found[name] = rows(name, arguments)
        print(f"{name}: {len(found[name])} layers", flush=True)
    write_text(RESULTS, json.dumps({"command": COMMAND, "networks": found}, indent=1) + "\n")
    write_text(RESULTS.with_suffix(".md"), markdown(found))


if __name__ == "__main__":
    main()
