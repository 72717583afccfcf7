"""The graph of layers inside a Keras model."""

from __future__ import annotations

import keras

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.upstream import is_sum


def functional(model):
    """The functional model with the layers of a Sequential or functional one.

    Raises ConfigurationError for anything else, and for a model that is not built.
    """
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not isinstance(graph, keras.Model) or not getattr(graph, "outputs", None):
        raise ConfigurationError(
            f"{getattr(model, 'name', model)!r} is not a built Sequential or functional Keras model; "
            "start it with keras.Input(shape), or call it on data once"
        )
    return graph


def alike(graph, inputs: list, outputs: list, name: str):
    """The functional model from inputs to outputs, in the structure that those of `graph` have: lists, dicts by name.

    One alone is no list, so that Keras takes an array for it.
    """
    packed = (keras.tree.pack_sequence_as(*pair) for pair in ((graph.input, inputs), (graph.output, outputs)))
    return keras.Model(*(_alone(tensors) for tensors in packed), name=name)


def _alone(tensors):
    return tensors[0] if isinstance(tensors, (list, tuple)) and len(tensors) == 1 else tensors


def called(operation, inputs: list):
    """What a layer, or the operation of `a + b`, makes of its inputs, tensors or arrays."""
    if is_sum(operation):
        return operation(*inputs)
    return operation(inputs if len(inputs) > 1 else inputs[0])


class Nodes:
    """The nodes of a functional model in the order of computation, and who reads each tensor, by the tensor's id."""

    def __init__(self, graph):
        depths = sorted(graph._nodes_by_depth, reverse=True)
        self.nodes = [node for depth in depths for node in graph._nodes_by_depth[depth]]
        self.outputs = {id(tensor) for tensor in graph.outputs}
        self.readers: dict[int, list] = {}
        for node in self.nodes:
            for tensor in node.input_tensors:
                self.readers.setdefault(id(tensor), []).append(node)

    def __iter__(self):
        return iter(self.nodes)

    def reading(self, tensor) -> list:
        """The nodes that read a tensor."""
        return self.readers.get(id(tensor), [])

    def batchnorm_behind(self, node):
        """The node of a batch norm that alone reads a layer without activation: it can be folded into the layer."""
        tensor = node.output_tensors[0]
        readers = self.reading(tensor)
        folds = len(readers) == 1 and normalises_channels(readers[0])
        return readers[0] if folds and id(tensor) not in self.outputs and _ends_in_sums(node.operation) else None


def normalises_channels(node) -> bool:
    """Whether a node is a batch norm of the last axis."""
    layer = node.operation
    return type(layer).__name__ == "BatchNormalization" and layer.axis in (-1, node.input_tensors[0].ndim - 1)


def _ends_in_sums(layer) -> bool:
    """Whether a layer has a kernel and no activation."""
    activation = getattr(layer, "activation", None)
    has_kernel = hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")
    return has_kernel and (activation is None or getattr(activation, "__name__", "") == "linear")
