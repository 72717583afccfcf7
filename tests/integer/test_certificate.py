import dataclasses
import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError, FileError
from a2q_keras.integer.certificate import Certificate, certify
from a2q_keras.integer.graph import Dense, Input, IntegerProgram
from a2q_keras.numerics import bounds
from a2q_keras.numerics.formats import FixedPoint
from tests.strategies import mlp, programs, seeded, tiled


def one_layer(weights, bias, inputs, weight_format=None, acc_bits=24):
    weights = np.array(weights)
    weight_format = weight_format or FixedPoint(4, 0, signed=True)
    dense = Dense("fc", "x", weights, bias, weight_format, acc_bits)
    return IntegerProgram("net", (Input("x", (len(weights),), inputs),), (dense,), ("fc",))


def test_figures_of_an_example():
    cert = certify(one_layer([[3, 0], [-2, 0]], [4, -1], FixedPoint(4, 0, signed=False)))
    record = cert["fc"]
    assert (record.k, record.channels, record.weight_bits, record.source) == (2, 2, 4, "x")
    assert (record.acc_min.tolist(), record.acc_max.tolist()) == ([-30, -1], [49, 0])
    assert (record.needed_bits.tolist(), record.acc_bits, record.slack) == ([7, 1], 7, 0)
    assert (record.worst_channel, record.sparsity) == (0, 0.5)
    assert (cert.worst_case_input("fc").tolist(), cert.worst_case_input("fc", 1).tolist()) == ([15, 0], [0, 0])
    assert (record.datatype_bits, record.hls4ml_bits) == (10, 10)
    assert cert.ok and cert.overflows == [] and cert.raise_if_unsafe() is cert and cert.acc_bits == {"fc": 7}


def test_an_accumulator_has_two_bits_at_least():
    assert certify(one_layer([[0]], [0], FixedPoint(4, 0, signed=False)))["fc"].acc_bits == 2


def test_one_width_for_all_or_by_name_or_the_smallest():
    assert certify(mlp(), 20).acc_bits == {"fc1": 20, "fc2": 20}
    smallest = certify(mlp()).acc_bits
    assert certify(mlp(), {"fc2": 18}).acc_bits == {"fc1": smallest["fc1"], "fc2": 18}
    assert all(not certify(mlp(), {name: bits - 1}).ok for name, bits in smallest.items())


def test_the_digest_is_of_the_program_with_the_widths_granted():
    cert = certify(mlp(), 18)
    assert cert.program_sha256 == mlp().with_acc_bits(cert.acc_bits).digest() != mlp().digest()


def test_unsafe_widths_name_the_layer_the_channel_and_what_to_do():
    cert = certify(mlp(), {"fc1": 8, "fc2": 20})
    worst = cert["fc1"].worst_channel
    needed = int(cert["fc1"].needed_bits[worst])
    assert {(overflow.layer, overflow.acc_bits) for overflow in cert.overflows} == {("fc1", 8)} and not cert.ok
    message = f"layer 'fc1', channel .*: the accumulator needs {needed} bits and acc_bits grants 8.*grant {needed} bits"
    with pytest.raises(AccumulatorOverflowError, match=message):
        cert.raise_if_unsafe()


@pytest.mark.parametrize("asked", [{"fc3": 16}, {"relu1": 16}, {"x": 16}])
def test_unknown_layers_are_refused_with_a_list(asked):
    with pytest.raises(ConfigurationError, match=r"no layer '.*' with an accumulator .* its layers are 'fc1', 'fc2'"):
        certify(mlp(), asked)


@pytest.mark.parametrize("bits", [1, 65, 16.0, "16", True])
def test_widths_that_are_not_allowed(bits):
    with pytest.raises(ConfigurationError, match=r"acc_bits of layer 'fc1'=.* a whole number from 2 to 64"):
        certify(mlp(), bits)


def test_sums_beyond_64_bits_are_refused():
    program = one_layer([[2**30]] * 9, [0], FixedPoint(40, 0, signed=True), FixedPoint(32, 0, signed=True))
    with pytest.raises(AccumulatorOverflowError, match="layer 'fc': a partial sum leaves 64 bits"):
        certify(program)


def test_an_accumulator_that_feeds_the_next_layer_has_the_range_it_was_granted():
    format = FixedPoint(4, 0, signed=True)
    ops = (Dense("a", "x", [[7]], [0], format, 30), Dense("b", "a", [[7]], [0], format, 30))
    program = IntegerProgram("two", (Input("x", (1,), FixedPoint(4, 0, signed=False)),), ops, ("b",))
    cert = certify(program)
    assert cert["a"].acc_bits == 8 and cert["b"].input_format == FixedPoint(8, 0, signed=True)
    assert cert["b"].acc_max.tolist() == [7 * 127] and certify(program, 12)["b"].acc_max.tolist() == [7 * 2047]
    cert.verify()


