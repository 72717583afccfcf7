"""Random integer programs by seed: ops, shapes, bits, signs, ranges, accumulators, inputs and outputs are drawn.

`random_firmware.py` puts them into firmware.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from a2q_keras.integer.graph import AvgPool, IntegerProgram, MaxPool
from a2q_keras.numerics.formats import FixedPoint
from benchmarks.firmware.networks import Net

MOST_VALUES = 150  # of a tensor, so that a network compiles in seconds
SHAPES = ((8, 3), (6, 6, 2), (5, 7, 3))


def random_network(seed: int) -> IntegerProgram:
    """A network of 3 to 8 steps, then a dense layer on all values; some have a second input, some a second output.

    Accumulators are as narrow as the exact condition allows, or up to two bits wider.
    """
    rng = np.random.default_rng(seed)
    net = Net(f"random_{seed}", seed, weight_bits=int(rng.integers(2, 7)), act_bits=int(rng.integers(1, 7)))
    shapes = [(int(rng.integers(3, 12)),), *SHAPES]
    x = net.input(shapes[rng.integers(len(shapes))], _input_format(rng))
    for _ in range(rng.integers(3, 9)):
        x = _step(net, rng, x)
    if rng.integers(4) == 0:
        x = _merge(net, rng, x, net.input(net.shapes[x], _input_format(rng)))
    early = [net.act(x, bits=5)] if rng.integers(4) == 0 else []
    last = net.dense(net.flat(_narrow(net, rng, x)), int(rng.integers(2, 5)))
    return _wider(net.program(last, *early), rng)


def _input_format(rng) -> FixedPoint:
    bits, signed = int(rng.integers(2, 8)), bool(rng.integers(2))
    return FixedPoint(bits, int(rng.integers(-1, 6)), signed, symmetric=signed and bool(rng.integers(2)))


def _wider(program: IntegerProgram, rng) -> IntegerProgram:
    spare = int(rng.integers(0, 3))
    return program.with_acc_bits({op.name: op.acc_bits + spare for op in program.accumulator_ops})


def _step(net: Net, rng, x: str) -> str:
    """One random op that fits the tensor, and a pool behind it where it made many values."""
    choices = STEPS[min(len(net.shapes[x]), 3)]
    x = _narrow(net, rng, x) if net.formats[x].bits > 8 else x
    made = choices[rng.integers(len(choices))](net, rng, x)
    if np.prod(net.shapes[made]) <= MOST_VALUES:
        return made
    return _narrow(net, rng, net.pool(made, window=_twos(net, made)) if len(net.shapes[made]) > 1 else made)


def _narrow(net, rng, x) -> str:
    return net.act(x, signed=bool(rng.integers(2)), bits=max(net.act_bits, 2))


def _twos(net, x):
    return tuple(min(2, size) for size in net.shapes[x][:-1])


def _draw(rng, sizes, most: int) -> tuple[int, ...]:
    """One number from 1 to `most` per axis, no larger than the axis."""
    return tuple(int(rng.integers(1, min(most, size) + 1)) for size in sizes)


def _conv(net, rng, x, groups=1) -> str:
    window, strides = _draw(rng, net.shapes[x][:-1], 3), _draw(rng, (2,) * (len(net.shapes[x]) - 1), 2)
    return net.conv(x, int(rng.integers(1, 5)), window, strides, same=bool(rng.integers(2)), groups=groups)


def _grouped(net, rng, x) -> str:
    """As many groups as channels, some output channels for each: depthwise with a depth multiplier."""
    channels, window = net.shapes[x][-1], _draw(rng, net.shapes[x][:-1], 2)
    return net.conv(x, channels * int(rng.integers(1, 3)), window, groups=channels)


def _dilated(net, rng, x) -> str:
    window = _twos(net, x)
    steps = tuple(min(size - 1, 2) if size > 1 else 1 for size in net.shapes[x][:-1])
    return net.conv(x, int(rng.integers(1, 4)), window, same=bool(rng.integers(2)), dilation=steps)


def _residual(net, rng, x) -> str:
    window = (3,) * (len(net.shapes[x]) - 1)
    branch = net.act(net.conv(x, net.shapes[x][-1], window, same=True), signed=True)
    return _merge(net, rng, x, branch)


def _merge(net, rng, x, y) -> str:
    if rng.integers(2):
        return net.sum(x, y)
    return net.join(x, y, axis=int(rng.integers(len(net.shapes[x]))))


def _average(net, rng, x) -> str:
    window = tuple(2 if size > 1 else 1 for size in net.shapes[x][:-1])
    return net.pool(x, AvgPool, window, strides=_draw(rng, window, 2))


def _max_pool(net, rng, x) -> str:
    window = _draw(rng, net.shapes[x][:-1], 3)
    strides = window if rng.integers(2) else _draw(rng, window, 2)
    return net.pool(x, MaxPool, window, strides, same=bool(rng.integers(2)))


def _turn(net, rng, x) -> str:
    return net.turn(x, *map(int, rng.permutation(len(net.shapes[x]))))


def _fold(net, rng, x) -> str:
    """The same values in a shape with the axes in another order."""
    return net.reshape(x, rng.permutation(net.shapes[x]).tolist())


def _dense(net, rng, x) -> str:
    return net.dense(x, int(rng.integers(1, 8)))


def _pad_and_crop(net, rng, x) -> str:
    ends = [tuple(map(int, rng.integers(0, 3, 2))) for _ in net.shapes[x][:-1]]
    return net.pad(x, *ends) if rng.integers(2) else net.crop(net.pad(x, *ends), *((b, 0) for b, _ in ends))


def _grow(net, rng, x) -> str:
    return net.grow(x, *(int(rng.integers(1, 3)) for _ in net.shapes[x][:-1]))


_IMAGES: tuple[Callable, ...] = (
    _conv,
    _conv,
    lambda net, rng, x: _conv(net, rng, x, groups=None),
    _grouped,
    _dilated,
    _residual,
    _average,
    _max_pool,
    lambda net, rng, x: net.pool(x, window=_twos(net, x)),
    _grow,
    _turn,
    _fold,
    _dense,
    _pad_and_crop,
)
STEPS: dict[int, tuple[Callable, ...]] = {
    1: (_dense, _dense, lambda net, rng, x: net.join(x, net.act(_dense(net, rng, x)))),
    2: _IMAGES,
    3: _IMAGES,
}
