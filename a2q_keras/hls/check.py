"""Whether a finished hls4ml graph is what was planned: layers, wiring, geometry, every type and every weight code.

hls4ml's passes may rewrite a graph, and users may edit one: this looks at what will be written, not at what was asked.
"""

from __future__ import annotations

import re

import numpy as np

from a2q_keras.errors import ConversionError
from a2q_keras.hls.layers import FirmwarePlan, LayerPlan, plan
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import IntegerProgram

# what hls4ml adds in io_stream: it hands a tensor that several layers read to each of them
HELPERS = ("Clone",)
TRANSPOSED = ("resource", "resource_unrolled")
# its weights are in the adders that da4ml made, and in some layers nowhere else: there co-simulation has to see them
ADDERS = "distributed_arithmetic"


def check(graph, program: IntegerProgram, config: HlsConfig | None = None):
    """Raises ConversionError naming the first layer of a finished ModelGraph that differs from the program."""
    check_plan(graph, plan(program, config))


def check_plan(graph, firmware: FirmwarePlan):
    """The same for the plan of a program."""
    names = [node.name for node in graph.get_layers() if node.class_name not in HELPERS]
    _same("the firmware", "layers", names, [layer.name for layer in firmware.layers])
    _same("the firmware", "inputs", list(graph.inputs), list(firmware.inputs))
    _same("the firmware", "outputs", _read(graph.outputs), list(firmware.outputs))
    for layer in firmware.layers:
        _check_layer(graph.graph[layer.name], layer)
    for helper in (node for node in graph.get_layers() if node.class_name in HELPERS):
        _check_helper(graph, helper)


def _read(names) -> list[str]:
    """The layers behind the copies that hls4ml makes of their results."""
    return [re.sub(r"_cpy\d+$", "", name) for name in names]


def _check_layer(node, layer: LayerPlan):
    where = f"layer {layer.tensor!r}"
    _same(where, "layer type", node.class_name.removeprefix("Pointwise"), _kind(layer.kind))
    _same(where, "shape", tuple(node.get_output_variable().shape), tuple(layer.shape))
    _same(where, "source", _read(node.inputs), layer.layer.get("inputs", ["input"]))
    for key, wanted in layer.types.items():
        if key == "accum" and "MaxPooling" in layer.kind:
            continue  # a maximum is no sum; Catapult widens its type
        for found in _types(node, key):
            _same(where, f"{key}_t", found, wanted)
    _check_attributes(where, node, layer)
    for key, (codes, frac) in layer.codes.items():
        _check_codes(where, node, key, codes, frac)


def _kind(kind: str) -> str:
    """hls4ml's name of a layer of this type in a graph."""
    pool = re.fullmatch(r"(Global)?(Max|Average)(Pooling\dD)", kind)
    return f"{pool[1] or ''}{pool[3]}" if pool else kind.removesuffix("Layer")


def _check_attributes(where, node, layer: LayerPlan):
    for key, wanted in layer.layer.items():
        if isinstance(wanted, (int, str)) and key not in ("class_name", "name"):
            _same(where, key, node.get_attr(key), wanted)
    if layer.multiplies:
        _same(where, "strategy", node.get_attr("strategy").lower(), layer.strategy.lower())
        _same(where, "reuse_factor", node.get_attr("reuse_factor"), layer.reuse_factor)


def _types(node, key: str) -> set[str]:
    """The types of a variable, in all places where hls4ml keeps them."""
    kept = [node.get_attr(f"{key}_t")]
    kept += [node.get_output_variable().type] if key == "result" else []
    kept += [node.weights[key].type] if key in node.weights else []
    return {str(type.precision) for type in kept if type is not None}


def _check_helper(graph, node):
    """A helper hands on the type of its source."""
    (source,) = node.inputs
    wanted = {str(graph.graph[_read([source])[0]].get_output_variable().type.precision)}
    _same(f"{node.name!r}", "result_t", {str(variable.type.precision) for variable in node.variables.values()}, wanted)


def _check_codes(where, node, key, codes, frac):
    if key not in node.weights and node.get_attr("strategy") == ADDERS:
        return
    found = np.asarray(node.weights[key].data) * 2.0**frac
    if key == "weight" and node.get_attr("strategy").lower() in TRANSPOSED:
        found = _untransposed(found, codes.shape)
    _same(where, f"{key} shape", found.shape, codes.shape)
    # as integers: a code above 2^53 may have become another one as a double
    differs = (found.astype(np.int64) != codes) | (found != np.rint(found))
    if differs.any():
        place = tuple(map(int, np.argwhere(differs)[0]))
        raise _difference(where, f"{key} code {place}", found[place], codes[place])


def _untransposed(found, shape):
    """Weights as the program has them: hls4ml puts the output channel first, and Quartus' Dense in one row."""
    return np.moveaxis(found.reshape(shape[-1], *shape[:-1]) if found.size == np.prod(shape) else found, 0, -1)


def _same(where: str, what: str, found, wanted):
    if found != wanted:
        raise _difference(where, what, found, wanted)


def _difference(where: str, what: str, found, wanted) -> ConversionError:
    return ConversionError(
        f"{where}: {what} is {found} in the hls4ml graph, the integer program says {wanted}; "
        "something changed the graph, convert the program again"
    )
