"""What was tried to make method `exact` better in narrow accumulators: what is kept and what was dropped.

    python benchmarks/choices.py --data-dir FOLDER

Each variant changes one thing against the way things are now, on the tables of `accuracy.py` at widths where it can
matter, with seeds that no choice was made on.  The accuracy is that of the integer program on the test set; with
exponents per channel that of the Keras model, whose accumulators are checked.

nearest codes: `convert` without start="optq"; and with biases corrected before training instead.  zeros pay nothing:
weights projected to zero keep their whole gradient: the Jacobian of the projection is all there is.  rate 0.002, 0.005,
0.02: Adam's, now 0.01.  bias share 1, 0: how much of the accumulator a bias may take, now a quarter
(`bounds.largest_bias`).  narrowing: `AccumulatorSchedule` from P+3 down to P over the first 60 % of the epochs.
equalised: ranges of the channels equalised between layers before conversion (Nagel et al., ICCV 2019, section 4.1),
which is what an exponent of each channel could do in front of a ReLU.  pulled in: weights shrunk to the budget at every
epoch.  search every step: thresholds never held.  symmetric inputs: without the lowest code, which no input needs.
exponents per channel: a scale of its own for every output channel, see channel_exponents.py.  no norms: the kernel of a
convolution is its weights, see `quantizers.weight_norm`; on CIFAR-10, which trains for 9 epochs at 5e-3.

Results go to benchmarks/results/choices.{json,md}, after every training; a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import statistics
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import accuracy as bench
import channel_exponents
import keras
import numpy as np
from rich.progress import track

import a2q_keras as a2q
from a2q_keras.callbacks import AccumulatorSchedule, accumulator_layers
from a2q_keras.integer import storage
from a2q_keras.layers import search
from a2q_keras.layers.weight_norm import WeightNorm
from a2q_keras.model import calibrate
from a2q_keras.numerics import bounds, projection
from a2q_keras.quantizers import exact
from a2q_keras.zoo.train import accuracy, fit_classifier

CASES = (("magic_gamma", (7, 6)), ("dry_bean", (7, 6)), ("cifar10", (10,)))
LONGER = {"cifar10": {"epochs": 9, "rate": 5e-3}}
SEEDS = (10, 11)
QUANTIZER, PRICES = calibrate.quantizer, exact._prices
COMMAND = "python benchmarks/choices.py --data-dir FOLDER"


class PulledIn(keras.callbacks.Callback):
    """Shrinks the latent weights of every layer onto its budget, continuously, at the beginning of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        for layer in accumulator_layers(self.model):
            kernel, inputs = keras.ops.convert_to_numpy(layer.kernel), layer.input_format
            _, bias, frac = layer.integer_weights()
            room = bounds.headroom(layer.acc_bits, bias)[0] // max(inputs.hi, -inputs.lo)
            radius = room * 2.0**-frac
            sides = [projection.project_l1(np.maximum(part, 0), radius) for part in (kernel, -kernel)]
            layer.kernel.assign((sides[0] - sides[1]) if inputs.lo == 0 else projection.project_l1(kernel, radius))


