"""Accuracy against accumulator width: methods none, a2q, a2q+ and exact, from the same float networks, several seeds.

    python benchmarks/accuracy.py --data mnist --data-dir FOLDER
    python benchmarks/accuracy.py --data digits
    python benchmarks/accuracy.py --data digits --methods exact,a2q+ --least-act-bits 2

MNIST: MLP 784-128-64-10; digits and tables: two hidden layers of 64 and 32; CIFAR-10: ResNet-8 of width 8, whose first
and last layer have 8-bit weights and 24-bit accumulators, and whose biases are corrected before training, as in the
papers.  Each seed trains a float network; `convert` starts every method from it, `exact` from the codes that `quantize`
finds (start="optq"), `a2q+` from the Euclidean projection, and all train alike.  The accuracy is that of the integer
program's golden run on the test set, so it is the firmware's.  P asked is proven by the certificate, but for `none`,
which has no bound: its row says what it would need.  A method is not followed to narrower accumulators once it has lost
two fifths of the float accuracy with the first seed.  --least-act-bits N: `convert` may give an activation fewer bits,
N or more, where that suits the accumulators behind it.  --epochs N: the methods train for N epochs.  --rate R: Adam's
learning rate starts from R.  The results of any of these are files of their own.

Results go to benchmarks/results/accuracy_DATA.{json,md,png}, after every row; a run that was stopped goes on from
there, and --keep FOLDER keeps the float networks for it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from rich.progress import track

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.integer import storage
from a2q_keras.zoo import mlp, networks
from a2q_keras.zoo.train import accuracy, fit_classifier

METHODS = ("exact", "a2q+", "a2q")
NONE = ("none", 32)
STARTS = {"exact": {"start": "optq", "bias_correction": False}}  # which corrects biases; the papers' start as they say
COLLAPSED = 0.6  # of the float accuracy
WIDE = {"weight_bits": 8, "acc_bits": 24}


@dataclass(frozen=True)
class Task:
    """A network, how it is trained in floating point and converted, and the settings of `convert` besides the bits.

    rate: of the converted network; batch and epochs: of its training; table: inputs are standardised.
    """

    network: str
    float_epochs: int
    epochs: int
    rate: float = 1e-2
    float_rate: float = 1e-3
    batch: int = 128
    table: bool = False
    settings: dict = field(default_factory=dict)
    hidden: tuple[int, ...] = ()
    width: int = 0


TASKS = {
    "digits": Task("mlp", 40, 30, batch=32, hidden=(64, 32)),
    "mnist": Task("mlp", 6, 3, hidden=(128, 64)),
    "magic_gamma": Task("magic_gamma", 30, 15, table=True),
    "dry_bean": Task("dry_bean", 30, 15, table=True, settings={"input_bits": 5}),
    "cifar10": Task(
        "resnet8",
        float_epochs=8,
        epochs=3,
        rate=2e-3,
        float_rate=3e-3,
        batch=64,
        settings={"first": WIDE, "last": WIDE, "input_bits": 8, "bias_correction": True},
        width=8,
    ),
}
RESULTS = Path(__file__).parent / "results"


def load(args):
    """The data set as its network takes it."""
    task = TASKS[args.data]
    dataset = data.load(args.data, args.data_dir, images=task.network == "resnet8")
    dataset = dataset.standardised() if task.table else dataset
    return dataset.first(args.train) if args.train else dataset


def build(task, dataset):
    """The untrained float network."""
    shape = dataset.x_train.shape[1:]
    if task.network == "mlp":
        return mlp.float_mlp(shape[0], (*task.hidden, dataset.classes))
    sizes = {"width": task.width} if task.width else {}
    return networks.build(task.network, input_shape=shape, classes=dataset.classes, **sizes)


def float_network(dataset, seed, folder):
    """A trained float network, kept in a folder where one is given."""
    task = TASKS[dataset.name]
    keras.utils.set_random_seed(seed)
    path = folder and folder / f"{dataset.name}_{seed}.weights.h5"
    return kept_or_trained(build(task, dataset), path, dataset, task.float_epochs, task.float_rate)


def kept_or_trained(model, path, dataset, epochs, rate):
    """A float network with the weights of `path`; trained, and kept there, where it is no file yet.  None: not kept."""
    if path and path.is_file():
        model.load_weights(path)
        return model
    fit_classifier(model, dataset, epochs, rate)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save_weights(path)
    return model


def trained(dataset, float_model, method, acc_bits, bits, seed, epochs=None, rate=None, **more):
    """The accumulator-aware model, trained by `method` for `acc_bits`; more: settings of `convert`."""
    keras.utils.set_random_seed(seed)
    task = TASKS[dataset.name]
    settings = task.settings | STARTS.get(method, {}) | more
    model = a2q.convert(float_model, acc_bits, bits, bits, method, data=dataset.x_train, **settings)
    fit_classifier(model, dataset, epochs or task.epochs, rate or task.rate, task.batch)
    return model


def train_one(dataset, float_model, method, acc_bits, bits, seed, **more):
    """One row: train, export, certify, measure."""
    begin, task = time.time(), TASKS[dataset.name]
    program = a2q.integer_model(trained(dataset, float_model, method, acc_bits, bits, seed, **more))
    proof = a2q.certify(program)
    widths = trained_widths(program, task)
    needed = max(proof.acc_bits[name] for name in widths)
    assert method == "none" or needed <= acc_bits
    return {
        "method": method,
        "acc_bits": acc_bits,
        "seed": seed,
        "accuracy": accuracy(program.run(dataset.x_test), dataset.y_test),
        "needed_bits": needed,
        "sparsity": statistics.fmean(layer.sparsity for layer in proof.layers if layer.name in widths),
        "seconds": round(time.time() - begin, 1),
    }


def certified(model, x):
    """Outputs of the integer program, which is safe."""
    program = a2q.integer_model(model)
    a2q.certify(program, {op.name: op.acc_bits for op in program.accumulator_ops}).raise_if_unsafe()
    return program.run(x)


def trained_widths(program, task):
    """The names of the layers that the width P is for."""
    names = [op.name for op in program.accumulator_ops]
    return names[1:-1] if task.settings.get("first") else names


def sweep(dataset, widths, args, result):
    """Train what `result` lacks and yield it after every row."""
    more = {name: getattr(args, name) for name in ("epochs", "rate", "least_act_bits") if getattr(args, name)}
    for seed in args.seeds:
        cases = [NONE] if "none" in args.methods else []
        cases += [(method, width) for method in args.methods if method != "none" for width in widths]
        if all(settled(result, *case, seed, args.seeds[0]) for case in cases):
            continue
        float_model = float_network(dataset, seed, args.keep)
        if str(seed) not in result["float"]:
            found = float_model.predict(dataset.x_test, verbose=0)
            result["float"][str(seed)] = accuracy(found, dataset.y_test)
        for method, width in track(cases, f"seed {seed}"):
            if not settled(result, method, width, seed, args.seeds[0]):
                result["rows"].append(train_one(dataset, float_model, method, width, args.bits, seed, **more))
                keras.backend.clear_session(free_memory=True)  # else every row stays in memory
                yield result


def settled(result, method, width, seed, first_seed):
    """Whether a row is there, or not wanted: the method had collapsed at a wider accumulator with the first seed."""
    return done(result, method, width, seed) or collapsed(result, method, width, first_seed)


def done(result, method, width, seed):
    """Whether a row is there."""
    return (method, width, seed) in {(row["method"], row["acc_bits"], row["seed"]) for row in result["rows"]}


def collapsed(result, method, width, seed):
    """Whether a method has collapsed at a wider accumulator, with the first seed."""
    least = COLLAPSED * result["float"].get(str(seed), 0.0)
    return any(
        row["accuracy"] < least and row["acc_bits"] > width
        for row in result["rows"]
        if (row["method"], row["seed"]) == (method, seed)
    )


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


def bounded(rows):
    """The methods that rows are of, but for `none`."""
    return [method for method in METHODS if any(method == row["method"] for row in rows)]


def markdown(title, floats, rows, command):
    """The table, with the command that made it."""
    found = summarise(rows)
    methods = bounded(rows)
    unbounded = ""
    if NONE in found:
        mean, least, sparsity, needed = found[NONE]
        unbounded = (
            f" Method `none`, no bound: {mean:.2%} ({least:.2%}), needs {needed} bits, {sparsity:.0%} zero weights."
        )
    lines = [
        f"# Accuracy on {title}, by accumulator width P",
        "",
        f"Made by `{command}`; {len(floats)} seeds; test accuracy of the integer program, mean (least).",
        "",
        f"Float: {statistics.fmean(floats):.2%} ({min(floats):.2%}).{unbounded}",
        "",
        f"| P | {' | '.join(methods)} | {' | '.join(f'{method}: zero weights' for method in methods)} |",
        f"|---|{'---|' * 2 * len(methods)}",
    ]
    for width in sorted({width for method, width in found if method != "none"}, reverse=True):
        cells = [found.get((method, width)) for method in methods]
        shown = [f"{cell[0]:.2%} ({cell[1]:.2%})" if cell else "" for cell in cells]
        lines.append(f"| {width} | {' | '.join(shown + [f'{cell[2]:.0%}' if cell else '' for cell in cells])} |")
    return "\n".join(lines) + "\n"


def plot(path, title, floats, rows):
    """Accuracy over P, one line per method, a band from the worst to the best seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for method in bounded(rows):
        widths = sorted({row["acc_bits"] for row in rows if row["method"] == method})
        seeds = [[r["accuracy"] * 100 for r in rows if (r["method"], r["acc_bits"]) == (method, w)] for w in widths]
        axes.plot(widths, [statistics.fmean(values) for values in seeds], marker="o", label=method)
        axes.fill_between(widths, [min(values) for values in seeds], [max(values) for values in seeds], alpha=0.2)
    none = [row["accuracy"] * 100 for row in rows if row["method"] == "none"]
    if none:
        axes.axhline(statistics.fmean(none), linestyle="--", color="gray", label="no bound")
    axes.axhline(statistics.fmean(floats) * 100, linestyle=":", color="black", label="float")
    axes.set(xlabel="accumulator bits P", ylabel="test accuracy [%]", title=title)
    axes.invert_xaxis()
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def write(result, title, stem):
    """The three files of a result."""
    floats = list(result["float"].values())
    table = markdown(title, floats, result["rows"], result["command"])
    storage.write_text(RESULTS / f"accuracy_{stem}.json", json.dumps(result, indent=1) + "\n")
    storage.write_text(RESULTS / f"accuracy_{stem}.md", table)
    plot(RESULTS / f"accuracy_{stem}.png", title, floats, result["rows"])
    return table


