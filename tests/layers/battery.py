"""The tests that every accumulator-aware layer must pass: a test class inherits `Battery` and makes the layer."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
from qkeras import QActivation

import a2q_keras as a2q
from a2q_keras.numerics import bounds
from a2q_keras.quantizers.weights import METHODS
from tests.backend import gradients

FORMATS = {
    "unsigned": "quantized_relu(4,1)",
    "signed": "quantized_bits(5,1,alpha=1)",
    "symmetric": "quantized_bits(5,1,1)",
}
INPUTS_FOR = {"exact": "unsigned", "a2q": "signed", "a2q+": "unsigned", "none": "symmetric"}


class Battery:
    """`make(**arguments)` gives the layer under test, for inputs of `shape`; acc_bits is tight enough to bind."""

    shape: tuple[int, ...] = (7,)
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

    def trained(self, inputs="unsigned", method="exact", jit=False):
        """(model, losses, weights before) after some training steps with a high learning rate, so that the bound is
        felt.  Tests share it and leave it as it is."""
        return _trained(type(self), inputs, method, jit)

    def check_golden_and_bound(self, model, method):
        """The golden run is Keras' forward pass, equal in every value, and no channel exceeds its accumulator."""
        program, (x, _) = a2q.integer_model(model), self.data()
        assert np.array_equal(program.run(x), model.predict(x, verbose=0))
        for record in a2q.certify(program).layers:
            format = record.input_format
            needed = bounds.min_acc_bits(record.weights, format.lo, format.hi, record.bias)
            assert method == "none" or (needed <= self.acc_bits).all()
            assert np.abs(record.weights).sum() > 0

    @pytest.mark.parametrize("method", METHODS)
    def test_after_training_the_bound_holds_and_the_golden_run_is_keras(self, method):
        self.check_golden_and_bound(self.trained(INPUTS_FOR[method], method)[0], method)

    def test_compiled_training_and_prediction_are_the_golden_run_too(self):
        self.check_golden_and_bound(self.trained("signed", "exact", jit=True)[0], "exact")

    @pytest.mark.parametrize("method", METHODS)
    def test_training_lowers_the_loss_and_reaches_every_parameter(self, method):
        model, losses, before = self.trained(INPUTS_FOR[method], method)
        assert losses[-1] < losses[0]
        after = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
        still = [new.path for old, now, new in zip(before, after, model.trainable_variables) if (old == now).all()]
        assert not still

    def test_the_gradient_of_the_inputs_is_finite(self):
        model, (x, y) = self.model("unsigned", "exact"), self.data()
        y = keras.ops.convert_to_tensor(y)
        (gradient,) = gradients(lambda x: keras.ops.mean(keras.ops.square(model(x, training=True) - y)), x)
        assert np.isfinite(gradient).all() and gradient.any()

    @pytest.mark.parametrize("method", METHODS)
    def test_a_saved_model_loads_and_predicts_the_same(self, method, tmp_path):
        model, (x, y) = self.trained(INPUTS_FOR[method], method)[0], self.data()
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
        for old, new in zip(model.variables, loaded.variables):
            assert np.array_equal(*(keras.ops.convert_to_numpy(variable) for variable in (old, new))), old.path
        if method == "exact":
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
        model = self.trained()[0]
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        x, _ = self.data()
        assert np.array_equal(clone.predict(x, verbose=0), model.predict(x, verbose=0))

    def test_the_penalty_of_a2q_reaches_the_losses(self):
        model = self.model("unsigned", "a2q")
        for variable in model.trainable_variables:
            if variable.name == "norm_log2":
                variable.assign(variable + 10.0)
        model(self.data()[0], training=True)
        assert model.losses and all(float(penalty) > 0 for penalty in model.losses)
        assert not self.model("unsigned", "exact").losses


@functools.cache
def _trained(battery, inputs, method, jit):
    self = battery()
    model = self.model(inputs, method)
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in model.trainable_variables]
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=jit)
    return model, model.fit(*self.data(), batch_size=16, epochs=6, verbose=0).history["loss"], before
