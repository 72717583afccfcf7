"""Folded hardware of a digits MLP over the accumulator width: equal codes, cycles, LUTs and flip-flops by unit.

    python benchmarks/folded.py --bits 4,4

MLP 64-64-32-10; a width is given the weights of the network that was trained without a bound where these are proven
for it (the twin), and weights trained for it (method exact) where not.  Every design is simulated by Verilator on the
test set, random inputs and worst cases, with gaps and back-pressure; then its units are synthesised by Yosys one by
one, DSPs off, and added.  A2Q_CACHE=FOLDER keeps syntheses.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from qkeras import QActivation

import a2q_keras as a2q
from a2q_keras.cosim import folded, vectors
from a2q_keras.integer import storage
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.resources.run import Synthesis, of_design
from a2q_keras.resources.usage import Usage
from a2q_keras.rtl.design import RtlDesign
from a2q_keras.rtl.folded.folding import Folding
from a2q_keras.rtl.folded.stages import cycles_per_sample, plan
from a2q_keras.tools import YOSYS

RESULTS = Path(__file__).parent / "results"
FOLDING = Folding(pe={"fc1": 4, "fc2": 4, "logits": 2}, simd=4)
# what the units of hardware are counted as
KINDS = {
    "multiply": "multiply, adder tree",
    "accumulate": "accumulator",
    "requantize": "requantize",
    "weight_rom": "weight memory",
    "bias_rom": "bias memory",
    "window": "input buffer",
    "widen": "stream",
    "narrow": "stream",
}


def train(data, acc_bits: int, method: str, bits: tuple[int, int], epochs: int) -> IntegerProgram:
    """The integer program of a network trained for a width, or without a bound (method none)."""
    keras.utils.set_random_seed(0)
    weight_bits, act_bits = bits
    model = keras.Sequential([keras.Input((64,)), QActivation(f"quantized_relu({act_bits},0)")], name="digits")
    for units, name in ((64, "fc1"), (32, "fc2")):
        model.add(a2q.A2QDense(units, acc_bits=acc_bits, weight_bits=weight_bits, method=method, name=name))
        model.add(QActivation(f"quantized_relu({act_bits},2)", name=f"relu_{name}"))
    model.add(a2q.A2QDense(10, acc_bits=acc_bits, weight_bits=weight_bits, method=method, name="logits"))
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data.x_train, data.y_train, epochs=epochs, batch_size=64, verbose=0)
    return a2q.integer_model(model)


def measure(program: IntegerProgram, data, acc_bits: int, samples: int) -> dict:
    """All figures of one width."""
    program = program.with_acc_bits(a2q.certify(program, acc_bits).raise_if_unsafe().acc_bits)
    accuracy = float((program.run(data.x_test).argmax(axis=1) == data.y_test).mean())
    design = a2q.to_rtl(program, acc_bits, style="folded", pe=FOLDING.pe, simd=FOLDING.simd)
    units = parts(design)
    return {
        "acc_bits": acc_bits,
        "accuracy": accuracy,
        "needed": int(max(a2q.certify(program).acc_bits.values())),
        "yosys": YOSYS.version(),
        **simulate(program, data, samples),
        "total": asdict(sum(units.values(), Usage())),
        "parts": {kind: asdict(usage) for kind, usage in units.items()},
    }


def simulate(program: IntegerProgram, data, samples: int) -> dict:
    """Whether the codes of `samples` inputs are equal, the cycles of each, and the accumulators of the first layer."""
    real, worst = program.inputs[0].format.quantize(data.x_test), vectors.first_layer_inputs(program)[0]
    random = vectors.random_inputs(program, samples - len(real) - len(worst))[0]
    x = np.concatenate([worst, real, random])
    with tempfile.TemporaryDirectory() as folder:
        hardware = folded.simulation(program, FOLDING, folder)
        steady, stalled = hardware.run(x), hardware.run(x, folded.Stalls())
    wanted, layer = program.run_codes(x), a2q.certify(program)["fc1"]
    return {
        "inputs": len(x),
        "equal": bool((steady.codes == wanted).all() and (stalled.codes == wanted).all()),
        "cycles": steady.cycles_per_sample,
        "promised": cycles_per_sample(plan(program, {}, FOLDING)),
        "fc1_seen": steady.extremes["fc1"],
        "fc1_certified": [int(layer.acc_min.min()), int(layer.acc_max.max())],
    }


def parts(design: RtlDesign) -> dict[str, Usage]:
    """Usage by kind of unit: each unit synthesised alone, and added."""
    found: dict[str, Usage] = defaultdict(Usage)
    for name in re.findall(r"^module \\(\S+)", design.files["folded.v"], re.MULTILINE):
        kind = KINDS.get(name.split(".")[-1].split("$")[0])
        if kind:
            found[kind] += of_design(unit(design, name), Synthesis()).total
    return dict(found)


def unit(design: RtlDesign, name: str) -> RtlDesign:
    """One module of a design with those in it."""
    modules = re.findall(r"^module \\?(\S+).*?^endmodule\n", design.files["folded.v"], re.MULTILINE | re.DOTALL)
    texts = re.findall(r"^module .*?^endmodule\n", design.files["folded.v"], re.MULTILINE | re.DOTALL)
    kept = [text for module, text in zip(modules, texts) if module == name or module.startswith(f"{name}.")]
    return replace(design, name=name, top=name, files={"unit.v": "\n".join(kept)})


def table(rows: list[dict]) -> str:
    """The results as Markdown."""
    kinds = [kind for kind in dict.fromkeys(KINDS.values()) if any(kind in row["parts"] for row in rows)]
    head = ["P", "weights", "needed", "accuracy", "inputs equal", "cycles", "LUT", "FF", *kinds]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        equal = f"{row['inputs']:,} {'yes' if row['equal'] else 'NO'}"
        units = [f"{row['parts'][kind]['luts']}/{row['parts'][kind]['ffs']}" for kind in kinds]
        cells = [row["acc_bits"], row["weights"], row["needed"], f"{row['accuracy']:.2%}", equal, row["cycles"]]
        cells += [row["total"]["luts"], row["total"]["ffs"], *units]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def run(bits: tuple[int, int], widths: list[int], samples: int, epochs: int):
    """One row per width, after each of which the table is printed."""
    data, rows = a2q.data.digits(), []
    twin = train(data, 32, "none", bits, epochs)
    for acc_bits in widths:
        proven = a2q.certify(twin, acc_bits).ok
        program = twin if proven else train(data, acc_bits, "exact", bits, epochs)
        rows.append({"weights": "twin" if proven else "exact"} | measure(program, data, acc_bits, samples))
        print(table(rows[-1:]), flush=True)
        yield rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", default="4,4", help="weight bits, activation bits")
    parser.add_argument("--widths", default="32,24,16,14,12")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30)
    given = parser.parse_args()
    bits, widths = tuple(map(int, given.bits.split(","))), list(map(int, given.widths.split(",")))
    stem = f"folded_w{bits[0]}a{bits[1]}"
    for rows in run(bits, widths, given.samples, given.epochs):
        storage.write_text(RESULTS / f"{stem}.json", storage.to_text({"bits": list(bits), "rows": rows}) + "\n")
        title = f"# Folded hardware, digits MLP 64-64-32-10, W{bits[0]}A{bits[1]}"
        made = f"LUT/FF of units; made by `python benchmarks/folded.py --bits {given.bits} --widths {given.widths}`."
        storage.write_text(RESULTS / f"{stem}.md", f"{title}\n\n{made}\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()
