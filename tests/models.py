"""Small Keras models that several tests use."""

from __future__ import annotations

import keras
import numpy as np
from qkeras import QActivation

from a2q_keras.layers.dense import A2QDense


def two_layers(acc_bits=12, method="exact", seed=0) -> keras.Sequential:
    """An untrained 6-5-3 network with 4-bit weights; its layers are called first and second."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,), name="x"),
            QActivation("quantized_bits(5,1,alpha=1)", name="quantize_x"),
            A2QDense(5, acc_bits=acc_bits, weight_bits=4, method=method, name="first"),
            QActivation("quantized_relu(4,2)", name="relu"),
            A2QDense(3, acc_bits=acc_bits, weight_bits=4, method=method, name="second"),
        ],
        name="two_layers",
    )


def inputs(n=50, features=6, seed=0) -> np.ndarray:
    """Normal inputs, float32."""
    return np.random.default_rng(seed).normal(0, 2, (n, features)).astype(np.float32)
