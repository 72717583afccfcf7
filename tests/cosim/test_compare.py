import json

import numpy as np
import pytest

from a2q_keras.cosim.compare import Mismatch, first_mismatch, mismatches
from a2q_keras.cosim.report import CosimReport, Part
from a2q_keras.errors import ToolFailedError


def codes(**changes):
    tensors = {"a": np.zeros((4, 3), np.int64), "b": np.ones((4, 2, 2), np.int64)}
    for name, places in changes.items():
        for place, code in places.items():
            tensors[name][place] = code
    return tensors


def test_equal_codes_have_no_mismatch():
    assert first_mismatch(["a", "b"], codes(), codes()) is None


def test_the_first_layer_in_the_given_order_is_named():
    got = codes(a={(3, 0): 9}, b={(0, 0, 0): 9})
    assert first_mismatch(["a", "b"], codes(), got).layer == "a"
    assert first_mismatch(["b", "a"], codes(), got).layer == "b"
    assert [record.layer for record in mismatches(["a", "b"], codes(), got)] == ["a", "b"]


def test_a_mismatch_is_one_clear_line():
    got = codes(b={(2, 1, 0): -7, (3, 0, 0): 2})
    record = first_mismatch(["a", "b"], codes(), got, {"b": "fixed<12,5>"}, {"b": "fixed<11,4>"})
    assert str(record) == (
        "layer 'b', sample 2, index (1, 0): got code -7, wanted 1 "
        "(2 of 16 codes differ; wanted fixed<12,5>, got fixed<11,4>)"
    )


def test_one_code_off_by_one_is_a_mismatch():
    large = {"a": np.full((1, 1), 2**62)}
    assert first_mismatch(["a"], large, {"a": large["a"] + 1}).differing == 1


@pytest.mark.parametrize("got", [{}, {"a": np.zeros((4, 1), np.int64)}, {"a": np.zeros((0, 3), np.int64)}], ids=str)
def test_missing_codes_are_never_equal(got):
    with pytest.raises(ToolFailedError, match="layer 'a': the engine returned"):
        first_mismatch(["a"], codes(), got)


def part(*found, codes=10):
    return Part("csim", "random inputs", 5, codes, found)


def mismatch(layer, differing=1):
    return Mismatch(layer, 0, (1,), 2, 3, differing, 10)


def test_a_report_is_ok_where_codes_were_compared_and_are_equal():
    good = CosimReport("p", "0" * 64, (part(),))
    assert good.ok and good.first is None
    assert "bit for bit equal" in str(good)


def test_a_report_without_codes_is_not_ok():
    empty = CosimReport("p", "0" * 64, (part(codes=0),))
    assert not empty.ok
    assert "nothing was compared" in str(empty)


def test_a_report_names_the_first_layer_that_differs():
    bad = CosimReport("p", "0" * 64, (part(), part(mismatch("b", 4), mismatch("c"))))
    assert not bad.ok and bad.first.layer == "b" and bad.parts[1].differing == 5
    assert "DIFFERS in csim, random inputs: layer 'b'" in str(bad)


def test_a_report_is_plain_data():
    bad = CosimReport("p", "0" * 64, (part(mismatch("b")),))
    read = json.loads(json.dumps(bad.to_dict()))
    assert read == bad.to_dict()
    assert read["ok"] is False and read["first"]["layer"] == "b" and read["parts"][0]["differing"] == 1
