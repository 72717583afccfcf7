"""Verilog of whole networks against the golden run: 10,000 random inputs, the test set and worst cases, by equality.

    python benchmarks/rtl.py [--samples 10000] [--networks mlp,cnn] [--styles parallel,folded]

Networks trained on scikit-learn's digits, W4A4, every accumulator as narrow as the certificate allows: MLP 64-32-32-10,
and a CNN of two 3x3 convolutions (4 and 8 channels), max pooling and a dense layer.  Each is simulated with those
accumulators, and with the first layer's one bit narrower: that must be caught, on the worst-case inputs.

Results go to benchmarks/results/rtl.{json,md} after every design; a run that was stopped goes on from there.
A2Q_CACHE=FOLDER keeps simulators of style parallel.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import layers
from rich.progress import track

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.cosim import run
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer import storage
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.zoo import mlp, recipe
from a2q_keras.zoo.train import fit_classifier

RESULTS = Path(__file__).parent / "results" / "rtl.json"
BITS = {"acc_bits": 11, "weight_bits": 4, "act_bits": 4}
OPTIONS = {"parallel": {}, "folded": {"cycles": 1000}}
COLUMNS = ("network", "style", "accumulator bits", "inputs", "codes", "differing", "one bit less", "seconds")


def cnn(classes: int) -> keras.Model:
    """The small float CNN for 8x8 pictures."""
    image = keras.Input((64,), name="image")
    x = layers.Reshape((8, 8, 1), name="picture")(image)
    x = layers.Conv2D(4, 3, activation="relu", name="conv_1")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(8, 2, activation="relu", name="conv_2")(x)
    return keras.Model(image, layers.Dense(classes, name="head")(layers.Flatten(name="flatten")(x)), name="cnn")


NETWORKS = {
    "mlp": lambda digits: mlp.float_mlp(64, (32, 32, digits.classes), name="mlp"),
    "cnn": lambda digits: cnn(digits.classes),
}


def trained(name: str, digits) -> IntegerProgram:
    """The program of a network, its accumulators as wide as the certificate says."""
    keras.utils.set_random_seed(0)
    model = NETWORKS[name](digits)
    fit_classifier(model, digits, 30, batch_size=32)
    program = a2q.integer_model(recipe.train(model, digits, 20, batch_size=32, **BITS))
    needed = {layer.name: int(layer.needed_bits.max()) for layer in a2q.certify(program).layers}
    return program.with_acc_bits(needed)


def simulate(program: IntegerProgram, x, samples: int, style: str):
    """The report of engine `rtl` alone."""
    options = {"style": style, **OPTIONS[style]}
    return run.cosim(program, x, ("rtl",), samples, 0, HlsConfig(), rtl_options=options)


def measure(name: str, style: str, digits, samples: int) -> dict:
    """One row."""
    program, start = trained(name, digits), time.time()
    report = simulate(program, digits.x_test, samples, style)
    seconds = round(time.time() - start)
    first = program.accumulator_ops[0]
    narrow = program.with_acc_bits({first.name: first.acc_bits - 1})
    caught = [part for part in simulate(narrow, None, 100, style).parts if not part.ok]
    return {
        "network": name,
        "style": style,
        "accumulator_bits": [op.acc_bits for op in program.accumulator_ops],
        "inputs": sum(part.vectors for part in report.parts),
        "codes": sum(part.codes for part in report.parts),
        "differing": sum(part.differing for part in report.parts),
        "caught": [part.name for part in caught],
        "seconds": seconds,
    }


def markdown(found: dict) -> str:
    """The table, with the command that made it."""
    lines = [f"Made by `{found['command']}`.", "", "| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for row in found["rows"]:
        bits = ", ".join(map(str, row["accumulator_bits"]))
        caught = f"caught by {', '.join(row['caught'])}" if row["caught"] else "NOT caught"
        counts = (f"{row[key]:,}" for key in ("inputs", "codes", "differing"))
        lines.append(
            "| " + " | ".join((row["network"], row["style"], bits, *counts, caught, str(row["seconds"]))) + " |"
        )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--styles", default=",".join(OPTIONS))
    args = parser.parse_args()
    found = {"command": f"python benchmarks/rtl.py --samples {args.samples}", "rows": []}
    if RESULTS.is_file():
        found["rows"] = json.loads(RESULTS.read_text())["rows"]
    done = {(row["network"], row["style"]) for row in found["rows"]}
    cases = [(name, style) for name in args.networks.split(",") for style in args.styles.split(",")]
    for name, style in track(cases, "networks"):
        if (name, style) not in done:
            found["rows"].append(measure(name, style, data.digits(), args.samples))
            storage.write_text(RESULTS, json.dumps(found, indent=1) + "\n")
            storage.write_text(RESULTS.with_suffix(".md"), markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    main()
