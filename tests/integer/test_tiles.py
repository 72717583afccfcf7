"""Multi-stage accumulation in the integer program: golden run, certificate, its second derivation, files."""

import json

import numpy as np
import pytest

from a2q_keras.cosim import vectors
from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError, FileError, UnsupportedLayerError
from a2q_keras.hls.layers import plan
from a2q_keras.integer import file, run
from a2q_keras.integer.certificate import Certificate, certify
from a2q_keras.numerics import bounds
from a2q_keras.report import tables
from tests.strategies import convolution, input_codes, mlp, tiled

PROGRAMS = {
    "dense": tiled(mlp(), 4),
    "one tile for all": tiled(mlp(), 100),
    "convolution": tiled(convolution((5, 6, 3), (3, 2), pads=((0, 1), (1, 1))), 5),
    "depthwise": tiled(convolution((4, 4, 4), (3, 3), groups=4), 2),
}
each = pytest.mark.parametrize("case", PROGRAMS)


@each
def test_tiles_change_no_result_and_their_sums_add_up(case):
    program = PROGRAMS[case]
    codes = input_codes(program, 20)
    assert np.array_equal(program.run_codes(codes), tiled(program, None).run_codes(codes))
    tensors = run.trace(program, [codes])
    for name, inner in run.inner_sums(program, [codes]).items():
        op = program[name]
        assert inner.shape[-2] == -(-op.weights.reshape(-1, len(op.bias)).shape[0] // op.tile)
        assert np.array_equal(inner.sum(axis=-2) + op.bias, tensors[name])


@each
def test_worst_cases_reach_every_accumulator_and_one_bit_less_is_caught(case):
    program = PROGRAMS[case]
    proof = certify(program)
    isolated = vectors.isolate(program)
    inputs = vectors.isolated_inputs(isolated)
    inner = run.inner_sums(isolated, inputs)
    for record in proof.layers:
        results = run.trace(isolated, inputs)[record.name].reshape(-1, record.channels)
        sums = inner[record.name].reshape(-1, *record.tile_bits.shape)
        least, most = sums.min(axis=0), sums.max(axis=0)
        assert np.array_equal(bounds.bits_for(np.minimum(least, 0), np.maximum(most, 0)), record.tile_bits)
        assert np.array_equal(np.maximum(most.max(axis=0), 0), record.acc_max)
        # the outer sum with the bias first; where the bias has the other sign, an extreme lies before it is added
        assert np.array_equal(results.max(axis=0), record.outer_max + np.minimum(record.bias, 0))
        assert np.array_equal(results.min(axis=0), record.outer_min + np.maximum(record.bias, 0))
        assert program.formats[record.name].bits == record.result_bits == max(record.outer_bits.max(), 2)
    narrow = certify(program, {name: bits - 1 for name, bits in proof.acc_bits.items()})
    assert proof.ok and {overflow.layer for overflow in narrow.overflows} == set(proof.acc_bits)
    with pytest.raises(AccumulatorOverflowError, match="the accumulator needs"):
        narrow.raise_if_unsafe()


@each
def test_programs_and_certificates_survive_files_and_verify(case, tmp_path):
    program = PROGRAMS[case]
    program.save(tmp_path / "net")
    assert file.load(tmp_path / "net").digest() == program.digest() != tiled(program, None).digest()
    proof = certify(program)
    assert Certificate.from_json(proof.to_json()).verify().to_json() == proof.to_json()


def test_files_without_tiles_say_nothing_of_them(tmp_path):
    mlp().save(tmp_path / "net")
    certify(mlp()).save(tmp_path / "proof")
    assert "tile" not in (tmp_path / "net").read_text() + (tmp_path / "proof").read_text()
    assert "outer" not in (tmp_path / "proof").read_text()


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ("tile_bits", "tile_bits of tile 0 of channel 0"),
        ("outer_bits", "outer_bits of channel 0"),
        ("outer_min", "outer_min of channel 0"),
        ("outer_max", "outer_max of channel 0"),
        ("needed_bits", "needed_bits of channel 0"),
    ],
)
def test_a_figure_off_by_one_is_found(figure, message):
    record = json.loads(certify(PROGRAMS["dense"]).to_json())
    record["layers"][0][figure]["codes"][0] += 1
    with pytest.raises(FileError, match=f"layer 'fc1': {message}"):
        Certificate.from_json(json.dumps(record)).verify()


@pytest.mark.parametrize("change", [{"tile": None}, {"tile": 3}, {"tile": 0}, {"outer_max": None}])
def test_a_certificate_whose_parts_do_not_fit_is_refused(change):
    record = json.loads(certify(PROGRAMS["dense"]).to_json())
    layer = record["layers"][0] | change
    record["layers"][0] = {key: value for key, value in layer.items() if value is not None}
    with pytest.raises(FileError):
        Certificate.from_json(json.dumps(record)).verify()


@pytest.mark.parametrize("tile", [0, -1, 2.5, True])
def test_tiles_that_are_no_number_of_products(tile):
    with pytest.raises(ConfigurationError, match="tile of layer 'fc1'=.* a whole number from 1"):
        tiled(mlp(), tile)


def test_hls4ml_refuses_tiles_and_says_why():
    with pytest.raises(
        UnsupportedLayerError, match="layer 'fc1' sums tiles of 4 products .* one accumulator per layer"
    ):
        plan(PROGRAMS["dense"])


def test_the_table_shows_tiles_where_there_are_any():
    titles = [column.header for column in tables.accumulator_table(certify(PROGRAMS["dense"])).columns]
    assert titles[-3:] == ["tile", "outer", "proven"]
    assert "tile" not in [column.header for column in tables.accumulator_table(certify(mlp())).columns]
    rows = tables.accumulator_rows(certify(PROGRAMS["dense"]))
    assert [row["tile"] for row in rows] == [4, 4] and rows[0]["outer_bits"] >= rows[0]["needed_bits"]
