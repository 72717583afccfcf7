"""Time of a training step of A2QDense beside QKeras' QDense of the same shape and bits, compiled, in the same run.

    python benchmarks/step_time.py [--output benchmarks/results/step_time.json]

Each step is a forward pass, a backward pass and an Adam update of one layer, K=784 inputs, C=128 outputs, batch 128,
quantized 4-bit inputs and weights, under XLA (jit_compile=True).  The layers take turns; the figure is the median of
the ratios of the turns, so that a slow moment of the machine hits both sides.
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

from a2q_keras.layers.dense import A2QDense

K, C, BATCH, BITS = 784, 128, 128, 4
INPUTS = {"unsigned": f"quantized_relu({BITS},0)", "signed": f"quantized_bits({BITS},0,alpha=1)"}


def qdense():
    """The peer: QKeras' layer with quantized_bits weights and bias."""
    return qkeras.QDense(
        C,
        kernel_quantizer=qkeras.quantized_bits(BITS, 0, 1, alpha=1.0),
        bias_quantizer=qkeras.quantized_bits(8, 3, 1, alpha=1.0),
    )


def a2q_dense(method, acc_bits):
    """Ours."""
    return A2QDense(C, acc_bits=acc_bits, weight_bits=BITS, method=method)


def trainer(layer, inputs):
    """(model, batches): a model of one layer, compiled, and a list of equal batches on the device."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((K,)), qkeras.QActivation(INPUTS[inputs]), layer])
    model.compile(optimizer=keras.optimizers.Adam(1e-4), loss="mse", jit_compile=True)
    rng = np.random.default_rng(0)
    x, y = rng.random((BATCH, K), np.float32), rng.random((BATCH, C), np.float32)
    model.train_on_batch(x, y)
    step = model.make_train_function()
    import tensorflow as tf

    x, y = tf.constant(x), tf.constant(y)
    return lambda: step(iter([(x, y)]))


def turn(step, repeats):
    """Seconds per step."""
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def measure(repeats=200, turns=15):
    """Rows of (inputs, method, acc_bits, ms, peer ms, ratio)."""
    rows = []
    for inputs in INPUTS:
        peer = trainer(qdense(), inputs)
        for method, acc_bits in (("exact", 16), ("exact", 12), ("exact", 10), ("a2q", 12), ("none", 16)):
            ours = trainer(a2q_dense(method, acc_bits), inputs)
            times = [(turn(ours, repeats), turn(peer, repeats)) for _ in range(turns)]
            ratio = statistics.median(mine / theirs for mine, theirs in times)
            mine, theirs = (statistics.median(column) * 1e3 for column in zip(*times))
            rows.append(
                {
                    "inputs": inputs,
                    "method": method,
                    "acc_bits": acc_bits,
                    "ms": mine,
                    "qdense_ms": theirs,
                    "ratio": ratio,
                }
            )
            print(
                f"{inputs:9} {method:6} P={acc_bits:2}  {mine:6.2f} ms  QDense {theirs:6.2f} ms  ratio {ratio:5.2f}",
                flush=True,
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    rows = measure()
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        versions = {"python": platform.python_version(), "keras": keras.__version__, "qkeras": qkeras.__version__}
        shape = {"K": K, "C": C, "batch": BATCH, "bits": BITS}
        result = {"command": " ".join(["python", *sys.argv]), "versions": versions, "shape": shape, "rows": rows}
        args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
