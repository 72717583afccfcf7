import numpy as np
import pytest

from a2q_keras import data
from a2q_keras.errors import FileError


def test_digits_are_in_range_and_complete():
    digits = data.digits()
    assert len(digits.x_train) + len(digits.x_test) == 1797 and digits.classes == 10
    assert digits.x_train.dtype == np.float32 and digits.x_train.shape[1] == 64
    assert (digits.x_train.min(), digits.x_train.max()) == (0, 1)
    assert sorted(set(digits.y_test)) == list(range(10))
    assert np.array_equal(data.load("digits", images=True).x_test.reshape(-1, 64), digits.x_test)


def test_digits_are_split_alike_every_time():
    first, second, other = data.digits(), data.load("digits"), data.digits(seed=1)
    assert np.array_equal(first.x_test, second.x_test) and not np.array_equal(first.x_test, other.x_test)


def arrays(dtype=np.uint8):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 4, 4)).astype(dtype)
    return {"x_train": images, "y_train": np.arange(6), "x_test": images[:2], "y_test": np.arange(2)}


def test_pixels_from_a_file_are_flattened_and_scaled(tmp_path):
    np.savez(tmp_path / "tiny.npz", **arrays())
    found = data.load("tiny", tmp_path)
    assert found.name == "tiny" and found.classes == 6 and found.y_train.dtype == np.int32
    assert np.array_equal(found.x_train, arrays()["x_train"].reshape(6, 16) / np.float32(256))


def test_classes_are_those_of_both_parts(tmp_path):
    np.savez(tmp_path / "tiny.npz", **arrays() | {"y_test": np.array([0, 8])})
    assert data.load("tiny", tmp_path).classes == 9


def test_labels_in_a_column_are_labels(tmp_path):
    given = arrays()
    np.savez(
        tmp_path / "tiny.npz", **given | {"y_train": given["y_train"][:, None], "y_test": given["y_test"][:, None]}
    )
    found = data.load("tiny", tmp_path)
    assert np.array_equal(found.y_train, given["y_train"]) and np.array_equal(found.y_test, given["y_test"])


def test_values_from_a_file_stay_as_they_are(tmp_path):
    np.savez(tmp_path / "tiny.npz", **arrays(np.float64))
    assert np.array_equal(data.load("tiny", tmp_path).x_test, arrays()["x_test"].reshape(2, 16))


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"y_train": np.eye(6, dtype=int)}, r"labels int64 of shape \(6, 6\) for 6 samples; give a class number"),
        ({"y_train": np.arange(6) + 0.9}, "labels float64 of shape"),
        ({"y_train": np.arange(-1, 5)}, "labels int64"),
        ({"y_test": np.array([0, 10**10])}, "labels int64"),
        ({"y_test": np.array(["a", "b"])}, "labels <U1"),
        ({"y_train": np.arange(5)}, r"of shape \(5,\) for 6 samples"),
        ({"x_train": np.full((6, 4), "a")}, "inputs <U1 of shape"),
        ({"x_test": np.zeros((0, 4, 4)), "y_test": np.zeros(0)}, r"of shape \(0, 4, 4\); give numbers"),
        ({"x_test": np.full((2, 4, 4), np.nan)}, "inputs with NaN, infinity or numbers beyond float32"),
        ({"x_train": np.full((6, 4, 4), 1e300)}, "inputs with NaN, infinity or numbers beyond float32"),
        ({"x_test": np.zeros((2, 4, 4))}, "samples uint8 for training and float64 for tests; give pixels uint8"),
        ({"x_test": np.zeros((2, 5, 4), np.uint8)}, r"samples of \(4, 4\) for training and \(5, 4\) for tests"),
    ],
)
def test_inputs_and_labels_that_are_none_are_refused(changed, words, tmp_path):
    np.savez(tmp_path / "tiny.npz", **arrays() | changed)
    with pytest.raises(FileError, match=rf"tiny\.npz: .*{words}"):
        data.load("tiny", tmp_path)


@pytest.mark.parametrize("kind", ["without an array", "truncated", "empty"])
def test_a_file_of_something_else_is_refused(kind, tmp_path):
    path = tmp_path / "tiny.npz"
    np.savez(path, **(arrays() if kind != "without an array" else {"x_train": np.zeros(3)}))
    whole = path.read_bytes()
    path.write_bytes({"without an array": whole, "truncated": whole[:200], "empty": b""}[kind])
    with pytest.raises(FileError, match=r"tiny\.npz: cannot be read as a data set with x_train, y_train") as caught:
        data.load("tiny", tmp_path)
    assert "\n" not in str(caught.value)
