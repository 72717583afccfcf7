"""Integer programs to put into firmware: the reference networks, one small program per op, and random networks.

Weights are random codes and every accumulator is exactly as wide as it must be; no training is needed to compare codes.
"""

from __future__ import annotations

from math import prod

import numpy as np

from a2q_keras.integer.checks import check
from a2q_keras.integer.graph import (
    Add,
    AvgPool,
    Concatenate,
    Conv,
    Crop,
    Dense,
    Input,
    IntegerProgram,
    MaxPool,
    Op,
    Pad,
    Quantize,
    Reshape,
    Transpose,
    Upsample,
)
from a2q_keras.numerics import bounds
from a2q_keras.numerics.formats import FixedPoint

SIGNED = FixedPoint(5, 2, signed=True)


class Net:
    """Builds a program op by op; each method returns the name of the tensor that it makes."""

    def __init__(self, name: str, seed: int = 0, weight_bits: int = 4, act_bits: int = 4):
        self.name = name
        self.rng = np.random.default_rng(seed)
        self.weight_format = FixedPoint(weight_bits, weight_bits - 1, signed=True, symmetric=True)
        self.act_bits = act_bits
        self.inputs: list[Input] = []
        self.ops: list[Op] = []
        self.formats: dict[str, FixedPoint] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def program(self, *outputs: str) -> IntegerProgram:
        """The program so far, with these outputs or the last tensor."""
        return IntegerProgram(self.name, tuple(self.inputs), tuple(self.ops), outputs or (self.ops[-1].name,))

    def input(self, shape, format: FixedPoint = SIGNED) -> str:
        node = Input(f"x{len(self.inputs)}", tuple(shape), format)
        self.inputs.append(node)
        return self._know(node)

    def add(self, op: Op) -> str:
        """Append an op."""
        self.ops.append(op)
        return self._know(op)

    def _know(self, node) -> str:
        self.formats[node.name], self.shapes[node.name] = check(self, node)
        return node.name

    def fresh(self, kind: str) -> str:
        """A name for the next op."""
        return f"{kind}{len(self.ops)}"

    def _codes(self, source, shape, groups=1):
        """Weight and bias codes, and the smallest accumulator that holds every partial sum."""
        limit, inputs = self.weight_format.hi, self.formats[source]
        weights = self.rng.integers(-limit, limit, shape, endpoint=True)
        bias = self.rng.integers(-30, 30, shape[-1], endpoint=True)
        needed = bounds.min_acc_bits(weights.reshape(-1, shape[-1]), inputs.lo, inputs.hi, bias)
        return weights, bias, self.weight_format, int(needed.max())

    def dense(self, source, units) -> str:
        codes = self._codes(source, (self.shapes[source][-1], units))
        return self.add(Dense(self.fresh("dense"), source, *codes))

    def conv(self, source, channels, window, strides=None, same=False, groups=1, dilation=None) -> str:
        """groups=None: depthwise, `channels` is then ignored."""
        shape, ones = self.shapes[source], (1,) * len(window)
        groups, channels = (shape[-1], shape[-1]) if groups is None else (groups, channels)
        strides, dilation = strides or ones, dilation or ones
        extent = [(size - 1) * step + 1 for size, step in zip(window, dilation)]
        pads = tuple(_same(size, reach, step) if same else (0, 0) for size, reach, step in zip(shape, extent, strides))
        codes = self._codes(source, (*window, shape[-1] // groups, channels))
        return self.add(Conv(self.fresh("conv"), source, *codes, tuple(strides), pads, tuple(dilation), groups))

    def act(self, source, signed=False, bits=None) -> str:
        """A requantization that cuts off some bits at both ends."""
        before, bits = self.formats[source], bits or self.act_bits
        drop = max(before.bits - bits - 2, 0)
        return self.add(Quantize(self.fresh("act"), source, FixedPoint(bits, before.frac - drop, signed)))

    def flat(self, source) -> str:
        return self.reshape(source, (prod(self.shapes[source]),))

    def reshape(self, source, shape) -> str:
        return self.add(Reshape(self.fresh("shape"), source, tuple(shape)))

    def pool(self, source, kind=MaxPool, window=None, strides=None, same=False) -> str:
        """window=None: over everything."""
        shape = self.shapes[source]
        window = tuple(window or shape[:-1])
        strides = tuple(strides or window)
        pads = tuple(_same(*sizes) if same else (0, 0) for sizes in zip(shape, window, strides))
        return self.add(kind(self.fresh("pool"), source, window, strides, pads))

    def sum(self, *sources) -> str:
        return self.add(Add(self.fresh("sum"), sources))

    def join(self, *sources, axis=-1) -> str:
        axis %= len(self.shapes[sources[0]])
        return self.add(Concatenate(self.fresh("join"), sources, axis))

    def grow(self, source, *factors) -> str:
        return self.add(Upsample(self.fresh("grow"), source, factors))

    def pad(self, source, *pads) -> str:
        return self.add(Pad(self.fresh("pad"), source, pads))

    def crop(self, source, *cuts) -> str:
        return self.add(Crop(self.fresh("crop"), source, cuts))

    def turn(self, source, *axes) -> str:
        return self.add(Transpose(self.fresh("turn"), source, axes))


def _same(size, reach, stride) -> tuple[int, int]:
    """Keras' padding "same": zeros before and behind."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def mlp(seed=0) -> IntegerProgram:
    net = Net("mlp", seed)
    x = net.input((12,))
    for units in (16, 8):
        x = net.act(net.dense(x, units))
    return net.program(net.dense(x, 5))


def cnn(seed=0) -> IntegerProgram:
    net = Net("cnn", seed)
    x = net.act(net.conv(net.input((8, 8, 2)), 4, (3, 3)))
    x = net.pool(x, window=(2, 2))
    x = net.act(net.conv(x, 4, (3, 3), same=True, strides=(2, 2)))
    return net.program(net.dense(net.flat(x), 4))


def depthwise(seed=0) -> IntegerProgram:
    """Depthwise-separable, as MobileNet."""
    net = Net("depthwise", seed)
    x = net.act(net.conv(net.input((7, 7, 3)), 4, (3, 3), strides=(2, 2)))
    x = net.act(net.conv(x, 4, (3, 3), same=True, groups=None))
    x = net.act(net.conv(x, 6, (1, 1)))
    return net.program(net.dense(net.flat(x), 3))


def residual(seed=0) -> IntegerProgram:
    net = Net("residual", seed)
    x = net.act(net.conv(net.input((6, 6, 2)), 3, (3, 3), same=True), signed=True)
    y = net.act(net.conv(x, 3, (3, 3), same=True), signed=True)
    x = net.act(net.sum(x, y))
    return net.program(net.dense(net.flat(net.conv(x, 2, (1, 1))), 3))


def average(seed=0) -> IntegerProgram:
    """Average pool, and average over everything at the end, as ResNet."""
    net = Net("average", seed)
    x = net.act(net.conv(net.input((9, 9, 2)), 4, (2, 2)))
    x = net.act(net.conv(net.pool(x, AvgPool, (2, 2)), 4, (3, 3), same=True))
    return net.program(net.dense(net.flat(net.pool(x, AvgPool)), 3))


def unet(seed=0) -> IntegerProgram:
    net = Net("unet", seed)
    x = net.act(net.conv(net.input((8, 8, 1)), 3, (3, 3), same=True))
    y = net.act(net.conv(net.pool(x, window=(2, 2)), 4, (3, 3), same=True))
    z = net.join(net.grow(y, 2, 2), x)
    return net.program(net.conv(net.act(net.conv(z, 3, (3, 3), same=True)), 2, (1, 1)))


NETWORKS = {make.__name__: make for make in (mlp, cnn, depthwise, residual, average, unet)}
