from dataclasses import replace

import numpy as np
import pytest

from a2q_keras.cosim.vectors import random_inputs
from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.hls.lower import lower
from a2q_keras.hls.settings import IO_TYPES, HlsConfig
from a2q_keras.integer.graph import Conv, Input, IntegerProgram, MaxPool, Pad, Quantize
from a2q_keras.integer.run import trace
from a2q_keras.numerics.formats import FixedPoint
from benchmarks.firmware import ops
from benchmarks.firmware.networks import NETWORKS, Net

PROGRAMS = {name: ops.program(name) for name in ops.OPS} | {name: make() for name, make in NETWORKS.items()}
REFUSED = {
    "max pool same, signed": "padding of signed values; pool without padding, after a ReLU",
    "max pool overlapping": "overlapping windows; use io_parallel, or strides",
}


@pytest.mark.parametrize("io_type", IO_TYPES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_lowered_program_has_the_same_codes(name, io_type):
    program = PROGRAMS[name]
    if io_type == "io_stream" and name in REFUSED:
        with pytest.raises(UnsupportedLayerError, match=REFUSED[name]):
            lower(program, HlsConfig(io_type=io_type))
        return
    lowered = lower(program, HlsConfig(io_type=io_type))
    inputs = random_inputs(program, 20)
    wanted, got = trace(program, inputs), trace(lowered.program, inputs)
    for tensor, holder in lowered.holders.items():
        assert program.formats[tensor].frac == lowered.program.formats[holder].frac
        assert np.array_equal(wanted[tensor], got[holder].reshape(wanted[tensor].shape)), tensor


@pytest.mark.parametrize(
    "backend, io_type, name, words",
    [
        ("Quartus", "io_parallel", "crop", "layer 'crop0': hls4ml's Quartus has no exact Crop of 3 axes"),
        ("Quartus", "io_stream", "transpose", "layer 'turn0': .*Quartus in io_stream has no exact Transpose of 3 axes"),
        ("Catapult", "io_stream", "transpose with axes of one", "layer 'turn0': .*no exact Transpose of 2 axes"),
        ("Catapult", "io_stream", "concatenate vectors", "layer 'join1': .*no exact Concatenate of 1 axes"),
        ("Catapult", "io_stream", "average pool 1d", None),
        ("Quartus", "io_parallel", "depthwise2d", None),
        ("Quartus", "io_stream", "one bit", "layer 'act0': .*no exact Quantize to 1 bit; give it 2 bits, or use Vitis"),
    ],
)
def test_each_backend_has_refusals_of_its_own(backend, io_type, name, words):
    config = HlsConfig(backend, io_type)
    if words is None:
        kinds = [type(op).__name__ for op in lower(PROGRAMS[name], config).program.ops]
        assert "AvgPool" not in kinds and "Conv" in kinds
        return
    with pytest.raises(UnsupportedLayerError, match=words):
        lower(PROGRAMS[name], config)


def test_an_input_of_one_bit_is_refused_where_types_have_two():
    net = Net("one bit")
    net.dense(net.input((4,), FixedPoint(1, 0, signed=False)), 2)
    lower(net.program(), HlsConfig("Vivado"))
    with pytest.raises(UnsupportedLayerError, match="layer 'x0': hls4ml's Catapult has no exact Input to 1 bit"):
        lower(net.program(), HlsConfig("Catapult"))


@pytest.mark.parametrize(
    "rows, stride, pads", [(5, 2, [(0, 1), (0, 0)]), (6, 2, [(0, 0), (0, 0)]), (4, 3, [(0, 1), (0, 0)])]
)
def test_windows_of_one_row_with_a_vertical_stride_get_a_second_row_in_streams(rows, stride, pads):
    net = Net("flat")
    net.conv(net.input((rows, 4, 2)), 3, (1, 2), (stride, 1))
    (parallel,) = lower(net.program(), HlsConfig()).program.ops
    streamed = lower(net.program(), HlsConfig(io_type="io_stream")).program
    assert parallel.window == (1, 2) and streamed.ops[-1].window == (2, 2)
    assert [list(op.pads) for op in streamed.ops if isinstance(op, Pad)] == [pads] * any(map(any, pads))


def test_accumulators_stay_as_wide_as_they_were():
    for name in ("conv2d dilation", "conv2d groups", "dense over volumes"):
        lowered = lower(PROGRAMS[name], HlsConfig(io_type="io_stream")).program
        assert [op.acc_bits for op in lowered.accumulator_ops] == [op.acc_bits for op in PROGRAMS[name].accumulator_ops]


@pytest.mark.parametrize("io_type", IO_TYPES)
@pytest.mark.parametrize("beyond, steps", [(0, 0), (1, 1), (62, 1), (63, 2), (200, 4)])
@pytest.mark.parametrize("bits, signed", [(1, False), (3, False), (1, True), (4, True)])
def test_no_quantizer_shifts_right_by_more_bits_than_its_source_has(bits, signed, beyond, steps, io_type):
    source, result = FixedPoint(bits, 2, signed), FixedPoint(4, 2 - bits - beyond, True)
    program = IntegerProgram("dead", (Input("x", (2**bits,), source),), (Quantize("q", "x", result),), ("q",))
    lowered = lower(program, HlsConfig(io_type=io_type))
    assert [lowered.owners.get(op.name) for op in lowered.program.ops] == ["q"] * steps + [None]
    for op in lowered.program.ops:
        before = lowered.program.formats[op.source]
        assert before.frac - op.format.frac <= before.bits
    inputs = [np.arange(source.lo, source.hi + 1)[None]]
    assert np.array_equal(trace(lowered.program, inputs)["q"], trace(program, inputs)["q"])


def test_three_spatial_axes_are_refused_by_name():
    net = Net("volume")
    net.pool(net.input((4, 4, 4, 1)), MaxPool, (2, 2, 2))
    with pytest.raises(UnsupportedLayerError, match="layer 'pool0': MaxPool over 3 spatial axes has no firmware"):
        lower(net.program(), HlsConfig())


def test_names_of_steps_do_not_clash():
    net = Net("clash")
    x = net.conv(net.input((4, 4, 1)), 1, (3, 3), same=True)
    program = net.program(x)
    rename = {"conv0": "conv", "x0": "conv_pad"}
    program = replace(
        program,
        inputs=(replace(program.inputs[0], name="conv_pad"),),
        ops=tuple(replace(op, name=rename[op.name], source="conv_pad") for op in program.ops),
        outputs=("conv",),
    )
    lowered = lower(program, HlsConfig(io_type="io_stream"))
    assert [op.name for op in lowered.program.ops] == ["conv_pad_", "conv"]
    assert lowered.owners == {"conv_pad_": "conv"} and isinstance(lowered.program["conv"], Conv)
