"""Accuracy after post-training quantization against accumulator width: ours, AXE's, and nearest codes by data types.

    python benchmarks/post_training.py --network mnist_mlp --data-dir FOLDER --bits 4,4 --widths 14,13,12,11,10,9,8

Each seed has a float network and draws its own 1,024 calibration inputs.  Columns: `nearest` rounds to the most bits
for which the data-type bound of A2Q (section 3) is within P, no other bound; `axe gpfq` and `axe optq` are AXE's
(Colbert et al., TMLR 2025) at the power-of-two scale that suits the weights best; `exact`, `gpfq` and `optq` are ours,
`fitted` with two bits and more for each activation, as suits the accumulators behind it.
All correct biases with the same inputs.  P asked is certified, but for `nearest`.  Accuracy is that of the integer
program on the test set, of convolutions that of Keras' forward pass, which is equal below 25 bits.

Results go to benchmarks/results/post_training_* after every row; a run that was stopped goes on from there, and
--keep FOLDER keeps the float networks for it.  A column is not followed to narrower accumulators once it has lost
two fifths of the float accuracy with the first seed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import accuracy as bench
import keras
import numpy as np
from rich.progress import track

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.integer import storage
from a2q_keras.numerics import bounds
from a2q_keras.zoo import networks
from a2q_keras.zoo.mlp import float_mlp
from a2q_keras.zoo.train import accuracy


@dataclass(frozen=True)
class Task:
    """A float network: its data set, pictures or rows, training, how it is built, and under which name it is kept."""

    data: str
    images: bool
    epochs: int
    build: Callable
    kept_as: str
    rate: float = 1e-3


NETWORKS = {
    "digits_mlp": Task("digits", False, 40, lambda shape: float_mlp(shape[0], (64, 32, 10)), "digits"),
    "mnist_mlp": Task("mnist", False, 6, lambda shape: float_mlp(shape[0], (128, 64, 10)), "mnist"),
    "mnist_cnn": Task("mnist", True, 2, lambda shape: networks.build("lenet", input_shape=shape), "mnist_cnn"),
    "magic_mlp": Task(
        "magic_gamma", False, 30, lambda shape: networks.build("magic_gamma", input_shape=shape), "magic_gamma"
    ),
    "cifar10_resnet8": Task(
        "cifar10", True, 8, lambda shape: networks.build("resnet8", input_shape=shape, width=8), "cifar10", 3e-3
    ),
}
METHODS = {
    "axe gpfq": {"method": "gpfq", "budget": "axe"},
    "axe optq": {"method": "optq", "budget": "axe"},
    "exact": {"method": "exact"},
    "gpfq": {"method": "gpfq"},
    "optq": {"method": "optq"},
    "optq, fitted": {"method": "optq", "least_act_bits": 2},
}
COLUMNS = ("nearest", *METHODS)
SAMPLES = 1024
COLLAPSED = 0.6  # of the float accuracy
RESULTS = Path(__file__).parent / "results"


def load(network, folder):
    """The data set as the network takes it."""
    task = NETWORKS[network]
    dataset = data.load(task.data, folder, images=task.images)
    return dataset.standardised() if task.data == "magic_gamma" else dataset


def float_network(network, dataset, seed, folder):
    """The trained float network of a seed; kept in `folder`, if there is one."""
    task = NETWORKS[network]
    keras.utils.set_random_seed(seed)
    path = folder and folder / f"{task.kept_as}_{seed}.weights.h5"
    return bench.kept_or_trained(task.build(dataset.x_train.shape[1:]), path, dataset, task.epochs, task.rate)


def measure(model, dataset, start):
    """The figures of a row."""
    program = a2q.integer_model(model)
    proof = a2q.certify(program)
    if any(len(layer.kernel.shape) > 2 for layer in model.layers if hasattr(layer, "kernel")):
        outputs = model.predict(dataset.x_test, verbose=0, batch_size=256)
    else:
        outputs = program.run(dataset.x_test)
    return {
        "accuracy": accuracy(outputs, dataset.y_test),
        "needed_bits": max(proof.acc_bits.values()),
        "seconds": round(time.time() - start, 1),
    }


def nearest(model, inputs, acc_bits, bits):
    """Rounded to the bits for which the data-type bound is within acc_bits, or None: layers have weight bits of their
    own, activations the same everywhere; of what fits, the most bits of both together, then of activations."""
    proof = a2q.certify(a2q.convert(model, 32, *bits, "none", data=inputs))
    found = []
    for act_bits in range(2, bits[1] + 1):
        widths = {
            layer.name: max(
                (m for m in range(2, bits[0] + 1) if _datatype_bits(layer, m, act_bits) <= acc_bits), default=0
            )
            for layer in proof.layers
        }
        if all(widths.values()):
            found.append((sum(widths.values()) + act_bits * len(widths), act_bits, widths))
    if not found:
        return None
    _, act_bits, widths = max(found, key=lambda entry: entry[:2])
    layers = {name: {"weight_bits": width} for name, width in widths.items()}
    return a2q.quantize(model, inputs, 32, 2, act_bits, "exact", layers=layers)  # 32 bits bind nothing


def _datatype_bits(layer, weight_bits, act_bits):
    return bounds.datatype_acc_bits(layer.k, weight_bits, act_bits, layer.input_format.signed)


def sweep(args, dataset, result):
    """Measure what `result` lacks and yield after every row."""
    models, rows = {}, result["rows"]
    for seed in args.seeds:
        models[seed] = float_network(args.network, dataset, seed, args.keep)
        if str(seed) not in result["float"]:
            outputs = models[seed].predict(dataset.x_test, verbose=0, batch_size=256)
            result["float"][str(seed)] = accuracy(outputs, dataset.y_test)
    cases = [(seed, width, column) for seed in args.seeds for width in args.widths for column in COLUMNS]
    for seed, width, column in track(cases, args.network):
        if done(rows, column, width, seed) or collapsed(result, column, width, args.seeds[0]):
            continue
        found = measure_one(models[seed], dataset, column, width, args.bits, seed)
        rows.append({"method": column, "acc_bits": width, "seed": seed} | found)
        keras.backend.clear_session(free_memory=True)  # else every row stays in memory
        yield


def measure_one(model, dataset, column, acc_bits, bits, seed):
    """The figures of a row; accuracy None where `nearest` has no bits that fit."""
    chosen = np.random.default_rng(seed).choice(len(dataset.x_train), SAMPLES, replace=False)
    inputs, start = dataset.x_train[chosen], time.time()
    if column == "nearest":
        quantized = nearest(model, inputs, acc_bits, bits)
    else:
        quantized = a2q.quantize(model, inputs, acc_bits, *bits, **METHODS[column])
        a2q.certify(quantized, acc_bits).raise_if_unsafe()
    return {"accuracy": None} if quantized is None else measure(quantized, dataset, start)


def done(rows, column, width, seed):
    """Whether a row is there."""
    return any((row["method"], row["acc_bits"], row["seed"]) == (column, width, seed) for row in rows)


def collapsed(result, column, width, seed):
    """Whether a column has collapsed at a wider accumulator, with the first seed."""
    return any(
        row["acc_bits"] > width and (row["accuracy"] or 0) < COLLAPSED * result["float"][str(seed)]
        for row in result["rows"]
        if (row["method"], row["seed"]) == (column, seed)
    )


def markdown(network, bits, result):
    """The table, with the command that made it."""
    floats, rows = list(result["float"].values()), [row for row in result["rows"] if row["accuracy"] is not None]
    columns = [column for column in COLUMNS if any(row["method"] == column for row in rows)]
    lines = [
        f"# Post-training quantization of {network}, W{bits[0]}A{bits[1]}, by accumulator width P",
        "",
        f"Made by `{result['command']}`; {len(floats)} seeds; test accuracy, mean (least).",
        "",
        f"Float: {statistics.fmean(floats):.2%}, of which 99 %: {0.99 * statistics.fmean(floats):.2%}.",
        "",
        f"| P | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for width in sorted({row["acc_bits"] for row in rows}, reverse=True):
        cells = [cell(rows, column, width, len(floats)) for column in columns]
        lines.append(f"| {width} | {' | '.join(cells)} |")
    seconds = {column: [row["seconds"] for row in rows if row["method"] == column] for column in columns}
    lines += [
        "",
        "Seconds of a run, measuring included, mean: "
        + ", ".join(f"`{column}` {statistics.fmean(found):.1f}" for column, found in seconds.items() if found),
    ]
    return "\n".join(lines) + "\n"


def cell(rows, column, width, seeds):
    """Mean and least accuracy; with the number of seeds where not all are there."""
    found = [row["accuracy"] for row in rows if (row["method"], row["acc_bits"]) == (column, width)]
    if not found:
        return "-"
    part = "" if len(found) == seeds else f", {len(found)} of {seeds} seeds"
    return f"{statistics.fmean(found):.2%} ({min(found):.2%}{part})"


def write(result, args):
    """The two files of a result."""
    stem = RESULTS / f"post_training_{args.network}_w{args.bits[0]}a{args.bits[1]}"
    table = markdown(args.network, args.bits, result)
    storage.write_text(stem.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
    storage.write_text(stem.with_suffix(".md"), table)
    return table


def numbers(text):
    """Whole numbers separated by commas."""
    return [int(number) for number in text.split(",")]


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="digits_mlp", choices=sorted(NETWORKS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--bits", type=numbers, default="4,4", help="of weights and of activations")
    parser.add_argument("--widths", type=numbers, default="14,13,12,11,10,9,8", help="accumulator bits, by commas")
    parser.add_argument("--seeds", type=numbers, default="0,1,2", help="by commas")
    parser.add_argument("--keep", type=Path, help="folder for the float networks")
    return parser.parse_args()


def main():
    args = arguments()
    dataset = load(args.network, args.data_dir)
    shown = {name: ",".join(map(str, getattr(args, name))) for name in ("bits", "widths", "seeds")}
    options = [f"--network {args.network}", "--data-dir FOLDER" if args.data_dir else ""]
    options += [f"--{name} {text}" for name, text in shown.items()]
    path = RESULTS / f"post_training_{args.network}_w{args.bits[0]}a{args.bits[1]}.json"
    result = json.loads(path.read_text()) if path.is_file() else {"float": {}, "rows": []}
    result["command"] = f"python benchmarks/post_training.py {' '.join(filter(None, options))}"
    result["keras"] = keras.__version__
    for _ in sweep(args, dataset, result):
        write(result, args)
    print(write(result, args))


if __name__ == "__main__":
    main()
