"""ResNet-18 on CIFAR-10, 4-bit weights and activations, by accumulator width: for a machine with a GPU.

    KERAS_BACKEND=jax python benchmarks/resnet18.py --data-dir FOLDER --keep FOLDER

Trains the float network, converts it for each P (first and last layer with 8-bit weights, as in A2Q, section 5) and
trains on: crops from a border of zeros, mirrored images, labels smoothed alike for both.  The accuracy is that of the
integer program's golden run, whose certificate grants P; Keras' own forward pass stands beside it.  PUBLISHED has the
figures of the A2Q+ paper (ResNet18, W4A4) for comparison.  Method `fitted` is `exact` whose activations may have fewer
bits, two or more, where that suits the accumulators behind them; `exact-a3` is `exact` with 3-bit activations.  With
--taught networks learn from the float network's outputs instead of the labels; these results are a table of their own.

--keep holds the float network, the converted ones before training, and a record and the integer program of each row;
what is there is not made again, so a run that was stopped goes on.  Several processes, each with a part of --widths and
--methods, may share the folder and the GPU.  --until start chooses the codes to start from, and --until table runs the
programs and writes the table: neither needs a GPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from pathlib import Path

import keras
import numpy as np

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.integer import storage
from a2q_keras.model.post_training.choose import warm_start
from a2q_keras.numerics.fit import Recipe
from a2q_keras.zoo import networks
from a2q_keras.zoo.train import score

PUBLISHED = {
    "float": 95.0,
    "a2q": {16: 94.2, 15: 94.2, 14: 92.6, 13: 89.8, 12: 83.9},
    "a2q+": {16: 94.2, 15: 94.1, 14: 94.1, 13: 92.8, 12: 90.6},
}
WIDE = {"weight_bits": 8, "acc_bits": 24}
START = Recipe("optq", refine=False, passes=1)  # of exact; the papers' methods start as they say: biases corrected
START_SAMPLES = 512
VARIANTS = {
    "fitted": {"method": "exact", "least_act_bits": 2},
    "exact-a3": {"method": "exact", "act_bits": 3},
}
STAGES = ("float", "start", "train", "table")
PAD = 4
RESULTS = Path(__file__).parent / "results"


class Augmented(keras.utils.PyDataset):
    """Batches in random order, cropped from a border of zeros and mirrored at random, the same for the same seed."""

    def __init__(self, dataset, batch, seed):
        super().__init__(workers=4, max_queue_size=16)
        x, size = dataset.x_train, dataset.x_train.shape[1:3]
        padded = np.pad(x, [(0, 0), (PAD, PAD), (PAD, PAD), (0, 0)])
        self.views = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(1, 2))
        self.y, self.batch, self.seed, self.epoch = keras.utils.to_categorical(dataset.y_train), batch, seed, -1
        self.on_epoch_end()

    def __len__(self):
        return math.ceil(len(self.y) / self.batch)

    def on_epoch_end(self):
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.y))

    def __getitem__(self, index):
        chosen = self.order[index * self.batch : (index + 1) * self.batch]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        top, left = rng.integers(0, 2 * PAD + 1, (2, len(chosen)))
        images = np.moveaxis(self.views[chosen, top, left], 1, -1)
        mirrored = rng.integers(2, size=(len(chosen), 1, 1, 1)) == 1
        return np.where(mirrored, images[:, :, ::-1], images), self.y[chosen]


def fit(model, dataset, optimizer, epochs, batch, args, labels=True):
    """Train; `optimizer` makes one from a schedule of rates, which rises for a tenth and falls along a cosine.

    labels: learn from these, or from what the layers of the model add to the loss only.
    """
    batches = Augmented(dataset, batch, args.seed)
    steps = epochs * len(batches)

    def schedule(rate):
        return keras.optimizers.schedules.CosineDecay(
            0.0, steps - steps // 10, warmup_target=rate, warmup_steps=steps // 10
        )

    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=args.smoothing)
    model.compile(optimizer(schedule), loss if labels else None, metrics=["categorical_accuracy"])
    return model.fit(batches, epochs=epochs, verbose=2).history


def float_in_bfloat16(shape, args):
    """The untrained float network, which computes in bfloat16, in half the time on a GPU; its weights are float32."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = networks.build("resnet18", input_shape=shape, width=args.width)
    keras.config.set_dtype_policy("float32")
    return model


