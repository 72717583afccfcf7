"""QKeras quantizers in and out of layer arguments and configs."""

from __future__ import annotations

import keras

from a2q_keras.errors import ConfigurationError


def get_quantizer(identifier, argument: str):
    """A quantizer object for None, an object, a config or a QKeras string such as "quantized_relu(4, 2)".

    Raises ConfigurationError naming `argument` where it is none of these.
    """
    if identifier is None:
        return None
    try:
        if isinstance(identifier, dict):
            import qkeras

            identifier = keras.saving.deserialize_keras_object(identifier)
        elif isinstance(identifier, str):
            import qkeras

            identifier = qkeras.get_quantizer(identifier)
    except Exception as error:
        raise ConfigurationError(
            f"{argument}={identifier!r} is not a quantizer ({error}); "
            "give a QKeras quantizer such as quantized_relu(4, 2)"
        ) from error
    if callable(identifier):
        return identifier
    raise ConfigurationError(
        f"{argument}={identifier!r} is not a quantizer; give a QKeras quantizer such as quantized_relu(4, 2)"
    )


def get_activation(identifier):
    """A Keras activation function or a QKeras quantizer object, whichever `identifier` names.

    Raises ConfigurationError where it names none.
    """
    if (isinstance(identifier, str) and "(" not in identifier) or identifier is None:
        return _keras_activation(identifier)
    if isinstance(identifier, dict) and "class_name" not in identifier:
        return keras.activations.get(identifier)
    return get_quantizer(identifier, "activation")


def _keras_activation(name):
    try:
        return keras.activations.get(name)
    except ValueError as error:
        raise ConfigurationError(
            f"activation={name!r} is unknown; give a name of Keras such as relu, or a QKeras quantizer such as "
            "quantized_relu(4, 2)"
        ) from error


def serialize(quantizer):
    """The config of a quantizer object, or None."""
    return None if quantizer is None else keras.saving.serialize_keras_object(quantizer)
