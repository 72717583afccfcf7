"""`a2q demo`: the whole way on scikit-learn's digits, in the order a user would go it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from a2q_keras.errors import ConfigurationError, ConversionError
from a2q_keras.report import tables

HIDDEN = (64, 32)
LIMITS = {
    "acc_bits": (2, 64),
    "weight_bits": (2, 16),
    "act_bits": (1, 16),
    "epochs": (1, 10**6),
    "seed": (0, 2**32 - 1),
}
METHODS = ("exact", "a2q", "none")


@dataclass(frozen=True)
class Settings:
    """What the user can choose; ConfigurationError, before anything is trained, for what is not allowed."""

    acc_bits: int
    weight_bits: int
    act_bits: int
    method: str
    epochs: int
    output_dir: Path
    seed: int

    def __post_init__(self):
        for name, (least, most) in LIMITS.items():
            if not least <= getattr(self, name) <= most:
                option = f"--{name.replace('_', '-')} {getattr(self, name)}"
                raise ConfigurationError(f"{option} is not allowed; give a number from {least} to {most}")
        if self.method not in METHODS:
            raise ConfigurationError(f"--method {self.method} is unknown; allowed are {', '.join(METHODS)}")


def demo(settings: Settings, quiet: bool = False) -> dict:
    """Run it; the results as plain data, also written to output_dir/results.json.

    Raises AccumulatorOverflowError where the trained network needs wider accumulators (method none), ConversionError
    where the co-simulation finds a difference.
    """
    import keras

    from a2q_keras import data, pipeline
    from a2q_keras.zoo.train import accuracy

    console = Console(stderr=True, quiet=quiet)
    start = time.time()
    keras.utils.set_random_seed(settings.seed)
    digits = data.digits()
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    float_model, model = _train(settings, digits, console)
    model.save(settings.output_dir / "model.keras")

    program, proof = pipeline.granted(model, settings.acc_bits)
    if not quiet:
        tables.show(tables.accumulator_table(proof))
    proof.verify().save(settings.output_dir / "certificate.json")
    program.save(settings.output_dir / "program.a2q")

    with console.status("converting with hls4ml, compiling the C simulation"):
        firmware = pipeline.to_hls(program, settings.acc_bits, output_dir=settings.output_dir / "firmware")
        firmware.compile()
    with console.status("comparing every layer, bit for bit"):
        report = pipeline.cosim(model, digits.x_test, acc_bits=settings.acc_bits)
    results = {
        "settings": asdict(settings) | {"output_dir": str(settings.output_dir)},
        "accumulators": tables.accumulator_rows(proof),
        "accuracy": {
            "float": accuracy(float_model.predict(digits.x_test, verbose=0), digits.y_test),
            "keras_a2q": accuracy(model.predict(digits.x_test, verbose=0), digits.y_test),
            "firmware": accuracy(firmware.predict(digits.x_test.astype("float64")), digits.y_test),
        },
        "cosim": report.to_dict(),
        "seconds": round(time.time() - start, 1),
    }
    pipeline.write_json(settings.output_dir / "results.json", results)
    if not quiet:
        _verdict(settings, results, report)
    if not report.ok:
        raise ConversionError(f"the firmware differs from the integer program: {report.first}")
    return results


def _train(settings, digits, console):
    from a2q_keras.zoo import mlp
    from a2q_keras.zoo.train import EpochProgress, fit_classifier

    def fit(label, model):
        with _progress(console) as progress:
            task = progress.add_task(label, total=settings.epochs, text="")
            callback = EpochProgress(lambda text: progress.update(task, advance=1, text=text))
            fit_classifier(model, digits, settings.epochs, batch_size=32, callbacks=[callback])
        return model

    float_model = fit("float baseline", mlp.float_mlp(digits.x_train.shape[1], (*HIDDEN, digits.classes)))
    bits = settings.acc_bits, settings.weight_bits, settings.act_bits, settings.method
    model = mlp.from_float(float_model, digits.x_train, *bits, name="digits_mlp")
    return float_model, fit(f"A2Q, P={settings.acc_bits} ", model)


def _progress(console):
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
        console=console,
    )


def _verdict(settings, results, report):
    print(report)
    names = {"float": "float Keras", "keras_a2q": "A2Q Keras", "firmware": "firmware (C simulation)"}
    rows = {names[key]: f"{value:.2%}" for key, value in results["accuracy"].items()}
    tables.show(tables.key_value_table("Accuracy on the digits test set", rows))
    differing = sum(part["differing"] for part in results["cosim"]["parts"])
    widths = ", ".join(f"{row['layer']} {row['acc_bits']}" for row in results["accumulators"])
    print(
        f"accum_t bits: {widths}; mismatches: {differing}; {results['seconds']} s; everything in {settings.output_dir}"
    )