def float_network(dataset, args):
    """The trained float network, kept, with its accuracy."""
    path, shape = args.keep / "float.weights.h5", dataset.x_train.shape[1:]
    model = networks.build("resnet18", input_shape=shape, width=args.width)
    if path.is_file():
        model.load_weights(path)
        return model
    trained = float_in_bfloat16(shape, args)
    rate = 0.2 * args.float_batch / 256

    def momentum(schedule):  # Keras' weight decay passes the momentum by: 5e-3 is 5e-4 in the loss
        return keras.optimizers.SGD(schedule(rate), momentum=0.9, nesterov=True, weight_decay=5e-3)

    fit(trained, dataset, momentum, args.float_epochs, args.float_batch, args)
    model.set_weights(trained.get_weights())
    record = {"epochs": args.float_epochs, "accuracy": score(model, dataset)["accuracy"]}
    storage.write_text(args.keep / "float.json", json.dumps(record) + "\n")
    model.save_weights(path)
    return model


class Taught(keras.layers.Layer):
    """The logits of a student, which is to give the probabilities that a teacher gives."""

    def call(self, logits):
        student, teacher = logits
        wanted = keras.ops.softmax(keras.ops.cast(teacher, student.dtype))
        self.add_loss(keras.ops.mean(keras.losses.categorical_crossentropy(wanted, student, from_logits=True)))
        return student


def taught(model, dataset, args):
    """The network around `model` to train instead of it, which learns from the float network instead of the labels."""
    teacher = float_in_bfloat16(model.input_shape[1:], args)
    teacher.set_weights(float_network(dataset, args).get_weights())
    teacher.trainable, teacher.name = False, "teacher"
    image = keras.Input(model.input_shape[1:])
    return keras.Model(image, Taught(dtype="float32")([model(image), teacher(image)]))


def started(dataset, method, acc_bits, args):
    """The converted network before it is trained, kept: choosing its codes takes minutes of a processor, and no GPU."""
    path = kept_path(args.keep, method, acc_bits, ".keras")
    if path.is_file():
        return a2q.load_model(path)
    float_model, papers = float_network(dataset, args), method.startswith("a2q")
    settings = {"first": WIDE, "last": WIDE, "input_bits": 8, "bias_correction": papers}
    settings |= {"act_bits": 4, "method": method} | VARIANTS.get(method, {})
    model = a2q.convert(float_model, acc_bits, 4, data=dataset.x_train, **settings)
    if not papers:
        warm_start(model, float_model, [dataset.x_train[:START_SAMPLES]], START)
    model.save(path)
    return model


def train_one(dataset, method, acc_bits, args):
    """One row, and its program beside it."""
    keras.utils.set_random_seed(args.seed)
    begin = time.time()
    model = started(dataset, method, acc_bits, args)

    def adam(schedule):
        return keras.optimizers.Adam(schedule(args.rate))

    trained = taught(model, dataset, args) if args.taught else model
    history = fit(trained, dataset, adam, args.epochs, args.batch, args, labels=not args.taught)
    row = {
        "method": method,
        "acc_bits": acc_bits,
        "epochs": args.epochs,
        "rate": args.rate,
        "taught": args.taught,
        "keras": score(model, dataset)["accuracy"],
        "training": history["categorical_accuracy"],
        "seconds": round(time.time() - begin),
    }
    a2q.integer_model(model).save(kept_path(args.keep, method, acc_bits, ".a2q"))
    return row


def kept_path(folder, method, acc_bits, suffix):
    """Of a row's start (.keras), record (.json) or integer program (.a2q)."""
    return folder / f"{method}_{acc_bits}{suffix}"


def measure(row, dataset, folder):
    """A row with what its integer program shows: accuracy, also before training, bits needed, zero weights."""
    program, begun = (
        a2q.load_model(kept_path(folder, row["method"], row["acc_bits"], suffix)) for suffix in (".a2q", ".keras")
    )
    proof = a2q.certify(program)
    inner = [op.name for op in program.accumulator_ops][1:-1]
    needed = max(proof.acc_bits[name] for name in inner)
    assert needed <= row["acc_bits"]
    return row | {
        "accuracy": score(program, dataset)["accuracy"],
        "before_training": score(a2q.integer_model(begun), dataset)["accuracy"],
        "needed_bits": needed,
        "sparsity": statistics.fmean(layer.sparsity for layer in proof.layers if layer.name in inner),
    }


