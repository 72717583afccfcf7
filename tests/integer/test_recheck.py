from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2q_keras.errors import FileError
from a2q_keras.integer import recheck
from a2q_keras.integer.certificate import certify
from a2q_keras.integer.graph import Dense, Input, IntegerProgram
from tests.strategies import formats, mlp, seeded


@seeded(200)
@given(formats())
def test_codes_of_a_format(format):
    assert recheck._codes(format) == (format.lo, format.hi)


@seeded(200)
@given(st.integers(-(2**70), 0), st.integers(0, 2**70))
def test_width_is_the_smallest(least, most):
    bits = recheck._width(least, most)
    assert -(2 ** (bits - 1)) <= least and most <= 2 ** (bits - 1) - 1
    assert bits == 1 or least < -(2**bits // 4) or most > 2**bits // 4 - 1


@seeded(200)
@given(formats(), formats(), st.integers(1, 70), st.integers(-(2**14), 2**14))
def test_type_based_widths_equal_those_of_bounds(inputs, weight_format, k, bias):
    dense = Dense("fc", "x", np.zeros((k, 1)), [bias], weight_format, acc_bits=40)
    program = IntegerProgram("net", (Input("x", (k,), inputs),), (dense,), ("fc",))
    recheck.check(certify(program)["fc"])


def test_the_message_says_what_to_do():
    record = certify(mlp())["fc2"]
    object.__setattr__(record, "sparsity", 0.75)
    with pytest.raises(
        FileError, match=r"layer 'fc2': sparsity is 0.75 in the certificate, its codes give .*certify the program again"
    ):
        recheck.check(record)


def test_a_certificate_is_of_one_program_with_its_widths():
    program = mlp()
    proof = certify(program)
    assert proof.verify(program) is proof
    fewer = replace(proof, layers=proof.layers[:1])
    renamed = replace(proof, program_sha256="0" * 64)
    for other in (fewer, renamed, replace(proof, layers=())):
        with pytest.raises(FileError, match="the certificate of .* is not of program .*; certify that"):
            other.verify(program)
