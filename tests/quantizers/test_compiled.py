"""A compiled function gives what it gave, and sums of QKeras' quantizers are codes."""

import keras
import numpy as np
from qkeras import QActivation

from a2q_keras.quantizers.compiled import compiled


def test_values_are_those_of_the_function():
    x = keras.ops.convert_to_tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    found = compiled(lambda x, scale: keras.ops.round(x * scale))(x, 0.3)
    assert np.array_equal(keras.ops.convert_to_numpy(found), [[0, 0, 1], [1, 1, 2]])


def test_only_jax_compiles():
    def same(x):
        return x

    assert (compiled(same) is same) == (keras.backend.backend() != "jax")


def test_the_sum_of_two_quantized_tensors_is_the_sum_of_their_codes_in_a_graph():
    """TensorFlow's graph optimizer would round it."""
    parts = [keras.Input((8,)), keras.Input((8,))]
    quantized = [QActivation("quantized_bits(8,2,alpha=1)")(part) for part in parts]
    model = keras.Model(parts, keras.layers.Add()(quantized))
    x = [np.random.default_rng(seed).normal(size=(500, 8)).astype(np.float32) for seed in (0, 1)]
    codes = sum(np.clip(np.rint(part.astype(float) * 32), -128, 127) for part in x)
    assert np.array_equal(model.predict(x, verbose=0) * 32, codes)
