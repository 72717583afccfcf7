"""Conversion time beside hls4ml's own for the same graph, and the golden run beside hls4ml's compiled C simulation.

    python benchmarks/firmware/speed.py

Seconds are processor time of one thread, so that other work on the machine counts little; conversions and runs take
turns and the least of several counts.  The C simulation is what `compile()` and `predict()` of hls4ml give, which is
built with -O3 and reports no layers.
"""

from __future__ import annotations

import os

for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[key] = "1"

import contextlib
import io
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np

import a2q_keras as a2q
from a2q_keras.cosim import vectors
from a2q_keras.hls.layers import plan
from a2q_keras.hls.project import model_graph
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.integer.storage import write_text
from benchmarks.firmware.networks import NETWORKS

RESULTS = ROOT / "benchmarks" / "results" / "firmware_speed.json"
COMMAND = "python benchmarks/firmware/speed.py"
REPEATS, SAMPLES = 5, 2000


def conversion(program: IntegerProgram) -> dict:
    """Seconds of `to_hls`, proof and check of the graph included, and of hls4ml with the same layers."""
    config = HlsConfig()
    firmware = plan(program, config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = _least(lambda: a2q.to_hls(program, None), lambda: model_graph(firmware, config))
    return {"to_hls": ours, "hls4ml": theirs, "ratio": ours / theirs}


def throughput(program: IntegerProgram) -> dict:
    """Samples per second of the golden run and of hls4ml's C simulation, whose outputs are compared."""
    (codes,) = vectors.random_inputs(program, SAMPLES)
    x = program.inputs[0].format.values(codes)
    with tempfile.TemporaryDirectory() as folder:
        graph = a2q.to_hls(program, None, output_dir=folder)
        with contextlib.redirect_stdout(io.StringIO()):
            graph.compile()
        wanted, got = program.run(x), graph.predict(x)
        if not np.array_equal(np.reshape(got, wanted.shape), wanted):
            raise SystemExit(f"{program.name}: the firmware differs from the golden run")
        golden, simulated = _least(lambda: program.run(x), lambda: graph.predict(x))
    return {"golden": SAMPLES / golden, "csim": SAMPLES / simulated, "ratio": simulated / golden}


def _least(*calls) -> list[float]:
    """The least processor time of each call, the calls taking turns."""
    times = [[_seconds(call) for call in calls] for _ in range(REPEATS)]
    return [min(column) for column in zip(*times)]


def _seconds(call) -> float:
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        call()
    return time.process_time() - start


def markdown(found: dict[str, dict]) -> str:
    """The measurements as a page."""
    head = ["network", "to_hls", "hls4ml alone", "ratio", "golden run", "C simulation", "ratio"]
    lines = [
        "# Speed of conversion and golden run",
        "",
        "Vitis, io_parallel, Latency; processor time of one thread. Conversion in milliseconds: `to_hls` with proof "
        "and check of the finished graph, beside hls4ml's `ModelGraph` of the same layers. Runs in samples per "
        f"second: the golden run beside hls4ml's compiled C simulation, outputs equal. Made by `{COMMAND}`.",
        "",
        *(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head)]),
    ]
    for name, figures in found.items():
        made, ran = figures["conversion"], figures["throughput"]
        times = [f"{1000 * made[key]:.1f}" for key in ("to_hls", "hls4ml")]
        rates = [f"{ran[key]:,.0f}" for key in ("golden", "csim")]
        cells = [name, *times, f"{made['ratio']:.2f}", *rates, f"{ran['ratio']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main():
    found = {}
    for name, make in NETWORKS.items():
        program = make()
        found[name] = {"conversion": conversion(program), "throughput": throughput(program)}
        print(f"{name}: {found[name]}", flush=True)
    write_text(RESULTS, json.dumps({"command": COMMAND, "networks": found}, indent=1) + "\n")
    write_text(RESULTS.with_suffix(".md"), markdown(found))


if __name__ == "__main__":
    main()
