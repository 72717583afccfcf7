"""LUTs by accumulator width: the same network and bits, trained with and without a bound, synthesised with Yosys.

    python benchmarks/resources.py --bits 6,4 --widths 12,11,10
    python benchmarks/resources.py --bits 8,8 --widths 16,15,14 --methods exact

Digits (scikit-learn), MLP 64-64-32-10.  The 32-bit twin is method `none`: plain quantization, the same bits, the same
float network, the same training, an accumulator of 32 bits.  Every other row has a proven accumulator of P bits.  The
accuracy is that of the integer program's golden run, so it is the hardware's.  Style parallel, synth_xilinx -nodsp.
--by-layer synthesises layer by layer and adds: for a machine on which Yosys does not finish the whole.  It tells the
parts, too: "sums" are products, adder trees and biases, "requantize" is rounding and saturation.
There are no others in this style: weights are wires, and an accumulator is as wide as its sum needs, whatever P is.

Results go to benchmarks/results/resources_digits_wWaA.{json,md} after every row; a run that was stopped goes on from
there.  A2Q_CACHE=FOLDER keeps each synthesis.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import a2q_keras as a2q
from a2q_keras import data
from a2q_keras.integer import storage
from a2q_keras.zoo import mlp, recipe
from a2q_keras.zoo.train import accuracy, fit_classifier

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    *("method", "P", "P needed", "accuracy", "99.2 % of float", "zero weights", "LUT", "FF", "CARRY"),
    *("LUT of sums", "LUT of requantize", "twin / LUT", "estimate"),
)
METHODS = ("none", "exact", "a2q+", "a2q")
HIDDEN, TWIN_BITS, ENOUGH = (64, 32), 32, 0.992


def main():
    args = _arguments()
    weight_bits, act_bits = map(int, args.bits.split(","))
    target = RESULTS / f"resources_digits_w{weight_bits}a{act_bits}.json"
    rows = json.loads(target.read_text())["rows"] if target.exists() else []
    digits, float_model = data.digits(), None
    for method, acc_bits in _cases(args):
        if any((row["method"], row["acc_bits"]) == (method, acc_bits) for row in rows):
            continue
        float_model = float_model or _float(digits, args.epochs)
        rows.append(_row(float_model, digits, (weight_bits, act_bits), method, acc_bits, args))
        _write(target, rows, args)
        print(rows[-1], flush=True)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", default="6,4", help="of weights and activations")
    parser.add_argument("--widths", default="12,11,10", help="accumulator bits")
    parser.add_argument("--methods", default=",".join(METHODS[1:]))
    parser.add_argument("--family", default="xcup")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--by-layer", action="store_true")
    return parser.parse_args()


def _cases(args) -> list[tuple[str, int]]:
    widths = [int(width) for width in args.widths.split(",")]
    return [("none", TWIN_BITS), *((method, width) for method in args.methods.split(",") for width in widths)]


def _float(digits, epochs):
    keras.utils.set_random_seed(0)
    model = mlp.float_mlp(digits.x_train.shape[1], (*HIDDEN, digits.classes), name="digits_mlp")
    fit_classifier(model, digits, epochs, batch_size=32)
    return model


def _row(float_model, digits, bits, method: str, acc_bits: int, args) -> dict:
    keras.utils.set_random_seed(0)
    chosen = {"weight_bits": bits[0], "act_bits": bits[1], "acc_bits": acc_bits, "method": method}
    model = recipe.train(float_model, digits, args.epochs, batch_size=32, **chosen)
    program, start = a2q.integer_model(model), time.time()
    proof = a2q.certify(program, acc_bits).raise_if_unsafe()
    report = a2q.resources(program, args.family, by_layer=args.by_layer)
    weights = sum(layer.weights.size for layer in proof.layers)
    return {
        "method": method,
        "acc_bits": acc_bits,
        "needed_bits": max(int(layer.needed_bits.max()) for layer in proof.layers),
        "float_accuracy": accuracy(float_model.predict(digits.x_test, verbose=0), digits.y_test),
        "accuracy": accuracy(program.run(digits.x_test), digits.y_test),
        "sparsity": sum(layer.sparsity * layer.weights.size for layer in proof.layers) / weights,
        **asdict(report.total),
        "parts": _parts(program, report),
        "estimated_luts": report.estimated_luts,
        "synthesis": report.method,
        "tool": report.tool,
        "seconds": round(time.time() - start),
    }


def _parts(program, report) -> dict[str, int]:
    """LUTs of the sums and of all else, where layers were synthesised one by one."""
    if not report.parts:
        return {}
    summing = {op.name for op in program.accumulator_ops}
    sums = sum(usage.luts for name, usage in report.parts.items() if name in summing)
    return {"sums": sums, "requantize": report.total.luts - sums}


def _write(target: Path, rows, args):
    storage.write_text(target, storage.to_text({"family": args.family, "rows": rows}) + "\n")
    twin, *bounded = sorted(rows, key=lambda row: (METHODS.index(row["method"]), -row["acc_bits"]))
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for row in (twin, *bounded):
        kept = "yes" if row["accuracy"] >= ENOUGH * row["float_accuracy"] else "no"
        cells = (row["method"], row["acc_bits"], row["needed_bits"], f"{row['accuracy']:.2%}", kept)
        counts = (f"{row[name]:,}" for name in ("luts", "ffs", "carries"))
        parts = (f"{row['parts'][part]:,}" if row["parts"] else "-" for part in ("sums", "requantize"))
        ratio = (f"{twin['luts'] / row['luts']:.2f}", f"{row['estimated_luts']:,.0f}")
        lines.append("| " + " | ".join(map(str, (*cells, f"{row['sparsity']:.1%}", *counts, *parts, *ratio))) + " |")
    widths = ",".join(map(str, sorted({row["acc_bits"] for row in bounded}, reverse=True)))
    by_layer = " --by-layer" if args.by_layer else ""
    made = f"`python benchmarks/resources.py --bits {args.bits} --widths {widths}{by_layer}`"
    text = (
        f"Digits, MLP 64-64-32-10, style parallel, {args.family}, no DSPs, {twin['tool']}, {twin['synthesis']}; "
        f"float accuracy {twin['float_accuracy']:.2%}, one seed. The estimate is da4ml's. Made by {made}."
    )
    storage.write_text(target.with_suffix(".md"), "\n".join([text, "", *lines]) + "\n")


if __name__ == "__main__":
    main()
