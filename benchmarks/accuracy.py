"""Accuracy against accumulator width: methods none, a2q, a2q+ and exact, from the same float networks, several seeds.

    python benchmarks/accuracy.py --data mnist --data-dir FOLDER
    python benchmarks/accuracy.py --data digits

MNIST: MLP 784-128-64-10; digits and tables: two hidden layers of 64 and 32; CIFAR-10: ResNet-8.  Each seed trains a
float network; `convert` starts every method from it, and all train alike.  The accuracy is that of the integer
program's golden run on the test set, so it is the firmware's.  P asked is proven by the certificate, but for `none`,
which has no bound: its row says what it would need.  Results go to benchmarks/results/accuracy_DATA.{json,md,png}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from rich.progress import track

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.zoo import mlp, resnet
from a2q_keras.zoo.train import accuracy, fit_classifier

METHODS = ("exact", "a2q+", "a2q")


@dataclass(frozen=True)
class Task:
    """How a data set is trained: hidden layers (none: a ResNet-8 of `width`), epochs of float and converted ones."""

    hidden: tuple[int, ...]
    float_epochs: int
    epochs: int
    batch: int = 128
    table: bool = False
    width: int = 0


TASKS = {
    "digits": Task((64, 32), 40, 30, 32),
    "mnist": Task((128, 64), 6, 3),
    "magic_gamma": Task((64, 32), 30, 15, table=True),
    "dry_bean": Task((64, 32), 30, 15, table=True),
    "cifar10": Task((), 12, 4, width=8),
}
RESULTS = Path(__file__).parent / "results"


def load(args):
    """The data set as its network takes it."""
    task = TASKS[args.data]
    dataset = data.load(args.data, args.data_dir, images=bool(task.width))
    dataset = dataset.standardised() if task.table else dataset
    return dataset.first(args.train) if args.train else dataset


def train_float(dataset, seed):
    """A float network and its accuracy on the test set."""
    keras.utils.set_random_seed(seed)
    task, shape = TASKS[dataset.name], dataset.x_train.shape[1:]
    if task.width:
        model = resnet.resnet8(shape, dataset.classes, task.width)
    else:
        model = mlp.float_mlp(shape[0], (*task.hidden, dataset.classes))
    fit_classifier(model, dataset, task.float_epochs, 1e-3, task.batch)
    return model, accuracy(model.predict(dataset.x_test, verbose=0), dataset.y_test)


def train_one(dataset, float_model, method, acc_bits, bits, seed):
    """One row: train by `method` for `acc_bits`, export, certify, measure."""
    keras.utils.set_random_seed(seed)
    start, task = time.time(), TASKS[dataset.name]
    model = a2q.convert(float_model, acc_bits, *bits, method, data=dataset.x_train)
    fit_classifier(model, dataset, task.epochs, 2e-3, task.batch)
    program = a2q.integer_model(model)
    proof = a2q.certify(program)
    needed = max(proof.acc_bits.values())
    assert method == "none" or needed <= acc_bits
    return {
        "method": method,
        "acc_bits": acc_bits,
        "seed": seed,
        "accuracy": accuracy(program.run(dataset.x_test), dataset.y_test),
        "needed_bits": needed,
        "sparsity": statistics.fmean(layer.sparsity for layer in proof.layers),
        "seconds": round(time.time() - start, 1),
    }


def sweep(dataset, widths, seeds, bits):
    """All rows and the float accuracies."""
    floats, rows = [], []
    cases = [("none", 32), *((method, width) for width in widths for method in METHODS)]
    for seed in seeds:
        float_model, float_accuracy = train_float(dataset, seed)
        floats.append(float_accuracy)
        for method, width in track(cases, f"seed {seed}"):
            rows.append(train_one(dataset, float_model, method, width, bits, seed))
    return floats, rows


def summarise(rows):
    """{(method, P): (mean accuracy, least accuracy, mean sparsity, most bits needed)} over the seeds."""
    groups = {}
    for row in rows:
        groups.setdefault((row["method"], row["acc_bits"]), []).append(row)
    return {
        key: (
            statistics.fmean(row["accuracy"] for row in group),
            min(row["accuracy"] for row in group),
            statistics.fmean(row["sparsity"] for row in group),
            max(row["needed_bits"] for row in group),
        )
        for key, group in groups.items()
    }


def markdown(title, floats, rows, command):
    """The table, with the command that made it."""
    found = summarise(rows)
    mean, least, sparsity, needed = found["none", 32]
    lines = [
        f"# Accuracy on {title}, by accumulator width P",
        "",
        f"Made by `{command}`; {len(floats)} seeds; test accuracy of the integer program, mean (least).",
        "",
        f"Float: {statistics.fmean(floats):.2%} ({min(floats):.2%}). "
        f"Method `none`, no bound: {mean:.2%} ({least:.2%}), needs {needed} bits, {sparsity:.0%} zero weights.",
        "",
        f"| P | {' | '.join(METHODS)} | {' | '.join(f'{method}: zero weights' for method in METHODS)} |",
        f"|---|{'---|' * 2 * len(METHODS)}",
    ]
    for width in sorted({width for method, width in found if method != "none"}, reverse=True):
        cells = [f"{found[method, width][0]:.2%} ({found[method, width][1]:.2%})" for method in METHODS]
        cells += [f"{found[method, width][2]:.0%}" for method in METHODS]
        lines.append(f"| {width} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(path, title, floats, rows):
    """Accuracy over P, one line per method, a band from the worst to the best seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for method in METHODS:
        widths = sorted({row["acc_bits"] for row in rows if row["method"] == method})
        seeds = [[r["accuracy"] * 100 for r in rows if (r["method"], r["acc_bits"]) == (method, w)] for w in widths]
        axes.plot(widths, [statistics.fmean(values) for values in seeds], marker="o", label=method)
        axes.fill_between(widths, [min(values) for values in seeds], [max(values) for values in seeds], alpha=0.2)
    none = [row["accuracy"] * 100 for row in rows if row["method"] == "none"]
    axes.axhline(statistics.fmean(none), linestyle="--", color="gray", label="no bound")
    axes.axhline(statistics.fmean(floats) * 100, linestyle=":", color="black", label="float")
    axes.set(xlabel="accumulator bits P", ylabel="test accuracy [%]", title=title)
    axes.invert_xaxis()
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=sorted(TASKS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--widths", default="14,13,12,11,10,9", help="accumulator bits, separated by commas")
    parser.add_argument("--bits", type=int, default=4, help="of weights and activations")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=0, help="use only so many training samples")
    args = parser.parse_args()
    dataset = load(args)
    widths = [int(width) for width in args.widths.split(",")]
    floats, rows = sweep(dataset, widths, range(args.seeds), (args.bits, args.bits))
    options = [f"--data {args.data}", "--data-dir FOLDER" if args.data_dir else "", f"--widths {args.widths}"]
    options += [f"--{name} {getattr(args, name)}" for name in ("bits", "seeds", "train") if getattr(args, name)]
    command = f"python benchmarks/accuracy.py {' '.join(filter(None, options))}"
    title, stem = f"{args.data}, W{args.bits}A{args.bits}", args.data + (f"_w{args.bits}" if args.bits != 4 else "")
    RESULTS.mkdir(exist_ok=True)
    result = {"command": command, "keras": keras.__version__, "float": floats, "rows": rows}
    (RESULTS / f"accuracy_{stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    table = markdown(title, floats, rows, command)
    (RESULTS / f"accuracy_{stem}.md").write_text(table)
    plot(RESULTS / f"accuracy_{stem}.png", title, floats, rows)
    print(table)


if __name__ == "__main__":
    main()
