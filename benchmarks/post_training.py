"""Accuracy after post-training quantization against accumulator width: ours, AXE's, and nearest codes by data types.

    python benchmarks/post_training.py --network mnist_mlp --data-dir FOLDER --bits 4,4 --widths 14,13,12,11,10,9,8

Each seed trains a float network and draws its own 1,024 calibration inputs.  Columns: `nearest` rounds to the most bits
for which the data-type bound of A2Q (section 3) is within P, no other bound; `axe gpfq` and `axe optq` are AXE's
(Colbert et al., TMLR 2025) at the power-of-two scale that suits the weights best; `exact`, `gpfq` and `optq` are ours.
All correct biases with the same inputs.  P asked is certified, but for `nearest`.  Accuracy is that of the integer
program on the test set, of convolutions that of Keras' forward pass, which is equal below 25 bits.  Results go to
benchmarks/results/post_training_*.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.progress import track

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.numerics import bounds
from a2q_keras.zoo import networks
from a2q_keras.zoo.mlp import float_mlp
from a2q_keras.zoo.train import accuracy, fit_classifier

# name: data set, pictures or rows, epochs of the float network, how to build it
NETWORKS = {
    "digits_mlp": ("digits", False, 40, lambda shape: float_mlp(shape[0], (64, 32, 10))),
    "mnist_mlp": ("mnist", False, 6, lambda shape: float_mlp(shape[0], (128, 64, 10))),
    "mnist_cnn": ("mnist", True, 2, lambda shape: networks.build("lenet", input_shape=shape)),
    "magic_mlp": ("magic_gamma", False, 30, lambda shape: networks.build("magic_gamma", input_shape=shape)),
    "cifar10_resnet8": ("cifar10", True, 8, lambda shape: networks.build("resnet8", input_shape=shape, width=8)),
}
METHODS = {
    "axe gpfq": {"method": "gpfq", "budget": "axe"},
    "axe optq": {"method": "optq", "budget": "axe"},
    "exact": {"method": "exact"},
    "gpfq": {"method": "gpfq"},
    "optq": {"method": "optq"},
}
COLUMNS = ("nearest", *METHODS)
SAMPLES = 1024
RESULTS = Path(__file__).parent / "results"


def load(network, folder):
    """The data set as the network takes it."""
    name, images, _, _ = NETWORKS[network]
    dataset = data.load(name, folder, images=images)
    return dataset.standardised() if name == "magic_gamma" else dataset


def float_network(network, dataset, seed, folder):
    """The trained float network of a seed; kept in `folder`, if there is one."""
    kept = None if folder is None else folder / f"{network}_{seed}.keras"
    if kept is not None and kept.is_file():
        return a2q.load_model(kept)
    keras.utils.set_random_seed(seed)
    _, _, epochs, build = NETWORKS[network]
    model = build(dataset.x_train.shape[1:])
    fit_classifier(model, dataset, epochs, 1e-3 if dataset.name != "cifar10" else 2e-3)
    if kept is not None:
        model.save(kept)
    return model


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


def sweep(network, dataset, widths, bits, seeds, folder):
    """(float accuracies, rows)."""
    floats, rows = [], []
    for seed in seeds:
        model = float_network(network, dataset, seed, folder)
        floats.append(accuracy(model.predict(dataset.x_test, verbose=0), dataset.y_test))
        chosen = np.random.default_rng(seed).choice(len(dataset.x_train), SAMPLES, replace=False)
        inputs = dataset.x_train[chosen]
        for acc_bits in track(widths, f"seed {seed}"):
            for column in COLUMNS:
                start = time.time()
                if column == "nearest":
                    quantized = nearest(model, inputs, acc_bits, bits)
                else:
                    quantized = a2q.quantize(model, inputs, acc_bits, *bits, **METHODS[column])
                    a2q.certify(quantized, acc_bits).raise_if_unsafe()
                if quantized is not None:
                    row = {"method": column, "acc_bits": acc_bits, "seed": seed}
                    rows.append(row | measure(quantized, dataset, start))
            keras.backend.clear_session()
    return floats, rows


def markdown(network, bits, floats, rows, command):
    """The table, with the command that made it."""
    lines = [
        f"# Post-training quantization of {network}, W{bits[0]}A{bits[1]}, by accumulator width P",
        "",
        f"Made by `{command}`; {len(floats)} seeds; test accuracy, mean (least).",
        "",
        f"Float: {statistics.fmean(floats):.2%}, of which 99 %: {0.99 * statistics.fmean(floats):.2%}.",
        "",
        f"| P | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    for width in sorted({row["acc_bits"] for row in rows}, reverse=True):
        cells = []
        for column in COLUMNS:
            found = [row["accuracy"] for row in rows if (row["method"], row["acc_bits"]) == (column, width)]
            cells.append(f"{statistics.fmean(found):.2%} ({min(found):.2%})" if found else "-")
        lines.append(f"| {width} | {' | '.join(cells)} |")
    seconds = {column: [row["seconds"] for row in rows if row["method"] == column] for column in COLUMNS}
    lines += [
        "",
        "Seconds of a run, measuring included, mean: "
        + ", ".join(f"`{column}` {statistics.fmean(found):.1f}" for column, found in seconds.items() if found),
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="digits_mlp", choices=sorted(NETWORKS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--bits", default="4,4", help="of weights and of activations")
    parser.add_argument("--widths", default="14,13,12,11,10,9,8", help="accumulator bits, separated by commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", type=Path, help="a folder where trained float networks are kept")
    args = parser.parse_args()
    weight_bits, act_bits = map(int, args.bits.split(","))
    dataset, widths = load(args.network, args.data_dir), [int(width) for width in args.widths.split(",")]
    floats, rows = sweep(args.network, dataset, widths, (weight_bits, act_bits), range(args.seeds), args.models)
    options = [f"--network {args.network}", "--data-dir FOLDER" if args.data_dir else "", f"--bits {args.bits}"]
    options += [f"--widths {args.widths}", f"--seeds {args.seeds}"]
    command = f"python benchmarks/post_training.py {' '.join(filter(None, options))}"
    stem = RESULTS / f"post_training_{args.network}_w{weight_bits}a{act_bits}"
    result = {"command": command, "keras": keras.__version__, "float": floats, "rows": rows}
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    table = markdown(args.network, (weight_bits, act_bits), floats, rows, command)
    stem.with_suffix(".md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
