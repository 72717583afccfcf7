"""A compiled function gives what it gave."""

import keras
import numpy as np

from a2q_keras.quantizers.compiled import compiled


def test_values_are_those_of_the_function():
    x = keras.ops.convert_to_tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    found = compiled(lambda x, scale: keras.ops.round(x * scale))(x, 0.3)
    assert np.array_equal(keras.ops.convert_to_numpy(found), [[0, 0, 1], [1, 1, 2]])


def test_only_jax_compiles():
    def same(x):
        return x

    assert (compiled(same) is same) == (keras.backend.backend() != "jax")
