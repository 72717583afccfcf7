"""Multilayer perceptrons."""

from __future__ import annotations

import keras


def float_mlp(features: int, widths: tuple[int, ...], name: str = "float_mlp") -> keras.Sequential:
    """A float network of dense layers dense_1, dense_2, ... of these widths, ReLU between them, logits at the end."""
    activations = ["relu"] * (len(widths) - 1) + ["linear"]
    dense = [
        keras.layers.Dense(width, activation=activation, name=f"dense_{i}")
        for i, (width, activation) in enumerate(zip(widths, activations), start=1)
    ]
    return keras.Sequential([keras.Input((features,)), *dense], name=name)
