"""The hls4ml layers of an integer program, as plain data; hls4ml is not needed to make or print them.

Ops that change no code (a Reshape, a Quantize to the format its source already has) cost no hardware: a Reshape appears
as an hls4ml layer where another op needs its shape, and not at all behind the last op.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.hls.lower import lower
from a2q_keras.hls.names import identifiers
from a2q_keras.hls.nodes import Node, node, result_type
from a2q_keras.hls.settings import HlsConfig, setting
from a2q_keras.integer.graph import Dense, Input, IntegerProgram, Op, Reshape, sources


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """One hls4ml layer.

    tensor: the tensor of the lowered program that it computes; layer: the dictionary that `ModelGraph.from_layer_list`
    takes; types: hls4ml types by variable ("result"; "accum", "weight", "bias" where it has them); codes: by variable,
    with their fraction bits; notice: why strategy or reuse factor are not what was asked for; owner: the op of the
    program that it belongs to.
    """

    tensor: str
    layer: dict
    types: dict[str, str]
    shape: tuple[int, ...]
    codes: dict[str, tuple[np.ndarray, int]] = field(default_factory=dict)
    strategy: str = "Latency"
    reuse_factor: int = 1
    notice: str = ""
    owner: str = ""

    @property
    def name(self) -> str:
        """The layer's name in the firmware."""
        return self.layer["name"]

    @property
    def kind(self) -> str:
        """hls4ml's name of the layer type."""
        return self.layer["class_name"]

    @property
    def multiplies(self) -> bool:
        """Whether it has weights, and so a strategy that matters."""
        return bool(self.codes)

    def __str__(self):
        reads = ", ".join(self.layer.get("inputs", ()))
        types = " ".join(f"{key}={value}" for key, value in self.types.items())
        how = f" {self.strategy}/{self.reuse_factor}" if self.multiplies else ""
        return f"{self.name:16} {self.kind:12} {self.shape!s:16} {types}{how}{f' <- {reads}' if reads else ''}"


