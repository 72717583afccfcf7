"""What all accumulator-aware layers share: the arguments, the trained state and the quantized weights."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from a2q_keras.errors import ConfigurationError, WeightError
from a2q_keras.layers import start
from a2q_keras.layers.inputs import ReadsInputs
from a2q_keras.layers.search import held_shape, nothing_held, search_when_due
from a2q_keras.numerics import bounds, tiles
from a2q_keras.quantizers import weights
from a2q_keras.quantizers.pow2 import exp2, whole_exponent
from a2q_keras.quantizers.serialize import get_quantizer, serialize

PENALTY = 1e-3
LEAST_GAIN = 2.0**-60
HELD_FOR = "held_for"  # in a file: the width that `held` was found for
ONCE = {"aggregation": "only_first_replica"}  # state that a forward pass writes, under tf.distribute


class Latent(NamedTuple):
    """The float weights that are quantized: columns (K, C), bias (C,) or None.

    gain: (C,) or None, the factor by which a folded batch norm multiplied each channel of the layer's own kernel.
    """

    columns: Any
    bias: Any
    gain: Any = None


class Quantized(NamedTuple):
    """What a forward pass computes with, as values of codes: factor * columns (K, C), and the bias (C,) or None.

    factor: (C,), the scale where it is trained, which may as well multiply the sums; else None, for 1.
    """

    columns: Any
    factor: Any
    bias: Any

    @property
    def values(self):
        """Weight values (K, C)."""
        return self.columns if self.factor is None else self.columns * self.factor


class AccumulatorAware(ReadsInputs):
    """Mixin for a Keras layer with `kernel` and `bias`, output channel last.

    Arguments it adds: acc_bits (2 to 64), weight_bits (2 to 16), method ("exact", "a2q", "a2q+" or "none"),
    input_quantizer (applied to the inputs; where absent their format is read from the model upstream), bias_quantizer
    (in addition to the grid of the accumulator, onto which every bias is rounded), bias_share (how much of the
    accumulator a bias may take, see `bounds.largest_bias`), tile (None, or the products of an inner accumulator of
    acc_bits bits; their sums are added in an outer one, see `numerics.tiles`; for methods "exact" and "none").

    Trained state: kernel, bias and, for methods "a2q" and "a2q+", the log2 norm of each channel and the log2 scale.
    For the other methods the scale is fitted when the layer is built or given weights, and now and then in training.
    Convolutions of method "exact" train norms, too, and the kernel is a direction only: see `layers.weight_norm`.

    A layer adds `_linear(inputs, kernel)`; and `_channels` where its accumulators are not the kernel's last axis, and
    `_weighted_sums` where it can do better.
    """

    def _set_up(self, acc_bits, weight_bits, method, input_quantizer, bias_quantizer, bias_share):
        self.acc_bits = self._held_for = acc_bits
        self.weight_bits = bounds.check_bits("weight_bits", weight_bits, 2, 16)
        if method not in weights.METHODS:
            raise ConfigurationError(f"method={method!r} is unknown; allowed are {', '.join(weights.METHODS)}")
        self._refuse_what_is_not_exact()
        self.method = method
        if not 0 <= bias_share <= 1:
            raise ConfigurationError(
                f"layer {self.name!r}: bias_share={bias_share!r} is not a share; allowed are numbers from 0 to 1"
            )
        self.bias_share = float(bias_share)
        self.bias_quantizer = get_quantizer(bias_quantizer, "bias_quantizer")
        self._set_input_quantizer(input_quantizer)

    @property
    def acc_bits(self) -> int:
        """The width of the accumulators.  A compiled model notices another one when it is compiled again."""
        return self._acc_bits

    @acc_bits.setter
    def acc_bits(self, acc_bits):
        self._acc_bits = bounds.check_bits("acc_bits", acc_bits, 2, bounds.MAX_ACC_BITS)

    def _set_tile(self, tile):
        self.tile = None if tile is None else bounds.check_bits("tile", tile, 1, tiles.MOST)
        if tile is not None and self.method in weights.LEARNED_NORM:
            raise ConfigurationError(
                f"layer {self.name!r}: method={self.method!r} has no tiles; use method 'exact', or leave tile out"
            )

    def _refuse_what_is_not_exact(self):
        refuse_inexact(self)
        if getattr(self, "lora_rank", None):
            raise ConfigurationError(f"layer {self.name!r}: lora_rank={self.lora_rank} has no bound here; leave it out")
        if getattr(self, "data_format", "channels_last") != "channels_last":
            raise ConfigurationError(
                f"layer {self.name!r}: data_format={self.data_format!r} is not supported; use channels_last"
            )

    def enable_lora(self, rank, *args, **kwargs):
        """Refused: what Keras adds to the kernel is not restored with it."""
        raise ConfigurationError(f"layer {self.name!r}: lora of rank {rank} has no bound here; train the kernel itself")

    @property
    def accumulator(self) -> weights.Accumulator:
        """What the weights must fit."""
        step = None if self._input_source is None else ops.stop_gradient(self._input_source.step)
        limits = (self.bias_share, self.tile)
        return weights.Accumulator(self.acc_bits, self.weight_bits, self._built_format(), step, *limits)

    def build(self, input_shape):
        super().build(input_shape)
        self._build_state()

    def _build_state(self):
        """Weights beside kernel and bias.  Initializers run after those of the kernel and may read it."""
        learned = self.method in weights.LEARNED_NORM
        self.scale_log2 = self.add_weight(
            name="scale_log2", shape=(), initializer=self._initial_scale_log2, trainable=learned, autocast=False, **ONCE
        )
        if learned:
            self.norm_log2 = self.add_weight(
                name="norm_log2", shape=(self._channels,), initializer=self._initial_norm_log2, autocast=False
            )
        else:
            k = prod(self.kernel.shape) // self._channels
            shape = held_shape(k, self._channels, self.method, self.accumulator)
            self.held = self.add_weight(
                name="held", shape=shape, initializer="zeros", trainable=False, autocast=False, **ONCE
            )

    @property
    def _channels(self) -> int:
        return self.kernel.shape[-1]

    def _initial_scale_log2(self, shape, dtype=None):
        return ops.cast(start.initial_scale_log2(self), dtype or "float32")

    def _initial_norm_log2(self, shape, dtype=None):
        return ops.cast(start.norm_log2(self), dtype or "float32")

    def _float_weights(self):
        """What is quantized, as arrays: columns (K, C) and bias (C,), zeros without one."""
        columns = self._finite("kernel", self._columns())
        return columns, self._numpy("bias") if self.use_bias else np.zeros(self._channels)

    def fit_scale(self, scale_log2=None):
        """Choose the scale (and for the papers' methods the norms) anew for the current kernel and bias.

        scale_log2: the exponent to take, which then stays; None looks for the best one, and training goes on looking.
        Raises WeightError for NaN or infinite weights, AccumulatorOverflowError where no scale holds the bias.
        """
        exponent = start.scale_log2(self) if scale_log2 is None else scale_log2
        self.scale_log2.assign(float(exponent))
        if self.method in weights.LEARNED_NORM:
            self.norm_log2.assign(start.norm_log2(self))
        self.search_anew(scale_may_move=scale_log2 is None)

    def search_anew(self, scale_may_move=True):
        """Let the next training step look for the thresholds of the projection and, unless told not to, a better scale.

        Where the codes were chosen by outputs or by the loss, the search in training would do worse, for it sees the
        weights only.
        """
        self._held_for = self.acc_bits
        if self.method not in weights.LEARNED_NORM:
            self.held.assign(nothing_held(self.held.shape, scale_may_move))

    def train_for(self, acc_bits):
        """Train for accumulators of `acc_bits` bits from now on; what was found for another width is found anew."""
        self.acc_bits = acc_bits
        if self._held_for != self.acc_bits:
            self.search_anew()

    def set_float_weights(self, kernel, bias=None):
        """Start from the weights of a float layer: take them over and fit the scale to them.

        Raises ConfigurationError for a bias where the layer has none.
        """
        if bias is not None and not self.use_bias:
            raise ConfigurationError(f"layer {self.name!r} has no bias to give weights to; build it with use_bias=True")
        self.set_kernel(kernel)
        if bias is not None:
            self.bias.assign(bias)
        self.fit_scale()
        if self.method == "a2q+":
            start.from_projection(self)

    def set_kernel(self, kernel):
        """Take weights of the kernel's shape over as they are, at the present scale."""
        self.kernel.assign(kernel)
        self.follow_kernel()

    def follow_kernel(self, as_it_is=False):
        """Compute with the weights that are in the kernel now, where they were its direction only.

        as_it_is: until this is called again the kernel holds the weights themselves in training, too.
        """

    def set_weights(self, weights):
        """As in Keras; the weights of the float layer of the same shape (kernel, bias) are taken, too."""
        if len(weights) == 1 + self.use_bias:
            return self.set_float_weights(*weights)
        return super().set_weights(weights)

    def save_own_variables(self, store):
        """Every variable by its name; Keras' own layers would write kernel and bias only."""
        for variable in self._own_variables():
            store[variable.name] = ops.convert_to_numpy(variable)
        store[HELD_FOR] = np.asarray(self._held_for)

    def load_own_variables(self, store):
        """Weights of a layer trained for another width are taken, too.

        Raises WeightError where the file lacks a variable of this layer.
        """
        self._held_for = int(np.asarray(store[HELD_FOR])) if HELD_FOR in store else self.acc_bits
        for variable in self._own_variables():
            if variable.name not in store:
                raise WeightError(
                    f"layer {self.name!r} (method={self.method!r}): the file holds {sorted(store)} "
                    f"but no {variable.name!r}; load it into a layer of the method it was saved with"
                )
            if variable.name == "held" and store["held"].shape != variable.shape:
                self.search_anew()  # another version held something else
            else:
                variable.assign(store[variable.name])

    def _own_variables(self):
        """Without those of a layer inside this one, which Keras saves beside it."""
        return self._trainable_variables + self._non_trainable_variables

    def call(self, inputs, training=None):
        if self.input_quantizer is not None:
            inputs = self.input_quantizer(inputs)
        outputs = self._outputs(inputs, training and self.trainable)  # a frozen layer keeps its codes
        return outputs if self.activation is None else self.activation(outputs)

    def _outputs(self, inputs, training):
        """What the accumulators hold, as values."""
        quantized = self._step(self._latent(training=training), training)
        outputs = self._weighted_sums(inputs, quantized)
        return outputs if quantized.bias is None else outputs + quantized.bias

    def _weighted_sums(self, inputs, quantized: Quantized):
        """What the accumulators hold without the bias, as values."""
        return self._linear(inputs, ops.reshape(quantized.values, self.kernel.shape))

    def _step(self, latent: Latent, training) -> Quantized:
        """What to compute with, after what a training step does to the state."""
        if training:
            self._prepare_step(latent)
        scale = self._scale()
        if self.method in weights.LEARNED_NORM:
            self._add_penalty(latent, scale)
        return self._quantized(latent, scale, training)

    def _scale(self):
        """The value of weight code 1: a scalar; where it is trained (C,), so that its gradient is summed once."""
        scale = exp2(self.scale_log2)
        return ops.broadcast_to(scale, (self._channels,)) if self.method in weights.LEARNED_NORM else scale

    def _latent(self, training=False) -> Latent:
        return Latent(self._columns(training), self.bias if self.use_bias else None)

    def _columns(self, training=False):
        """The layer's own float weights (K, C)."""
        return ops.reshape(self.kernel, (-1, self._channels))

    def quantized_weights(self, training=False):
        """(kernel, bias) as the forward pass uses them: values of codes that meet the bound; bias None without one.

        In training, method "exact" uses thresholds up to `search.SEARCH_EVERY` steps old and the papers' methods
        compute in single precision: both may miss a budget by a few units.
        """
        quantized = self._quantized(self._latent(training=training), self._scale(), training)
        return ops.reshape(quantized.values, self.kernel.shape), quantized.bias

    def _quantized(self, latent: Latent, scale, training) -> Quantized:
        spec = self.accumulator
        codes, bias = self._quantized_bias(latent.bias, scale, spec)
        if self.method == "exact":
            held = ops.convert_to_tensor(self.held) if training else None
            return Quantized(weights.exact(latent.columns, scale, codes, spec, held), None, bias)
        if self.method == "none":
            return Quantized(weights.plain(latent.columns, scale, spec), None, bias)
        norm, centred = self._norm_log2(latent), self.method == "a2q+"
        return Quantized(weights.a2q_codes(latent.columns, norm, scale, codes, spec, training, centred), scale, bias)

    def _quantized_bias(self, bias, scale, spec):
        """(codes, values) of the bias."""
        if bias is None:
            return ops.zeros((self._channels,)), None
        bias = bias if self.bias_quantizer is None else self.bias_quantizer(bias)
        codes = weights.bias_codes(bias, scale, spec)
        return codes, weights.straight_through(codes * (scale * spec.input_step), bias)

    def _norm_log2(self, latent: Latent):
        """The log2 norm of each channel of what is quantized: the trained one, times what batch norm multiplied by."""
        if latent.gain is None:
            return self.norm_log2
        return self.norm_log2 + ops.log2(ops.maximum(ops.abs(latent.gain), LEAST_GAIN))

    def _add_penalty(self, latent: Latent, scale):
        spec = self.accumulator
        codes, _ = self._quantized_bias(latent.bias, scale, spec)
        norm, centred = self._norm_log2(latent), self.method == "a2q+"
        self.add_loss(PENALTY * weights.norm_penalty(norm, scale, codes, spec, centred))

    def _prepare_step(self, latent: Latent):
        """Before a training step: now and then look for a better scale and for the thresholds of the projection."""
        if self.method in weights.LEARNED_NORM:
            return
        if latent.bias is not None and self.bias_quantizer is not None:
            latent = latent._replace(bias=self.bias_quantizer(latent.bias))
        state = (ops.convert_to_tensor(variable) for variable in (self.scale_log2, self.held))
        scale_log2, held = search_when_due(latent, *state, self.method, self.accumulator)
        self.scale_log2.assign(scale_log2)
        self.held.assign(held)

    def integer_weights(self):
        """(weight codes, bias codes, weight frac): int64 arrays of the kernel's shape and (channels,), checked.

        The codes are those of the forward pass, batch norm folded in.  Raises WeightError for NaN or infinite weights.
        """
        self._float_weights()
        frac = -whole_exponent(self._numpy("scale_log2"))
        if self.method in weights.LEARNED_NORM:
            self._numpy("norm_log2")
        kernel, bias = self.quantized_weights()
        bias = ops.zeros((self._channels,)) if bias is None else bias
        values = (ops.convert_to_numpy(part).astype(np.float64) for part in (kernel, bias))
        codes = [part * 2.0**shift for part, shift in zip(values, (frac, frac + self.input_format.frac))]
        assert all((part == np.rint(part)).all() for part in codes), "quantized weights are not on their grid"
        return codes[0].astype(np.int64), codes[1].astype(np.int64), frac

    def _numpy(self, name):
        """A variable of this layer as an array; see `_finite`."""
        return self._finite(name, getattr(self, name))

    def _finite(self, name, variable):
        """A variable as an array; WeightError where it holds NaN or infinity."""
        array = ops.convert_to_numpy(variable)
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
            "bias_share": self.bias_share,
            "tile": self.tile,
        }

    def get_config(self):
        config = super().get_config() | self._accumulator_config()
        if hasattr(self.activation, "bits"):
            config["activation"] = serialize(self.activation)
        return config

    def get_quantization_config(self):
        """What QKeras' print_qstats and friends show."""
        return {key: str(getattr(self, key)) for key in self._accumulator_config()}


def refuse_inexact(layer):
    """ConfigurationError for a layer that computes with other numbers than float32."""
    if layer.compute_dtype != "float32" or getattr(layer, "quantization_mode", None):
        raise ConfigurationError(
            f"layer {layer.name!r}: dtype {layer.dtype_policy.name} cannot hold exact sums; use float32"
        )


def register(cls):
    """Make a layer class loadable from .keras files without custom_objects."""
    return keras.saving.register_keras_serializable(package="a2q_keras")(cls)
