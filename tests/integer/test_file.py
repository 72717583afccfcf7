import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given

from a2q_keras.errors import FileError
from a2q_keras.integer import file
from tests.strategies import input_codes, mlp, programs, seeded


def equal(a, b) -> bool:
    return a.digest() == b.digest() and (a.name, a.float_tail) == (b.name, b.float_tail)


@seeded(60)
@given(programs())
def test_programs_come_back_equal(tmp_path_factory, program):
    path = tmp_path_factory.mktemp("file") / "net.a2q"
    program.save(path)
    back = file.load(path)
    codes = input_codes(program, 5)
    assert equal(back, program)
    assert (back.formats, back.shapes) == (program.formats, program.shapes)
    assert np.array_equal(back.run_codes(codes), program.run_codes(codes))


def test_saving_twice_gives_the_same_bytes(tmp_path):
    mlp().save(tmp_path / "a")
    file.load(tmp_path / "a").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_numpy_integers_and_names_beyond_ascii(tmp_path):
    program = dataclasses.replace(mlp().with_acc_bits({"fc1": np.int64(15)}), name="réseau ✓")
    program.save(tmp_path / "net")
    back = file.load(tmp_path / "net")
    assert back.name == "réseau ✓" and back["fc1"].acc_bits == 15


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.a2q"
    mlp().save(path)
    return path


def outcome(path, data: bytes) -> str:
    """ "equal" or "refused" for a file of these bytes; anything else is a failure."""
    path.write_bytes(data)
    try:
        program = file.load(path)
    except FileError as error:
        assert str(path) in str(error)
        return "refused"
    assert equal(program, mlp())
    return "equal"


def test_every_truncation_is_refused(saved):
    whole = saved.read_bytes()
    assert {outcome(saved, whole[:n]) for n in range(len(whole) - 2)} == {"refused"}


def test_flipped_bits_load_the_same_program_or_are_refused(saved):
    whole, rng = saved.read_bytes(), np.random.default_rng(0)
    flips = [(place, 1 << rng.integers(8)) for place in range(len(whole))]
    results = [outcome(saved, _flip(whole, [flip])) for flip in flips]
    assert results.count("refused") > 0.8 * len(results)


def test_random_damage_loads_the_same_program_or_is_refused(saved):
    whole, rng, refused = saved.read_bytes(), np.random.default_rng(1), 0
    for _ in range(500):
        places = rng.integers(len(whole), size=rng.integers(1, 6))
        data = _flip(whole, [(place, rng.integers(1, 256)) for place in places])
        cut = sorted(rng.integers(len(whole), size=2))
        refused += outcome(saved, data if rng.integers(2) else data[: cut[0]] + data[cut[1] :]) == "refused"
    assert refused > 450


def _flip(data: bytes, flips) -> bytes:
    changed = bytearray(data)
    for place, mask in flips:
        changed[place] ^= int(mask)
    return bytes(changed)


def rewrite(path, **entries):
    """The file with other entries, its own digest made to fit."""
    record = json.loads(path.read_text()) | entries
    body = {key: value for key, value in record.items() if key not in ("format", "version", "file_sha256")}
    path.write_text(json.dumps(record | {"file_sha256": file._digest(body)}))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"program_sha256": "0" * 64}, "program_sha256 is '0+', the content gives"),
        ({"ops": []}, "unknown outputs"),
        ({"ops": [{"op": "Softmax"}]}, "no entry 'Softmax'"),
        ({"ops": 3}, "not iterable"),
        ({"outputs": [["fc2"]]}, "a value of type str belongs"),
        ({"name": None}, "a value of type str belongs"),
    ],
)
def test_content_that_makes_no_program_is_refused(saved, entries, message):
    rewrite(saved, **entries)
    with pytest.raises(FileError, match=f"net.a2q is not a whole a2q_keras integer program: .*{message}"):
        file.load(saved)


def test_other_versions_are_named(saved):
    saved.write_text(saved.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(FileError, match=r"net\.a2q is a .* of version 2; this a2q_keras reads version 1"):
        file.load(saved)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04\xff\xfe", b"{}", b"[]", b"hello", b"[" * 100_000, b"\x93NUMPY"])
def test_other_files_are_refused(saved, data):
    assert outcome(saved, data) == "refused"


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileError, match=r"none\.a2q does not exist; check the name or save"):
        file.load(tmp_path / "none.a2q")
    with pytest.raises(FileError, match=r"cannot be read .*check the name"):
        file.load(tmp_path)
