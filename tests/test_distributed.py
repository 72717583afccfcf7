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
