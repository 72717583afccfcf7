"""What differs between Keras' backends: compiling a function as a training step does, and gradients."""

from contextlib import contextmanager

import keras
import numpy as np
from keras import ops


def compiled(function):
    """The function as the backend compiles it into a training step, with XLA where that is another path."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function  # Keras trains eagerly under torch


def eager(function):
    """The function as it is."""
    return function


MODES = {"eager": eager} | ({} if keras.backend.backend() == "torch" else {"compiled": compiled})  # torch has no other


@contextmanager
def wide_floats():
    """JAX's 64-bit mode; the other backends have none to switch on."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def tensors(*arrays) -> list:
    """The arrays as float32 tensors."""
    return [ops.convert_to_tensor(np.asarray(array), "float32") for array in arrays]


def gradients(function, *arrays) -> list[np.ndarray]:
    """The gradients of a scalar function at `arrays`, one array for each."""
    found = _GRADIENTS[keras.backend.backend()](function, tensors(*arrays))
    return [ops.convert_to_numpy(part) for part in found]


def _by_tensorflow(function, values):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(values)
        result = function(*values)
    return tape.gradient(result, values, unconnected_gradients="zero")


def _by_torch(function, values):
    import torch

    values = [value.detach().requires_grad_() for value in values]
    result = function(*values)
    return torch.autograd.grad(result, values, allow_unused=True, materialize_grads=True)


def _by_jax(function, values):
    import jax

    return jax.grad(function, argnums=tuple(range(len(values))))(*values)


_GRADIENTS = {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}
