"""Method `exact` with a scale of its own for every output channel: a trial, for `choices.py`.

The layers have one exponent each.  With one per channel a channel's weights would use all their codes, and its sums
would be shifted behind the accumulator, which stays P bits wide.  Here the layers are patched to train that way and to
start from codes with the best exponent of each channel.  The integer program knows no such shift, so what is measured
is the Keras model, whose forward pass is exact for the widths here.
"""

from __future__ import annotations

from functools import reduce

import keras
import numpy as np
from keras import ops

from a2q_keras.callbacks import accumulator_layers
from a2q_keras.layers import start
from a2q_keras.layers.base import AccumulatorAware
from a2q_keras.model.post_training import choose
from a2q_keras.numerics import bounds, fit, quantize
from a2q_keras.quantizers import weights
from a2q_keras.quantizers.pow2 import exp2

ADD_WEIGHT = keras.layers.Layer.add_weight


def add_weight(layer, *args, **settings):
    """`add_weight` of Keras, the scale with an entry for each channel."""
    if settings.get("name") == "scale_log2":
        settings["shape"] = (layer._channels,)
    return ADD_WEIGHT(layer, *args, **settings)


def initial_scale_log2(layer, shape, dtype=None):
    """`AccumulatorAware._initial_scale_log2`: that of the layer."""
    return ops.full(shape, float(start.scale_log2(layer)))


def starting_exponents(layer):
    """The best exponent for the weights of each channel, (C,)."""
    (kernel, bias), spec = layer._float_weights(), layer.accumulator
    sizes = (layer.weight_bits, layer.acc_bits, spec.input.lo, spec.input.hi)
    channels = (slice(one, one + 1) for one in range(kernel.shape[1]))
    frac = layer.input_format.frac
    return np.array([quantize.search_scale_log2(kernel[:, one], *sizes, bias[one], frac) for one in channels], float)


def fit_scale(layer, scale_log2=None):
    """`AccumulatorAware.fit_scale` by channel."""
    layer.scale_log2.assign(starting_exponents(layer) if scale_log2 is None else scale_log2)
    layer.search_anew()


def found_anew(kernel, bias, scale_log2, held, may_move, method, spec):
    """`weights.found_anew` by channel."""
    tried = [_tried(kernel, bias, scale_log2 + shift, spec) for shift in (0.0, -1.0, 1.0)]
    exponents, errors, found = (ops.stack(part) for part in zip(*tried))
    errors = ops.concatenate([errors[:1] * weights.HYSTERESIS, errors[1:]])
    best = ops.where(may_move, ops.argmin(errors, axis=0), 0)
    chosen = ops.cast(ops.equal(best, ops.arange(3)[:, None]), "float32")
    return ops.sum(exponents * chosen, axis=0), ops.sum(found * chosen[:, None, None], axis=0)


def _tried(kernel, bias, exponents, spec):
    scale = exp2(exponents)
    codes, found = weights.codes_and_thresholds(kernel / scale, weights.bias_codes(bias, scale, spec), spec)
    return exponents, ops.sum(ops.square(codes * scale - kernel), axis=0), found


def integer_weights(layer):
    """`AccumulatorAware.integer_weights`, whose frac is now (C,)."""
    kernel, bias = (ops.convert_to_numpy(part).astype(float) for part in layer.quantized_weights())
    frac = -np.rint(ops.convert_to_numpy(layer.scale_log2)).astype(int)
    codes = kernel * 2.0**frac, bias * 2.0 ** (frac + layer.input_format.frac)
    assert all((part == np.rint(part)).all() for part in codes)
    return codes[0].astype(np.int64), codes[1].astype(np.int64), frac


def best_fit(groups, target, input_frac, recipe):
    """`numerics.fit.fit` by channel: (exponents (C,), the fits)."""
    w, bias = np.concatenate([group.w for group in groups], 1), np.concatenate([group.bias for group in groups])
    scales = fit._scales(w, bias, target, input_frac, recipe)
    tasks = [fit._Task(group, target, input_frac, recipe) for group in groups]
    tried = [[task.run(exponent) for exponent in scales] for task in tasks]
    best = np.concatenate([np.argmin([one.error for one in of_group], axis=0) for of_group in tried])
    return np.array(scales)[best], [reduce(fit._better, of_group) for of_group in tried]


def predict(model, x):
    """Outputs of the Keras model; every accumulator is checked by the exact condition first."""
    for layer in accumulator_layers(model):
        codes, bias, _ = layer.integer_weights()
        inputs = layer.input_format
        assert bounds.min_acc_bits(codes.reshape(-1, len(bias)), inputs.lo, inputs.hi, bias).max() <= layer.acc_bits
    return model.predict(x, verbose=0)


PATCHES = (
    (keras.layers.Layer, "add_weight", add_weight),
    (AccumulatorAware, "_initial_scale_log2", initial_scale_log2),
    (AccumulatorAware, "fit_scale", fit_scale),
    (AccumulatorAware, "integer_weights", integer_weights),
    (weights, "found_anew", found_anew),
    (choose, "fit", best_fit),
)
