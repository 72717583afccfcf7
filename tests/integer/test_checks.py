"""Ops that do not fit their sources are refused by name."""

import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer import checks, ops
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.numerics.formats import FixedPoint
from tests.strategies import convolution

NONE = ((0, 0), (0, 0))


@pytest.mark.parametrize(
    "op, words",
    [
        (
            ops.MaxPool("o", "x", (5, 1), (1, 1), NONE),
            r"'o': a window of \(5, 1\) does not fit into a tensor of \(4, 4, 2",
        ),
        (
            ops.AvgPool("o", "x", (3, 3), (1, 1), NONE),
            "'o': windows of 3 values along an axis have no fixed-point mean",
        ),
        (ops.AvgPool("o", "x", (4, 4), (2, 2), ((1, 1), (1, 1))), "windows of 3 values .* use windows of 1, 2, 4, 8"),
        (ops.Add("o", ("x", "flat")), "'o': tensors of shapes .* cannot be added; use equal shapes"),
        (ops.Add("o", ("x",)), "cannot be added"),
        (
            ops.Add("o", ("x", "huge")),
            "'o': its result needs 6[0-9] bits, at most 62 are computed; quantize its inputs",
        ),
        (ops.Add("o", ("x", "nowhere")), "'o' reads 'nowhere', which nothing before it computes"),
        (ops.Concatenate("o", ("x", "flat"), 2), "'o': tensors of shapes .* do not fit side by side along 2"),
        (ops.Upsample("o", "x", (2,)), r"'o': \(2,\) does not fit a tensor of \(4, 4, 2\); one entry per spatial axis"),
        (ops.Pad("o", "x", ((1, 1),)), "one entry per spatial axis"),
        (ops.Crop("o", "x", ((2, 2), (0, 0))), "leaves nothing"),
        (ops.Transpose("o", "x", (0, 1, 1)), r"'o': axes \(0, 1, 1\) are no order of the axes of \(4, 4, 2\)"),
        (ops.Concatenate("o", ("x", "plane"), 2), "do not fit side by side along 2"),
        (
            ops.Crop("o", "x", ((-1, 0), (0, 0))),
            r"'o': cuts is \(\(-1, 0\), \(0, 0\)\); allowed are pairs of whole num",
        ),
        (
            ops.Pad("o", "x", ((0, -1), (0, 0))),
            r"'o': pads is .*; allowed are pairs of whole numbers from 0 to 268435456",
        ),
        (ops.Pad("o", "x", (1, 1)), r"pads is \(1, 1\); allowed are pairs"),
        (ops.Upsample("o", "x", (0, 2)), r"'o': factors is \(0, 2\); allowed are whole numbers from 1 to 268435456"),
        (ops.Upsample("o", "x", 2), "factors is 2"),
        (ops.Upsample("o", "x", (2**14, 2**14)), r"'o': a tensor of \(65536, 65536, 2\); allowed are 268435456 codes"),
        (ops.Reshape("o", "x", (-4, -8)), r"shape is \(-4, -8\)"),
        (ops.MaxPool("o", "x", (0, 2), (1, 1), NONE), r"window is \(0, 2\)"),
        (ops.AvgPool("o", "x", (-1, 2), (1, 1), NONE), r"window is \(-1, 2\)"),
        (ops.MaxPool("o", "x", (2, 2), (1,), NONE), "does not fit into a tensor"),
        (
            ops.MaxPool("o", "x", (2, 2), (2, 2), ((0, 0), (2, 0))),
            r"'o': a window of \(2, 2\) lies in the pads \(\(0, 0\), \(2, 0\)\); make them smaller",
        ),
        (ops.MaxPool("o", "x", (2, 2), (1, 1), ((0, 2), (0, 0))), "lies in the pads"),
        (ops.AvgPool("o", "x", (2**31, 1), (1, 1), ((2**31, 2**31), (0, 0))), r"window is \(2147483648, 1\)"),
        (ops.AvgPool("o", "x", (2**25, 1), (1, 1), ((2**25 - 1, 2**25 - 1), (0, 0))), "windows of 3 values"),
        (ops.AvgPool("o", "long", (4, 4), (4, 4), NONE), "'o': its result needs 65 bits, at most 62"),
        (
            ops.Quantize("o", "x", FixedPoint(4, 5000, signed=True)),
            "'o': a format of 4 bits with frac=5000; allowed are",
        ),
        (ops.Quantize("o", "x", FixedPoint(64, 0, signed=False)), "a format of 64 bits .*are 63 bits, 64 if signed"),
        (
            ops.Dense("o", "flat", np.ones((32, 1)), [0], FixedPoint(2, -(10**9), signed=True), 12),
            "'o': a format of .* frac=-1000000000; allowed are .* -500 to 500; choose another format",
        ),
        (
            ops.Dense("o", "flat", np.ones((32, 0)), [], FixedPoint(2, 0, signed=True), 12),
            "layer 'o': weights of shape",
        ),
    ],
)
def test_refused(op, words):
    format, huge = FixedPoint(4, 0, signed=True), FixedPoint(61, -2, signed=True)
    inputs = (ops.Input("x", (4, 4, 2), format), ops.Input("huge", (4, 4, 2), huge), ops.Input("flat", (32,), format))
    inputs += (ops.Input("long", (4, 4, 2), FixedPoint(61, 0, signed=True)), ops.Input("plane", (4, 4), format))
    with pytest.raises(ConfigurationError, match=words):
        IntegerProgram("net", inputs, (op,), ("o",))


