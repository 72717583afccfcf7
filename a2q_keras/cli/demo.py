"""`a2q demo`: the whole way on scikit-learn's digits, in the order a user would go it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from a2q_keras.cli import hardware
from a2q_keras.cli.choices import check_limits
from a2q_keras.cli.progress import epochs_shown
from a2q_keras.errors import ConversionError
from a2q_keras.report import tables

HIDDEN = (64, 32)


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
        check_limits(self)


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
    pipeline.save_model(model, settings.output_dir / "model.keras")

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
    luts = hardware.compare(settings, program, lambda: _train_twin(float_model, settings, digits), console)
    results = {
        "settings": asdict(settings) | {"output_dir": str(settings.output_dir)},
        "accumulators": tables.accumulator_rows(proof),
        "accuracy": {
            "float": accuracy(float_model.predict(digits.x_test, verbose=0), digits.y_test),
            "keras_a2q": accuracy(model.predict(digits.x_test, verbose=0), digits.y_test),
            "firmware": accuracy(firmware.predict(digits.x_test.astype("float64")), digits.y_test),
        },
        "cosim": report.to_dict(),
        "luts": luts,
        "seconds": round(time.time() - start, 1),
    }
    pipeline.write_json(settings.output_dir / "results.json", results)
    if not quiet:
        _verdict(settings, results, report)
    if not report.ok:
        raise ConversionError(f"the firmware differs from the integer program: {report.first}")
    return results


def _train(settings, digits, console):
    from a2q_keras.zoo import mlp, recipe
    from a2q_keras.zoo.train import fit_classifier

    float_model = mlp.float_mlp(digits.x_train.shape[1], (*HIDDEN, digits.classes), name="digits_mlp")
    with epochs_shown(console, "float baseline", settings.epochs) as callback:
        fit_classifier(float_model, digits, settings.epochs, batch_size=32, callbacks=[callback])
    names = ("acc_bits", "weight_bits", "act_bits", "method")
    chosen = {name: getattr(settings, name) for name in names}
    with epochs_shown(console, f"A2Q, P={settings.acc_bits} ", settings.epochs) as callback:
        model = recipe.train(float_model, digits, settings.epochs, batch_size=32, callbacks=[callback], **chosen)
    return float_model, model


def _train_twin(float_model, settings, digits):
    """The same network with the same bits, trained alike without a bound."""
    from a2q_keras.zoo import recipe

    bits = {"weight_bits": settings.weight_bits, "act_bits": settings.act_bits, "acc_bits": hardware.TWIN_BITS}
    return recipe.train(float_model, digits, settings.epochs, batch_size=32, method="none", **bits)


def _verdict(settings, results, report):
    print(report)
    names = {"float": "float Keras", "keras_a2q": "A2Q Keras", "firmware": "firmware (C simulation)"}
    rows = {names[key]: f"{value:.2%}" for key, value in results["accuracy"].items()}
    tables.show(tables.key_value_table("Accuracy on the digits test set", rows))
    hardware.show(results["luts"])
    differing = sum(part["differing"] for part in results["cosim"]["parts"])
    widths = ", ".join(f"{row['layer']} {row['acc_bits']}" for row in results["accumulators"])
    print(
        f"accum_t bits: {widths}; mismatches: {differing}; {results['seconds']} s; everything in {settings.output_dir}"
    )