def read_rows(folder):
    """All rows that a folder holds, the widest accumulators first."""
    rows = [json.loads(path.read_text()) for path in folder.glob("*_*.json")]
    return sorted(rows, key=lambda row: (row["method"], -row["acc_bits"]))


def markdown(float_accuracy, rows, command):
    """The table, with the command that made it."""
    lines = [
        "# ResNet-18 on CIFAR-10, W4A4 or less, by accumulator width P",
        "",
        f"Made by `{command}`, P, epochs and rate as in the rows; one seed; test accuracy of the integer program.",
        "",
        f"Float: {float_accuracy:.2%}; that of the paper {PUBLISHED['float']} %. Published: the A2Q+ paper's.",
        "",
        "| P | method | accuracy | before training | epochs | rate | zero weights | A2Q+ published | A2Q published |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shown = [
            f"{row['accuracy']:.2%}",
            f"{row['before_training']:.2%}",
            str(row["epochs"]),
            f"{row['rate']:g}",
            f"{row['sparsity']:.0%}",
        ]
        shown += [f"{PUBLISHED[method][row['acc_bits']]} %" for method in ("a2q+", "a2q")]
        lines.append(f"| {row['acc_bits']} | `{row['method']}` | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def make_missing(dataset, args):
    """What is asked for and not there, stage by stage, up to --until."""
    if args.until == "float":
        float_network(dataset, args)
        return
    for width, method in itertools.product(args.widths.split(","), args.methods.split(",")):
        if args.until == "start":
            started(dataset, method, int(width), args)
        elif not kept_path(args.keep, method, width, ".json").is_file():
            row = train_one(dataset, method, int(width), args)
            storage.write_text(kept_path(args.keep, method, width, ".json"), json.dumps(row, indent=1) + "\n")


def finish(dataset, args):
    """Run the programs that have not been run, and write the table."""
    for row in read_rows(args.keep):
        if "accuracy" not in row:
            path = kept_path(args.keep, row["method"], row["acc_bits"], ".json")
            storage.write_text(path, json.dumps(measure(row, dataset, args.keep), indent=1) + "\n")
    rows = read_rows(args.keep)
    shown = ("methods", "widths", "epochs", "float_epochs", "rate", "batch")
    options = " ".join(f"--{name.replace('_', '-')} {getattr(args, name)}" for name in shown)
    command = f"python benchmarks/resnet18.py --data-dir FOLDER --keep FOLDER {options}{' --taught' * args.taught}"
    kept = json.loads((args.keep / "float.json").read_text())
    result = {"command": command, "published": PUBLISHED, "float": kept, "rows": rows}
    name = "resnet18_taught" if args.taught else "resnet18"
    storage.write_text(RESULTS / f"{name}.json", json.dumps(result, indent=1) + "\n")
    storage.write_text(RESULTS / f"{name}.md", markdown(kept["accuracy"], rows, command))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--keep", type=Path, required=True, help="folder for the float network, rows and programs")
    parser.add_argument("--widths", default="16,15,14,13,12")
    parser.add_argument("--methods", default="exact,a2q+,a2q")
    parser.add_argument("--width", type=int, default=64, help="channels of the first stage")
    parser.add_argument("--float-epochs", type=int, default=60)
    parser.add_argument("--float-batch", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--taught", action="store_true", help="learn from the float network instead of the labels")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--smoothing", type=float, default=0.1, help="of the labels")
    parser.add_argument("--train", type=int, default=50_000, help="training samples used")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", choices=STAGES, default="table", help="stop after this stage")
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    args.keep.mkdir(parents=True, exist_ok=True)
    dataset = data.load("cifar10", args.data_dir, images=True).first(args.train)
    make_missing(dataset, args)
    if args.until == "table":
        finish(dataset, args)


if __name__ == "__main__":
    main()
