import numpy as np
import pytest
from PIL import Image

from a2q_keras import data
from a2q_keras.errors import ConfigurationError, FileError


def picture(rows, columns, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3)).astype(np.uint8)


def test_the_photographs_of_scikit_learn():
    found = data.superresolution(factor=3, size=16)
    assert found.x_train.shape[1:] == (16, 16, 1) and found.y_train.shape == (len(found.x_train), 48, 48, 1)
    # 427 x 640 pixels, of which 512 columns are for training: 8 x 10 patches and 8 x 2
    assert (len(found.x_train), len(found.x_test)) == (2 * 80, 2 * 16)
    assert 0 <= found.y_train.min() < 0.1 and 0.9 < found.y_train.max() < 1
    blocks = found.y_test.reshape(-1, 16, 3, 16, 3).astype(np.float64).mean(axis=(2, 4))
    assert np.abs(found.x_test[..., 0] - blocks).max() < 1e-6  # a float mean by nature


def test_a_folder_of_pictures(tmp_path):
    for part, count in (("train", 2), ("test", 1)):
        (tmp_path / "bsd" / part).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(picture(9, 13, i)).save(tmp_path / "bsd" / part / f"{i}.png")
    (tmp_path / "bsd" / "train" / "readme.txt").write_text("no picture")
    found = data.superresolution("bsd", 2, 2, tmp_path)
    assert (len(found.x_train), len(found.x_test)) == (2 * 2 * 3, 2 * 3)
    grey = picture(9, 13) @ [0.299, 0.587, 0.114] / 256
    assert np.array_equal(found.y_train[1, :, :, 0], grey[:4, 4:8].astype(np.float32))


def test_a_file_of_arrays(tmp_path):
    stack = np.stack([picture(4, 4, seed) for seed in range(3)])
    np.savez(tmp_path / "some.npz", train_all=stack, train_grey=picture(8, 4)[..., 0], test=picture(4, 4))
    found = data.superresolution("some", 2, 2, tmp_path)
    assert (len(found.y_train), len(found.y_test)) == (3 + 2, 1)


def broken(folder):
    for part in ("train", "test"):
        (folder / "set" / part).mkdir(parents=True)
    (folder / "set" / "train" / "a.png").write_bytes(b"not a picture")


@pytest.mark.parametrize(
    "prepare, size, error, words",
    [
        (broken, 2, FileError, r"a\.png: cannot be read as a picture"),
        (lambda folder: (folder / "set.npz").write_bytes(b"x"), 2, FileError, r"set\.npz: cannot be read as pictures"),
        (
            lambda folder: np.savez(folder / "set.npz", train=np.zeros((4, 4)), test=np.zeros((4, 4))),
            2,
            FileError,
            r"holds float64 \(4, 4\); pictures are uint8",
        ),
        (
            lambda folder: np.savez(folder / "set.npz", train=picture(5, 9), test=picture(9, 9)),
            3,
            ConfigurationError,
            "'set': no patch of 6 x 6 pixels fits; give a smaller size",
        ),
        (lambda folder: None, 0, ConfigurationError, "factor=2, size=0 is not allowed"),
    ],
)
def test_bad_files_and_sizes_are_refused(prepare, size, error, words, tmp_path):
    prepare(tmp_path)
    with pytest.raises(error, match=words):
        data.superresolution("set", 2, size, tmp_path)


@pytest.mark.parametrize("factor", [1, 2.5])
def test_bad_factors_are_refused(factor):
    with pytest.raises(ConfigurationError, match=f"factor={factor}, size=16 is not allowed; give whole numbers"):
        data.superresolution(factor=factor)
