"""What a command works on: the program of a saved file, and the widths its accumulators are to have."""

from __future__ import annotations

from pathlib import Path

from a2q_keras.cli import quiet
from a2q_keras.errors import ConfigurationError


def program(path: Path):
    """The integer program of a saved model or program."""
    from a2q_keras import pipeline

    if path.suffix == ".keras":
        quiet.start_keras()
    return pipeline.integer_model(pipeline.load_model(path))


def certificate(path: Path, acc_bits: str | None):
    """The certificate of a saved model or program, for `acc_bits` as on the command line."""
    from a2q_keras import pipeline

    found = program(path)
    return pipeline.certify(found, widths(acc_bits))


def widths(text: str | None):
    """The acc_bits argument of the API for what was written on the command line."""
    if text in (None, "min"):
        return None
    if text == "trained":
        return text
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(
            f'--acc-bits {text!r} is not allowed; give a number from 2 to 64, "min" or "trained"'
        ) from None
