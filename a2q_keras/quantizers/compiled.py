"""Functions of many small steps, compiled as a whole."""

from __future__ import annotations

import keras


def compiled(function):
    """`function` of tensors, as a whole under JAX, which outside a training step compiles every op of it by itself."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)
