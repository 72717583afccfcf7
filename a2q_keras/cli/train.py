"""`a2q train`: a network of the zoo on a data set, in floating point and then in narrow accumulators."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from a2q_keras.cli.choices import check_limits
from a2q_keras.cli.progress import epochs_shown
from a2q_keras.errors import ConfigurationError
from a2q_keras.report import tables

FACTOR = 2  # by which super-resolution enlarges


@dataclass(frozen=True)
class Settings:
    """What the user can choose; ConfigurationError, before anything is trained, for what is not allowed."""

    network: str
    data: str
    data_dir: Path | None
    width: float | None
    acc_bits: int
    weight_bits: int
    act_bits: int
    input_bits: int | None
    method: str
    float_epochs: int
    epochs: int
    output: Path
    seed: int
    start: str | None = None
    least_act_bits: int | None = None

    def __post_init__(self):
        check_limits(self)
        if self.output.suffix != ".keras" or self.output.is_dir():
            raise ConfigurationError(
                f"--output {self.output} is not allowed; give the name of a file that ends in .keras"
            )


def train(settings: Settings, quiet: bool = False) -> dict:
    """Train and save the model; the results as plain data.

    Raises ConfigurationError for an unknown network, FileError where the data are not found.
    """
    import keras

    from a2q_keras import pipeline
    from a2q_keras.zoo import recipe
    from a2q_keras.zoo.train import fit, score

    console = Console(stderr=True, quiet=quiet)
    keras.utils.set_random_seed(settings.seed)
    data, float_model = _start(settings)
    pipeline.writable(settings.output)
    with epochs_shown(console, "float network", settings.float_epochs) as callback:
        fit(float_model, data, settings.float_epochs, callbacks=[callback])
    names = ("acc_bits", "weight_bits", "act_bits", "input_bits", "method", "start", "least_act_bits")
    chosen = {name: getattr(settings, name) for name in names}
    with epochs_shown(console, f"A2Q, P={settings.acc_bits} ", settings.epochs) as callback:
        model = recipe.train(float_model, data, settings.epochs, callbacks=[callback], **chosen)
    pipeline.save_model(model, settings.output)
    program = pipeline.integer_model(model)
    proof = pipeline.certify(program, settings.acc_bits)
    scores = {"float": score(float_model, data), "integer": score(program, data)}
    if not quiet:
        tables.show(tables.accumulator_table(proof))
        found = "; ".join(f"{who} {name} {value:.4f}" for who, pair in scores.items() for name, value in pair.items())
        print(f"test data: {found}; saved as {settings.output}")
    plain = {name: str(getattr(settings, name)) for name in ("data_dir", "output")}
    return {
        "settings": asdict(settings) | plain,
        "accumulators": tables.accumulator_rows(proof),
        "proven": proof.ok,
        **scores,
    }


def _start(settings):
    """The data as the network takes them, and the untrained network."""
    from a2q_keras import data
    from a2q_keras.zoo import networks

    kind = networks.kind(settings.network)
    if kind == "superresolution":
        found = data.superresolution(settings.data, FACTOR, data_dir=settings.data_dir)
        arguments = {"factor": FACTOR}
    else:
        found = data.load(settings.data, settings.data_dir, images=kind == "picture")
        found = found.standardised() if kind == "table" else found
        arguments = {"classes": found.classes}
    if settings.width is not None:
        arguments["width"] = settings.width
    return found, networks.build(settings.network, input_shape=found.x_train.shape[1:], **arguments)
