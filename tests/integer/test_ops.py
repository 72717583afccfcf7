"""The ops on images: their golden run against plain loops, and that they survive a file."""

from itertools import product

import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer import file, ops
from a2q_keras.integer.certificate import Certificate, certify
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.numerics import bounds
from a2q_keras.numerics.formats import FixedPoint
from tests.strategies import convolution, input_codes

GEOMETRIES = {
    "plain": ((5, 6, 3), (3, 2), {}),
    "strided and padded": ((6, 5, 2), (3, 3), {"strides": (2, 3), "pads": ((0, 1), (1, 1))}),
    "dilated": ((7, 8, 2), (2, 3), {"dilation": (3, 2)}),
    "groups": ((4, 4, 4), (2, 2), {"groups": 2}),
    "depthwise": ((4, 4, 4), (3, 3), {"groups": 4, "pads": ((1, 1), (1, 1))}),
    "causal sequence": ((9, 3), (3,), {"pads": ((4, 0),), "dilation": (2,)}),
}


def by_loops(op: ops.Conv, x):
    """One sample (*spatial, inputs), sum by sum, in Python integers."""
    padded = np.pad(x, [*op.pads, (0, 0)])
    places = [(size - reach) // stride + 1 for size, reach, stride in zip(padded.shape, op.extent, op.strides)]
    inputs, channels = op.weights.shape[-2:]
    out = np.zeros((*places, channels), np.int64)
    for place in product(*map(range, places)):
        for channel in range(channels):
            first, total = channel // (channels // op.groups) * inputs, int(op.bias[channel])
            for tap in product(*map(range, op.window)):
                spot = tuple(p * s + t * d for p, s, t, d in zip(place, op.strides, tap, op.dilation))
                total += sum(
                    int(padded[(*spot, first + i)]) * int(op.weights[(*tap, i, channel)]) for i in range(inputs)
                )
            out[(*place, channel)] = total
    return out


@pytest.mark.parametrize("case", GEOMETRIES)
def test_a_convolution_is_its_loops(case):
    shape, window, geometry = GEOMETRIES[case]
    program = convolution(shape, window, **geometry)
    codes = input_codes(program, 3)
    assert np.array_equal(program.run_codes(codes), [by_loops(program["conv"], sample) for sample in codes])


def test_many_images_are_computed_some_at_a_time(monkeypatch):
    program = convolution((5, 5, 2), (3, 3))
    codes = input_codes(program, 7)
    whole = program.run_codes(codes)
    monkeypatch.setattr("a2q_keras.integer.run.WINDOW_CODES", 1)
    assert np.array_equal(program.run_codes(codes), whole)
    assert program.run_codes(codes[:0]).shape == (0, 3, 3, 4)


def test_sums_beyond_doubles_are_exact():
    wide = FixedPoint(31, 0, signed=True)
    weights = np.full((1, 1, 4, 1), 2**28 + 1)
    op = ops.Conv("conv", "x", weights, [1], wide, 64, (1, 1), ((0, 0), (0, 0)), (1, 1))
    program = IntegerProgram("net", (ops.Input("x", (1, 1, 4), wide),), (op,), ("conv",))
    assert program.run_codes(np.full((1, 1, 1, 4), 2**30 - 1)).item() == 4 * (2**28 + 1) * (2**30 - 1) + 1


@pytest.mark.parametrize("case", GEOMETRIES)
def test_the_certificate_covers_every_place_and_checks_itself(case):
    shape, window, geometry = GEOMETRIES[case]
    program = convolution(shape, window, **geometry)
    record = certify(program)["conv"]
    op = program["conv"]
    assert (record.k, record.channels) == (np.prod(window) * op.weights.shape[-2], 4)
    assert np.array_equal(record.needed_bits, bounds.min_acc_bits(op.weights, -8, 7, op.bias))
    sums = program.run_codes(input_codes(program, 200)).reshape(-1, 4)
    assert (sums.min(axis=0) >= record.acc_min).all() and (sums.max(axis=0) <= record.acc_max).all()
    Certificate.from_json(certify(program).to_json()).verify()
    assert not certify(program, int(record.needed_bits.max()) - 1).ok


SMALL, FINE = FixedPoint(4, 1, signed=True), FixedPoint(3, 3, signed=False)


def program_of(*nodes, shape=(4, 4, 2)):
    """Inputs x and y of different formats, then the given ops."""
    inputs = (ops.Input("x", shape, SMALL), ops.Input("y", shape, FINE))
    return IntegerProgram("net", inputs, nodes, (nodes[-1].name,))


IMAGES = np.random.default_rng(1)
X, Y = IMAGES.integers(-8, 8, (3, 4, 4, 2)), IMAGES.integers(0, 8, (3, 4, 4, 2))
NONE, ONE = ((0, 0), (0, 0)), ((0, 1), (1, 0))


def pooled(reduce, x, window, stride):
    """Windows without padding, one at a time."""
    rows = range(0, x.shape[1] - window[0] + 1, stride)
    columns = range(0, x.shape[2] - window[1] + 1, stride)
    parts = [[reduce(x[:, i : i + window[0], j : j + window[1]], axis=(1, 2)) for j in columns] for i in rows]
    return np.moveaxis(np.array(parts), 2, 0)


CASES = {
    "max": (ops.MaxPool("o", "x", (2, 2), (2, 2), NONE), lambda: pooled(np.max, X, (2, 2), 2), SMALL),
    "max, overlapping": (ops.MaxPool("o", "x", (3, 2), (1, 1), NONE), lambda: pooled(np.max, X, (3, 2), 1), SMALL),
    "mean": (ops.AvgPool("o", "x", (2, 4), (1, 1), NONE), lambda: pooled(np.sum, X, (2, 4), 1), FixedPoint(7, 4, True)),
    "sum": (
        ops.Add("o", ("x", "y")),
        lambda: X * 4 + Y,
        FixedPoint(7, 3, signed=True, symmetric=True),  # codes -32 to 35
    ),
    "side by side": (
        ops.Concatenate("o", ("y", "x"), 2),
        lambda: np.concatenate([Y, X * 4], axis=3),
        FixedPoint(6, 3, signed=True),
    ),
    "rows": (
        ops.Concatenate("o", ("x", "x"), 0),
        lambda: np.concatenate([X, X], axis=1),
        SMALL,
    ),
    "nearest": (ops.Upsample("o", "x", (2, 3)), lambda: np.kron(X, np.ones((1, 2, 3, 1), int)), SMALL),
    "zeros": (ops.Pad("o", "x", ONE), lambda: np.pad(X, [(0, 0), (0, 1), (1, 0), (0, 0)]), SMALL),
    "crop": (ops.Crop("o", "x", ONE), lambda: X[:, :3, 1:], SMALL),
    "axes": (ops.Transpose("o", "x", (2, 0, 1)), lambda: np.moveaxis(X, 3, 1), SMALL),
}


@pytest.mark.parametrize("case", CASES)
def test_each_op_and_its_format(case):
    op, wanted, format = CASES[case]
    program = program_of(op)
    assert np.array_equal(program.run_codes([X, Y]), wanted())
    assert (program.formats["o"], program.shapes["o"]) == (format, wanted().shape[1:])


def test_padding_never_wins_and_never_counts():
    pads = ((0, 0), (0, 1))
    low = np.full((1, 4, 3, 2), -8)
    y = np.zeros_like(low)
    largest = program_of(ops.MaxPool("o", "x", (2, 2), (2, 2), pads), shape=(4, 3, 2)).run_codes([low, y])
    assert np.unique(largest).tolist() == [-8]
    mean = program_of(ops.AvgPool("o", "x", (2, 2), (2, 2), pads), shape=(4, 3, 2))
    assert np.unique(mean.formats["o"].values(mean.run_codes([low, y]))).tolist() == [-4.0]  # -8 / 2 in every window


@pytest.mark.parametrize("case", CASES)
def test_each_op_survives_a_file(case, tmp_path):
    program = program_of(CASES[case][0])
    program.save(tmp_path / "net")
    loaded = file.load(tmp_path / "net")
    assert loaded.digest() == program.digest() and loaded.ops[0] == program.ops[0]


def test_a_convolution_survives_a_file(tmp_path):
    program = convolution(*GEOMETRIES["groups"][:2], groups=2)
    program.save(tmp_path / "net")
    loaded, codes = file.load(tmp_path / "net"), input_codes(program, 4)
    assert np.array_equal(loaded.run_codes(codes), program.run_codes(codes))


@pytest.mark.parametrize("weights, bias", [([[1.9]], [0]), ([[1]], [0.5]), ([[np.nan]], [0])])
def test_codes_that_are_no_whole_numbers_are_refused(weights, bias):
    with pytest.raises(
        ConfigurationError, match=r"layer 'd': its (weights|bias) are codes, whole numbers; got float64"
    ):
        ops.Dense("d", "x", weights, bias, FixedPoint(4, 0, signed=True), 12)
