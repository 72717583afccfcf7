"""tf.data input, and MirroredStrategy on two logical CPUs, in a process of its own: devices are set up only once."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import a2q_keras as a2q
from tests.models import inputs, two_layers

needs_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data and tf.distribute")

SCRIPT = """
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras
from qkeras import QActivation
import a2q_keras as a2q
from tests.models import inputs, two_layers
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
for method in ("exact", "a2q+"):
    with strategy.scope():
        model = two_layers(9, method)
        model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=False)
    x = inputs(64)
    model.fit(x, np.ones((64, 3), np.float32), batch_size=16, epochs=2, verbose=0)
    first = model.get_layer("first")
    assert (first.held.numpy()[-1] == 8).all() if method == "exact" else not hasattr(first, "held")
    assert a2q.certify(model, 9).ok
    assert np.array_equal(a2q.integer_model(model).run(x), np.asarray(model(x)))
    assert np.array_equal(a2q.integer_model(model).run(x), model.predict(x, batch_size=16, verbose=0))
with strategy.scope():
    layers = a2q.A2QConv2DBatchnorm(4, 3, acc_bits=12, weight_bits=4, momentum=0.9), keras.layers.Flatten()
    model = keras.Sequential([keras.Input((6, 6, 2)), QActivation("quantized_relu(4,0)"), *layers])
    model.compile("adam", "mse", jit_compile=False)
x = np.random.default_rng(0).random((64, 6, 6, 2), np.float32) ** np.arange(64, dtype=np.float32).reshape(64, 1, 1, 1)
model.fit(x, np.ones((64, 64), np.float32), batch_size=32, epochs=4, verbose=0)
assert np.array_equal(a2q.integer_model(model).run(x), model.predict(x, verbose=0))
moving = model.layers[1].batchnorm.moving_mean.value.values
assert np.array_equal(*(part.numpy() for part in moving)) and moving[0].numpy().any()
print("done")
"""


@needs_tensorflow
def test_two_replicas_train_one_model():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stderr[-3000:]


@needs_tensorflow
@pytest.mark.parametrize("jit", [False, True])
def test_batches_of_several_sizes_from_a_dataset(jit):
    import tensorflow as tf

    model, x = two_layers(9), inputs(50)
    batches = tf.data.Dataset.from_tensor_slices((x, np.ones((50, 3), np.float32))).batch(16)  # the last one has 2
    model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=jit)
    model.fit(batches, epochs=2, verbose=0)
    assert a2q.certify(model, 9).ok
    assert np.array_equal(a2q.integer_model(model).run(x), model.predict(batches, verbose=0))
