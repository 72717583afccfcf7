"""Post-training quantization: a float model and some inputs in, a network with P-bit accumulators out, no gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.base import AccumulatorAware
from a2q_keras.layers.separable import A2QSeparableConv2D
from a2q_keras.model.convert import convert
from a2q_keras.model.graph import functional
from a2q_keras.model.post_training import codes
from a2q_keras.model.post_training.rows import Part, Recorder, groups, parts
from a2q_keras.model.record import samples as first_samples
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


def quantize(
    model,
    data,
    acc_bits=16,
    weight_bits=8,
    act_bits=8,
    method="gpfq",
    layers=None,
    first=None,
    last=None,
    recipe: Recipe | None = None,
    samples=1024,
    seed=0,
    tile=None,
    on_layer: Callable[[QuantizedLayer], None] = lambda layer: None,
):
    """The accumulator-aware model for a float or QKeras one; see `pipeline.quantize`.  on_layer hears of each layer.

    Layers are quantized from the inputs on, each on what the quantized layers before it make of the samples.
    """
    _refuse_methods(layers, first, last)
    recipe = replace(recipe or Recipe(), method=method)
    inputs = first_samples(functional(model), data, bounds.check_bits("samples", samples, 1, 2**24))
    calibration = inputs if len(inputs) > 1 else inputs[0]
    ours = convert(model, acc_bits, weight_bits, act_bits, "exact", calibration, layers, first, last, tile=tile)
    recorder = Recorder(model, ours, inputs, seed)
    for layer in ours.layers:
        if isinstance(layer, (AccumulatorAware, A2QSeparableConv2D)):
            for part in parts(layer, model.get_layer(layer.name)):
                on_layer(_quantize(part, recorder, recipe))
    return ours


def _refuse_methods(layers, first, last):
    for where, chosen in {"first": first or {}, "last": last or {}, **(layers or {})}.items():
        if "method" in chosen:
            raise ConfigurationError(
                f"{where!r} sets method={chosen['method']!r}; post-training quantization has one method for all "
                "layers, quantize(method=...)"
            )


def _quantize(part: Part, recorder: Recorder, recipe: Recipe) -> QuantizedLayer:
    layer, start = part.own, time.time()
    w, b = (np.asarray(array, np.float64) for array in layer._float_weights())
    count = groups(layer)
    task = [
        Group(columns, bias if layer.use_bias else None, moments)
        for columns, bias, moments in zip(np.split(w, count, 1), np.split(b, count), recorder.moments(part, w))
    ]
    before = _error(layer, task)
    exponent, found = fit(task, codes.target(layer), layer.input_format.frac, recipe)
    chosen = np.concatenate([one.codes for one in found], axis=1), np.concatenate([one.bias for one in found])
    codes.set_codes(layer, *chosen, exponent)
    return _summary(layer, before, _error(layer, task), time.time() - start)


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
    if layer.tile is None:
        bottom, top = bounds.acc_range(weights, format.lo, format.hi, bias)
    else:
        bottom, top = tiles.inner_range(weights, format.lo, format.hi, layer.tile)
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