def equalised(model):
    """The float network with the largest weights of each hidden unit the same in front of it and behind it."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    dense = [layer for layer in twin.layers if isinstance(layer, keras.layers.Dense)]
    for layer, behind in pairwise(dense):
        (kernel, bias), (kernel_behind, bias_behind) = layer.get_weights(), behind.get_weights()
        ratio = np.abs(kernel).max(axis=0) / np.maximum(np.abs(kernel_behind).max(axis=1), 1e-9)
        factor = np.sqrt(np.where(ratio > 0, ratio, 1))
        layer.set_weights([kernel / factor, bias / factor])
        behind.set_weights([kernel_behind * factor[:, None], bias_behind])
    return twin


def narrowing(acc_bits, epochs):
    """P + 3, + 2, + 1, + 0, each for a fifth of the epochs, the last one for two fifths."""
    return [AccumulatorSchedule({epochs * step // 5: acc_bits + 3 - step for step in range(4)})]


def zeros_pay_nothing(gradient, latent, drawing, share):
    """`exact._prices` for the weights that draw on a budget only."""
    prices = PRICES(gradient, latent, drawing, share)
    return keras.ops.stack([drawing[0], prices[1], -drawing[-1], prices[3]])


def symmetric(values, bits, percentile=None):
    """`calibrate.quantizer`, signed formats without their lowest code."""
    return QUANTIZER(values, bits, percentile).replace(",alpha=1", ",1,alpha=1")


VARIANTS = {
    "as it is": {},
    "nearest codes": {"settings": {"start": None}},
    "nearest codes, biases corrected": {"settings": {"start": None, "bias_correction": True}},
    "zeros pay nothing": {"patches": [(exact, "_prices", zeros_pay_nothing)]},
    "rate 0.002": {"rate": 2e-3},
    "rate 0.005": {"rate": 5e-3},
    "rate 0.02": {"rate": 2e-2},
    "bias share 1": {"share": 1.0},
    "bias share 0": {"share": 0.0},
    "narrowing": {"callbacks": narrowing},
    "equalised": {"float": equalised},
    "pulled in": {"callbacks": lambda acc_bits, epochs: [PulledIn()]},
    "search every step": {"patches": [(search, "SEARCH_EVERY", 1)]},
    "symmetric inputs": {"patches": [(calibrate, "quantizer", symmetric)]},
    "exponents per channel": {"patches": channel_exponents.PATCHES, "predict": channel_exponents.predict},
    "no norms": {"patches": [(WeightNorm, "may_normalise", False)]},
}
SLOW = {"cifar10": ("as it is", "no norms")}  # the variants tried there


def run(dataset, float_model, acc_bits, variant, seed):
    """Test accuracy of one training."""
    task = replace(bench.TASKS[dataset.name], **LONGER.get(dataset.name, {}))
    task = replace(task, rate=variant.get("rate", task.rate))
    keras.utils.set_random_seed(seed)
    float_model = variant.get("float", lambda model: model)(float_model)
    settings = task.settings | bench.STARTS["exact"] | variant.get("settings", {})
    with ExitStack() as patches:
        for patch in variant.get("patches", ()):
            patches.enter_context(mock.patch.object(*patch))
        model = a2q.convert(float_model, acc_bits, 4, 4, data=dataset.x_train, **settings)
        for layer in accumulator_layers(model):
            layer.bias_share = variant.get("share", layer.bias_share)
        callbacks = variant.get("callbacks", lambda *_: [])(acc_bits, task.epochs)
        fit_classifier(model, dataset, task.epochs, task.rate, task.batch, callbacks)
        return accuracy(variant.get("predict", bench.certified)(model, dataset.x_test), dataset.y_test)


def markdown(found):
    """A table of the means over the seeds, one column per data set and width."""
    cases = [(name, width) for name, widths in CASES for width in widths]
    lines = [
        "# Choices in method `exact`, W4A4",
        "",
        f"Made by `{COMMAND}`; {len(SEEDS)} seeds; test accuracy of the integer program, mean (least); with "
        "exponents per channel that of the Keras model.",
        "",
        "| variant | " + " | ".join(f"{name}, P={width}" for name, width in cases) + " |",
        "|---|" + "---|" * len(cases),
    ]
    for title in VARIANTS:
        seeds = [[found.get(key(title, *case, seed)) for seed in SEEDS] for case in cases]
        cells = ["" if None in row else f"{statistics.fmean(row):.2%} ({min(row):.2%})" for row in seeds]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(path, found):
    """The two files of the results; the table."""
    table = markdown(found)
    storage.write_text(path, json.dumps({"command": COMMAND, "accuracy": found}, indent=1) + "\n")
    storage.write_text(path.with_suffix(".md"), table)
    return table


def key(title, name, width, seed):
    """The name of a result in the file."""
    return f"{title}, {name}, P={width}, seed {seed}"


def sweep(found, args):
    """Train what `found` lacks and yield it after every training."""
    for name, widths in CASES:
        dataset = bench.load(argparse.Namespace(data=name, data_dir=args.data_dir, train=0))
        floats = {seed: bench.float_network(dataset, seed, args.keep) for seed in SEEDS}
        titles = SLOW.get(name, VARIANTS)
        cases = [(title, width, seed) for title in titles for width in widths for seed in SEEDS]
        for title, width, seed in track(cases, name):
            wanted = key(title, name, width, seed)
            if wanted not in found:
                found[wanted] = run(dataset, floats[seed], width, VARIANTS[title], seed)
                yield found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="folder for the float networks")
    args = parser.parse_args()
    path = bench.RESULTS / "choices.json"
    found = json.loads(path.read_text())["accuracy"] if path.is_file() else {}
    for part in sweep(found, args):
        write(path, part)
    print(write(path, found))


if __name__ == "__main__":
    main()
