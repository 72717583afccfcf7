"""Conversion time beside hls4ml's own for the same graph, and the golden run beside hls4ml's compiled C simulation.

    python benchmarks/firmware/speed.py

hls4ml is timed twice: `convert_from_keras_model` of a float Keras model of the same layers, its configuration given,
which is how its users come to that graph; and its `ModelGraph` alone, from the layers that `to_hls` hands to it.  An
A2Q Keras model becomes an integer program first: that export runs every layer's quantizer once.
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

import hls4ml
import numpy as np

import a2q_keras as a2q
from a2q_keras.cosim import vectors
from a2q_keras.hls.layers import plan
from a2q_keras.hls.project import model_graph
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.integer.storage import write_text
from benchmarks.firmware.float_networks import float_network
from benchmarks.firmware.networks import NETWORKS

RESULTS = ROOT / "benchmarks" / "results" / "firmware_speed.json"
COMMAND = "python benchmarks/firmware/speed.py"
REPEATS, SAMPLES = 5, 2000


def conversion(program: IntegerProgram) -> dict:
    """Seconds of `to_hls`, proof and check of the graph included, of hls4ml from Keras, of its ModelGraph alone, and of
    the export of an A2Q model with these layers."""
    config = HlsConfig()
    firmware, model = plan(program, config), float_network(program)
    inputs = program.inputs[0].format.values(vectors.random_inputs(program, 100)[0])
    aware = a2q.convert(model, acc_bits=16, data=inputs)
    settings = hls4ml.utils.config_from_keras_model(model, granularity="name", backend=config.backend)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        given = {"hls_config": settings, "backend": config.backend, "io_type": config.io_type, "output_dir": folder}
        ours, theirs, graph, export = _least(
            lambda: a2q.to_hls(program, None),
            lambda: hls4ml.converters.convert_from_keras_model(model, **given),
            lambda: model_graph(firmware, config),
            lambda: a2q.integer_model(aware),
        )
    return {"to_hls": ours, "hls4ml": theirs, "graph": graph, "export": export, "ratio": ours / theirs}


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
    head = [
        "network",
        "to_hls",
        "hls4ml",
        "ratio",
        "its ModelGraph",
        "our export",
        "golden run",
        "C simulation",
        "ratio",
    ]
    lines = [
        "# Speed of conversion and golden run",
        "",
        "Vitis, io_parallel, Latency; processor time of one thread. Conversion in milliseconds: `to_hls` of an integer "
        "program, with proof and check of the finished graph, beside hls4ml's `convert_from_keras_model` of a float "
        "Keras model of the same layers; of that, or of ours, `ModelGraph` takes what the next column says; an A2Q "
        "Keras model is exported to a program first, which runs every layer's quantizer once and is not in the ratio. "
        "Runs in samples per second: the golden run beside hls4ml's compiled C simulation, outputs equal. "
        f"Made by `{COMMAND}`.",
        "",
        *(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head)]),
    ]
    for name, figures in found.items():
        made, ran = figures["conversion"], figures["throughput"]
        times = [f"{1000 * made[key]:.1f}" for key in ("to_hls", "hls4ml", "graph", "export")]
        rates = [f"{ran[key]:,.0f}" for key in ("golden", "csim")]
        cells = [name, *times[:2], f"{made['ratio']:.2f}", *times[2:], *rates, f"{ran['ratio']:.2f}"]
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
