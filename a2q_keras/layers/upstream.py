"""The range of a layer's inputs, read off the model upstream of it."""

from __future__ import annotations

import keras

from a2q_keras.errors import InputRangeError
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers.activations import format_of

# Layers whose outputs are some of their inputs, so that the format passes through.
PASS_THROUGH = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Dropout, keras.layers.Permute)


def input_format(tensor, layer_name: str) -> FixedPoint:
    """The format of the codes in a symbolic Keras tensor.

    Raises InputRangeError, saying what was found upstream and what to write, where nothing upstream quantizes.
    """
    operation = _producer(tensor)
    while isinstance(operation, PASS_THROUGH):
        tensor = operation.input
        operation = _producer(tensor)
    quantizer = _output_quantizer(operation)
    if quantizer is not None:
        return format_of(quantizer, f"layer {operation.name!r}")
    found = f"{type(operation).__name__} {operation.name!r}" if operation is not None else "a tensor without history"
    raise InputRangeError(
        f"layer {layer_name!r}: the range of its inputs is unknown, because they come from {found}; put a "
        'QActivation("quantized_relu(8, 3)") or QActivation("quantized_bits(8, 3, alpha=1)") in front, '
        f"or give {layer_name!r} an input_quantizer"
    )


def _producer(tensor):
    history = getattr(tensor, "_keras_history", None)
    return None if history is None else history.operation


def _output_quantizer(operation):
    """The QKeras quantizer that makes the outputs of a layer: of a QActivation, or as the activation argument."""
    activation = getattr(operation, "activation", None)
    return activation if hasattr(activation, "bits") else None
