"""Time of a training step of our layers beside QKeras' layer of the same shape and bits, compiled, in the same run.

    python benchmarks/step_time.py [--output benchmarks/results/step_time.json]

Each step is a forward pass, a backward pass and an Adam update of one layer, batch 128, quantized 4-bit inputs and
weights: Dense 784x128, and Conv2D 3x3x32x64 on 16x16.  Both ways of compiling: a graph (`jit_compile=False`) and XLA
(`jit_compile=True`).  The layers take turns of 64 steps, in which `exact` searches at least once.  Their order is
random because a turn may depend on whose was before, and they are built four times because it matters where they lie in
memory.  The figure is the median over the turns of the ratio to the peer's turn, so that a slow moment of the machine
hits both sides.  `again` is the peer once more: how far noise goes.  The projection's share is (exact - none) / exact.

    python benchmarks/step_time.py --hgq2 PYTHON

takes turns with HGQ2's layers, too.  HGQ2 brings its own `qkeras`, so PYTHON is the interpreter of an environment in
which `pip install HGQ2 tensorflow` has been run.  Keras' plain layer runs in both: exact / HGQ2 is (exact / plain)
here over (HGQ2 / plain) there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import joblib
import keras
import qkeras
from steps import BATCH, SHAPES, plain, trainer, turn

import a2q_keras as a2q

BITS = 4
BUILDS = 4
INPUTS = {"unsigned": f"quantized_relu({BITS},0)", "signed": f"quantized_bits({BITS},0,alpha=1)"}
METHODS = {"exact": 12, "a2q": 12, "a2q+": 12, "none": 16}


def peer(shape):
    """QKeras' layer with quantized_bits weights and bias."""
    kernel = qkeras.quantized_bits(BITS, 0, 1, alpha=1.0)
    bias = qkeras.quantized_bits(8, 3, 1, alpha=1.0)
    if shape.startswith("Dense"):
        return qkeras.QDense(128, kernel_quantizer=kernel, bias_quantizer=bias)
    return qkeras.QConv2D(64, 3, padding="same", kernel_quantizer=kernel, bias_quantizer=bias)


def ours(shape, method):
    """The accumulator-aware layer."""
    settings = {"acc_bits": METHODS[method], "weight_bits": BITS, "method": method}
    if shape.startswith("Dense"):
        return a2q.A2QDense(128, **settings)
    return a2q.A2QConv2D(64, 3, padding="same", **settings)


class Hgq2:
    """HGQ2's layers in an interpreter of their own; see hgq2_steps.py."""

    def __init__(self, python):
        command = [python, str(Path(__file__).with_name("hgq2_steps.py"))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *question):
        """The answer to one line, a number."""
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def turns_of(shape, inputs, jit, hgq2):
    """{name: function that takes a turn and returns seconds per step} for the layers of a shape in this process."""
    layers = {"peer": peer(shape), "again": peer(shape)} | {method: ours(shape, method) for method in METHODS}
    stacks = {name: [qkeras.QActivation(INPUTS[inputs]), layer] for name, layer in layers.items()}
    if hgq2:
        stacks["plain"] = [plain(shape)]
    return {name: partial(turn, trainer(stack, shape, jit)) for name, stack in stacks.items()}


def turns_there(shape, jit, hgq2):
    """The same for the layers of HGQ2's environment, none without it."""
    if not hgq2:
        return {}
    hgq2.ask("build", shape, jit)
    return {"hgq2": partial(hgq2.ask, "turn", "hgq2"), "plain there": partial(hgq2.ask, "turn", "dense")}


def one_of_each(here, there):
    """{name: seconds per step} of one turn of every layer, ours and the peer's in random order."""
    if there:
        here["again"]()  # whoever comes after another process pays for the change
    order = [*random.sample([*here.items()], len(here)), *there.items()]
    return {name: take() for name, take in order}


def measure(shape, inputs, jit, turns, hgq2=None):
    """One row for all layers of a shape: milliseconds of the peer, and of each method its ratio to the peer."""
    times = []
    for _ in range(BUILDS):
        here, there = turns_of(shape, inputs, jit, hgq2), turns_there(shape, jit, hgq2)
        times += [one_of_each(here, there) for _ in range(turns + 2)][2:]  # past the first searches of the scale
        keras.backend.clear_session(free_memory=True)

    def median(figure):
        return round(statistics.median(map(figure, times)), 3)

    row = {"shape": shape, "inputs": inputs, "compiled": "XLA" if jit else "graph"}
    row["peer_ms"] = median(lambda time: time["peer"] * 1e3)
    row["ratios"] = {name: median(lambda time, name=name: time[name] / time["peer"]) for name in ("again", *METHODS)}
    row["projection_share"] = median(lambda time: (time["exact"] - time["none"]) / time["exact"])
    if hgq2:
        row["exact_to_plain"] = median(lambda time: time["exact"] / time["plain"])
        row["hgq2_to_plain"] = median(lambda time: time["hgq2"] / time["plain there"])
        row["exact_to_hgq2"] = median(lambda time: time["exact"] / time["plain"] * time["plain there"] / time["hgq2"])
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--turns", type=int, default=20, help="of Dense after every build; Conv2D takes a tenth")
    parser.add_argument("--only", default="", metavar="SHAPE", help="shapes whose names begin so, compiled by XLA")
    parser.add_argument("--hgq2", metavar="PYTHON", help="interpreter of an environment with HGQ2 and TensorFlow")
    args = parser.parse_args()
    hgq2 = Hgq2(args.hgq2) if args.hgq2 else None
    rows = []
    random.seed(0)
    for shape in filter(lambda name: name.startswith(args.only), SHAPES):
        turns = args.turns if shape.startswith("Dense") else max(args.turns // 10, 1)
        for inputs in INPUTS:
            for jit in (True,) if args.only else (True, False):
                rows.append(measure(shape, inputs, jit, turns, hgq2))
                print(json.dumps(rows[-1]), flush=True)
    if hgq2:
        hgq2.process.communicate()  # the end of its input ends it
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        versions = {"python": platform.python_version(), "keras": keras.__version__, "qkeras": qkeras.__version__}
        result = {
            "command": " ".join(["python", *sys.argv]).replace(args.hgq2 or "PYTHON", "PYTHON"),
            "versions": versions,
            "cores": joblib.cpu_count(),
        }
        result |= {"batch": BATCH, "bits": BITS, "acc_bits": METHODS, "rows": rows}
        args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
