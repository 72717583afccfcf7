"""Keras' own forward pass as integer codes, to be compared with the integer program."""

from __future__ import annotations

import keras
import numpy as np

from a2q_keras.errors import ConversionError

EXACT_BITS = 24  # accumulators up to here are exact in float32, whatever the order of the additions


def reference(model, tensors: dict, formats: dict):
    """A function from input values (a list, one array per input) to the codes of `tensors` by name.

    tensors: symbolic Keras tensors of the model by name; formats: FixedPoint by name.
    The function raises ConversionError where a value is not on its format's grid.
    """
    inner = keras.Model(model.inputs, list(tensors.values()))

    def codes(values: list) -> dict[str, np.ndarray]:
        inputs = [np.asarray(array, np.float32) for array in values]
        outputs = inner.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0, batch_size=256)
        outputs = outputs if len(tensors) > 1 else [outputs] if isinstance(outputs, np.ndarray) else outputs
        return {name: _codes(name, output, formats[name]) for name, output in zip(tensors, outputs)}

    return codes


def _codes(name, values, format) -> np.ndarray:
    codes = np.asarray(values, np.float64) * 2.0**format.frac
    off = np.argwhere(codes != np.rint(codes))
    if len(off):
        place = tuple(map(int, off[0]))
        raise ConversionError(
            f"layer {name!r}: Keras computed {values[place]!r} at {place}, which is no code of {format}; "
            "compare with an accumulator of 24 bits or less, where float32 is exact"
        )
    return codes.astype(np.int64)
