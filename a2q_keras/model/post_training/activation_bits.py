"""How many bits of an activation suit the accumulators behind it.

In an accumulator of P bits inputs of N bits leave room for about 2**P / (2**N - 1) units of weight: an activation of
one bit less is coarser, but its readers get twice the weights.  What is better is measured, layer by layer, on the
inputs of the float model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

import numpy as np

from a2q_keras.layers.separable import accumulator_parts
from a2q_keras.layers.upstream import input_format, quantizers_upstream
from a2q_keras.model.post_training import codes
from a2q_keras.model.post_training.choose import tasks
from a2q_keras.model.post_training.rows import Recorder, Values, parts_of
from a2q_keras.numerics.fit import Recipe, fit
from a2q_keras.quantizers.accumulator import INT32_BITS

RECIPE = Recipe("optq")
CHANNELS = 128  # of a layer that are tried, at most: its error is a mean over them
WORTHWHILE = 0.85  # of the error that more bits leave: fewer must leave less
TRAINED_PICTURES = 1.4  # of that error, where training follows and windows slide: see `_worthwhile`


def between_halves(name: str) -> str:
    """The name of the quantizer inside a separable convolution, and of the float values that it reads."""
    return f"{name}/depthwise"


def front_name(name: str) -> str:
    """The name of the quantizer that is put between the float values of that name and a layer that reads them."""
    return f"{name}_quantizer"


def choose(build: Callable, graph, inputs, widths: range, trained: bool) -> dict[str, int]:
    """Bits by name of each quantizer of activations: those, of `widths`, that leave the layers behind it least error,
    fewer only where that is worthwhile for all of these layers, see `_worthwhile`.

    build: a function from bits to the float model `graph` converted with these, by methods "exact" and "none", which
    keep the float weights; inputs: arrays, one per model input; trained: the model will be trained.  The error of a
    layer is the mean squared error of its outputs over their variance, with the codes that post-training quantization
    finds for float inputs rounded to the bits.
    """
    errors: dict[str, dict[int, float]] = {}
    shares: dict[str, float] = {}
    for bits in reversed(widths):
        for names, part, error in _errors(build(bits), graph, inputs):
            for name in names:
                found = errors.setdefault(name, {})
                found[bits] = found.get(bits, 0.0) + error
                shares[name] = min(shares.get(name, inf), _worthwhile(part, trained))
    return {name: best(found, shares[name]) for name, found in errors.items()}


def _worthwhile(part, trained: bool) -> float:
    """Which share of the error that more bits leave fewer bits may leave, in the layer behind them.

    A convolution that trains is better off with fewer bits than its error tells, as was measured in a ResNet-8.  The
    reason may be that behind a window that slides the rounding of many pixels averages out, the errors of weights do
    not.
    """
    return TRAINED_PICTURES if trained and hasattr(part.own, "kernel_size") else WORTHWHILE


def best(errors: dict[int, float], share: float = WORTHWHILE) -> int:
    """The bits to have, by the error of each number: fewer only for less than `share` of the least error so far.

    >>> best({4: 1.0, 3: 0.9, 2: 0.8}), best({4: 1.0, 3: 0.8, 2: 0.7}), best({4: 1.0, 3: 1.1, 2: 1.5}, 1.4)
    (2, 3, 3)
    """
    chosen, *fewer = sorted(errors, reverse=True)
    least = errors[chosen]
    for bits in fewer:
        if errors[bits] < share * least:
            chosen, least = bits, min(least, errors[bits])
    return chosen


def _errors(ours, graph, inputs):
    """(names of the quantizers in front, part, error) of every part with accumulators, in order."""
    float_values = Values(graph, inputs)
    recorder = Recorder(float_values, Rounded(ours, inputs, float_values), seed=0)
    for layer, part in parts_of(ours, graph):
        first = part.own is accumulator_parts(layer)[0]
        names = quantizers_upstream(layer.input) if first else {between_halves(layer.name)}
        yield names, part, _error(part, recorder)


def _error(part, recorder) -> float:
    layer = part.own
    task = tasks(part, recorder, CHANNELS)
    target = codes.target(layer)
    if layer.method == "none":
        target = replace(target, acc_bits=INT32_BITS)
    _, found = fit(task, target, layer.input_format.frac, RECIPE)
    power = sum(group.moments.variance(group.w).sum() for group in task)
    return sum(one.error.sum() for one in found) / power if power > 0 else 0.0


class Rounded(Values):
    """The values inside a converted model whose quantizers read those of the float model: no error but their own."""

    def __init__(self, ours, inputs, float_values: Values):
        super().__init__(ours, inputs)
        self.float_values = float_values

    def _of(self, tensor) -> np.ndarray:
        name = tensor._keras_history.operation.name
        if quantizers_upstream(tensor) != {name}:
            return super()._of(tensor)
        format = input_format(tensor, name)
        source = name if self.float_values.has(name) else name.removesuffix(front_name(""))
        return format.values(format.quantize(self.float_values.leaving(source))).astype(np.float32)
