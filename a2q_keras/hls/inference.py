"""The accumulators that hls4ml itself would choose: measured by letting it choose, layer by layer."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass, replace

import numpy as np

from a2q_keras.hls.layers import LayerPlan, plan
from a2q_keras.hls.project import model_graph
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import AccumulatorOp, Conv, Input, IntegerProgram

AUTO = "auto"


@dataclass(frozen=True)
class InferredBits:
    """Bits of a layer's accumulator: from the data types (hls4ml's `auto`), and by its pass `bit_exact`, which looks at
    the weights, too; None for a layer that the pass cannot handle."""

    layer: str
    auto: int
    bit_exact: int | None


def inferred_bits(program: IntegerProgram) -> list[InferredBits]:
    """What hls4ml chooses for each accumulator of the program, Vitis in io_parallel.

    Each layer is asked alone, on inputs of the format that it has in the program: the pass knows no padding between
    layers, and so takes few whole networks.
    """
    return [_inferred(op.name, _alone(program, op)) for op in program.accumulator_ops]


def _alone(program: IntegerProgram, op: AccumulatorOp) -> IntegerProgram:
    """The program of one op, a convolution at one place."""
    shape = op.weights.shape[:1]
    if isinstance(op, Conv):
        rank, shape = len(op.strides), (*op.extent, op.weights.shape[-2] * op.groups)
        op = replace(op, strides=(1,) * rank, pads=((0, 0),) * rank)
    node = Input(f"{op.name}_in", shape, program.formats[op.source])
    return IntegerProgram(op.name, (node,), (replace(op, source=node.name),), (op.name,))


def _inferred(name: str, program: IntegerProgram) -> InferredBits:
    auto = _chosen(program, bit_exact=False)
    try:
        return InferredBits(name, auto, _chosen(program, bit_exact=True))
    except Exception:  # whatever the pass fails with: it has no kinds of errors of its own
        return InferredBits(name, auto, None)


def _chosen(program: IntegerProgram, bit_exact: bool) -> int:
    """The bits of the one accumulator in the graph that hls4ml makes of types without it."""
    config = HlsConfig()
    firmware = plan(program, config)
    free = replace(firmware, layers=tuple(map(_free, firmware.layers)))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = model_graph(free, config, bit_exact)
    (layer,) = (layer for layer in free.layers if layer.multiplies)
    return graph.graph[layer.name].get_attr("accum_t").precision.width


def _free(layer: LayerPlan) -> LayerPlan:
    """A layer whose accumulator hls4ml chooses; its bias has the bits that its codes need, as in a model by hand."""
    if not layer.multiplies:
        return replace(layer, layer=layer.layer | {"trusted": True})  # bit_exact keeps the type then
    codes, frac = layer.codes["bias"]
    bits = 1 + max(int(np.max(codes)).bit_length(), int(~np.min(codes)).bit_length())
    bias = f"fixed<{bits},{bits - frac},TRN,WRAP,0>"
    return replace(layer, types=layer.types | {"accum": AUTO, "bias": bias})
