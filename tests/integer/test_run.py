import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer import run
from a2q_keras.integer.graph import Add, Dense, Input, IntegerProgram, Quantize
from a2q_keras.numerics.formats import FixedPoint
from tests.programs import mlp as example_mlp
from tests.strategies import input_codes, mlp, programs, seeded


@seeded(500)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 70))
def test_right_shift_rounds_half_to_even(code, shift):
    assert run.shift_round_half_even(np.array([code]), shift) == round(Fraction(code, 2**shift))


@pytest.mark.parametrize("shift", [1, 2, 5, 61, 62, 63, 64])
def test_ties_and_their_neighbours(shift):
    half = 2 ** (shift - 1)
    near = [a * half + b for a in (-5, -3, -1, 1, 3, 5) for b in (-1, 0, 1)] + [-(2**63), 2**63 - 1]
    codes = [code for code in near if -(2**63) <= code < 2**63]
    wanted = [round(Fraction(code, 2**shift)) for code in codes]
    assert run.shift_round_half_even(np.array(codes), shift).tolist() == wanted


@seeded(300)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 80))
def test_left_shift_is_exact_or_saturates_beyond_every_format(code, shift):
    shifted = int(run.shift_round_half_even(np.array([code]), -shift)[0])
    exact = code * 2**shift
    assert shifted == exact if abs(exact) <= 2**62 else (abs(shifted) >= 2**61 and (shifted > 0) == (exact > 0))


def by_fractions(program, sample) -> list[int]:
    """The output codes of one sample, op by op, in Python integers and fractions."""
    tensors = {program.inputs[0].name: [int(code) for code in sample.ravel()]}
    for op in program.ops:
        x = tensors[op.source]
        if isinstance(op, Dense):
            x = [sum(int(q) * a for q, a in zip(column, x)) + int(b) for column, b in zip(op.weights.T, op.bias)]
        if isinstance(op, Quantize):
            ratio = Fraction(2) ** (op.format.frac - program.formats[op.source].frac)
            x = [min(max(round(a * ratio), op.format.lo), op.format.hi) for a in x]
        tensors[op.name] = x
    return tensors[program.outputs[0]]


@seeded(150)
@given(programs())
def test_run_codes_equals_python_integers(program):
    codes = input_codes(program, 8)
    assert program.run_codes(codes).tolist() == [by_fractions(program, sample) for sample in codes]


@seeded(80)
@given(programs(), st.integers(0, 1000))
def test_run_is_run_codes_between_values(program, seed):
    format = program.inputs[0].format
    x = np.random.default_rng(seed).normal(size=(9, *program.inputs[0].shape)) * format.step * 2**format.bits
    codes = program.run_codes(format.quantize(x))
    assert np.array_equal(program.run(x), program.formats[program.outputs[0]].values(codes))


def wide(weight: int, bits: int = 40) -> IntegerProgram:
    """Sums beyond 2**53, where float64 is no longer exact."""
    inputs = Input("x", (3,), FixedPoint(bits, 0, signed=True))
    weights = np.array([[weight], [1], [-1]])
    dense = Dense("fc", "x", weights, [1], FixedPoint(32, 0, signed=True), acc_bits=64)
    return IntegerProgram("wide", (inputs,), (dense,), ("fc",))


@pytest.mark.parametrize("weight", [2**10, 2**13 - 1, 2**20 + 1])
def test_sums_around_and_beyond_float64(weight):
    codes = np.array([[2**39 - 1, 2, 1], [-(2**39), 3, 5], [2**39 - 1, -(2**39), 2**39 - 1]])
    wanted = [[weight * a + b - c + 1] for a, b, c in codes.tolist()]
    assert wide(weight).run_codes(codes).tolist() == wanted


def test_sums_beyond_64_bits_are_refused():
    with pytest.raises(ConfigurationError, match="layer 'fc': its sums do not fit 64 bits; use fewer"):
        wide(2**31 - 1).run_codes(np.zeros((1, 3), int))


def test_more_samples_than_at_a_time_and_none(monkeypatch):
    monkeypatch.setattr(run, "TRACE_CODES", 500)
    codes = input_codes(mlp(), 205)
    outputs = mlp().run_codes(codes)
    assert np.array_equal(outputs[-7:], mlp().run_codes(codes[-7:])) and len(outputs) == len(codes)
    assert mlp().run_codes(np.zeros((0, 6), int)).shape == (0, 3)


