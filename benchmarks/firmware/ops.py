"""One small program per op and variant, each from image or sequence to a tensor worth comparing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from a2q_keras.integer.graph import AvgPool, IntegerProgram, Op, sources
from benchmarks.firmware.networks import Net

IMAGE, SEQUENCE = (6, 6, 3), (9, 3)


def _made(name: str, shape, build: Callable) -> IntegerProgram:
    net = Net(name)
    build(net, net.input(shape))
    return net.program()


def _relu(net: Net, source: str) -> str:
    return net.act(source, bits=3)


# by name: the shape of the input, and what is made of it
OPS: dict[str, tuple[tuple[int, ...], Callable]] = {
    "dense": ((6,), lambda net, x: net.dense(x, 4)),
    "dense over rows": ((4, 6), lambda net, x: net.dense(x, 4)),
    "dense over pixels": (IMAGE, lambda net, x: net.dense(x, 4)),
    "dense over volumes": ((2, 2, 2, 3), lambda net, x: net.dense(x, 4)),
    "conv1d": (SEQUENCE, lambda net, x: net.conv(x, 4, (3,))),
    "conv1d strides, same": (SEQUENCE, lambda net, x: net.conv(x, 4, (3,), (2,), same=True)),
    "conv1d dilation": (SEQUENCE, lambda net, x: net.conv(x, 4, (3,), dilation=(2,))),
    "conv1d groups": (SEQUENCE, lambda net, x: net.conv(x, 6, (2,), groups=3)),
    "depthwise1d": (SEQUENCE, lambda net, x: net.conv(x, 0, (3,), same=True, groups=None)),
    "conv2d": (IMAGE, lambda net, x: net.conv(x, 4, (3, 3))),
    "conv2d strides, same": (IMAGE, lambda net, x: net.conv(x, 4, (3, 2), (2, 2), same=True)),
    "conv2d 1x1": (IMAGE, lambda net, x: net.conv(x, 4, (1, 1))),
    "conv2d 1x1 strides": (IMAGE, lambda net, x: net.conv(x, 4, (1, 1), (2, 2))),
    "conv2d one row, strides": (IMAGE, lambda net, x: net.conv(x, 4, (1, 3), (2, 1))),
    "conv2d dilation": (IMAGE, lambda net, x: net.conv(x, 4, (2, 2), dilation=(2, 3))),
    "conv2d groups": (IMAGE, lambda net, x: net.conv(x, 6, (2, 2), groups=3)),
    "depthwise2d": (IMAGE, lambda net, x: net.conv(x, 0, (3, 3), (2, 2), same=True, groups=None)),
    "depthwise2d 1x1 strides": (IMAGE, lambda net, x: net.conv(x, 0, (1, 1), (2, 2), groups=None)),
    "depthwise2d, depth 2": (IMAGE, lambda net, x: net.conv(x, 6, (2, 2), groups=3)),
    "max pool": (IMAGE, lambda net, x: net.pool(x, window=(2, 2))),
    "max pool 1d": (SEQUENCE, lambda net, x: net.pool(x, window=(2,))),
    "max pool same": (IMAGE, lambda net, x: net.pool(_relu(net, x), window=(4, 4), same=True)),
    "max pool same, signed": (IMAGE, lambda net, x: net.pool(x, window=(4, 4), same=True)),
    "max pool overlapping": (IMAGE, lambda net, x: net.pool(x, window=(3, 3), strides=(1, 1))),
    "max pool global": (IMAGE, lambda net, x: net.flat(net.pool(x))),
    "average pool": (IMAGE, lambda net, x: net.pool(x, AvgPool, (2, 2))),
    "average pool 1d": (SEQUENCE, lambda net, x: net.pool(x, AvgPool, (4,), (1,))),
    "average pool overlapping": (IMAGE, lambda net, x: net.pool(_relu(net, x), AvgPool, (2, 4), (1, 1))),
    "average pool global": ((4, 4, 3), lambda net, x: net.flat(net.pool(x, AvgPool))),
    "average pool global 1d": ((8, 3), lambda net, x: net.flat(net.pool(x, AvgPool))),
    "add": (IMAGE, lambda net, x: net.sum(x, _relu(net, x), x)),
    "concatenate": (IMAGE, lambda net, x: net.join(x, _relu(net, x), x)),
    "concatenate rows": (IMAGE, lambda net, x: net.join(x, _relu(net, x), axis=0)),
    "concatenate vectors": ((6,), lambda net, x: net.join(x, net.dense(x, 3))),
    "upsample": (IMAGE, lambda net, x: net.grow(x, 2, 3)),
    "upsample 1d": (SEQUENCE, lambda net, x: net.grow(x, 3)),
    "pad": (IMAGE, lambda net, x: net.pad(x, (1, 0), (2, 1))),
    "pad 1d": (SEQUENCE, lambda net, x: net.pad(x, (2, 1))),
    "crop": (IMAGE, lambda net, x: net.crop(x, (1, 0), (2, 1))),
    "crop 1d": (SEQUENCE, lambda net, x: net.crop(x, (2, 1))),
    "transpose": (IMAGE, lambda net, x: net.turn(x, 2, 0, 1)),
    "transpose 2d": (SEQUENCE, lambda net, x: net.turn(x, 1, 0)),
    "transpose with axes of one": ((1, 4, 3), lambda net, x: net.turn(x, 2, 0, 1)),
    "reshape": (IMAGE, lambda net, x: net.conv(net.reshape(x, (9, 4, 3)), 2, (2, 2))),
    "reshape to other words": (IMAGE, lambda net, x: net.conv(net.reshape(x, (3, 9, 4)), 2, (2, 2))),
    "nothing": (IMAGE, lambda net, x: net.crop(net.act(x, bits=3), (0, 0), (0, 0))),
    "one bit": (IMAGE, lambda net, x: net.act(x, bits=1)),
    "flatten, quantize, dense": (IMAGE, lambda net, x: net.dense(_relu(net, net.flat(x)), 4)),
}


def program(name: str) -> IntegerProgram:
    """The program of an op and a requantization, so that hardware computes something where the op only moves codes."""
    return _made(name, OPS[name][0], lambda net, x: net.act(OPS[name][1](net, x), signed=True, bits=4))


def side_by_side(programs) -> IntegerProgram:
    """One program that computes them all: one compilation tests many."""
    programs = [_prefixed(program, f"p{i}_") for i, program in enumerate(programs)]
    parts = ([part for program in programs for part in getattr(program, key)] for key in ("inputs", "ops", "outputs"))
    return IntegerProgram("side_by_side", *map(tuple, parts))


def _prefixed(program: IntegerProgram, prefix: str) -> IntegerProgram:
    inputs = tuple(replace(node, name=prefix + node.name) for node in program.inputs)
    outputs = tuple(prefix + name for name in program.outputs)
    return replace(program, inputs=inputs, ops=tuple(_renamed(op, prefix) for op in program.ops), outputs=outputs)


def _renamed(op: Op, prefix: str) -> Op:
    read = tuple(prefix + name for name in sources(op))
    key = {"sources": read} if hasattr(op, "sources") else {"source": read[0]}
    return replace(op, name=prefix + op.name, **key)
