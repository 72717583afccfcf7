"""`a2q quantize`: a float model and inputs in files in, a quantized model in a file out."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console

from a2q_keras.errors import ConfigurationError, FileError
from a2q_keras.report import tables


def quantize(model: Path, data: Path, output: Path, bits, method: str, **options) -> list:
    """Write the quantized model to `output`; a `QuantizedLayer` per layer.

    bits: acc_bits, weight_bits, act_bits; options: further arguments of `pipeline.quantize`.
    """
    from a2q_keras import pipeline

    if output.suffix != ".keras" or output.is_dir():
        raise ConfigurationError(f"--output {output} is not allowed; Keras saves models in files called NAME.keras")
    if model.suffix != ".keras":
        raise ConfigurationError(f"{model} is no float Keras model; give a file that model.save('name.keras') wrote")
    pipeline.writable(output)
    float_model, inputs, layers = pipeline.load_model(model), load_inputs(data), []
    with Console(stderr=True).status("calibrating") as status:

        def heard(layer):
            layers.append(layer)
            status.update(f"{layer.name}: output error {layer.error_before:.2%} -> {layer.error_after:.2%}")

        quantized = pipeline.quantize(float_model, inputs, *bits, method, **options, on_layer=heard)
    pipeline.certify(quantized, "trained").raise_if_unsafe()
    pipeline.save_model(quantized, output)
    return layers


def load_inputs(path: Path) -> np.ndarray:
    """The array in a .npy file, or `x_train` of a .npz file; bytes are pixels and divided by 256, as `data.load` does.

    Raises FileError where there is none.
    """
    try:
        found = np.load(path, allow_pickle=False)
        x = found if isinstance(found, np.ndarray) else found["x_train"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(
            f"{path}: no array of inputs ({error}); give a .npy file, or a .npz file with x_train"
        ) from error
    return x.astype(np.float32) / 256 if x.dtype == np.uint8 else x


def show(layers, output: Path, as_json: bool):
    """Print the table of layers, or the same as JSON."""
    if as_json:
        print(json.dumps({"output": str(output), "layers": [asdict(layer) for layer in layers]}, indent=2))
        return
    tables.show(tables.quantization_table(layers))
    print(f"proven: no accumulator can overflow, for any input -> {output}")