def test_several_inputs_and_outputs_come_and_go_as_lists():
    ops = (Quantize("a", "x", FixedPoint(2, 0, signed=False)), Quantize("b", "y", FixedPoint(2, 0, signed=True)))
    inputs = (Input("x", (2,), FixedPoint(4, 0, signed=False)), Input("y", (1,), FixedPoint(4, 0, signed=True)))
    program = IntegerProgram("two", inputs, ops, ("b", "a"))
    b, a = program.run_codes([np.array([[1, 9]]), np.array([[-7]])])
    assert (b.tolist(), a.tolist()) == ([[-2]], [[1, 3]])
    with pytest.raises(ConfigurationError, match="'two' has 2 inputs, 1 were given"):
        program.run([np.zeros((1, 2))])


def test_input_that_does_not_fit():
    with pytest.raises(ConfigurationError, match=r"input 'x' has shape \(samples, 6\); got \(2, 5\)"):
        mlp().run(np.zeros((2, 5)))
    with pytest.raises(ConfigurationError, match=r"input 'x': a code is outside ufixed<4,0>; use run\(\) for values"):
        mlp().run_codes(np.full((1, 6), 16))
    with pytest.raises(ConfigurationError, match="NaN"):
        mlp().run(np.full((1, 6), np.nan))


def two() -> IntegerProgram:
    four = FixedPoint(4, 0, signed=False)
    add = Add("sum", ("x", "y"))
    return IntegerProgram("two", (Input("x", (2,), four), Input("y", (2,), four)), (add,), ("sum",))


def test_a_dict_by_input_name():
    x, y = np.array([[1, 2]]), np.array([[5, 7]])
    assert two().run({"y": y, "x": x}).tolist() == two().run_codes({"x": x, "y": y}).tolist() == [[6, 9]]
    assert mlp().run({"x": np.zeros((1, 6))}).shape == (1, 3)
    with pytest.raises(ConfigurationError, match=r"'two' has the inputs \['x', 'y'\]; got a dict of \['x', 'z'\]"):
        two().run({"x": x, "z": y})


@pytest.mark.parametrize("samples", [(1, 3), (3, 2), (0, 1)])
def test_unequal_numbers_of_samples_are_refused(samples):
    words = f"'two': the inputs differ in samples: {samples[0]} for 'x', {samples[1]} for 'y'; give as many for each"
    for run_program in (two().run, two().run_codes):
        with pytest.raises(ConfigurationError, match=words):
            run_program([np.zeros((n, 2), int) for n in samples])


@pytest.mark.parametrize(
    "codes, words",
    [
        ([[1.5] * 6], r"input 'x': a code is no whole number; use run\(\) for values"),
        ([[np.nan] * 6], "no whole number"),
        ([[np.inf] * 6], "no whole number"),
        (np.full((1, 6), 2**64 - 1, np.uint64), "input 'x': a code is outside ufixed<4,0>"),
        ([[1e30] * 6], "outside"),
    ],
)
def test_codes_that_would_be_cut_or_wrapped_are_refused(codes, words):
    with pytest.raises(ConfigurationError, match=words):
        mlp().run_codes(codes)


@pytest.mark.parametrize(
    "given, words",
    [
        ([[2**70] * 6], "input 'x': an array of object was given; give real numbers, at most 64 bits each"),
        ([[1 + 2j] * 6], "an array of complex128"),
        ([["3"] * 6], "an array of <U1"),
        ("3", "an array of <U1"),
        (None, "an array of object"),
        ([[1, 2], [3]], "input 'x': .*inhomogeneous.*; give one array of numbers"),
        (3, r"input 'x' has shape \(samples, 6\); got \(\)"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(given, words):
    for run_program in (mlp().run, mlp().run_codes):
        with pytest.raises(ConfigurationError, match=words):
            run_program(given)
    with pytest.raises(ConfigurationError, match="'two' has 2 inputs, 1 were given"):
        two().run(3)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32, np.float64])
def test_whole_codes_of_any_type_are_taken(kind):
    codes = np.eye(6)[:3].astype(kind)
    assert np.array_equal(mlp().run_codes(codes), mlp().run_codes(codes.astype(np.int64)))


def test_many_samples_are_run_some_at_a_time(monkeypatch):
    program = example_mlp()
    x = np.random.default_rng(0).integers(0, 15, (7, *program.inputs[0].shape))
    whole = program.run_codes(x)
    monkeypatch.setattr(run, "TRACE_CODES", 2 * sum(math.prod(shape) for shape in program.shapes.values()))
    assert np.array_equal(program.run_codes(x), whole)
    assert program.run_codes(x[:0]).shape == (0, *whole.shape[1:])
