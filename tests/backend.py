"""What differs between Keras' backends: compiling a function as a training step does, and gradients."""

import keras
import numpy as np
import pytest
from keras import ops


def compiled(function):
    """The function as the backend compiles it into a training step, with XLA where that is another path."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    pytest.skip(f"no compiler is used under {keras.backend.backend()}")


def eager(function):
    """The function as it is."""
    return function


MODES = {"eager": eager, "compiled": compiled}


def tensors(*arrays) -> list:
    """The arrays as float32 tensors."""
    return [ops.convert_to_tensor(np.asarray(array), "float32") for array in arrays]


def gradients(function, *arrays) -> list[np.ndarray]:
    """The gradients of a scalar function at `arrays`, one array for each."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow here")
    import tensorflow as tf

    values = tensors(*arrays)
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = function(*values)
    return [ops.convert_to_numpy(part) for part in tape.gradient(result, values, unconnected_gradients="zero")]
