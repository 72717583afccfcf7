"""What the property tests draw from: formats, integer programs and inputs for them; always the same draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from a2q_keras.integer.certificate import certify
from a2q_keras.integer.graph import Conv, Dense, Input, IntegerProgram, Quantize, Reshape
from a2q_keras.numerics.formats import FixedPoint


def seeded(max_examples: int) -> settings:
    """Settings under which hypothesis draws the same examples every time."""
    return settings(max_examples=max_examples, derandomize=True, deadline=None)


@st.composite
def formats(draw, least_bits=1, most_bits=12):
    """Fixed-point formats of all kinds."""
    signed, symmetric = draw(st.booleans()), draw(st.booleans())
    bits = draw(st.integers(max(least_bits, 1 + (signed and symmetric)), most_bits))
    return FixedPoint(bits, draw(st.integers(-4, 12)), signed, symmetric)


@st.composite
def programs(draw):
    """Small programs: input, then dense layers with or without requantization and reshape between them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k = draw(st.integers(1, 5))
    inputs = (Input("x", (k, 1) if draw(st.booleans()) else (k,), draw(formats())),)
    ops = [Reshape("flat", "x", (k,))]
    for i in range(draw(st.integers(1, 3))):
        k = _append_dense(ops, rng, i, k, draw(st.integers(1, 4)), draw(formats(2, 6)))
        if draw(st.booleans()):
            ops.append(Quantize(f"act{i}", ops[-1].name, draw(formats())))
    return IntegerProgram("net", inputs, tuple(ops), (ops[-1].name,), draw(st.sampled_from(["", "softmax"])))


def _append_dense(ops, rng, i, k, channels, weight_format):
    weights = rng.integers(weight_format.lo, weight_format.hi + 1, (k, channels))
    bias = rng.integers(-40, 41, channels)
    ops.append(Dense(f"fc{i}", ops[-1].name, weights, bias, weight_format, acc_bits=24))
    return channels


def input_codes(program, samples: int, seed: int = 0) -> np.ndarray:
    """Random codes of the (only) input of a program, with the extremes among them."""
    node = program.inputs[0]
    rng = np.random.default_rng(seed)
    codes = rng.integers(node.format.lo, node.format.hi + 1, (samples, *node.shape))
    codes[0], codes[-1] = node.format.lo, node.format.hi
    return codes


def mlp(acc_bits: int = 16) -> IntegerProgram:
    """A fixed program of two dense layers, 6-4-3, as a plain example."""
    rng = np.random.default_rng(7)
    weight_format = FixedPoint(4, 3, signed=True)
    ops = (
        Dense("fc1", "x", rng.integers(-7, 8, (6, 4)), rng.integers(-20, 21, 4), weight_format, acc_bits),
        Quantize("relu1", "fc1", FixedPoint(4, 2, signed=False)),
        Dense("fc2", "relu1", rng.integers(-7, 8, (4, 3)), rng.integers(-20, 21, 3), weight_format, acc_bits),
    )
    return IntegerProgram("mlp", (Input("x", (6,), FixedPoint(4, 4, signed=False)),), ops, ("fc2",), "softmax")


def tiled(program: IntegerProgram, tile) -> IntegerProgram:
    """The program with tiles of as many products in every op with accumulators; or by layer, others without."""
    tiles = tile if isinstance(tile, dict) else {op.name: tile for op in program.accumulator_ops}
    return replace(
        program,
        ops=tuple(replace(op, tile=tiles.get(op.name)) if isinstance(op, (Dense, Conv)) else op for op in program.ops),
    )


def needed(program: IntegerProgram) -> IntegerProgram:
    """The program with accumulators that are just wide enough."""
    return program.with_acc_bits(certify(program).acc_bits)


def convolution(shape, window, channels=4, seed=0, **geometry) -> IntegerProgram:
    """A program of one convolution called conv, with random codes; geometry: pads, strides, dilation, groups."""
    rng, rank = np.random.default_rng(seed), len(window)
    given = {"strides": (1,) * rank, "pads": ((0, 0),) * rank, "dilation": (1,) * rank, "groups": 1} | geometry
    weights = rng.integers(-7, 8, (*window, shape[-1] // given["groups"], channels))
    bias, format = rng.integers(-40, 41, channels), FixedPoint(4, 3, signed=True)
    op = Conv("conv", "x", weights, bias, format, 24, **given)
    return IntegerProgram("net", (Input("x", shape, FixedPoint(4, 2, signed=True)),), (op,), ("conv",))
