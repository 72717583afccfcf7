"""Integer program -> hls4ml ModelGraph: plan it, make it, and check what hls4ml made of it."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass

import numpy as np

from a2q_keras.errors import ConfigurationError, ConversionError
from a2q_keras.hls.layers import FirmwarePlan, LayerPlan, layer_config, plan
from a2q_keras.hls.names import is_identifier
from a2q_keras.integer.graph import Dense, IntegerProgram

SUPPORTED = {"backend": ("Vitis",), "io_type": ("io_parallel",), "strategy": ("Latency",)}


@dataclass(frozen=True)
class HlsConfig:
    """How hls4ml builds the firmware; the names are hls4ml's.

    output_dir: None takes a fresh temporary directory.  trace: firmware reports every layer in C simulation.
    Raises ConfigurationError for what has not been shown to be exact.
    """

    backend: str = "Vitis"
    io_type: str = "io_parallel"
    strategy: str = "Latency"
    reuse_factor: int = 1
    part: str = "xcvu13p-flga2577-2-e"
    clock_period: float = 5
    output_dir: str | None = None
    project_name: str = "myproject"
    trace: bool = False

    def __post_init__(self):
        for key, allowed in SUPPORTED.items():
            if getattr(self, key) not in allowed:
                raise ConfigurationError(f"{key} is {getattr(self, key)!r}; supported are {', '.join(allowed)}")
        if not isinstance(self.reuse_factor, int) or self.reuse_factor < 1:
            raise ConfigurationError(f"reuse_factor is {self.reuse_factor!r}; give an integer of at least 1")
        if not is_identifier(self.project_name):
            raise ConfigurationError(f"project_name is {self.project_name!r}; give a C++ name such as 'myproject'")


def build(program: IntegerProgram, config: HlsConfig | None = None):
    """An hls4ml ModelGraph that computes `program`; its `compile()`, `predict()` and `build()` are hls4ml's own.

    Give `predict()` float64 inputs: float32 rounds values of more than 24 bits before the firmware sees them.
    Raises ConversionError where the finished graph is not the program (see `check`).
    """
    config = config or HlsConfig()
    firmware = plan(program)
    if config.project_name in {layer.name for layer in firmware.layers}:
        raise ConfigurationError(f"project_name {config.project_name!r} is also the name of a layer; choose another")
    with contextlib.redirect_stdout(io.StringIO()):
        graph = _graph(firmware, config)
    check(graph, program)
    return graph


def _graph(firmware: FirmwarePlan, config: HlsConfig):
    from hls4ml.model.graph import ModelGraph

    layers = [dict(layer.layer) for layer in firmware.layers]
    return ModelGraph.from_layer_list(
        _hls4ml_config(firmware, config), layers, list(firmware.inputs), list(firmware.outputs)
    )


def _hls4ml_config(firmware, config) -> dict:
    from hls4ml.utils.config import create_config

    common = create_config(
        output_dir=str(config.output_dir or tempfile.mkdtemp(prefix="a2q_hls_")),
        project_name=config.project_name,
        backend=config.backend,
        part=config.part,
        clock_period=config.clock_period,
        io_type=config.io_type,
    )
    common["TraceOutput"] = config.trace
    common["HLSConfig"] = {
        "Model": {
            # hls4ml asks for a default; every type is given by layer, and `check` looks at each
            "Precision": {"default": "fixed<16,6>"},
            "Strategy": config.strategy,
            "ReuseFactor": config.reuse_factor,
            "BitExact": False,  # that pass would overwrite the accumulators
        },
        "LayerName": {
            layer.name: layer_config(layer, config.strategy, config.reuse_factor) for layer in firmware.layers
        },
    }
    return common


def check(graph, program: IntegerProgram):
    """Compare a finished ModelGraph with the program: layers, shapes, every type, every weight and bias code.

    Raises ConversionError naming the first layer that differs.  hls4ml's passes may rewrite a graph, and users may edit
    one: this looks at what will be written, not at what was asked for.
    """
    firmware = plan(program)
    _same("the firmware", "layers", [node.name for node in graph.get_layers()], [x.name for x in firmware.layers])
    _same("the firmware", "inputs", list(graph.inputs), list(firmware.inputs))
    _same("the firmware", "outputs", list(graph.outputs), list(firmware.outputs))
    for layer in firmware.layers:
        node = graph.graph[layer.name]
        _check_layer(node, layer)
        if isinstance(program[layer.tensor], Dense) and layer.kind == "Dense":
            _check_codes(node, layer, program[layer.tensor], program.formats[layer.tensor])


def _check_layer(node, layer: LayerPlan):
    where = f"layer {layer.tensor!r}"
    _same(where, "layer type", node.class_name, layer.kind.removesuffix("Layer"))
    _same(where, "shape", tuple(node.get_output_variable().shape), tuple(layer.shape))
    _same(where, "source", list(node.inputs), layer.layer.get("inputs", ["input"]))
    for key, wanted in layer.types.items():
        for found in _types(node, key):
            _same(where, f"{key}_t", found, wanted)


def _types(node, key: str) -> set[str]:
    """The types of a variable, in all places where hls4ml keeps them."""
    kept = [node.get_attr(f"{key}_t")]
    kept += [node.get_output_variable().type] if key == "result" else []
    kept += [node.weights[key].type] if key in node.weights else []
    return {str(type.precision) for type in kept if type is not None}


def _check_codes(node, layer, op: Dense, accum):
    for key, codes, frac in (("weight", op.weights, op.weight_format.frac), ("bias", op.bias, accum.frac)):
        found = np.asarray(node.weights[key].data) * 2.0**frac
        _same(f"layer {layer.tensor!r}", f"{key} shape", found.shape, codes.shape)
        # as integers: a code above 2^53 may have become another one as a double
        differs = (found.astype(np.int64) != codes) | (found != np.rint(found))
        if differs.any():
            place = tuple(map(int, np.argwhere(differs)[0]))
            raise _difference(f"layer {layer.tensor!r}", f"{key} code {place}", found[place], codes[place])


def _same(where: str, what: str, found, wanted):
    if found != wanted:
        raise _difference(where, what, found, wanted)


def _difference(where: str, what: str, found, wanted) -> ConversionError:
    return ConversionError(
        f"{where}: {what} is {found} in the hls4ml graph, the integer program says {wanted}; "
        "something changed the graph, convert the program again"
    )