def reached(record, channel, sign):
    """The extreme partial sum on the worst-case input, over both places of the bias."""
    products = (record.weights[:, channel] * record.worst_case_input(channel, sign)).tolist()
    bias = int(record.bias[channel])
    sums = [*itertools.accumulate(products, initial=0), *itertools.accumulate(products, initial=bias)]
    return max(sums) if sign == 1 else min(sums)


@seeded(100)
@given(programs())
def test_worst_case_inputs_reach_the_extremes(program):
    for record in certify(program).layers:
        for channel in range(record.channels):
            assert reached(record, channel, 1) == record.acc_max[channel]
            assert reached(record, channel, -1) == record.acc_min[channel]
        inputs = np.concatenate([record.worst_max_input, record.worst_min_input])
        assert record.input_format.lo <= inputs.min() and inputs.max() <= record.input_format.hi


@pytest.mark.parametrize("bias, last_sum", [(5, 50), (0, 45), (-5, 40)])
def test_a_negative_bias_counts_only_where_it_comes_last(bias, last_sum):
    cert = certify(one_layer([[3]], [bias], FixedPoint(4, 0, signed=False)))
    total = int(cert.worst_case_input("fc") @ cert["fc"].weights[:, 0]) + bias
    assert total == last_sum and cert["fc"].acc_max == max(last_sum, 45)


@pytest.mark.parametrize(
    "channel, sign, message", [(4, 1, "channels 0 to 3; got 4"), (-1, 1, "got -1"), (0, 2, "sign=2")]
)
def test_worst_cases_that_do_not_exist(channel, sign, message):
    with pytest.raises(ConfigurationError, match=message):
        certify(mlp()).worst_case_input("fc1", channel, sign)


@seeded(60)
@given(programs(), st.one_of(st.none(), st.integers(20, 40)))
def test_certificates_come_back_and_verify(program, acc_bits):
    cert = certify(program, acc_bits)
    back = Certificate.from_json(cert.to_json())
    assert back.to_json() == cert.to_json()
    if cert.ok:
        assert back.verify() is back


@seeded(60)
@given(programs())
def test_granting_what_it_needs_is_safe_and_no_more_than_the_data_types_ask(program):
    cert = certify(program)
    assert cert.ok
    for record in cert.layers:
        assert record.acc_bits <= max(record.hls4ml_bits, 2)
        unbiased = bounds.min_acc_bits(record.weights, record.input_format.lo, record.input_format.hi)
        assert unbiased.max() <= record.datatype_bits


def test_save_and_load(tmp_path):
    cert = certify(mlp(), 16)
    cert.save(tmp_path / "cert.json")
    assert Certificate.load(tmp_path / "cert.json").verify().to_json() == cert.to_json()
    record = json.loads((tmp_path / "cert.json").read_text())["layers"][0]
    assert record["worst_max_input"]["codes"] == cert.worst_case_input("fc1").tolist()
    with pytest.raises(FileError, match=r"none\.json does not exist"):
        Certificate.load(tmp_path / "none.json")


def altered(figure: str, change) -> Certificate:
    """A certificate loaded from a text in which one figure of layer fc1 is another."""
    record = json.loads(certify(mlp(), 16).to_json())
    layer = record["layers"][0]
    if isinstance(layer[figure], dict) and "codes" in layer[figure]:
        layer[figure]["codes"][1] = change(layer[figure]["codes"][1])
    else:
        layer[figure] = change(layer[figure])
    return Certificate.from_json(json.dumps(record))


@pytest.mark.parametrize(
    ("figure", "change", "message"),
    [
        ("needed_bits", lambda n: n - 1, "needed_bits of channel 1 is"),
        ("acc_min", lambda n: n + 1, "acc_min of channel 1 is"),
        ("acc_max", lambda n: n - 1, "acc_max of channel 1 is"),
        ("worst_channel", lambda c: (c + 1) % 4, "worst_channel is"),
        ("worst_channel", lambda c: 99, "worst_channel is 99"),
        ("worst_channel", lambda c: -1, "worst_channel is -1"),
        ("sparsity", lambda s: s + 0.1, "sparsity is"),
        ("datatype_bits", lambda n: n + 1, "datatype_bits is"),
        ("hls4ml_bits", lambda n: n + 1, "hls4ml_bits is"),
        ("worst_max_input", lambda x: 15 - x, "the acc_max that worst_max_input reaches is"),
        ("worst_min_input", lambda x: 15 - x, "the acc_min that worst_min_input reaches is"),
        ("worst_max_input", lambda x: 16, "the range of worst_max_input is 0 to 16 in the certificate"),
        ("weights", lambda q: 8, "the range of weights is -. to 8 in the certificate, its codes give -8 to 7"),
        ("weights", lambda q: q - 1 if q > -7 else q + 1, "acc_m.. of channel 1 is"),
        ("bias", lambda b: b + 3, "acc_m.. of channel 1 is"),
        ("input_format", lambda f: f | {"bits": 3}, "acc_m.. of channel 0 is"),
        ("input_format", lambda f: f | {"signed": True}, "acc_m.. of channel 0 is"),
    ],
)
def test_verify_names_the_layer_and_the_figure_that_differ(figure, change, message):
    with pytest.raises(FileError, match=f"layer 'fc1': {message}"):
        altered(figure, change).verify()


