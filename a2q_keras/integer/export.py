"""From a Keras model to the integer program; what each layer means is decided in `integer.handlers`."""

from __future__ import annotations

from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.integer.draft import Codes, Draft, Raw
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.integer.handlers import handle
from a2q_keras.integer.ops import Input
from a2q_keras.model.graph import functional


def export(model) -> IntegerProgram:
    """The integer program that computes what the Keras model computes, bit for bit where its accumulators hold.

    Inputs and outputs are in the model's order.  A softmax at the end stays outside (`float_tail`): the program's
    outputs are the logits.
    Raises UnsupportedLayerError naming the first layer that has no exact integer meaning or an input that no layer
    reads, WeightError for NaN weights, ConfigurationError for a model that is not built.
    """
    return export_with_tensors(model)[0]


def export_with_tensors(model) -> tuple[IntegerProgram, dict]:
    """The program and, by tensor name, the symbolic Keras tensor with the same values, where Keras has one."""
    graph = functional(model)
    draft, twins = Draft(), {}
    for operation, node in _in_order(graph):
        tensors = [draft.tensors[id(tensor)] for tensor in node.input_tensors]
        made = draft.tensors[id(node.output_tensors[0])] = handle(draft, operation, node, tensors)
        if isinstance(made, Codes) and not made.float_tail:
            twins[made.name] = node.output_tensors[0]
    return _program(model, graph, draft), twins


def _program(model, graph, draft: Draft) -> IntegerProgram:
    outputs = [draft.tensors[id(tensor)] for tensor in graph.outputs]
    raw = [tensor.name for tensor in outputs if isinstance(tensor, Raw)]
    if raw:
        raise UnsupportedLayerError(f"model {model.name!r}: input {raw[0]!r} reaches an output unquantized; add layers")
    tails = {tensor.float_tail for tensor in outputs} - {""}
    names = tuple(tensor.name for tensor in outputs)
    return IntegerProgram(model.name, _inputs(model, graph, draft), tuple(draft.ops), names, "+".join(sorted(tails)))


def _inputs(model, graph, draft: Draft) -> tuple[Input, ...]:
    """The inputs in the order of the model's, in which its users give the arrays."""
    read = {node.name: node for node in draft.inputs}
    names = [draft.tensors[id(tensor)].name for tensor in graph.inputs]
    unread = [name for name in names if name not in read]
    if unread:
        raise UnsupportedLayerError(
            f"model {model.name!r}: no layer reads its input {unread[0]!r}, so it has no fixed-point type; make the "
            "keras.Model without it"
        )
    return tuple(read[name] for name in names)


def _in_order(graph):
    """(layer, node) pairs of the model, inputs first."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            yield node.operation, node
