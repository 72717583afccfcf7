"""Batch norms behind an activation, taken into the layers that read them.

A batch norm in inference is x -> factor * x + shift per channel; a layer with weights w and bias b that reads it has
weights factor * w and bias b + sum(w * shift) instead.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np

from a2q_keras.model.fold import channels, float_weights, statistics
from a2q_keras.model.graph import Nodes, alike, normalises_channels

READERS = ("Dense", "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D")
DROPOUTS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianDropout")
AVERAGES = tuple(f"{kind}Pooling{rank}D" for kind in ("Average", "GlobalAverage") for rank in (1, 2))
MAXIMA = tuple(f"{kind}Pooling{rank}D" for kind in ("Max", "GlobalMax") for rank in (1, 2))


class Affine(NamedTuple):
    """factor and shift of every input of a layer's last axis, float64 (n,)."""

    factor: np.ndarray
    shift: np.ndarray


def absorbed(graph):
    """A functional model that computes what `graph` does, without the batch norms behind activations that only dense
    layers and convolutions read, also behind dropout, flattening and pooling; `graph` itself where there are none.

    A convolution that pads its inputs with zeros reads none, unless nothing is shifted; nor is a batch norm of the
    model's inputs taken in, because one quantizer would then have to do for inputs of every scale.  Layers keep their
    names.
    """
    nodes = Nodes(graph)
    folded = [nodes.batchnorm_behind(node) for node in nodes]
    free = [node for node in nodes if normalises_channels(node) and not _of_inputs(node) and node not in folded]
    found = {node.operation.name: _taken(node, nodes) for node in free}
    norms = {name: readers for name, readers in found.items() if readers}
    if not norms:
        return graph
    affines = {layer.name: affine for readers in norms.values() for layer, affine in readers}
    plain = alike(graph, graph.inputs, graph.outputs, graph.name)  # without the optimizer, which would be cloned
    clone = keras.models.clone_model(
        plain,
        keras.tree.map_structure(_input_like, plain.input),  # by itself it would call inputs otherwise
        clone_function=lambda layer: _twin(layer, layer.name in affines),
        call_function=lambda layer, x, *args, **kwargs: x if layer.name in norms else layer(x, *args, **kwargs),
    )
    for layer in clone.layers:
        _give_weights(layer, graph.get_layer(layer.name), affines.get(layer.name))
    return clone


def _of_inputs(node) -> bool:
    return isinstance(node.input_tensors[0]._keras_history.operation, keras.layers.InputLayer)


def _taken(node, nodes: Nodes) -> list:
    """(layer, Affine of its inputs) of every layer that takes a batch norm in; empty where one cannot."""
    factor, mean, beta = statistics(node.operation)
    return _readers(node, Affine(factor, beta - mean * factor), nodes) or []


def _readers(node, affine: Affine, nodes: Nodes) -> list | None:
    tensor, found = node.output_tensors[0], []
    if id(tensor) in nodes.outputs:
        return None
    for reader in nodes.reading(tensor):
        layer, kind = reader.operation, type(reader.operation).__name__
        if kind in READERS and (kind == "Dense" or layer.padding == "valid" or not affine.shift.any()):
            found.append((layer, affine))
            continue
        passed = _passed(kind, affine, reader.output_tensors[0])
        behind = passed and _readers(reader, passed, nodes)
        if not behind:
            return None
        found += behind
    return found


def _passed(kind, affine: Affine, output) -> Affine | None:
    """The affine behind a layer that has no weights, None where it does not pass."""
    if kind in DROPOUTS + AVERAGES or (kind in MAXIMA and (affine.factor >= 0).all()):
        return affine
    if kind == "Flatten" and output.shape[-1]:
        return Affine(*(np.tile(part, output.shape[-1] // len(part)) for part in affine))
    return None


def _input_like(tensor):
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor._keras_history.operation.name)


def _twin(layer, with_bias: bool):
    return type(layer).from_config(layer.get_config() | ({"use_bias": True} if with_bias else {}))


def _give_weights(layer, source, affine: Affine | None):
    if affine is None:
        layer.set_weights(source.get_weights())
        return
    kernel, bias = float_weights(source)
    scaled, products = (kernel * _along_inputs(part, *kernel.shape[-2:]) for part in affine)
    sums = tuple(range(kernel.ndim - len(channels(source, kernel))))
    shift = products.sum(axis=sums).reshape(-1)
    layer.set_weights([scaled, shift if bias is None else shift + bias])


def _along_inputs(part, inputs: int, outputs: int) -> np.ndarray:
    """One number per input, in the shape of the last two axes of a kernel: inputs of a group, outputs of all groups."""
    by_group = part.reshape(-1, inputs)
    return np.repeat(by_group, outputs // len(by_group), axis=0).T