@pytest.mark.parametrize(
    "geometry, words",
    [
        ({"pads": ((0, 0),)}, "layer 'conv': input shape .* do not fit"),
        ({"groups": 2, "channels": 3}, "and groups=2 do not fit"),
        ({"dilation": (4, 4)}, r"'conv': a window of \(9, 9\) does not fit"),
        ({"strides": (0, 1)}, r"'conv': strides is \(0, 1\); allowed are whole numbers from 1"),
        ({"dilation": (1, -1)}, r"dilation is \(1, -1\)"),
        ({"pads": ((1, -1), (0, 0))}, r"pads is \(\(1, -1\), \(0, 0\)\); allowed are pairs of whole numbers from 0"),
        ({"channels": 0}, r"layer 'conv': weights of shape \(3, 3, 2, 0\) are none; leave it out"),
    ],
)
def test_a_convolution_that_does_not_fit_is_refused(geometry, words):
    with pytest.raises(ConfigurationError, match=words):
        convolution((5, 5, 2), (3, 3), **geometry)


@pytest.mark.parametrize(
    "shape, format, words",
    [
        ((None, 3), FixedPoint(4, 0, signed=True), r"'x': shape is \(None, 3\); allowed are whole numbers from 1"),
        ((0,), FixedPoint(4, 0, signed=True), r"shape is \(0,\)"),
        ((3,), FixedPoint(4, -(10**9), signed=True), "'x': a format of 4 bits with frac=-1000000000"),
    ],
)
def test_an_input_without_codes_is_refused(shape, format, words):
    with pytest.raises(ConfigurationError, match=words):
        IntegerProgram("net", (ops.Input("x", shape, format),), (), ("x",))


def test_far_pads_are_allowed_where_every_window_has_a_power_of_two_of_values():
    x = ops.Input("x", (2, 3), FixedPoint(4, 0, signed=True))
    pool = ops.AvgPool("o", "x", (2**20,), (1,), ((2**20 - 1, 2**20 - 1),))
    assert IntegerProgram("net", (x,), (pool,), ("o",)).shapes["o"] == (2**20 + 1, 3)


def test_every_count_of_values_in_windows_is_found_or_that_some_hold_none():
    rng = np.random.default_rng(0)
    for size, window, stride, before, after in rng.integers(1, 12, (500, 5)).tolist():
        if size + before + after >= window:
            pool = ops.MaxPool("o", "x", (window,), (stride,), ((before, after),))
            starts = range(-before, size + after - window + 1, stride)
            wanted = {sum(0 <= place < size for place in range(start, start + window)) for start in starts}
            found = checks._counts(pool, (size,), 0)
            assert found == wanted or min(found) < 1 > min(wanted)
