"""The tests that every accumulator-aware layer must pass: a test class inherits `Battery` and makes the layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from qkeras import QActivation

import a2q_keras as a2q
from a2q_keras.numerics import bounds
from tests.backend import gradients

FORMATS = {
    "unsigned": "quantized_relu(4,1)",
    "signed": "quantized_bits(5,1,alpha=1)",
    "symmetric": "quantized_bits(5,1,1)",
}
METHODS = ("exact", "a2q", "none")
FEATURES = 7


class Battery:
    """`make(**arguments)` gives the layer under test, for inputs of `shape`; acc_bits is tight enough to bind."""

    shape = (FEATURES,)
    acc_bits = 8

    def make(self, **arguments):
        raise NotImplementedError

    def model(self, inputs="unsigned", method="exact"):
        """One layer between an input quantizer and the output."""
        keras.utils.set_random_seed(1)
        layer = self.make(acc_bits=self.acc_bits, weight_bits=4, method=method, name="layer")
        return keras.Sequential([keras.Input(self.shape), QActivation(FORMATS[inputs]), layer], name="battery")

    def data(self, n=64):
        """Inputs beyond the quantizer's range, too, and targets that call for large weights."""
        rng = np.random.default_rng(2)
        x = rng.normal(0, 1.5, (n, *self.shape)).astype(np.float32)
        return x, 4 * rng.normal(size=(n, *self.model().output_shape[1:])).astype(np.float32)

    def trained(self, inputs, method, jit=False, epochs=3):
        """After some training steps with a high learning rate, so that the bound is felt."""
        model = self.model(inputs, method)
        model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=jit)
        model.fit(*self.data(), batch_size=16, epochs=epochs, verbose=0)
        return model

    @pytest.mark.parametrize("inputs", FORMATS)
    @pytest.mark.parametrize("method", METHODS)
    def test_after_training_the_bound_holds_and_the_golden_run_is_keras(self, inputs, method):
        model = self.trained(inputs, method)
        program, (x, _) = a2q.integer_model(model), self.data()
        assert np.array_equal(program.run(x), model.predict(x, verbose=0))
        op, format = program["layer"], program.inputs[0].format
        needed = bounds.min_acc_bits(op.weights, format.lo, format.hi, op.bias)
        assert method == "none" or (needed <= self.acc_bits).all()
        assert np.abs(op.weights).sum() > 0

    def test_compiled_training_and_prediction_are_the_golden_run_too(self):
        model = self.trained("unsigned", "exact", jit=True)
        x, _ = self.data()
        assert np.array_equal(a2q.integer_model(model).run(x), model.predict(x, verbose=0))
        assert a2q.certify(model, self.acc_bits).ok

    @pytest.mark.parametrize("method", METHODS)
    def test_training_lowers_the_loss_and_reaches_every_parameter(self, method):
        model = self.model("unsigned", method)
        model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=False)
        before = [variable.numpy().copy() for variable in model.trainable_variables]
        losses = model.fit(*self.data(), batch_size=16, epochs=8, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        assert all((old != new.numpy()).any() for old, new in zip(before, model.trainable_variables))

    @pytest.mark.parametrize("method", METHODS)
    def test_the_gradient_of_the_inputs_is_finite(self, method):
        model, (x, y) = self.model("unsigned", method), self.data()
        (gradient,) = gradients(lambda x: keras.ops.mean(keras.ops.square(model(x, training=True) - y)), x)
        assert np.isfinite(gradient).all() and gradient.any()

    @pytest.mark.parametrize("method", METHODS)
    def test_a_saved_model_loads_and_predicts_the_same(self, method, tmp_path):
        model, (x, y) = self.trained("unsigned", method), self.data()
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
        for old, new in zip(model.variables, loaded.variables):
            assert np.array_equal(old.numpy(), new.numpy()), old.path
        loaded.fit(x, y, epochs=1, verbose=0)  # and goes on training

    @pytest.mark.parametrize("method", METHODS)
    def test_the_config_rebuilds_the_layer(self, method):
        layer = self.make(acc_bits=9, weight_bits=5, method=method, input_quantizer="quantized_relu(3,1)")
        layer.build((None, *self.shape))
        twin = type(layer).from_config(layer.get_config())
        assert twin.get_config() == layer.get_config()
        assert (twin.acc_bits, twin.weight_bits, twin.method) == (9, 5, method)
        assert set(layer.get_quantization_config()) >= {"acc_bits", "weight_bits", "method", "input_quantizer"}

    def test_a_cloned_model_has_the_same_layers(self):
        model = self.model()
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        x, _ = self.data()
        assert np.array_equal(clone.predict(x, verbose=0), model.predict(x, verbose=0))

    def test_the_penalty_of_a2q_reaches_the_losses(self):
        model = self.model("unsigned", "a2q")
        layer = model.get_layer("layer")
        layer.norm_log2.assign(layer.norm_log2 + 10.0)
        model(self.data()[0], training=True)
        (penalty,) = model.losses
        assert float(penalty) > 0
        assert not self.model("unsigned", "exact").losses
