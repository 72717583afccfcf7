"""Accuracy against accumulator width: methods none, a2q and exact, from the same float networks, several seeds.

    python benchmarks/accuracy.py --data mnist --data-dir FOLDER
    python benchmarks/accuracy.py --data digits

MNIST: MLP 784-128-64-10; digits: 64-64-32-10; 4-bit weights, 4-bit unsigned activations.  Each seed trains a float
network; every method starts from it and trains for 3 epochs (digits: 30).  The accuracy is that of the integer
program's golden run on the test set, so it is the firmware's.  P asked is proven by the certificate, but for `none`,
which has no bound: its row says what it would need.  Results go to benchmarks/results/accuracy_DATA.{json,md,png}.
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
from rich.progress import track

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.zoo import mlp
from a2q_keras.zoo.train import accuracy, fit_classifier

HIDDEN = {"mnist": (128, 64), "digits": (64, 32)}
EPOCHS = {"mnist": (6, 3), "digits": (40, 30)}  # float, A2Q
BATCH = {"mnist": 128, "digits": 32}
BITS = 4
RESULTS = Path(__file__).parent / "results"


def train_float(dataset, seed):
    """A float network and its accuracy on the test set."""
    keras.utils.set_random_seed(seed)
    model = mlp.float_mlp(dataset.x_train.shape[1], (*HIDDEN[dataset.name], dataset.classes))
    fit_classifier(model, dataset, EPOCHS[dataset.name][0], 1e-3, BATCH[dataset.name])
    return model, accuracy(model.predict(dataset.x_test, verbose=0), dataset.y_test)


def train_one(dataset, float_model, method, acc_bits, seed):
    """One row: train by `method` for `acc_bits`, export, certify, measure."""
    keras.utils.set_random_seed(seed)
    start = time.time()
    model = mlp.from_float(float_model, dataset.x_train[:5000], acc_bits, BITS, BITS, method)
    fit_classifier(model, dataset, EPOCHS[dataset.name][1], 2e-3, BATCH[dataset.name])
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


def sweep(dataset, widths, seeds):
    """All rows and the float accuracies."""
    floats, rows = [], []
    cases = [("none", 32), *((method, width) for width in widths for method in ("exact", "a2q"))]
    for seed in seeds:
        float_model, float_accuracy = train_float(dataset, seed)
        floats.append(float_accuracy)
        for method, width in track(cases, f"seed {seed}"):
            rows.append(train_one(dataset, float_model, method, width, seed))
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


def markdown(name, floats, rows, command):
    """The table, with the command that made it."""
    found = summarise(rows)
    mean, least, sparsity, needed = found["none", 32]
    lines = [
        f"# Accuracy on {name}, W4A4, by accumulator width P",
        "",
        f"Made by `{command}`; {len(floats)} seeds; test accuracy of the integer program, mean (least).",
        "",
        f"Float: {statistics.fmean(floats):.2%} ({min(floats):.2%}). "
        f"Method `none`, no bound: {mean:.2%} ({least:.2%}), needs {needed} bits, {sparsity:.0%} zero weights.",
        "",
        "| P | exact | a2q | exact: zero weights | a2q: zero weights |",
        "|---|---|---|---|---|",
    ]
    for width in sorted({width for method, width in found if method != "none"}, reverse=True):
        cells = [f"{found[method, width][0]:.2%} ({found[method, width][1]:.2%})" for method in ("exact", "a2q")]
        cells += [f"{found[method, width][2]:.0%}" for method in ("exact", "a2q")]
        lines.append(f"| {width} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(path, name, floats, rows):
    """Accuracy over P, one line per method, a band from the worst to the best seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for method in ("exact", "a2q"):
        widths = sorted({row["acc_bits"] for row in rows if row["method"] == method})
        seeds = [[r["accuracy"] * 100 for r in rows if (r["method"], r["acc_bits"]) == (method, w)] for w in widths]
        axes.plot(widths, [statistics.fmean(values) for values in seeds], marker="o", label=method)
        axes.fill_between(widths, [min(values) for values in seeds], [max(values) for values in seeds], alpha=0.2)
    none = [row["accuracy"] * 100 for row in rows if row["method"] == "none"]
    axes.axhline(statistics.fmean(none), linestyle="--", color="gray", label="no bound (W4A4)")
    axes.axhline(statistics.fmean(floats) * 100, linestyle=":", color="black", label="float")
    axes.set(xlabel="accumulator bits P", ylabel="test accuracy [%]", title=f"{name}, W4A4 MLP")
    axes.invert_xaxis()
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=sorted(HIDDEN))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--widths", default="14,13,12,11,10,9", help="accumulator bits, separated by commas")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    dataset = data.load(args.data, args.data_dir)
    floats, rows = sweep(dataset, [int(width) for width in args.widths.split(",")], range(args.seeds))
    folder = " --data-dir FOLDER" if args.data_dir else ""
    command = f"python benchmarks/accuracy.py --data {args.data}{folder} --widths {args.widths} --seeds {args.seeds}"
    RESULTS.mkdir(exist_ok=True)
    result = {"command": command, "keras": keras.__version__, "float": floats, "rows": rows}
    (RESULTS / f"accuracy_{args.data}.json").write_text(json.dumps(result, indent=1) + "\n")
    table = markdown(args.data, floats, rows, command)
    (RESULTS / f"accuracy_{args.data}.md").write_text(table)
    plot(RESULTS / f"accuracy_{args.data}.png", args.data, floats, rows)
    print(table)


if __name__ == "__main__":
    main()
