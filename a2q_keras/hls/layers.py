"""The hls4ml layers of an integer program, as plain data; hls4ml is not needed to make or print them.

Ops that change no code (a Reshape, a Quantize to the format its source already has) cost no hardware: they appear as
hls4ml Reshape layers where another op needs their shape, and not at all behind the last op.
"""

from __future__ import annotations

from dataclasses import dataclass

from a2q_keras.errors import ConfigurationError, UnsupportedLayerError
from a2q_keras.hls.names import identifiers
from a2q_keras.hls.types import plain, saturating
from a2q_keras.integer.graph import Dense, Input, IntegerProgram, Op, Quantize, Reshape


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """One hls4ml layer.

    tensor: the tensor of the program that it computes; layer: the dictionary `ModelGraph.from_layer_list` takes;
    types: hls4ml types by variable ("result", and for a Dense "accum", "weight", "bias").
    """

    tensor: str
    layer: dict
    types: dict[str, str]
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """The layer's name in the firmware."""
        return self.layer["name"]

    @property
    def kind(self) -> str:
        """hls4ml's name of the layer type."""
        return self.layer["class_name"]

    @property
    def computes(self) -> bool:
        """Whether hardware computes this tensor (an input or a reshape is only wires)."""
        return self.kind in ("Dense", "Activation")

    def __str__(self):
        reads = ", ".join(self.layer.get("inputs", ()))
        types = " ".join(f"{key}={value}" for key, value in self.types.items())
        return f"{self.name:16} {self.kind:12} {self.shape!s:16} {types}{f' <- {reads}' if reads else ''}"


@dataclass(frozen=True, eq=False)
class FirmwarePlan:
    """The layers of a firmware in order; names of its input layers; per output of the program the layer holding it."""

    layers: tuple[LayerPlan, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def computed(self) -> dict[str, str]:
        """Layer names by tensor, of the tensors that hardware computes, in order."""
        return {layer.tensor: layer.name for layer in self.layers if layer.computes}

    def __str__(self):
        return "\n".join([*map(str, self.layers), f"outputs: {', '.join(self.outputs)}"])


def plan(program: IntegerProgram) -> FirmwarePlan:
    """The hls4ml layers that compute `program`.

    Raises UnsupportedLayerError for an op that has no firmware here yet, ConfigurationError where an output is an input
    itself, or two outputs are the same tensor.
    """
    _refuse_other_ops(program)
    nodes = {node.name: node for node in (*program.inputs, *program.ops)}
    names = identifiers(nodes)
    computed = [op for op in program.ops if not _changes_nothing(program, op)]
    needed = {op.name for op in computed} | {op.source for op in computed}
    layers = tuple(
        _PLANS[_kind(program, node)](program, node, names)
        for node in nodes.values()
        if isinstance(node, Input) or node.name in needed
    )
    return FirmwarePlan(layers, tuple(names[node.name] for node in program.inputs), _outputs(program, names))


def _refuse_other_ops(program):
    for op in program.ops:
        if type(op) not in _PLANS or (isinstance(op, Dense) and len(program.shapes[op.source]) > 1):
            raise UnsupportedLayerError(
                f"layer {op.name!r}: {type(op).__name__} of shape {program.shapes[op.name]} has no firmware yet; dense "
                "layers on vectors, activations and reshapes have. integer_model(...).run and certify take all layers"
            )


def result_type(program: IntegerProgram, tensor: str) -> str:
    """The hls4ml type of a tensor: an accumulator is plain, everything else was rounded and saturated."""
    node = program[tensor]
    if isinstance(node, Reshape):
        return result_type(program, node.source)
    return (plain if isinstance(node, Dense) else saturating)(program.formats[tensor])


def _changes_nothing(program, node: Input | Op) -> bool:
    return isinstance(node, Reshape) or (
        isinstance(node, Quantize) and result_type(program, node.name) == result_type(program, node.source)
    )


def _kind(program, node: Input | Op) -> type:
    return Reshape if _changes_nothing(program, node) else type(node)


def _holder(program, tensor: str) -> str:
    """The tensor that was computed (or put in) last on the way to `tensor`: its codes in the firmware."""
    node = program[tensor]
    return _holder(program, node.source) if _changes_nothing(program, node) else tensor


def _outputs(program, names) -> tuple[str, ...]:
    holders = [_holder(program, tensor) for tensor in program.outputs]
    for tensor, holder in zip(program.outputs, holders):
        if isinstance(program[holder], Input):
            raise ConfigurationError(f"output {tensor!r} is the input {holder!r} unchanged; no firmware computes it")
        if holders.count(holder) > 1:
            raise ConfigurationError(f"output {tensor!r} is also another output of the program; firmware has it once")
    return tuple(names[holder] for holder in holders)


def _input(program, node: Input, names) -> LayerPlan:
    layer = {"class_name": "InputLayer", "name": names[node.name], "input_shape": list(node.shape)}
    return _layer(program, node, layer)


def _dense(program, op: Dense, names) -> LayerPlan:
    n_in, n_out = op.weights.shape
    accum = program.formats[op.name]
    layer = _reading(op, names, op.source, "Dense") | {
        "n_in": n_in,
        "n_out": n_out,
        "weight_data": op.weight_format.values(op.weights),
        "bias_data": accum.values(op.bias),
    }
    return _layer(program, op, layer, accum=plain(accum), weight=plain(op.weight_format), bias=plain(accum))


def _quantize(program, op: Quantize, names) -> LayerPlan:
    layer = _reading(op, names, op.source, "Activation") | {"activation": "linear"}
    return _layer(program, op, layer)


def _reshape(program, op: Reshape | Quantize, names) -> LayerPlan:
    source = _holder(program, op.source)
    layer = _reading(op, names, source, "Reshape") | {"target_shape": list(program.shapes[op.name])}
    return _layer(program, op, layer)


def _reading(op, names, source, kind) -> dict:
    return {"class_name": kind, "name": names[op.name], "inputs": [names[source]]}


def _layer(program, node, layer, **types) -> LayerPlan:
    return LayerPlan(node.name, layer, {"result": result_type(program, node.name), **types}, program.shapes[node.name])


_PLANS = {Input: _input, Dense: _dense, Quantize: _quantize, Reshape: _reshape}


def layer_config(layer: LayerPlan, strategy: str, reuse_factor: int) -> dict:
    """hls4ml's configuration of a layer; its trace is switched on by the model's `TraceOutput`."""
    return {"Precision": layer.types, "Strategy": strategy, "ReuseFactor": reuse_factor, "Trace": True}
