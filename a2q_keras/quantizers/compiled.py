"""What is asked of a backend's compiler."""

from __future__ import annotations

import keras


def add_as_written():
    """Let TensorFlow's graph optimizer leave sums alone, as XLA and eager execution do.

    QKeras computes the sum of two quantized tensors as x1 + (q1 - x1) + x2 + (q2 - x2); in another order it rounds, and
    is no code.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def compiled(function):
    """`function` of tensors, as a whole under JAX, which outside a training step compiles every op of it by itself."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


add_as_written()
