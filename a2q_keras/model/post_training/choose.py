"""The codes of converted layers, chosen one after the other for least output error: what `quantize` and the warm start
of `convert` share."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from a2q_keras.layers.separable import accumulator_layers
from a2q_keras.model.graph import functional
from a2q_keras.model.post_training import codes
from a2q_keras.model.post_training.rows import Part, Recorder, Values, groups, parts_of
from a2q_keras.numerics import bounds, tiles
from a2q_keras.numerics.fit import Group, Recipe, fit


@dataclass(frozen=True)
class QuantizedLayer:
    """What became of one layer with accumulators.

    error_before, error_after: mean squared error of its outputs over their variance in the float network, on the
    calibration inputs as the layers before it leave them: with the nearest codes that fit (as `convert` gives), and as
    quantized.  needed_bits: by the exact condition; with `tile` that of an inner accumulator, and outer_bits what the
    outer ones need; budget_used: share of the accumulator's range that its fullest
    channel can reach.
    """

    name: str
    k: int
    channels: int
    acc_bits: int
    needed_bits: int
    budget_used: float
    scale_log2: int
    zero_weights: float
    error_before: float
    error_after: float
    seconds: float
    tile: int | None = None
    outer_bits: int | None = None


def choose_codes(ours, float_model, inputs, recipe: Recipe, seed=0, on_layer=lambda layer: None):
    """Give the layers of method "exact" of `ours` the codes that suit the inputs as the layers before them leave them.

    ours: the model that `float_model` was converted to; inputs: arrays, one per model input.  The biases may take what
    the weights leave: bias_share becomes 1.  on_layer hears of each layer, a QuantizedLayer.
    """
    recorder = Recorder(*(Values(functional(model), inputs) for model in (float_model, ours)), seed)
    for _, part in parts_of(ours, float_model):
        if part.own.method == "exact":
            on_layer(_quantize(part, recorder, recipe))


def warm_start(ours, float_model, inputs, recipe: Recipe):
    """`choose_codes` for training that goes on from there: biases are limited as before, by bias_share."""
    shares = [(layer, layer.bias_share) for layer in accumulator_layers(ours)]
    choose_codes(ours, float_model, inputs, recipe)
    for layer, share in shares:
        layer.bias_share = share


def _quantize(part: Part, recorder: Recorder, recipe: Recipe) -> QuantizedLayer:
    layer, start = part.own, time.time()
    task = tasks(part, recorder)
    before = _error(layer, task)
    exponent, found = fit(task, codes.target(layer), layer.input_format.frac, recipe)
    chosen = np.concatenate([one.codes for one in found], axis=1), np.concatenate([one.bias for one in found])
    codes.set_codes(layer, *chosen, exponent)
    return _summary(layer, before, _error(layer, task), time.time() - start)


def tasks(part: Part, recorder: Recorder, most: int | None = None) -> list[Group]:
    """What `fit` chooses the codes of a part by: its float weights and the moments of its inputs, for each group.

    most: None, or how many channels are enough, spread evenly, where all channels are one group.
    """
    w, b = (np.asarray(array, np.float64) for array in part.own._float_weights())
    count = groups(part.own)
    if most is not None and count == 1:
        some = slice(None, None, -(-w.shape[1] // most))
        w, b = w[:, some], b[some]
    return [
        Group(columns, bias if part.own.use_bias else None, moments)
        for columns, bias, moments in zip(np.split(w, count, 1), np.split(b, count), recorder.moments(part, w))
    ]


def _error(layer, task: list[Group]) -> float:
    """Mean squared error of the outputs with the layer's present codes, over the variance of the float outputs."""
    weights, bias, frac = layer.integer_weights()
    values = weights.reshape(-1, len(bias)) * 2.0**-frac
    bias_values = bias * 2.0 ** -(frac + layer.input_format.frac)
    error = power = 0.0
    for group, own, shift in zip(task, np.split(values, len(task), 1), np.split(bias_values, len(task))):
        shift = (0.0 if group.bias is None else group.bias) - shift
        error += group.moments.output_error(group.w, own, shift).sum()
        power += group.moments.variance(group.w).sum()
    return float(error / power) if power > 0 else 0.0


def _summary(layer, before, after, seconds) -> QuantizedLayer:
    weights, bias, frac = layer.integer_weights()
    weights, format, half = weights.reshape(-1, len(bias)), layer.input_format, 2 ** (layer.acc_bits - 1)
    bottom, top = tiles.acc_range(weights, format.lo, format.hi, bias, layer.tile)
    return QuantizedLayer(
        name=layer.name,
        k=weights.shape[0],
        channels=weights.shape[1],
        acc_bits=layer.acc_bits,
        needed_bits=int(bounds.bits_for(bottom, top).max()),
        budget_used=float(max(top.max() / (half - 1), -bottom.min() / half)),
        scale_log2=-frac,
        zero_weights=float(np.mean(weights == 0)),
        error_before=before,
        error_after=after,
        seconds=seconds,
        tile=layer.tile,
        outer_bits=None if layer.tile is None else tiles.outer_bits(weights, format.lo, format.hi, bias),
    )
