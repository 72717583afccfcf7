"""Bias correction (Nagel et al., ICCV 2019, section 4.2, empirical): no channel is off on average.

Rounding and projecting weights and activations moves the mean output of a channel.  Layer by layer, from the inputs
on, each bias takes the mean error of its channel on calibration data away; layers behind it see it corrected.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.separable import accumulator_parts
from a2q_keras.model.fold import float_weights
from a2q_keras.model.graph import Nodes, called, functional
from a2q_keras.model.record import samples


def correct_bias(model, float_model, data) -> dict[str, float]:
    """Shift the biases of the accumulator-aware layers of `model` so that every channel has the mean output that it has
    in `float_model`; returns the largest shift of each layer by name, as a value.

    float_model: the model that was converted; layers are matched by name.  data: as for `convert`.  Layers without bias
    or without a counterpart stay as they are.  The weights are projected anew around the biases, so the bound holds.

    Raises ConfigurationError naming a layer whose outputs are not finite.
    """
    graph = functional(float_model)
    arrays = samples(graph, data)
    references = _references(graph, arrays)
    shifts: dict[str, float] = {}

    def correct(node, inputs):
        name = node.operation.name
        layers = accumulator_parts(node.operation)
        if layers and name in references and _bias(layers[-1]) is not None:
            shifts[name] = _correct(layers, inputs, references[name])

    _walk(functional(model), arrays, correct)
    return shifts


class Reference(NamedTuple):
    """A float layer: mean of its inputs over the samples, kernels and bias, a batch norm behind it folded in."""

    mean_input: Any
    kernels: list
    bias: Any


def _references(graph, arrays) -> dict[str, Reference]:
    """The float layers that have weights, by name."""
    found, nodes = {}, Nodes(graph)

    def measure(node, inputs):
        layer = node.operation
        if hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel"):
            behind = nodes.batchnorm_behind(node)
            *kernels, bias = float_weights(layer, None if behind is None else behind.operation)
            found[layer.name] = Reference(ops.mean(inputs, axis=0), kernels, bias)

    _walk(graph, arrays, measure)
    return found


def _bias(layer):
    """The variable that shifts the outputs of a layer, or None."""
    return layer.batchnorm.beta if hasattr(layer, "batchnorm") else layer.bias if layer.use_bias else None


def _correct(layers, inputs, reference: Reference) -> float:
    for layer in layers[:-1]:
        inputs = layer(inputs)
    last = layers[-1]
    inputs = inputs if last.input_quantizer is None else last.input_quantizer(inputs)
    kernel, bias = last.quantized_weights()
    wanted = _mean_output(layers, reference.mean_input, reference.kernels, reference.bias)
    shift = wanted - _mean_output([last], ops.mean(inputs, axis=0), [kernel], bias)
    if not np.isfinite(shift).all():
        raise ConfigurationError(
            f"layer {last.name!r} makes NaN or infinity on the calibration data; clean the data or the model"
        )
    _bias(last).assign_add(shift)
    return float(np.abs(shift).max())


def _mean_output(layers, mean_input, kernels, bias) -> np.ndarray:
    """The mean over samples and positions of what layers sum up, (C,): sums are linear, so that of the mean input."""
    outputs = mean_input[None]
    for layer, kernel in zip(layers, kernels):
        outputs = layer._linear(outputs, ops.cast(kernel, "float32"))
    mean = ops.convert_to_numpy(ops.mean(outputs, axis=list(range(len(outputs.shape) - 1))))
    return mean if bias is None else mean + ops.convert_to_numpy(bias)


def _walk(graph, arrays, visit):
    """Compute a functional model node by node, after `visit(node, its inputs)`; what nobody reads any more goes."""
    values = dict(zip(map(id, graph.inputs), map(ops.convert_to_tensor, arrays)))
    nodes = Nodes(graph)
    left = {key: len(readers) for key, readers in nodes.readers.items()}
    for node in nodes:
        if not node.input_tensors:
            continue
        inputs = [values[id(tensor)] for tensor in node.input_tensors]
        visit(node, inputs if len(inputs) > 1 else inputs[0])
        values[id(node.output_tensors[0])] = called(node.operation, inputs)
        for tensor in node.input_tensors:
            left[id(tensor)] -= 1
            if not left[id(tensor)]:
                values.pop(id(tensor), None)
