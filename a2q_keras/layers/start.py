"""Where the trained state of an accumulator-aware layer starts: scale and norms that suit its float weights."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from keras import ops

from a2q_keras.errors import A2QError
from a2q_keras.numerics import bounds, quantize, tiles
from a2q_keras.quantizers import weights
from a2q_keras.quantizers.pow2 import whole_exponent

_values_follow = ContextVar("values_follow", default=False)


@contextmanager
def values_follow():
    """Layers built in here look for no scale, because a file is about to give it: the search takes seconds."""
    token = _values_follow.set(True)
    try:
        yield
    finally:
        _values_follow.reset(token)


def initial_scale_log2(layer) -> int:
    """What a layer that is built takes: `scale_log2`, or 0 where values follow."""
    return 0 if _values_follow.get() else scale_log2(layer)


def scale_log2(layer) -> int:
    """The exponent that suits the present weights: the papers' for the papers' methods, else the best one.

    Raises WeightError for NaN or infinite weights, AccumulatorOverflowError where no scale holds the bias.
    """
    (kernel, bias), spec = layer._float_weights(), layer.accumulator
    if layer.method in weights.LEARNED_NORM:  # the largest weight on the largest code
        return int(np.ceil(np.log2(max(float(np.abs(kernel).max(initial=0)), 1e-12) / spec.qmax)))
    width = layer.acc_bits if layer.method == "exact" else bounds.MAX_ACC_BITS
    frac = layer.input_format.frac
    if layer.tile is not None:
        kernel = tiles.apart(kernel, layer.tile)
        bias = np.zeros(kernel.shape[1])
    try:
        return quantize.search_scale_log2(kernel, layer.weight_bits, width, spec.input.lo, spec.input.hi, bias, frac)
    except A2QError as error:
        raise type(error)(f"layer {layer.name!r}: {error}") from error


def norm_log2(layer) -> np.ndarray:
    """The log2 L1 norm of each channel of the kernel, (C,): of the centred one for method a2q+."""
    kernel = layer._numpy("kernel").reshape(-1, layer._channels)
    centred = quantize.centred(kernel) if layer.method == "a2q+" else kernel
    return np.log2(np.maximum(np.abs(centred).sum(axis=0), 1e-12))


def from_projection(layer):
    """Method a2q+ starts from the Euclidean projection of the float weights; see `quantize.a2q_plus_start`."""
    (kernel, bias), spec = layer._float_weights(), layer.accumulator
    exponent = whole_exponent(ops.convert_to_numpy(layer.scale_log2))
    codes = quantize.codes_for_bias(bias, layer.input_format.frac - exponent)
    start = quantize.a2q_plus_start(kernel, 2.0**exponent, layer.acc_bits, spec.input.bits, spec.input.signed, codes)
    gain = layer._latent().gain
    gain = np.ones(layer._channels) if gain is None else ops.convert_to_numpy(gain)
    own = layer._numpy("kernel").reshape(-1, layer._channels)
    own = np.where(gain == 0, own, start / np.where(gain == 0, 1.0, gain))
    layer.kernel.assign(own.reshape(layer.kernel.shape))
    layer.norm_log2.assign(norm_log2(layer))
