"""ResNet-18 on CIFAR-10, 4-bit weights and activations, by accumulator width: for a machine with a GPU.

    KERAS_BACKEND=torch python benchmarks/resnet18.py --data-dir FOLDER --output benchmarks/results/resnet18.json

Trains the float network, converts it for each P (first and last layer with 8-bit weights, as in A2Q, section 5) and
trains on.  Each row is written as soon as it is there, and rows that the output file holds are not trained again.
The accuracy is that of Keras' forward pass, which up to P = 24 is the integer program's.  PUBLISHED has the figures of
the A2Q+ paper (ResNet18, W4A4) for comparison.  Not run yet: no machine with a GPU has been at hand.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import keras
import numpy as np

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.callbacks import accumulator_layers, needed_bits
from a2q_keras.integer import storage
from a2q_keras.zoo import networks
from a2q_keras.zoo.train import accuracy

PUBLISHED = {
    "float": 95.0,
    "a2q": {16: 94.2, 15: 94.2, 14: 92.6, 13: 89.8, 12: 83.9},
    "a2q+": {16: 94.2, 15: 94.1, 14: 94.1, 13: 92.8, 12: 90.6},
}
PAD = 4


class Augmented(keras.utils.PyDataset):
    """Batches in random order, cropped from a border of zeros and mirrored at random, the same for the same seed."""

    def __init__(self, x, y, batch, seed):
        super().__init__()
        self.x = np.pad(x, [(0, 0), (PAD, PAD), (PAD, PAD), (0, 0)])
        self.y, self.batch, self.rng = y, batch, np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return math.ceil(len(self.y) / self.batch)

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.y))

    def __getitem__(self, index):
        chosen = self.order[index * self.batch : (index + 1) * self.batch]
        size = self.x.shape[1] - 2 * PAD
        images = [self._view(self.x[i], *self.rng.integers(0, 2 * PAD + 1, 2), size) for i in chosen]
        return np.stack(images), self.y[chosen]

    def _view(self, image, top, left, size):
        view = image[top : top + size, left : left + size]
        return view[:, ::-1] if self.rng.integers(2) else view


def fit(model, dataset, epochs, rate, batch, seed):
    """Momentum SGD, the rate falling to zero along a cosine."""
    batches = Augmented(dataset.x_train, dataset.y_train, batch, seed)
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * len(batches))
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=5e-4)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(batches, epochs=epochs, verbose=2)
    return accuracy(model.predict(dataset.x_test, batch_size=batch, verbose=0), dataset.y_test)


def train_one(float_model, dataset, method, acc_bits, args):
    """One row of the result."""
    start, wide = time.time(), {"weight_bits": 8, "acc_bits": 24}
    model = a2q.convert(float_model, acc_bits, 4, 4, method, data=dataset.x_train, first=wide, last=wide)
    found = fit(model, dataset, args.epochs, args.rate, args.batch, args.seed)
    needed = {layer.name: needed_bits(layer) for layer in accumulator_layers(model)}
    return {"method": method, "acc_bits": acc_bits, "accuracy": found, "needed": needed, "seconds": time.time() - start}


def float_network(dataset, args):
    """The trained float network, kept beside the output."""
    path = args.output.with_suffix(".float.keras")
    if path.is_file():
        return keras.saving.load_model(path)
    model = networks.build("resnet18", input_shape=dataset.x_train.shape[1:], width=args.width)
    fit(model, dataset, args.float_epochs, 0.1, args.batch, args.seed)
    model.save(path)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--widths", default="16,15,14,13,12")
    parser.add_argument("--methods", default="exact,a2q+,a2q")
    parser.add_argument("--width", type=int, default=64, help="channels of the first stage")
    parser.add_argument("--float-epochs", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--train", type=int, default=50_000, help="training samples used")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    dataset = data.load("cifar10", args.data_dir, images=True).first(args.train)
    float_model = float_network(dataset, args)
    result = json.loads(args.output.read_text()) if args.output.is_file() else {"published": PUBLISHED, "rows": []}
    result["float"] = accuracy(float_model.predict(dataset.x_test, verbose=0), dataset.y_test)
    done = [(row["method"], row["acc_bits"]) for row in result["rows"]]
    for acc_bits in map(int, args.widths.split(",")):
        for method in args.methods.split(","):
            if (method, acc_bits) not in done:
                result["rows"].append(train_one(float_model, dataset, method, acc_bits, args))
                storage.write_text(args.output, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
