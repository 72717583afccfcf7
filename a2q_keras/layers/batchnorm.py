"""Layers with a batch norm folded into their weights before these are projected: the guarantee holds for what runs.

Names, arguments and training follow QKeras' QDenseBatchnorm, QConv2DBatchnorm and QDepthwiseConv2DBatchnorm.  With the
batch norm's gamma, beta, mean m and variance v, the layer computes with

    kernel' = kernel * f        bias' = bias * f + (beta - m * f)        f = gamma / sqrt(v + epsilon)

In inference m and v are the moving statistics.  In training, folding_mode "ema_stats_folding" (the default) folds the
kernel with the moving statistics, so that its codes do not jitter from batch to batch, and corrects the outputs to what
the batch's own statistics give; "batch_stats_folding" folds with those of the batch.  After `ema_freeze_delay` steps
(None: never) both use the moving statistics, which then stand still.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.base import ONCE, AccumulatorAware, Latent, register
from a2q_keras.layers.conv import A2QConv2D, A2QDepthwiseConv2D
from a2q_keras.layers.dense import A2QDense
from a2q_keras.quantizers.sums import WIDE, fused_apart

FOLDING_MODES = ("ema_stats_folding", "batch_stats_folding")
BATCHNORM = (
    "axis",
    "momentum",
    "epsilon",
    "center",
    "scale",
    "beta_initializer",
    "gamma_initializer",
    "moving_mean_initializer",
    "moving_variance_initializer",
    "beta_regularizer",
    "gamma_regularizer",
    "beta_constraint",
    "gamma_constraint",
)


class _Statistics(keras.layers.BatchNormalization):
    """A batch norm whose replicas under tf.distribute share the mean of their moving statistics, and so the codes."""

    def add_weight(self, *args, trainable=True, **kwargs):
        aggregation = {} if trainable else {"aggregation": "mean"}
        return super().add_weight(*args, trainable=trainable, **aggregation, **kwargs)


class FoldedBatchnorm(AccumulatorAware):
    """Mixin over an accumulator-aware layer: the arguments of keras.layers.BatchNormalization, ema_freeze_delay and
    folding_mode; `layer.batchnorm` holds the batch norm's variables."""

    may_normalise = False  # gamma is the norm of a channel

    def __init__(self, *args, ema_freeze_delay=None, folding_mode="ema_stats_folding", **kwargs):
        batchnorm = {key: kwargs.pop(key) for key in BATCHNORM if key in kwargs}
        super().__init__(*args, **kwargs)
        if folding_mode not in FOLDING_MODES:
            raise ConfigurationError(
                f"layer {self.name!r}: folding_mode={folding_mode!r} is unknown; allowed are {', '.join(FOLDING_MODES)}"
            )
        self.ema_freeze_delay, self.folding_mode = ema_freeze_delay, folding_mode
        self.batchnorm = _Statistics(**batchnorm, name="batchnorm")

    def build(self, input_shape):
        outputs = self.compute_output_shape(input_shape)
        if self.batchnorm.axis not in (-1, len(outputs) - 1):
            raise ConfigurationError(
                f"layer {self.name!r}: axis={self.batchnorm.axis} is not the channels; only axis=-1 can be folded"
            )
        self.batchnorm.build(outputs)
        super().build(input_shape)
        self.iteration = self.add_weight(
            name="iteration", shape=(), initializer=_minus_one, dtype="int32", trainable=False, **ONCE
        )

    def _latent(self, mean=None, variance=None, training=False) -> Latent:
        """The folded weights, by default with the moving statistics."""
        own, batchnorm = super()._latent(training), self.batchnorm
        mean = batchnorm.moving_mean if mean is None else mean
        variance = batchnorm.moving_variance if variance is None else variance
        factor, shift = fold(batchnorm, mean, variance)
        bias = shift if own.bias is None else fused_apart(own.bias * factor) + shift
        return Latent(own.columns * factor, bias, factor)

    def _float_weights(self):
        kernel, bias = super()._float_weights()
        parts = {name: getattr(self.batchnorm, name) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
        values = {name: self._finite(name, part) for name, part in parts.items() if part is not None}
        factor = values.get("gamma", 1.0) / np.sqrt(values["moving_variance"] + self.batchnorm.epsilon)
        return kernel * factor, (bias - values["moving_mean"]) * factor + values.get("beta", 0.0)

    def set_float_weights(self, kernel, bias=None, gamma=None, beta=None, mean=None, variance=None):
        """Start from the weights of a float layer and the batch norm behind it; what is None stays as it is."""
        found = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
        for name, value in found.items():
            if value is not None and getattr(self.batchnorm, name) is not None:
                getattr(self.batchnorm, name).assign(value)
        super().set_float_weights(kernel, bias)

    def _outputs(self, inputs, training):
        if not training or not self.batchnorm.trainable:
            return super()._outputs(inputs, training)
        learning = self._is_learning()
        batch = self._batch_statistics(inputs)
        moving = self._update_moving(batch, learning)
        self.iteration.assign(self.iteration + 1)
        if self.folding_mode == "batch_stats_folding":
            chosen = (ops.where(learning, *pair) for pair in zip(batch, moving))
            quantized = self._step(self._latent(*chosen), training)
            return self._weighted_sums(inputs, quantized) + quantized.bias
        quantized = self._step(self._latent(*moving), training)
        epsilon = self.batchnorm.epsilon
        correction = ops.where(learning, ops.sqrt((moving[1] + epsilon) / (batch[1] + epsilon)), 1.0)
        batch_bias = self._latent(*batch).bias
        return self._weighted_sums(inputs, quantized) * correction + ops.where(learning, batch_bias, quantized.bias)

    def _is_learning(self):
        """Whether the statistics still move: a boolean tensor."""
        if self.ema_freeze_delay is None or self.ema_freeze_delay < 0:
            return ops.convert_to_tensor(True)
        return ops.less_equal(self.iteration, self.ema_freeze_delay)

    def _batch_statistics(self, inputs):
        """(mean, variance) of the float layer's outputs in this batch, each (C,)."""
        outputs = self._linear(inputs, self.kernel)
        mean, variance = ops.moments(outputs, axes=list(range(len(outputs.shape) - 1)))
        return (mean + self.bias if self.use_bias else mean), variance

    def _update_moving(self, batch, learning):
        """The moving (mean, variance), brought up to date with those of the batch."""
        momentum, moved = self.batchnorm.momentum, []
        for variable, found in zip((self.batchnorm.moving_mean, self.batchnorm.moving_variance), batch):
            old, found = ops.convert_to_tensor(variable), ops.stop_gradient(found)
            variable.assign(ops.where(learning, old * momentum + found * (1 - momentum), old))
            moved.append(ops.convert_to_tensor(variable))
        return moved

    def get_config(self):
        batchnorm = {key: value for key, value in self.batchnorm.get_config().items() if key in BATCHNORM}
        own = {"ema_freeze_delay": self.ema_freeze_delay, "folding_mode": self.folding_mode}
        return super().get_config() | batchnorm | own


def fold(batchnorm, mean, variance):
    """(factor, shift), float32 (C,): what a batch norm multiplies by and adds.

    In double precision where the backend has it, and never fused: see `quantizers.sums`.
    """
    wide = [ops.cast(ops.convert_to_tensor(part), WIDE) for part in (mean, variance)]
    factor = 1.0 / ops.sqrt(wide[1] + batchnorm.epsilon)
    if batchnorm.gamma is not None:
        factor = factor * ops.cast(ops.convert_to_tensor(batchnorm.gamma), WIDE)
    factor = ops.cast(factor, "float32")
    shift = -fused_apart(ops.convert_to_tensor(mean) * factor)
    return factor, shift if batchnorm.beta is None else shift + batchnorm.beta


def _minus_one(shape, dtype=None):
    return ops.full(shape, -1, dtype=dtype)


@register
class A2QDenseBatchnorm(FoldedBatchnorm, A2QDense):
    """`A2QDense` with a batch norm folded in.  Arguments: those of both, ema_freeze_delay and folding_mode."""


@register
class A2QConv2DBatchnorm(FoldedBatchnorm, A2QConv2D):
    """`A2QConv2D` with a batch norm folded in.  Arguments: those of both, ema_freeze_delay and folding_mode."""


@register
class A2QDepthwiseConv2DBatchnorm(FoldedBatchnorm, A2QDepthwiseConv2D):
    """`A2QDepthwiseConv2D` with a batch norm folded in.  Arguments: those of both, ema_freeze_delay, folding_mode."""
