"""What step_time.py and hgq2_steps.py share: training steps of a model of one layer, and their time.  Needs Keras."""

from __future__ import annotations

import time

import keras
import numpy as np

BATCH = 128
TURN = 64  # steps; method `exact` searches at least once in so many
SHAPES = {"Dense 784x128": (784,), "Conv2D 3x3x32x64": (16, 16, 32)}


def plain(shape):
    """Keras' own layer, the common measure of two environments."""
    if shape.startswith("Dense"):
        return keras.layers.Dense(128)
    return keras.layers.Conv2D(64, 3, padding="same")


def trainer(layers, shape, jit):
    """A function that makes one training step of the layers in a row; compiled by XLA where `jit`."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(SHAPES[shape]), *layers])
    model.compile(optimizer=keras.optimizers.Adam(1e-4), loss="mse", jit_compile=jit)
    rng = np.random.default_rng(0)
    x, y = (tf.constant(rng.random((BATCH, *part[1:]), np.float32)) for part in (model.input_shape, model.output_shape))
    model.train_on_batch(x, y)
    step = model.make_train_function()
    return lambda: step(iter([(x, y)]))


def turn(step):
    """Seconds per step, the mean of a turn."""
    start = time.perf_counter()
    for _ in range(TURN):
        step()
    return (time.perf_counter() - start) / TURN
