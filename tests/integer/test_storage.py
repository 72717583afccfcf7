import json
import os

import numpy as np
import pytest
from hypothesis import given

from a2q_keras.errors import FileError
from a2q_keras.integer import storage
from a2q_keras.integer.graph import Dense
from a2q_keras.numerics.formats import FixedPoint
from tests.strategies import formats, mlp, seeded


@seeded(50)
@given(formats())
def test_formats_come_back(format):
    assert storage.decode(FixedPoint, json.loads(json.dumps(storage.encode(format)))) == format


def test_numpy_scalars_and_empty_arrays_come_back_plain():
    op = Dense("fc", "x", np.zeros((0, 3)), np.zeros(3), FixedPoint(4, 0, signed=True), acc_bits=np.int64(9))
    back = storage.decode(Dense, json.loads(storage.to_text(storage.encode(op))))
    assert type(back.acc_bits) is int and back.weights.shape == (0, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 4.0},
        {"bits": True},
        {"bits": "4"},
        {"signed": 1},
        {"more": 1},
    ],
)
def test_records_are_read_strictly(change):
    with pytest.raises((TypeError, ValueError)):
        storage.decode(FixedPoint, storage.encode(FixedPoint(4, 2, signed=True)) | change)


@pytest.mark.parametrize(
    "array", [{"shape": [2], "codes": [1]}, {"shape": [-1, -1], "codes": [1]}, {"shape": [1], "codes": [1.5]}]
)
def test_arrays_are_read_strictly(array):
    record = storage.encode(mlp()["fc1"]) | {"bias": array}
    with pytest.raises((TypeError, ValueError)):
        storage.decode(Dense, record)


def test_text_is_json_and_short_lines_stay_whole():
    record = {"a": [1, 2], "b": {"c": {"d": [3]}, "e": []}, "f": [{"g": "h"}, {}]}
    text = storage.to_text(record)
    assert json.loads(text) == record
    assert '"a": [1, 2]' in text and '{"g": "h"}' in text


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    storage.write_text(path, "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(FileError, match=r"kept cannot be written \(No space left on device\); check the folder"):
        storage.write_text(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["kept"]


def test_a_link_is_kept_and_its_target_replaced(tmp_path):
    storage.write_text(tmp_path / "target", "old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    storage.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "new"


@pytest.mark.parametrize("name", ["no/such/folder/file", "."])
def test_places_that_cannot_be_written(tmp_path, name):
    with pytest.raises(FileError, match="cannot be written"):
        storage.write_text(tmp_path / name, "x")