@dataclass(frozen=True, eq=False)
class FirmwarePlan:
    """The layers of a firmware in order; names of its input layers; per output of the program the layer holding it.

    computed: layer names by tensor of the program, for the tensors that hardware computes and C simulation can report,
    in order.
    """

    layers: tuple[LayerPlan, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    computed: dict[str, str]

    @property
    def notices(self) -> list[str]:
        """What was chosen otherwise than asked for, and why."""
        return [layer.notice for layer in self.layers if layer.notice]

    def __str__(self):
        return "\n".join([*map(str, self.layers), f"outputs: {', '.join(self.outputs)}"])


def plan(program: IntegerProgram, config: HlsConfig | None = None) -> FirmwarePlan:
    """The hls4ml layers that compute `program`.

    Raises UnsupportedLayerError for an op that cannot be computed exactly this way; ConfigurationError where an output
    is an input itself, two outputs are the same tensor, or a setting names no layer.
    """
    config = config or HlsConfig()
    check_names(program, config)
    lowered, holders, owners = lower(program, config)
    planner = _Planner(lowered, config, owners)
    for op in (*lowered.inputs, *lowered.ops):
        if not isinstance(op, Reshape):
            planner.add(op)
    origins = {op.name: planner.origin(holders[op.name]) for op in program.ops if not isinstance(op, Reshape)}
    entries = {entry.name for entry in program.inputs}
    return FirmwarePlan(
        tuple(planner.layers),
        tuple(planner.names[entry.name] for entry in program.inputs),
        _outputs(program, planner),
        {
            tensor: planner.names[origin]
            for tensor, origin in origins.items()
            if origin not in entries and config.traceable
        },
    )


def check_names(program, config):
    """ConfigurationError where a setting names a layer that the program does not have."""
    unknown = config.named_layers() - set(program.formats)
    if unknown:
        known = ", ".join(op.name for op in program.accumulator_ops)
        raise ConfigurationError(f"no layer is called {', '.join(sorted(unknown))}; layers with weights are {known}")


def _outputs(program, planner) -> tuple[str, ...]:
    origins = [planner.origin(tensor) for tensor in planner.program.outputs]
    for tensor, origin in zip(program.outputs, origins):
        if isinstance(planner.program[origin], Input):
            raise ConfigurationError(
                f"output {tensor!r} is the quantized input {origin!r} and nothing more, which no layer of firmware "
                "computes; take it out of the outputs"
            )
        if origins.count(origin) > 1:
            raise ConfigurationError(f"output {tensor!r} is also another output of the program; firmware has it once")
    return tuple(planner.names[origin] for origin in origins)


class _Planner:
    """The layers so far of a lowered program."""

    def __init__(self, program: IntegerProgram, config: HlsConfig, owners: dict[str, str]):
        self.program = program
        self.owners = owners
        self.config = config
        self.layers: list[LayerPlan] = []
        self.names = identifiers(
            [*program.formats, *(_view(tensor, step) for tensor in program.formats for step in (0, 1))]
        )
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._views: dict[tuple, str] = {}

    def origin(self, tensor: str) -> str:
        """The tensor that was computed (or put in) last on the way to `tensor`."""
        op = self.program[tensor]
        return self.origin(op.source) if isinstance(op, Reshape) else tensor

    def add(self, op: Input | Op):
        """Append the layer of an op that is no Reshape, and the views it needs."""
        made = node(self.program, op)
        reads = {} if isinstance(op, Input) else {"inputs": [self._read(op, tensor) for tensor in sources(op)]}
        layer = {"class_name": made.kind, "name": self.names[op.name], **reads, **made.attributes}
        self._shapes[op.name] = made.shape
        self.layers.append(self._plan(op.name, layer, made))

    def _plan(self, tensor, layer, made: Node) -> LayerPlan:
        owner = self.owners.get(tensor, tensor)
        how = setting(self.config, owner, made.product)
        return LayerPlan(tensor, layer, made.types, made.shape, made.codes, *how, owner)

    def _read(self, op, tensor: str) -> str:
        """The layer from which `op` reads a tensor: that which computes it, or a view of it in the tensor's shape."""
        origin, shape = self.origin(tensor), self.program.shapes[tensor]
        if self._shapes[origin] == shape:
            return self.names[origin]
        if self.config.parallel or isinstance(op, Dense):
            return self._view(tensor, origin, shape, "Reshape")
        return self._repacked(tensor, origin, shape)

    def _repacked(self, tensor, origin, shape) -> str:
        """In a stream one word holds the last axis: words that do not divide one another are first made one."""
        before, after = self._shapes[origin][-1], shape[-1]
        if before % after == 0 or after % before == 0:
            return self._view(tensor, origin, shape, "Repack")
        size = int(np.prod(shape))
        whole = self._view(tensor, origin, (size,), "Repack", step=1)
        return self._view(tensor, origin, shape, "Repack", source=whole)

    def _view(self, tensor, origin, shape, kind, step=0, source=None) -> str:
        source = source or self.names[origin]
        if (source, shape, kind) not in self._views:
            name = self.names[tensor] if step == 0 and tensor != origin else self.names[_view(tensor, step)]
            layer = {"class_name": kind, "name": name, "inputs": [source], "target_shape": list(shape)}
            result = {"result": result_type(self.program, origin)}
            self.layers.append(LayerPlan(tensor, layer, result, shape))
            self._views[source, shape, kind] = name
        return self._views[source, shape, kind]


def _view(tensor: str, step: int) -> str:
    return f"{tensor}_{('view', 'words')[step]}"


def layer_config(layer: LayerPlan, traced: bool, options) -> dict:
    """hls4ml's configuration of a layer; its trace is switched on by the model's `TraceOutput`."""
    how = {"Strategy": layer.strategy, "ReuseFactor": layer.reuse_factor, "Trace": traced}
    return {"Precision": layer.types, **how, **options}
