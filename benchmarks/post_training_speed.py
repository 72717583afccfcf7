"""Time and memory of choosing the codes of one layer, against a plain loop over columns and weights.

    python benchmarks/post_training_speed.py [--output benchmarks/results/post_training_speed.json]

Layers of (K, C) weights, 1,024 rows of calibration inputs, 4-bit weights and inputs, P = 12.  The loop is GPFQ as it
is written down: for each channel and weight one product of 1,024 values, in numpy, under the same budget; it is timed
on a few channels and multiplied up, as channels cost the same.  Ours start from the rows, too: moments included.  `fit`
is all that `quantize` does for a layer: a choice of scales, two passes, refinement.  Seconds are processor time of one
core, so that a busy machine changes little.  Memory: the most that numpy held at a time beyond the rows and weights.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import tracemalloc
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy: processor time is that of one core
    os.environ[name] = "1"

import numpy as np

from a2q_keras.numerics import greedy
from a2q_keras.numerics.fit import Group, Recipe, fit
from a2q_keras.numerics.moments import Moments
from a2q_keras.numerics.running import Running, Target

LAYERS = ((1152, 256), (4608, 512))
ROWS, TARGET, FRAC = 1024, Target(12, 4, 0, 15), 4
LOOP_CHANNELS = 4


def layer(k, channels):
    """Inputs of the float network, those of the quantized one, weights."""
    rng = np.random.default_rng(k)
    x = np.maximum(rng.normal(size=(ROWS, 64)) @ rng.normal(size=(64, k)) / 16 + rng.normal(0, 0.2, (ROWS, k)), 0)
    y = np.clip(np.rint(x * 2**FRAC), 0, 15) / 2**FRAC
    return x, y, rng.normal(0, 0.5 / np.sqrt(k), (k, channels))


def plain_loop(x, y, w, scale):
    """GPFQ channel by channel, weight by weight: codes (K, C)."""
    codes = np.zeros(w.shape, np.int64)
    for c in range(w.shape[1]):
        error, up, down = np.zeros(len(x)), 2 ** (TARGET.acc_bits - 1) - 1, 2 ** (TARGET.acc_bits - 1)
        for t in range(len(w)):
            error += w[t, c] / scale * x[:, t]
            energy = y[:, t] @ y[:, t]
            value = y[:, t] @ error / energy if energy else 0.0
            q = int(min(max(round(value), -(down // TARGET.hi), -TARGET.qmax), up // TARGET.hi, TARGET.qmax))
            up, down = up - TARGET.hi * max(q, 0), down - TARGET.hi * max(-q, 0)
            error -= q * y[:, t]
            codes[t, c] = q
    return codes


def moments(x, y, w):
    """The moments of all rows."""
    found = Moments(*w.shape)
    found.add(y, x, x @ w)
    return found


def ours(method, x, y, w, scale):
    """Codes by GPFQ or OPTQ in blocks, all channels together."""
    problem = moments(x, y, w).problem(w, 0.0 if method == "gpfq" else 0.01, centred=False)
    running = Running(TARGET, len(w), np.zeros(w.shape[1], np.int64))
    if method == "gpfq":
        return greedy.Gpfq(problem.gram, problem.cross).codes(w / scale, running)
    return greedy.Optq(problem.gram).codes(w / scale, running)


def whole_fit(method, x, y, w):
    """What `quantize` does for a layer."""
    return fit([Group(w, np.zeros(w.shape[1]), moments(x, y, w))], TARGET, FRAC, Recipe(method))


def timed(function, *arguments):
    """(result, seconds of processor time)."""
    start = time.process_time()
    return function(*arguments), time.process_time() - start


def peak(function, *arguments) -> int:
    """MiB that numpy held at the most."""
    tracemalloc.start()
    function(*arguments)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(most / 2**20)


def measure(k, channels):
    """A row of figures."""
    x, y, w = layer(k, channels)
    scale = 2.0 ** np.ceil(np.log2(np.abs(w).max() / TARGET.qmax))
    few, seconds = timed(plain_loop, x, y, w[:, :LOOP_CHANNELS], scale)
    loop = seconds * channels / LOOP_CHANNELS
    row = {"k": k, "channels": channels, "loop_seconds": round(loop, 1)}
    for name, function in {
        "gpfq": lambda: ours("gpfq", x, y, w, scale),
        "optq": lambda: ours("optq", x, y, w, scale),
        "fit": lambda: whole_fit("gpfq", x, y, w),
        "fit_optq": lambda: whole_fit("optq", x, y, w),
    }.items():
        mib = peak(function) if k < 2000 or "fit" not in name else None  # first: fresh memory costs seconds of its own
        found, seconds = timed(function)
        if name == "gpfq":
            row["codes_equal"] = float(np.mean(found[:, :LOOP_CHANNELS] == few))
        row |= {f"{name}_seconds": round(seconds, 2), f"{name}_times_faster": round(loop / seconds, 1)}
        row[f"{name}_mib"] = mib
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    rows = [measure(*shape) for shape in LAYERS]
    result = {"numpy": np.__version__, "machine": platform.machine(), "cores": os.cpu_count(), "layers": rows}
    text = json.dumps(result, indent=1) + "\n"
    if args.output:
        args.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
