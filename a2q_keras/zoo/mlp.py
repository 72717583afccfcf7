"""Multilayer perceptrons: the float network, and the A2Q network that starts from it."""

from __future__ import annotations

import keras
import qkeras

from a2q_keras.layers.dense import A2QDense
from a2q_keras.model.calibrate import integer_bits


def float_mlp(features: int, widths: tuple[int, ...], name: str = "float_mlp") -> keras.Sequential:
    """A float network of dense layers of the given widths, ReLU between them, logits at the end."""
    hidden = [keras.layers.Dense(width, activation="relu") for width in widths[:-1]]
    return keras.Sequential([keras.Input((features,)), *hidden, keras.layers.Dense(widths[-1])], name=name)


def a2q_mlp(features, widths, acc_bits, weight_bits=4, act_bits=4, method="exact", integers=None, name="a2q_mlp"):
    """The same network in A2Q layers: unsigned `act_bits` activations, inputs in [0, 1), logits at the end.

    integers: QKeras' integer bits of the activation between two layers, by default 2 for each.
    """
    integers = [2] * (len(widths) - 1) if integers is None else integers
    layers = [keras.Input((features,)), qkeras.QActivation(f"quantized_relu({act_bits},0)", name="input_quantizer")]
    for i, width in enumerate(widths):
        layers.append(A2QDense(width, acc_bits=acc_bits, weight_bits=weight_bits, method=method, name=f"dense_{i + 1}"))
        if i < len(integers):
            # as a float, because QKeras cannot raise 2 to a negative integer
            layers.append(qkeras.QActivation(f"quantized_relu({act_bits},{integers[i]:.1f})", name=f"relu_{i + 1}"))
    return keras.Sequential(layers, name=name)


def from_float(float_model, x, acc_bits, weight_bits=4, act_bits=4, method="exact", name="a2q_mlp") -> keras.Sequential:
    """The A2Q network that starts from a trained `float_mlp`: its weights, activations calibrated on inputs x."""
    dense = [layer for layer in float_model.layers if isinstance(layer, keras.layers.Dense)]
    widths = tuple(layer.units for layer in dense)
    integers = [integer_bits(values, act_bits) for values in _activations(dense[:-1], x)]
    model = a2q_mlp(x.shape[1], widths, acc_bits, weight_bits, act_bits, method, integers, name)
    twins = [layer for layer in model.layers if isinstance(layer, A2QDense)]
    for layer, source in zip(twins, dense):
        layer.set_weights(source.get_weights())
    return model


def _activations(dense, x):
    for layer in dense:
        x = keras.ops.convert_to_numpy(layer(x))
        yield x
