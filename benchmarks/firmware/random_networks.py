"""Random networks, each built in one of several ways and compared bit for bit, layer by layer.

    python benchmarks/firmware/random_networks.py [--networks 200] [--output benchmarks/results/random_networks.json]

Ops, shapes, bits, signs and the ranges of inputs are drawn by seed; every accumulator is as narrow as the exact
condition allows.  Networks go side by side into one firmware, ten at a time.  Exit status 1 where any code differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from a2q_keras.cosim.run import cosim
from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.hls.layers import plan
from a2q_keras.hls.settings import HlsConfig
from a2q_keras.integer.graph import AvgPool, IntegerProgram
from a2q_keras.numerics.formats import FixedPoint
from benchmarks.firmware import ops
from benchmarks.firmware.networks import Net

TOGETHER = 10
MOST_VALUES = 150  # of a tensor, so that a network compiles in seconds
WAYS = (
    HlsConfig(),
    HlsConfig(strategy="Resource", reuse_factor=4),
    HlsConfig(io_type="io_stream"),
    HlsConfig(io_type="io_stream", strategy="Resource", reuse_factor=3),
    HlsConfig(io_type="io_stream", strategy="resource_unrolled", reuse_factor=3),
    HlsConfig("Vivado", reuse_factor=2),
    HlsConfig("Vivado", "io_stream", "Resource", 2),
    HlsConfig("Quartus", strategy="Resource"),
    HlsConfig("Quartus", "io_stream", "Resource"),
    HlsConfig("Catapult", "io_stream"),
)


def random_network(seed: int) -> IntegerProgram:
    """A network of 3 to 8 steps, then a dense layer on all values."""
    rng = np.random.default_rng(seed)
    net = Net(f"random_{seed}", seed, weight_bits=int(rng.integers(2, 7)), act_bits=int(rng.integers(1, 7)))
    shape = [(int(rng.integers(3, 12)),), (8, 3), (6, 6, 2), (5, 7, 3)][rng.integers(4)]
    bits, signed = int(rng.integers(2, 8)), bool(rng.integers(2))
    x = net.input(shape, FixedPoint(bits, int(rng.integers(-1, 6)), signed, symmetric=signed and bool(rng.integers(2))))
    for _ in range(rng.integers(3, 9)):
        x = _step(net, rng, x)
    return net.program(net.dense(net.flat(_narrow(net, rng, x)), int(rng.integers(2, 5))))


def _step(net: Net, rng, x: str) -> str:
    """One random op that fits the tensor, or the tensor as it was where none that was drawn fits."""
    choices = STEPS[min(len(net.shapes[x]), 3)]
    x = _narrow(net, rng, x) if net.formats[x].bits > 8 else x
    made = choices[rng.integers(len(choices))](net, rng, x)
    return (
        made if np.prod(net.shapes[made]) <= MOST_VALUES else _narrow(net, rng, net.pool(made, window=_twos(net, made)))
    )


def _narrow(net, rng, x) -> str:
    return net.act(x, signed=bool(rng.integers(2)), bits=max(net.act_bits, 2))


def _twos(net, x):
    return tuple(min(2, size) for size in net.shapes[x][:-1])


def _conv(net, rng, x, groups=1) -> str:
    sizes = net.shapes[x][:-1]
    window = tuple(int(rng.integers(1, min(3, size) + 1)) for size in sizes)
    strides = tuple(int(rng.integers(1, 3)) for _ in sizes)
    return net.conv(x, int(rng.integers(1, 5)), window, strides, same=bool(rng.integers(2)), groups=groups)


def _residual(net, rng, x) -> str:
    window = (3,) * (len(net.shapes[x]) - 1)
    branch = net.act(net.conv(x, net.shapes[x][-1], window, same=True), signed=True)
    return net.sum(x, branch) if rng.integers(2) else net.join(x, branch)


def _average(net, rng, x) -> str:
    sizes = net.shapes[x][:-1]
    return net.pool(x, AvgPool, tuple(2 if size > 1 else 1 for size in sizes))


def _turn(net, rng, x) -> str:
    return net.turn(x, *map(int, rng.permutation(len(net.shapes[x]))))


def _dense(net, rng, x) -> str:
    return net.dense(x, int(rng.integers(1, 8)))


def _pad_and_crop(net, rng, x) -> str:
    ends = [tuple(map(int, rng.integers(0, 3, 2))) for _ in net.shapes[x][:-1]]
    return net.pad(x, *ends) if rng.integers(2) else net.crop(net.pad(x, *ends), *((b, 0) for b, _ in ends))


_IMAGES: tuple[Callable, ...] = (
    _conv,
    _conv,
    lambda net, rng, x: _conv(net, rng, x, groups=None),
    _residual,
    _average,
    lambda net, rng, x: net.pool(x, window=_twos(net, x)),
    lambda net, rng, x: net.grow(x, *(int(rng.integers(1, 3)) for _ in net.shapes[x][:-1])),
    _turn,
    _dense,
    _pad_and_crop,
)
STEPS: dict[int, tuple[Callable, ...]] = {
    1: (_dense, _dense, lambda net, rng, x: net.join(x, net.act(_dense(net, rng, x)))),
    2: _IMAGES,
    3: _IMAGES,
}


def buildable(config: HlsConfig, first_seed: int, count: int) -> tuple[list[IntegerProgram], int]:
    """`count` networks that a way to build does not refuse, from a seed on, and how many it refused."""
    found: list[IntegerProgram] = []
    refused = 0
    while len(found) < count:
        network = random_network(first_seed + len(found) + refused)
        try:
            plan(network, config)
            found.append(network)
        except UnsupportedLayerError:
            refused += 1
    return found, refused


def compare(config: HlsConfig, networks: list[IntegerProgram], n_random: int):
    """The report on networks side by side."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cosim(ops.side_by_side(networks), n_random=n_random, config=config)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    groups = -(-arguments.networks // TOGETHER)
    records = [_group(index, WAYS[index % len(WAYS)], arguments.inputs) for index in range(groups)]
    if arguments.output:
        arguments.output.write_text(json.dumps(records, indent=1) + "\n")
    return int(not all(record["equal"] for record in records))


def _group(index: int, config: HlsConfig, inputs: int) -> dict:
    start = time.perf_counter()
    networks, refused = buildable(config, 1000 * index, TOGETHER)
    report = compare(config, networks, inputs)
    record = {
        "backend": config.backend,
        "io_type": config.io_type,
        "strategy": config.strategy,
        "first_seed": 1000 * index,
        "networks": len(networks),
        "refused": refused,
        "ops": sum(len(network.ops) for network in networks),
        "codes": sum(part.codes for part in report.parts),
        "equal": report.ok,
        "first": str(report.first or ""),
        "seconds": round(time.perf_counter() - start),
    }
    print(record, flush=True)
    return record


if __name__ == "__main__":
    sys.exit(main())
