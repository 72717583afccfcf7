"""What layers share whose norms and directions of weights train apart: convolutions of method "exact"."""

from __future__ import annotations

from collections import ChainMap
from math import prod

import numpy as np
from keras import ops

from a2q_keras.layers.base import AccumulatorAware
from a2q_keras.quantizers.weight_norm import norm_and_mean, normalised


class WeightNorm(AccumulatorAware):
    """Mixin over an accumulator-aware layer, for method "exact".

    The kernel is a direction, trained beside log2 norms: `quantizers.weight_norm`.  A regularizer or a constraint of
    the kernel speaks of the weights, so a layer that has one computes with the kernel itself, as all other layers do.
    """

    may_normalise = True
    _kernel_as_it_is = False

    def _build_state(self):
        free = self.kernel.regularizer is None and self.kernel.constraint is None
        several = prod(self.kernel.shape) > self._channels  # one weight alone has no direction
        self._has_norms = self.may_normalise and free and several and self.method == "exact"
        if self._has_norms:
            self.norm_log2 = self._add_figure("norm_log2", 0, trainable=True)
            self.kernel_mean = self._add_figure("kernel_mean", 1, trainable=False)
        super()._build_state()

    def _add_figure(self, name, which, trainable):
        def initializer(shape, dtype=None):
            return ops.cast(self._norm_and_mean()[which], dtype or "float32")

        shape = (self._channels,)
        return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=trainable, autocast=False)

    def _norm_and_mean(self):
        return norm_and_mean(self._numpy("kernel").reshape(-1, self._channels))

    @property
    def _normalises(self) -> bool:
        return self._has_norms and not self._kernel_as_it_is

    def follow_kernel(self, as_it_is=False):
        self._kernel_as_it_is = as_it_is
        if self._has_norms:
            self.norm_log2.trainable = not as_it_is
        if self._normalises:
            for variable, value in zip((self.norm_log2, self.kernel_mean), self._norm_and_mean()):
                variable.assign(value)

    def _columns(self, training=False):
        columns = super()._columns(training)
        return normalised(columns, self.norm_log2, self.kernel_mean, training) if self._normalises else columns

    def _float_weights(self):
        if self._normalises:
            self._numpy("norm_log2")
        return super()._float_weights()

    def load_own_variables(self, store):
        if self._has_norms and "kernel" in store and "norm_log2" not in store:  # another version had none
            norm, mean = norm_and_mean(store["kernel"][...].reshape(-1, self._channels))
            store = ChainMap({"norm_log2": norm, "kernel_mean": mean}, store)
        elif not self._has_norms and "kernel_mean" in store:  # saved by a layer with norms: its kernel is a direction
            figures = (np.asarray(store[name][...]) for name in ("kernel", "norm_log2", "kernel_mean"))
            v, *rest = (ops.convert_to_tensor(figure) for figure in figures)
            weights = normalised(ops.reshape(v, (-1, self._channels)), *rest)
            store = ChainMap({"kernel": ops.convert_to_numpy(weights).reshape(v.shape)}, store)
        super().load_own_variables(store)
