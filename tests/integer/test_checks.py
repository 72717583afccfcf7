"""Ops that do not fit their sources are refused by name."""

import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer import ops
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
    ],
)
def test_refused(op, words):
    format, huge = FixedPoint(4, 0, signed=True), FixedPoint(61, -2, signed=True)
    inputs = (ops.Input("x", (4, 4, 2), format), ops.Input("huge", (4, 4, 2), huge), ops.Input("flat", (32,), format))
    with pytest.raises(ConfigurationError, match=words):
        IntegerProgram("net", inputs, (op,), ("o",))


@pytest.mark.parametrize(
    "geometry, words",
    [
        ({"pads": ((0, 0),)}, "layer 'conv': input shape .* do not fit"),
        ({"groups": 2, "channels": 3}, "and groups=2 do not fit"),
        ({"dilation": (4, 4)}, r"'conv': a window of \(9, 9\) does not fit"),
        ({"strides": (0, 1)}, "does not fit"),
    ],
)
def test_a_convolution_that_does_not_fit_is_refused(geometry, words):
    with pytest.raises(ConfigurationError, match=words):
        convolution((5, 5, 2), (3, 3), **geometry)
