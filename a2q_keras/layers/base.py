"""What all accumulator-aware layers share: the arguments, the trained state and the quantized weights."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from a2q_keras.errors import A2QError, ConfigurationError, InputRangeError, WeightError
from a2q_keras.layers.upstream import input_format
from a2q_keras.numerics import bounds, quantize
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers import weights
from a2q_keras.quantizers.activations import format_of
from a2q_keras.quantizers.pow2 import exp2
from a2q_keras.quantizers.serialize import get_quantizer, serialize

PENALTY = 1e-3
SEARCH_EVERY = 24  # training steps for which the thresholds of the projection are held


class AccumulatorAware:
    """Mixin for a Keras layer with `kernel` and `bias`, output channel last.

    Arguments it adds: acc_bits (2 to 64), weight_bits (2 to 16), method ("exact", "a2q" or "none"), input_quantizer
    (applied to the inputs; where absent their format is read from the model upstream), bias_quantizer (in addition to
    the grid of the accumulator, onto which every bias is rounded).

    Trained state: kernel, bias and, for method "a2q", the log2 norm of each channel and the log2 scale.  For the other
    methods the scale is fitted when the layer is built or given weights.
    """

    def _set_up(self, acc_bits, weight_bits, method, input_quantizer, bias_quantizer):
        self.acc_bits = bounds.check_bits("acc_bits", acc_bits, 2, bounds.MAX_ACC_BITS)
        self.weight_bits = bounds.check_bits("weight_bits", weight_bits, 2, 16)
        if method not in weights.METHODS:
            raise ConfigurationError(f"method={method!r} is unknown; allowed are {', '.join(weights.METHODS)}")
        if self.compute_dtype != "float32":
            raise ConfigurationError(
                f"layer {self.name!r}: dtype {self.compute_dtype} cannot hold exact sums; use float32"
            )
        self.method = method
        self.input_quantizer = get_quantizer(input_quantizer, "input_quantizer")
        self.bias_quantizer = get_quantizer(bias_quantizer, "bias_quantizer")
        self._input_format = (
            None if input_quantizer is None else format_of(self.input_quantizer, f"layer {self.name!r}")
        )

    def __call__(self, inputs, *args, **kwargs):
        self._read_input_format(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def _read_input_format(self, inputs):
        """Learn the input format from the model being built; a layer used twice must see one format."""
        if self.input_quantizer is not None or not hasattr(inputs, "_keras_history"):
            return
        found = input_format(inputs, self.name)
        if self._input_format not in (None, found):
            raise InputRangeError(
                f"layer {self.name!r} is used on inputs of format {self._input_format} and on {found}; "
                "quantize both alike or give the layer an input_quantizer"
            )
        self._input_format = found

    @property
    def input_format(self):
        """The fixed-point format of the inputs.  Raises InputRangeError where it is not known."""
        if self._input_format is None:
            raise InputRangeError(
                f"layer {self.name!r}: the range of its inputs is unknown; give it an input_quantizer such as "
                '"quantized_relu(8, 3)", or build it in a model after a QActivation'
            )
        return self._input_format

    @property
    def accumulator(self) -> weights.Accumulator:
        """What the weights must fit."""
        return weights.Accumulator(self.acc_bits, self.weight_bits, self.input_format)

    def get_build_config(self):
        """Keras builds a loaded layer before it is connected, so the format found upstream travels along."""
        return super().get_build_config() | {"input_format": vars(self.input_format)}

    def build_from_config(self, config):
        if self._input_format is None and "input_format" in config:
            self._input_format = FixedPoint(**config["input_format"])
        super().build_from_config(config)

    def _build_state(self):
        """Weights beside kernel and bias.  Initializers run after those of the kernel and may read it."""
        learned = self.method == "a2q"
        self.scale_log2 = self.add_weight(
            name="scale_log2", shape=(), initializer=self._initial_scale_log2, trainable=learned, autocast=False
        )
        shape = weights.thresholds_shape(self.kernel.shape[-1], self.accumulator)
        self.held = self.add_weight(name="held", shape=shape, initializer="zeros", trainable=False)
        self.steps = self.add_weight(name="steps", shape=(), initializer="zeros", dtype="int32", trainable=False)
        if learned:
            self.norm_log2 = self.add_weight(
                name="norm_log2", shape=(self.kernel.shape[-1],), initializer=self._initial_norm_log2, autocast=False
            )

    def _initial_scale_log2(self, shape, dtype=None):
        return ops.cast(self._fitted_scale_log2(), dtype or "float32")

    def _initial_norm_log2(self, shape, dtype=None):
        lengths = np.abs(_matrix(self._numpy("kernel"))).sum(axis=0)
        return ops.cast(np.log2(np.maximum(lengths, 1e-12)), dtype or "float32")

    def _fitted_scale_log2(self) -> int:
        kernel, spec = _matrix(self._numpy("kernel")), self.accumulator
        if self.method == "a2q":  # the papers' scale: the largest weight on the largest code
            return int(np.ceil(np.log2(max(float(np.abs(kernel).max(initial=0)), 1e-12) / spec.qmax)))
        bias = self._numpy("bias") if self.use_bias else np.zeros(kernel.shape[1])
        width = self.acc_bits if self.method == "exact" else bounds.MAX_ACC_BITS
        lo, hi, frac = spec.input.lo, spec.input.hi, spec.input.frac
        try:
            return quantize.search_scale_log2(kernel, self.weight_bits, width, lo, hi, bias, frac)
        except A2QError as error:
            raise type(error)(f"layer {self.name!r}: {error}") from error

    def fit_scale(self):
        """Choose the scale (and for `a2q` the norms) anew for the current kernel and bias.

        Raises WeightError for NaN or infinite weights, AccumulatorOverflowError where no scale holds the bias.
        """
        self.scale_log2.assign(float(self._fitted_scale_log2()))
        self.steps.assign(0)  # the held thresholds belong to other weights: search anew
        if self.method == "a2q":
            self.norm_log2.assign(self._initial_norm_log2(None))

    def set_float_weights(self, kernel, bias=None):
        """Start from the weights of a float layer: take them over and fit the scale to them."""
        self.kernel.assign(kernel)
        if self.use_bias and bias is not None:
            self.bias.assign(bias)
        self.fit_scale()

    def set_weights(self, weights):
        """As in Keras; the weights of the float layer of the same shape (kernel, bias) are taken, too."""
        if len(weights) == 1 + self.use_bias:
            return self.set_float_weights(*weights)
        return super().set_weights(weights)

    def save_own_variables(self, store):
        """Every variable by its name; Keras' own layers would write kernel and bias only."""
        for variable in self.trainable_variables + self.non_trainable_variables:
            store[variable.name] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        """Raises WeightError where the file lacks a variable of this layer."""
        for variable in self.trainable_variables + self.non_trainable_variables:
            if variable.name not in store:
                raise WeightError(
                    f"layer {self.name!r} (method={self.method!r}): the file holds {sorted(store)} "
                    f"but no {variable.name!r}; load it into a layer of the method it was saved with"
                )
            variable.assign(store[variable.name])

    def quantized_weights(self, training=False):
        """(kernel, bias) as the forward pass uses them: values of codes that meet the bound; bias None without one.

        In training, method "exact" uses thresholds up to SEARCH_EVERY steps old and "a2q" computes in single precision:
        both may miss a budget by a few units.
        """
        spec, scale = self.accumulator, exp2(self.scale_log2)
        codes, bias = self._quantized_bias(scale, spec)
        if self.method == "exact":
            held = ops.convert_to_tensor(self.held) if training else None
            kernel = weights.exact(self._columns(), scale, codes, spec, held)
        elif self.method == "a2q":
            kernel = weights.a2q(self._columns(), self.norm_log2, scale, codes, spec, training)
        else:
            kernel = weights.plain(self._columns(), scale, spec)
        return ops.reshape(kernel, self.kernel.shape), bias

    def _quantized_bias(self, scale, spec):
        """(codes, values) of the bias."""
        if not self.use_bias:
            return ops.zeros((self.kernel.shape[-1],)), None
        bias = self.bias if self.bias_quantizer is None else self.bias_quantizer(self.bias)
        codes = weights.bias_codes(bias, scale, spec)
        return codes, weights.straight_through(codes * (scale * 2.0**-spec.input.frac), bias)

    def _prepare_step(self):
        """Before a training step: now and then look for a better scale and for the thresholds of the projection.

        The scale is looked at in steps 0, 1, 2, 4, 8, ...: a fresh network finds it early, and late in training, when
        the weights can no longer follow, it rarely moves.
        """
        if self.method == "a2q":
            return
        adapt = ops.equal(ops.bitwise_and(self.steps, self.steps - 1), 0)
        due = ops.logical_or(adapt, ops.equal(self.steps % SEARCH_EVERY, 0))
        scale_log2, held = ops.convert_to_tensor(self.scale_log2), ops.convert_to_tensor(self.held)
        scale_log2, held = ops.cond(due, lambda: self._searched(scale_log2, adapt), lambda: (scale_log2, held))
        self.scale_log2.assign(scale_log2)
        self.held.assign(held)
        self.steps.assign(self.steps + 1)

    def _searched(self, scale_log2, adapt):
        """(scale_log2, held) found anew."""
        kernel, bias, spec = self._columns(), self._bias_or_zeros(), self.accumulator
        scale_log2 = ops.cond(
            adapt,
            lambda: weights.better_scale_log2(kernel, bias, scale_log2, self.method, spec),
            lambda: scale_log2,
        )
        if self.method != "exact":
            return scale_log2, ops.convert_to_tensor(self.held)
        scale = exp2(scale_log2)
        return scale_log2, weights.thresholds(kernel * (1.0 / scale), weights.bias_codes(bias, scale, spec), spec)

    def _columns(self):
        return ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))

    def _bias_or_zeros(self):
        if not self.use_bias:
            return ops.zeros((self.kernel.shape[-1],))
        return ops.convert_to_tensor(self.bias) if self.bias_quantizer is None else self.bias_quantizer(self.bias)

    def _add_penalty(self):
        if self.method == "a2q":
            scale, spec = exp2(self.scale_log2), self.accumulator
            codes, _ = self._quantized_bias(scale, spec)
            self.add_loss(PENALTY * weights.norm_penalty(self.norm_log2, scale, codes, spec))

    def integer_weights(self):
        """(weight codes, bias codes, weight frac): int64 arrays of the kernel's and bias' shapes, checked.

        The codes are those of the forward pass.  Raises WeightError for NaN or infinite weights.
        """
        for name in ("kernel", "bias")[: 1 + self.use_bias]:
            self._numpy(name)
        kernel, bias = (ops.convert_to_numpy(part).astype(np.float64) for part in self._weights_or_zeros())
        frac = -int(np.rint(ops.convert_to_numpy(self.scale_log2)))
        codes = kernel * 2.0**frac, bias * 2.0 ** (frac + self.input_format.frac)
        assert all((part == np.rint(part)).all() for part in codes), "quantized weights are not on their grid"
        return codes[0].astype(np.int64), codes[1].astype(np.int64), frac

    def _weights_or_zeros(self):
        kernel, bias = self.quantized_weights()
        return kernel, ops.zeros((self.kernel.shape[-1],)) if bias is None else bias

    def _numpy(self, name):
        """A variable as an array; WeightError where it holds NaN or infinity."""
        array = ops.convert_to_numpy(getattr(self, name))
        if not np.isfinite(array).all():
            raise WeightError(
                f"layer {self.name!r}: its {name} holds NaN or infinity; train again with a lower learning rate"
            )
        return array

    def _accumulator_config(self):
        return {
            "acc_bits": self.acc_bits,
            "weight_bits": self.weight_bits,
            "method": self.method,
            "input_quantizer": serialize(self.input_quantizer),
            "bias_quantizer": serialize(self.bias_quantizer),
        }

    def get_quantization_config(self):
        """What QKeras' print_qstats and friends show."""
        return {key: str(getattr(self, key)) for key in self._accumulator_config()}


def _matrix(kernel):
    return kernel.reshape(-1, kernel.shape[-1])


def register(cls):
    """Make a layer class loadable from .keras files without custom_objects."""
    return keras.saving.register_keras_serializable(package="a2q_keras")(cls)