def numbers(text):
    """Whole numbers separated by commas."""
    return [int(number) for number in text.split(",")]


def described(args):
    """(the command, the title of its results, what their files are called)."""
    shown = {name: ",".join(map(str, getattr(args, name))) for name in ("widths", "seeds")}
    options = [f"--data {args.data}", "--data-dir FOLDER" if args.data_dir else "", f"--bits {args.bits}"]
    options += [f"--{name} {text}" for name, text in shown.items()] + [f"--train {args.train}" if args.train else ""]
    title, stem = f"{args.data}, W{args.bits}A{args.bits}", args.data + (f"_w{args.bits}" if args.bits != 4 else "")
    if args.least_act_bits:
        title, stem = f"{title}, activations of {args.least_act_bits} bits and more", f"{stem}_fitted"
        options.append(f"--least-act-bits {args.least_act_bits}")
    if args.epochs:
        title, stem = f"{title}, {args.epochs} epochs", f"{stem}_epochs{args.epochs}"
        options.append(f"--epochs {args.epochs}")
    if args.rate:
        title, stem = f"{title}, rate {args.rate}", f"{stem}_rate{args.rate}"
        options.append(f"--rate {args.rate}")
    if args.methods != ["none", *METHODS]:
        options.append(f"--methods {','.join(args.methods)}")
    return f"python benchmarks/accuracy.py {' '.join(filter(None, options))}", title, stem


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=sorted(TASKS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--widths", type=numbers, default="14,13,12,11,10,9", help="accumulator bits, by commas")
    parser.add_argument("--bits", type=int, default=4, help="of weights and activations")
    parser.add_argument("--methods", type=lambda text: text.split(","), default=["none", *METHODS], help="by commas")
    parser.add_argument("--least-act-bits", type=int, help="activations may have as few bits as this")
    parser.add_argument("--epochs", type=int, help="of training by the methods, instead of the task's")
    parser.add_argument("--rate", type=float, help="Adam's learning rate for the methods, instead of the task's")
    parser.add_argument("--seeds", type=numbers, default="0,1,2", help="by commas")
    parser.add_argument("--train", type=int, default=0, help="use only so many training samples")
    parser.add_argument("--keep", type=Path, help="folder for the float networks")
    args = parser.parse_args()
    dataset = load(args)
    command, title, stem = described(args)
    path = RESULTS / f"accuracy_{stem}.json"
    result = json.loads(path.read_text()) if path.is_file() else {"float": {}, "rows": []}
    result |= {"command": command, "keras": keras.__version__}
    for part in sweep(dataset, args.widths, args, result):
        write(part, title, stem)
    print(write(result, title, stem))


if __name__ == "__main__":
    main()
