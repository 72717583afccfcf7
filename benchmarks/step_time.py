"""Time of a training step of our layers beside QKeras' layer of the same shape and bits, compiled, in the same run.

    python benchmarks/step_time.py [--output benchmarks/results/step_time.json]

Each step is a forward pass, a backward pass and an Adam update of one layer, batch 128, quantized 4-bit inputs and
weights: Dense 784x128, and Conv2D 3x3x32x64 on 16x16.  Both ways of compiling: a graph (`jit_compile=False`) and XLA
(`jit_compile=True`).  The layers take turns of a few steps; the figure is the median over the turns of the ratio to the
peer's turn, so that a slow moment of the machine hits both sides.  `again` is the peer once more: how far noise goes.
The projection's share is (exact - none) / exact.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import qkeras

import a2q_keras as a2q

BATCH, BITS = 128, 4
INPUTS = {"unsigned": f"quantized_relu({BITS},0)", "signed": f"quantized_bits({BITS},0,alpha=1)"}
SHAPES = {"Dense 784x128": (784,), "Conv2D 3x3x32x64": (16, 16, 32)}
METHODS = {"exact": 12, "a2q": 12, "a2q+": 12, "none": 16}
STEPS = {"Dense 784x128": 10, "Conv2D 3x3x32x64": 1}  # of a turn


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


def trainer(layer, shape, inputs, jit):
    """A function that makes one training step of a model of one layer."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(SHAPES[shape]), qkeras.QActivation(INPUTS[inputs]), layer])
    model.compile(optimizer=keras.optimizers.Adam(1e-4), loss="mse", jit_compile=jit)
    rng = np.random.default_rng(0)
    x, y = (tf.constant(rng.random((BATCH, *part[1:]), np.float32)) for part in (model.input_shape, model.output_shape))
    model.train_on_batch(x, y)
    step = model.make_train_function()
    return lambda: step(iter([(x, y)]))


def turn(step, repeats):
    """Seconds per step."""
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def measure(shape, inputs, jit, turns):
    """One row for all layers of a shape: milliseconds of the peer, and of each method its ratio to the peer."""
    layers = {"peer": peer(shape), "again": peer(shape)} | {method: ours(shape, method) for method in METHODS}
    steps = {name: trainer(layer, shape, inputs, jit) for name, layer in layers.items()}
    for step in steps.values():
        turn(step, 40 // STEPS["Dense 784x128"] * STEPS[shape])  # past the first searches of the scale
    times = [{name: turn(step, STEPS[shape]) for name, step in steps.items()} for _ in range(turns)]
    ratios = {
        name: round(statistics.median(row[name] / row["peer"] for row in times), 3) for name in steps if name != "peer"
    }
    share = statistics.median((row["exact"] - row["none"]) / row["exact"] for row in times)
    return {
        "shape": shape,
        "inputs": inputs,
        "compiled": "XLA" if jit else "graph",
        "peer_ms": round(statistics.median(row["peer"] for row in times) * 1e3, 3),
        "ratios": ratios,
        "projection_share": round(share, 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--turns", type=int, default=60)
    args = parser.parse_args()
    rows = []
    for shape in SHAPES:
        turns = args.turns if shape.startswith("Dense") else max(args.turns // 4, 1)
        for inputs in INPUTS:
            for jit in (True, False):
                rows.append(measure(shape, inputs, jit, turns))
                print(json.dumps(rows[-1]), flush=True)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        versions = {"python": platform.python_version(), "keras": keras.__version__, "qkeras": qkeras.__version__}
        result = {"command": " ".join(["python", *sys.argv]), "versions": versions, "cores": os.cpu_count()}
        result |= {"batch": BATCH, "bits": BITS, "acc_bits": METHODS, "rows": rows}
        args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
