"""From a Keras model to the integer program: the one place where a Keras layer's meaning is decided."""

from __future__ import annotations

from dataclasses import dataclass, field

import keras

from a2q_keras.errors import ConfigurationError, UnsupportedLayerError
from a2q_keras.integer.graph import Dense, Input, IntegerProgram, Quantize, Reshape
from a2q_keras.layers.dense import A2QDense
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers.activations import format_of

SUPPORTED = "A2QDense, QActivation, Flatten, Reshape, Dropout and a final softmax"


def export(model) -> IntegerProgram:
    """The integer program that computes what the Keras model computes, bit for bit where its accumulators hold.

    A softmax at the end stays outside (`float_tail`): the program's outputs are the logits.
    Raises UnsupportedLayerError naming the first layer that has no exact integer meaning, WeightError for NaN
    weights, ConfigurationError for a model that is not built.
    """
    return export_with_tensors(model)[0]


def export_with_tensors(model) -> tuple[IntegerProgram, dict]:
    """The program and, by tensor name, the symbolic Keras tensor with the same values, where Keras has one."""
    graph = _functional(model)
    draft, twins = _Draft({}, [], []), {}
    for operation, node in _in_order(graph):
        tensors = [draft.tensors[id(tensor)] for tensor in node.input_tensors]
        made = draft.tensors[id(node.output_tensors[0])] = _export(draft, operation, node, tensors)
        if isinstance(made, _Codes) and not made.float_tail:
            twins[made.name] = node.output_tensors[0]
    return _program(model, graph, draft), twins


def _program(model, graph, draft) -> IntegerProgram:
    outputs = [draft.tensors[id(tensor)] for tensor in graph.outputs]
    raw = [tensor.name for tensor in outputs if isinstance(tensor, _Raw)]
    if raw:
        raise UnsupportedLayerError(f"model {model.name!r}: input {raw[0]!r} reaches an output unquantized; add layers")
    tails = {tensor.float_tail for tensor in outputs} - {""}
    names = tuple(tensor.name for tensor in outputs)
    return IntegerProgram(model.name, tuple(draft.inputs), tuple(draft.ops), names, "+".join(sorted(tails)))


@dataclass(frozen=True)
class _Raw:
    """A model input that nothing has quantized yet, perhaps reshaped."""

    name: str
    shape: tuple[int, ...]
    now: tuple[int, ...]


@dataclass(frozen=True)
class _Codes:
    """A tensor of the program; float_tail names a float op that the model applies to it as its very last one."""

    name: str
    float_tail: str = ""


@dataclass
class _Draft:
    tensors: dict[int, _Raw | _Codes]
    inputs: list[Input]
    ops: list = field(default_factory=list)

    def add(self, op) -> _Codes:
        self.ops.append(op)
        return _Codes(op.name)

    def quantize(self, name: str, tensor, format: FixedPoint) -> _Codes:
        """Quantize a raw input on entry, or requantize codes."""
        if isinstance(tensor, _Codes):
            return self.add(Quantize(name, tensor.name, format))
        entry = Input(tensor.name, tensor.shape, format)
        known = next((node for node in self.inputs if node.name == entry.name), None)
        if known not in (None, entry):
            raise UnsupportedLayerError(
                f"layer {name!r}: input {entry.name!r} is already quantized to {known.format}; "
                "use one QActivation for it"
            )
        if known is None:
            self.inputs.append(entry)
        return _Codes(entry.name) if tensor.now == tensor.shape else self.add(Reshape(name, entry.name, tensor.now))

    def reshape(self, name: str, tensor, shape: tuple[int, ...]):
        if isinstance(tensor, _Raw):
            return _Raw(tensor.name, tensor.shape, shape)
        return self.add(Reshape(name, tensor.name, shape))


def _functional(model):
    """The graph of layers of a Sequential or functional model."""
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not isinstance(graph, keras.Model) or not getattr(graph, "outputs", None):
        raise ConfigurationError(
            f"{getattr(model, 'name', model)!r} is not a built Sequential or functional Keras model; "
            "start it with keras.Input(shape), or call it on data once"
        )
    return graph


def _in_order(graph):
    """(layer, node) pairs of the model, inputs first."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            yield node.operation, node


def _export(draft, operation, node, tensors):
    done = [tensor for tensor in tensors if isinstance(tensor, _Codes) and tensor.float_tail]
    kind = type(operation).__name__
    handler = _HANDLERS.get(kind)
    if handler is None or done:
        found = f"comes after a {done[0].float_tail}" if done else "has no exact integer meaning here"
        raise UnsupportedLayerError(
            f"layer {operation.name!r} ({kind}) {found}; supported are {SUPPORTED}. "
            "Put A2QDense for Dense or QDense, QActivation for a float activation"
        )
    return handler(draft, operation, node, *tensors)


def _input(draft, layer, node):
    shape = tuple(node.output_tensors[0].shape[1:])
    return _Raw(layer.name, shape, shape)


def _activation(draft, layer, node, tensor):
    return draft.quantize(layer.name, tensor, format_of(layer.activation, f"layer {layer.name!r}"))


def _same(draft, layer, node, tensor):
    return tensor


def _reshape(draft, layer, node, tensor):
    return draft.reshape(layer.name, tensor, tuple(node.output_tensors[0].shape[1:]))


def _tail(draft, layer, node, tensor):
    if hasattr(getattr(layer, "activation", None), "bits"):  # Activation(quantizer) is a QActivation
        return _activation(draft, layer, node, tensor)
    name = type(layer).__name__.lower() if isinstance(layer, keras.layers.Softmax) else layer.activation.__name__
    return _finish(draft, layer, tensor, name)


def _finish(draft, layer, tensor, name):
    """Apply a float activation by its name: nothing for linear, the float tail for softmax, else refuse."""
    if name == "linear":
        return tensor
    if name == "softmax" and isinstance(tensor, _Codes):
        return _Codes(tensor.name, "softmax")
    raise UnsupportedLayerError(
        f"layer {layer.name!r}: the float activation {name!r} has no exact integer meaning; "
        'use QActivation("quantized_relu(8, 3)") or quantized_bits'
    )


def _dense(draft, layer: A2QDense, node, tensor):
    if layer.input_quantizer is not None:
        tensor = draft.quantize(f"{layer.name}_input", tensor, layer.input_format)
    if isinstance(tensor, _Raw):
        raise UnsupportedLayerError(f"layer {layer.name!r}: its inputs are not quantized; put a QActivation in front")
    weights, bias, frac = layer.integer_weights()
    weight_format = FixedPoint(layer.weight_bits, frac, signed=True)
    tensor = draft.add(Dense(layer.name, tensor.name, weights, bias, weight_format, layer.acc_bits))
    if hasattr(layer.activation, "bits"):
        format = format_of(layer.activation, f"layer {layer.name!r}")
        return draft.quantize(f"{layer.name}_activation", tensor, format)
    return tensor if layer.activation is None else _finish(draft, layer, tensor, layer.activation.__name__)


_HANDLERS = {
    "InputLayer": _input,
    "QActivation": _activation,
    "A2QDense": _dense,
    "Dropout": _same,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Softmax": _tail,
    "Activation": _tail,
}
