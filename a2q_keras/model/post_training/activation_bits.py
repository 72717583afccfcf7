"""How many bits of an activation suit the accumulators behind it.

In an accumulator of P bits inputs of N bits leave room for about 2**P / (2**N - 1) units of weight: an activation of
one bit less is coarser, but its readers get twice the weights.  What is better is measured, layer by layer, on the
inputs of the float model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from a2q_keras.layers.separable import accumulator_parts
from a2q_keras.layers.upstream import input_format, quantizers_upstream
from a2q_keras.model.post_training import codes
from a2q_keras.model.post_training.choose import tasks
from a2q_keras.model.post_training.rows import Recorder, Values, parts_of
from a2q_keras.numerics.fit import Recipe, fit

RECIPE = Recipe("optq")  # its codes are about as near to the float outputs as those of training
WORTHWHILE = 0.85  # of the error: fewer bits must leave less, because training mends weights, but no rounding


def between_halves(name: str) -> str:
    """The name of the quantizer inside a separable convolution, and of the float values that it reads."""
    return f"{name}/depthwise"


def front_name(name: str) -> str:
    """The name of the quantizer that is put between the float values of that name and a layer that reads them."""
    return f"{name}_quantizer"


def choose(build: Callable, graph, inputs, widths: range) -> dict[str, int]:
    """Bits by name of each quantizer of activations: those, of `widths`, that leave the layers behind it least error,
    fewer only where the error falls to WORTHWHILE of what more bits leave.

    build: a function from bits to the float model `graph` converted with these, by methods "exact" and "none", which
    keep the float weights; inputs: arrays, one per model input.  The error of a layer is the mean squared error of its
    outputs over their variance, with the codes that post-training quantization finds for float inputs rounded to the
    bits.
    """
    errors: dict[str, dict[int, float]] = {}
    for bits in reversed(widths):
        for names, error in _errors(build(bits), graph, inputs):
            for name in names:
                found = errors.setdefault(name, {})
                found[bits] = found.get(bits, 0.0) + error
    return {name: best(found) for name, found in errors.items()}


def best(errors: dict[int, float]) -> int:
    """The bits to have, by the error of each number.

    >>> best({4: 1.0, 3: 0.9, 2: 0.8}), best({4: 1.0, 3: 0.8, 2: 0.7})
    (2, 3)
    """
    chosen, *fewer = sorted(errors, reverse=True)
    for bits in fewer:
        chosen = bits if errors[bits] < WORTHWHILE * errors[chosen] else chosen
    return chosen


def _errors(ours, graph, inputs):
    """(names of the quantizers in front, error) of every part with accumulators, in order."""
    float_values = Values(graph, inputs)
    recorder = Recorder(float_values, Rounded(ours, inputs, float_values), seed=0)
    for layer, part in parts_of(ours, graph):
        first = part.own is accumulator_parts(layer)[0]
        yield quantizers_upstream(layer.input) if first else {between_halves(layer.name)}, _error(part, recorder)


def _error(part, recorder) -> float:
    layer = part.own
    task = tasks(part, recorder)
    target = codes.target(layer)
    if layer.method == "none":
        target = replace(target, acc_bits=codes.INT32_BITS)
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
