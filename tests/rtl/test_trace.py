"""Every op as hardware, computed by da4ml's interpreter of it (simulated Verilog: tests/cosim/test_rtl.py)."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from a2q_keras.cosim import vectors
from a2q_keras.errors import UnsupportedLayerError
from a2q_keras.integer.graph import Input, IntegerProgram, Quantize
from a2q_keras.integer.run import shift_round_half_even
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.trace import requantized, trace
from benchmarks.firmware import ops
from tests.programs import needs_da4ml
from tests.strategies import convolution, mlp, needed, tiled

pytestmark = needs_da4ml


def interpreted(program: IntegerProgram, codes: list) -> list[np.ndarray]:
    """The codes of each output, by da4ml's interpreter."""
    from da4ml.trace import comb_trace

    tensors = trace(program)
    inputs = [item for node in program.inputs for item in tensors[node.name].ravel()]
    outputs = [item for name in program.outputs for item in tensors[name].ravel()]
    logic = comb_trace(inputs, outputs, keep_dead_inputs=True)
    found = logic.predict(np.concatenate([array.reshape(len(array), -1) for array in codes], axis=1).astype(float))
    ends = np.cumsum([tensors[name].size for name in program.outputs])[:-1]
    parts = np.split(found.astype(np.int64), ends, axis=1)
    return [part.reshape(-1, *program.shapes[name]) for part, name in zip(parts, program.outputs)]


def check(program, codes):
    wanted = program.run_codes(codes if len(codes) > 1 else codes[0])
    for got, golden in zip(interpreted(program, codes), wanted if len(codes) > 1 else [wanted]):
        assert np.array_equal(got, golden)


@pytest.mark.parametrize("name", ops.OPS)
def test_every_op_is_the_golden_run(name):
    program = ops.program(name)
    groups = vectors.random_inputs(program, 40), vectors.first_layer_inputs(program)
    check(program, [np.concatenate(parts) for parts in zip(*groups)])


FORMATS = {
    "coarser": (FixedPoint(7, 4, True), FixedPoint(4, 1, True)),
    "coarser by one bit, narrower": (FixedPoint(6, 2, True), FixedPoint(3, 1, True)),
    "relu": (FixedPoint(8, 5, True), FixedPoint(4, 2, False)),
    "one bit": (FixedPoint(6, 3, True), FixedPoint(1, 0, False)),
    "symmetric": (FixedPoint(6, 3, True), FixedPoint(3, 1, True, True)),
    "finer, saturating": (FixedPoint(5, 0, True), FixedPoint(5, 2, True)),
    "coarser than the source is wide": (FixedPoint(3, 4, True), FixedPoint(4, -2, True)),
    "unsigned to signed": (FixedPoint(6, 3, False), FixedPoint(4, 0, True)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_requantization_rounds_ties_to_even_and_saturates_for_every_code(name):
    source, target = FORMATS[name]
    program = IntegerProgram("q", (Input("x", (1,), source),), (Quantize("q", "x", target),), ("q",))
    check(program, [np.arange(source.lo, source.hi + 1)[:, None]])


def test_an_accumulator_one_bit_too_narrow_wraps_as_hardware_does():
    program = mlp()
    narrow = 8
    forced = program.with_acc_bits({"fc1": narrow, "fc2": narrow})
    forced = replace(forced, ops=forced.ops[:1], outputs=("fc1",))
    codes = vectors.first_layer_inputs(forced)
    wanted = forced.run_codes(codes[0])
    assert (wrapped(wanted, narrow) != wanted).any()
    assert np.array_equal(interpreted(forced, codes)[0], wrapped(wanted, narrow))


TILED = {
    "dense, last tile shorter": tiled(mlp(), 4),
    "dense, a product each": tiled(mlp(), 1),
    "convolution, padded": tiled(convolution((3, 4, 2), (2, 2), pads=((0, 1), (1, 0))), 3),
    "depthwise": tiled(convolution((3, 3, 2), (2, 2), groups=2), 2),
    "one tile for all": tiled(convolution((5, 2), (3,)), 6),
}


@pytest.mark.parametrize("name", TILED)
def test_tiles_are_the_golden_run(name):
    program = needed(TILED[name])
    groups = vectors.random_inputs(program, 40), vectors.first_layer_inputs(program)
    check(program, [np.concatenate(parts) for parts in zip(*groups)])


@pytest.mark.parametrize("inner", [5, 12])
def test_inner_and_outer_accumulators_too_narrow_wrap_as_hardware_does(inner):
    program = tiled(mlp(), 4).with_acc_bits({"fc1": inner})
    program, outer = replace(program, ops=program.ops[:1], outputs=("fc1",)), 6
    program.formats["fc1"] = replace(program.formats["fc1"], bits=outer)
    (x,), op = vectors.first_layer_inputs(program), program.ops[0]
    sums = sum(wrapped(x[:, i : i + 4] @ op.weights[i : i + 4], inner) for i in (0, 4)) + op.bias
    assert (wrapped(sums, outer) != sums).any() and (sums != program.run_codes(x)).any() == (inner == 5)
    assert np.array_equal(interpreted(program, [x])[0], wrapped(sums, outer))


def wrapped(codes, bits):
    return (codes + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def test_channels_without_weights_and_padding_are_constants():
    program = convolution((3, 3, 1), (3, 3), channels=2, pads=((1, 1), (1, 1)))
    weights = program.ops[0].weights.copy()
    weights[..., 0] = 0
    program = replace(program, ops=(replace(program.ops[0], weights=weights),))
    check(program, vectors.random_inputs(program, 20))
    check(tiled(program, 4), vectors.random_inputs(program, 20))


def test_weights_that_da4ml_would_round_are_refused():
    program = mlp()
    wide = replace(program.ops[0], weight_format=FixedPoint(25, 0, True))
    with pytest.raises(UnsupportedLayerError, match=r"'fc1' has 25-bit weights; .* at most 24"):
        trace(replace(program, ops=(wide, *program.ops[1:])))


@pytest.mark.parametrize("shift", [1, 2, 4])
@pytest.mark.parametrize("span", [(-8, 7), (2, 6), (-9, -2)])
def test_requantization_of_what_is_scaled_shifted_narrow_or_constant(span, shift):
    """Multiples of a power of two, ranges beyond the format on one side, fewer bits than are rounded off."""
    from da4ml.trace import FixedVariable, HWConfig, comb_trace

    codes = np.arange(span[0], span[1] + 1)
    for factor, offset, (lo, hi) in product((1, 3, 4, -4), (0, 1, -28), ((-8, 7), (0, 15), (-2, 1))):
        variable = FixedVariable(*span, 1, hwconf=HWConfig(1, -1, -1))
        logic = comb_trace([variable], [requantized(variable * factor + offset, shift, lo, hi)], keep_dead_inputs=True)
        wanted = np.clip(shift_round_half_even(codes * factor + offset, shift), lo, hi)
        assert np.array_equal(logic.predict(codes[:, None].astype(float)).ravel(), wanted), (factor, offset, lo, hi)