def test_verify_refuses_a_narrower_grant():
    with pytest.raises(AccumulatorOverflowError, match="layer 'fc1', channel"):
        altered("acc_bits", lambda _: 8).verify()


def test_verify_does_not_depend_on_bounds(monkeypatch):
    cert = certify(mlp(), 16)
    for name in ("acc_range", "bits_for", "min_acc_bits", "datatype_acc_bits", "hls4ml_acc_bits"):
        monkeypatch.setattr(bounds, name, None)
    cert.verify()


def test_every_altered_number_is_noticed():
    """Each number of the text changed by one: refused, or what the certificate says is still true of its codes."""
    text = certify(mlp(), 16).to_json()
    start = text.index('"layers"')
    outcomes = [
        _outcome(text[: found.start()] + str(int(found[0]) + 1) + text[found.end() :])
        for found in re.finditer(r"(?<![\w.])-?\d+(?![\w.])", text)
        if found.start() > start
    ]
    assert outcomes.count("refused") > 0.8 * len(outcomes) > 50


def _outcome(text) -> str:
    try:
        Certificate.from_json(text).verify()
    except (FileError, AccumulatorOverflowError):
        return "refused"
    return "true"


def test_damaged_texts_are_refused_or_still_true():
    text, rng = certify(mlp(), 16).to_json(), np.random.default_rng(2)
    for _ in range(500):
        place = int(rng.integers(len(text)))
        _outcome(text[:place] + chr(rng.integers(1, 127)) + text[place + 1 :])
        assert _outcome(text[:place]) == "refused" or place >= len(text) - 2


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"version": 2}, "of version 2; this a2q_keras reads version 1"),
        ({"format": "x"}, "does not say that it is one"),
        ({"layers": [{}]}, "no entry 'name'"),
        ({"layers": None}, "not iterable"),
        ({"more": "x"}, "more"),
        ({"program": 3}, "type str"),
    ],
)
def test_texts_that_are_no_certificate(entries, message):
    record = json.loads(certify(mlp()).to_json()) | entries
    with pytest.raises(FileError, match=f"this text is .*{message}"):
        Certificate.from_json(json.dumps(record))


@pytest.mark.parametrize(
    "figure, shape", [("bias", [3]), ("acc_max", [1, 4]), ("worst_max_input", [5]), ("weights", [24])]
)
def test_arrays_that_do_not_fit_are_refused(figure, shape):
    record = json.loads(certify(mlp()).to_json())
    record["layers"][0][figure] = {"shape": shape, "codes": [0] * int(np.prod(shape))}
    with pytest.raises(FileError, match="not a whole a2q_keras accumulator certificate"):
        Certificate.from_json(json.dumps(record))


def test_records_are_frozen():
    record = certify(mlp())["fc1"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.acc_bits = 3
    with pytest.raises(ValueError, match="read-only"):
        record.acc_max[0] = 3


def test_a_bias_that_does_not_fit_alone_is_named():
    x, w = FixedPoint(4, 0, signed=False), FixedPoint(3, 0, signed=True)
    dense = Dense("fc", "x", weights=[[1], [-1]], bias=[1000], weight_format=w, acc_bits=16)
    program = IntegerProgram("net", (Input("x", (2,), x),), (dense,), ("fc",))
    with pytest.raises(AccumulatorOverflowError, match="layer 'fc', channel 0: .*its bias code 1000 alone needs 11"):
        certify(program, 8).raise_if_unsafe()


def test_a_certificate_prints_what_it_proves():
    program = one_layer([[3, 0], [-2, 0]], [4, -1], FixedPoint(4, 0, signed=False))
    assert repr(certify(program)) == (
        "Certificate of 'net', no accumulator can overflow\n  fc: 2 x 2 weights, needs 7 of 7 bits"
    )
    assert repr(certify(program, 6)).startswith("Certificate of 'net', channels that can overflow: 1\n  fc: 2 x 2 ")
    in_tiles = certify(tiled(program, 1))["fc"]
    assert repr(in_tiles) == "fc: 2 x 2 weights, needs 7 of 7 bits for every 1 products, 7 for their sums"
