"""Keras callbacks for accumulator-aware training: narrow the accumulators as it goes on, and log what they need."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.separable import accumulator_layers, accumulator_places
from a2q_keras.numerics import bounds, tiles
from a2q_keras.quantizers.accumulator import bias_limit

LAST_EPOCH = 2**31 - 1


class AccumulatorSchedule(keras.callbacks.Callback):
    """Sets the accumulator width of every accumulator-aware layer at the beginning of an epoch.

    schedule: {epoch: acc_bits}, epochs counted from 0; between two entries the width stays.  layers: names of the
    layers that it is for, by default all.  A model that resumes at a later epoch starts with the width due there.

    Raises ConfigurationError for a width outside 2 to 64, an epoch that is none, and unknown layers.
    """

    def __init__(self, schedule: Mapping[int, int], layers=None):
        super().__init__()
        if not schedule or not isinstance(schedule, Mapping):
            raise ConfigurationError(
                f"schedule={schedule!r} is none; give {{epoch: acc_bits}}, such as {{0: 16, 3: 14, 6: 12}}"
            )
        self.schedule = {
            bounds.check_bits("the epoch of a schedule", epoch, 0, LAST_EPOCH): bounds.check_bits(
                f"acc_bits of epoch {epoch}", bits, 2, bounds.MAX_ACC_BITS
            )
            for epoch, bits in schedule.items()
        }
        self.layers = None if layers is None else tuple(layers)

    def on_epoch_begin(self, epoch, logs=None):
        due = [begin for begin in self.schedule if begin <= epoch]
        if due and self._set(self.schedule[max(due)]):
            # widths are constants of the compiled functions
            self.model.make_train_function(force=True)
            self.model.make_test_function(force=True)
            self.model.make_predict_function(force=True)

    def _set(self, acc_bits: int) -> bool:
        """Whether any layer changed."""
        layers = self._chosen()
        changed = any(layer.acc_bits != acc_bits for layer in layers)
        for layer in layers:
            layer.train_for(acc_bits)
        return changed

    def _chosen(self):
        places = list(accumulator_places(self.model))
        known = {layer.name: None for pair in places for layer in pair}
        unknown = [name for name in self.layers or () if name not in known]
        if unknown:
            raise ConfigurationError(
                f"the schedule names {unknown[0]!r}, no accumulator-aware layer; those are {', '.join(known) or 'none'}"
            )
        return [part for layer, part in places if self.layers is None or {layer.name, part.name} & set(self.layers)]


class AccumulatorLogger(keras.callbacks.Callback):
    """Adds to the logs of every epoch, by layer: acc_bits_needed/LAYER, weight_sparsity/LAYER, bias_at_limit/LAYER.

    Bits by the exact condition, bias included, for the weights at the end of the epoch, with tiles those of the inner
    accumulators; sparsity is the share of zero codes; bias_at_limit is the share of channels whose bias saturates at
    the part of the accumulator that a bias may take (`bias_share` of the layer): where it is large, the accumulator is
    too narrow for the biases.  Put it in front of the callbacks that write logs (TensorBoard, CSVLogger); History shows
    them in any case.
    """

    def on_epoch_end(self, epoch, logs=None):
        for layer in accumulator_layers(self.model):
            if logs is not None:
                codes, bias, _ = layer.integer_weights()
                logs[f"acc_bits_needed/{layer.name}"] = _needed_bits(layer, codes, bias)
                logs[f"weight_sparsity/{layer.name}"] = float(np.mean(codes == 0))
                logs[f"bias_at_limit/{layer.name}"] = _bias_at_limit(layer, bias)


def _needed_bits(layer, codes, bias) -> int:
    """Accumulator bits that the worst channel of a layer needs, with tiles the worst inner accumulator."""
    inputs, columns = layer.input_format, codes.reshape(-1, len(bias))
    return int(bounds.bits_for(*tiles.acc_range(columns, inputs.lo, inputs.hi, bias, layer.tile)).max())


def _bias_at_limit(layer, bias) -> float:
    """Share of the channels whose bias code is the largest that the accumulator leaves a bias."""
    return float(np.mean(np.abs(bias) >= bias_limit(layer.accumulator))) if layer.use_bias else 0.0
