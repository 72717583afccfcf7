"""Small integer programs with random codes, shared by the tests of firmware and co-simulation."""

from importlib.util import find_spec

import numpy as np
import pytest

from a2q_keras.integer.graph import Conv, Dense, Input, IntegerProgram, MaxPool, Quantize, Reshape
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.tools import GHDL, GXX, VERILATOR, YOSYS

# the marks of a test that compiles firmware
needs_gxx = [pytest.mark.csim, pytest.mark.skipif(not GXX.available(), reason="g++ is not installed")]
# the marks of a test that builds hardware, simulates it with a tool of one's own choice, or synthesises it
needs_da4ml = [pytest.mark.rtl, pytest.mark.skipif(not find_spec("da4ml"), reason="da4ml is not installed")]
needs_verilator = [*needs_da4ml, pytest.mark.skipif(not VERILATOR.available(), reason="verilator is not installed")]
needs_ghdl = [*needs_da4ml, pytest.mark.skipif(not GHDL.available(), reason="ghdl is not installed")]
needs_yosys = [*needs_da4ml, pytest.mark.skipif(not YOSYS.available(), reason="Yosys is not installed")]
needs_cxxrtl = [*needs_yosys, *needs_gxx]


def needed_bits(weights, bias, source: FixedPoint) -> int:
    """The smallest accumulator for which no partial sum overflows: the exact condition of DESIGN.md, section 1."""
    plus, minus = np.maximum(weights, 0).sum(axis=0), np.maximum(-weights, 0).sum(axis=0)
    top = (np.maximum(bias, 0) + source.hi * plus - source.lo * minus).max()
    bottom = (np.minimum(bias, 0) + source.lo * plus - source.hi * minus).min()
    return next(bits for bits in range(2, 65) if top <= 2 ** (bits - 1) - 1 and bottom >= -(2 ** (bits - 1)))


def dense(rng, name, source, shape, source_format, weight_format) -> Dense:
    """A Dense op with random codes in an accumulator that is exactly wide enough."""
    weights = rng.integers(weight_format.lo, weight_format.hi + 1, shape)
    bias = rng.integers(-20, 21, shape[1])
    return Dense(name, source, weights, bias, weight_format, needed_bits(weights, bias, source_format))


def conv(rng, name, source, shape, formats, strides=(1, 1), pads=((0, 0), (0, 0))) -> Conv:
    """A Conv op, likewise; formats: of the input and of the weights."""
    weights, bias = rng.integers(-8, 8, shape), rng.integers(-20, 21, shape[-1])
    bits = needed_bits(weights.reshape(-1, shape[-1]), bias, formats[0])
    return Conv(name, source, weights, bias, formats[1], bits, strides, pads, (1, 1))


def cnn() -> IntegerProgram:
    """4x4x1 -> conv 2x2, 2, padded -> max pool 2x2 -> dense 3, of 4-bit weights and inputs."""
    rng = np.random.default_rng(5)
    entry, weight = FixedPoint(4, 2, signed=True), FixedPoint(4, 3, signed=True)
    relu = FixedPoint(3, 1, signed=False)
    ops = (
        conv(rng, "conv", "x", (2, 2, 1, 2), (entry, weight), pads=((1, 0), (1, 0))),
        Quantize("relu", "conv", relu),
        MaxPool("pool", "relu", (2, 2), (2, 2), ((0, 0), (0, 0))),
        Reshape("flat", "pool", (8,)),
        dense(rng, "logits", "flat", (8, 3), relu, weight),
    )
    return IntegerProgram("cnn", (Input("x", (4, 4, 1), entry),), ops, ("logits",))


def mlp() -> IntegerProgram:
    """16-12-8-5, with names and formats that are awkward in C++.

    Signed, unsigned and symmetric formats, more fraction bits than bits, negative fraction bits.
    """
    rng = np.random.default_rng(1)
    entry, relu = FixedPoint(6, 4, signed=True), FixedPoint(4, 5, signed=False)
    hidden = FixedPoint(5, -1, signed=True, symmetric=True)
    return IntegerProgram(
        "mlp",
        inputs=(Input("input", (2, 8), entry),),
        ops=(
            Reshape("flatten", "input", (16,)),
            dense(rng, "fc/1", "flatten", (16, 12), entry, FixedPoint(5, 7, signed=True, symmetric=True)),
            Quantize("float", "fc/1", relu),
            dense(rng, "FC/1", "float", (12, 8), relu, FixedPoint(4, -1, signed=True)),
            Quantize("w2", "FC/1", hidden),
            dense(rng, "logits", "w2", (8, 5), hidden, FixedPoint(4, 3, signed=True)),
        ),
        outputs=("logits",),
    )
