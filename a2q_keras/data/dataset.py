"""Classes to be told apart: scikit-learn's digits, which need no network, .npz files, sets of tensorflow-datasets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from a2q_keras.data import tfds
from a2q_keras.errors import FileError

KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs float32 (samples, *shape), scaled to [0, 1) where they are pixels, and class labels int32 (samples,)."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def classes(self) -> int:
        """Number of classes, by the labels of both parts."""
        return 1 + max(int(labels.max(initial=-1)) for labels in (self.y_train, self.y_test))

    def standardised(self, limit: float = 4.0) -> Dataset:
        """Each feature with mean 0 and standard deviation 1 in training, clipped to +-limit: for tables of numbers."""
        mean, deviation = self.x_train.mean(axis=0), self.x_train.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1)
        train, test = (np.clip((x - mean) / deviation, -limit, limit) for x in (self.x_train, self.x_test))
        return replace(self, x_train=train.astype(np.float32), x_test=test.astype(np.float32))

    def first(self, samples: int) -> Dataset:
        """With the first `samples` training samples only."""
        return replace(self, x_train=self.x_train[:samples], y_train=self.y_train[:samples])


def digits(test_share: float = 0.25, seed: int = 0) -> Dataset:
    """The 8x8 digits bundled with scikit-learn: 1,797 images, 64 pixels of 17 grey levels scaled to [0, 1]."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images = load_digits()
    x, y = (images.data / 16).astype(np.float32), images.target.astype(np.int32)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=test_share, random_state=seed, stratify=y)
    return Dataset("digits", x_train, y_train, x_test, y_test)


def load(name: str, data_dir=None, images: bool = False) -> Dataset:
    """ "digits", or `name`.npz in `data_dir` with arrays x_train, y_train, x_test, y_test, or else the set that
    tensorflow-datasets calls `name` (kept in `data_dir`; downloaded if it is not there).

    uint8 pixels, in both parts or none, are divided by 256.  images: pictures keep their shape (rows, columns,
    channels); else each sample is flattened.  Raises FileError where neither is found, or cannot be read.
    """
    if name == "digits":
        found = digits()
        return (
            replace(found, **{key: getattr(found, key).reshape(-1, 8, 8, 1) for key in KEYS[::2]}) if images else found
        )
    path = Path(data_dir or ".") / f"{name}.npz"
    if not path.is_file() and not tfds.available():
        raise FileError(
            f"{path}: no such data set; give --data-dir the folder that holds {path.name}, use digits, "
            f"or install tensorflow-datasets ({tfds.INSTALL}) and give one of its names"
        )
    x_train, y_train, x_test, y_test = _arrays(path) if path.is_file() else tfds.arrays(name, data_dir)
    pairs = [(x_train, y_train), (x_test, y_test)]
    for x, y in pairs:
        _check(x, y, path)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise FileError(
            f"{path}: samples of {x_train.shape[1:]} for training and {x_test.shape[1:]} for tests; give one"
        )
    if (x_train.dtype == np.uint8) != (x_test.dtype == np.uint8):
        raise FileError(
            f"{path}: samples {x_train.dtype} for training and {x_test.dtype} for tests; give pixels uint8 in both"
        )
    return Dataset(name, *(part for x, y in pairs for part in (_values(x, images), y.ravel().astype(np.int32))))


def _check(x, y, path):
    """FileError unless there are samples of numbers, and a class number for each, which may stand in a column."""
    whole = y.dtype.kind in "iub" or (y.dtype.kind == "f" and bool((y == np.rint(y)).all()))
    if x.ndim < 1 or not x.size or x.dtype.kind not in "iufb":
        raise FileError(f"{path}: inputs {x.dtype} of shape {x.shape}; give numbers (samples, ...)")
    if x.dtype.kind == "f" and not (np.abs(x) <= np.finfo(np.float32).max).all():
        raise FileError(f"{path}: inputs with NaN, infinity or numbers beyond float32; clean the data")
    if y.shape not in ((len(x),), (len(x), 1)) or not whole or not 0 <= y.min() <= y.max() < 2**31:
        raise FileError(
            f"{path}: labels {y.dtype} of shape {y.shape} for {len(x)} samples; give a class number from 0 for each"
        )


def _arrays(path: Path) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[key] for key in KEYS]
    except Exception as error:
        raise FileError(f"{path}: cannot be read as a data set with {', '.join(KEYS)} ({error})") from error


def _values(x: np.ndarray, images: bool) -> np.ndarray:
    values = x.astype(np.float32) / 256 if x.dtype == np.uint8 else x.astype(np.float32)
    if not images:
        return values.reshape(len(x), -1)
    return values[..., None] if values.ndim == 3 else values  # grey pictures have one channel
