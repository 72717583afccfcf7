"""The door to tensorflow-datasets, which is an extra: `pip install a2q_keras[data]`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np

from a2q_keras.errors import FileError

INSTALL = "pip install a2q_keras[data]"
TEST_SHARE = 20  # per cent of "train", its last ones, where a set has no split of its own for tests


def available() -> bool:
    """Whether tensorflow-datasets is installed."""
    return find_spec("tensorflow_datasets") is not None


def arrays(name: str, data_dir=None) -> list[np.ndarray]:
    """[x_train, y_train, x_test, y_test] of a set with inputs and labels, whole; inputs that are a dict of numbers
    become columns.  Raises FileError, naming the set, for whatever goes wrong.
    """
    import tensorflow_datasets as tfds

    def read():
        builder = _prepared(name, data_dir)
        if not builder.info.supervised_keys:
            raise ValueError("it does not say what are inputs and what labels")
        splits = (builder.as_dataset(split=split, batch_size=-1, as_supervised=True) for split in _splits(builder))
        return [part for x, y in tfds.as_numpy(list(splits)) for part in (_columns(x), y)]

    return _told(name, read)


def pictures(name: str, data_dir=None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The training and the test pictures of a set, uint8 (rows, columns, channels) each of its own size.

    Taken is the feature "hr" (high resolution) or "image".  Raises FileError, naming the set, for whatever goes wrong.
    """

    def read():
        builder = _prepared(name, data_dir)
        key = next((key for key in ("hr", "image") if key in builder.info.features), None)
        if key is None:
            raise ValueError(f"its features are {', '.join(builder.info.features)}, none of which is image or hr")
        train, test = (list(_pictures(builder, split, key)) for split in _splits(builder))
        return train, test

    return _told(name, read)


def _pictures(builder, split, key) -> Iterator[np.ndarray]:
    import tensorflow_datasets as tfds

    for example in tfds.as_numpy(builder.as_dataset(split=split)):
        yield example[key]


def _prepared(name: str, data_dir):
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=None if data_dir is None else str(data_dir))
    builder.download_and_prepare()
    return builder


def _splits(builder) -> tuple[str, str]:
    """What to train with and what to test with."""
    if "train" not in builder.info.splits:
        raise ValueError(f"its splits are {', '.join(builder.info.splits)}, but not train")
    own = next((split for split in ("test", "validation") if split in builder.info.splits), None)
    return ("train", own) if own else (f"train[:{100 - TEST_SHARE}%]", f"train[{100 - TEST_SHARE}%:]")


def _columns(x) -> np.ndarray:
    return np.stack([x[key] for key in x], axis=1) if isinstance(x, dict) else x


def _told(name: str, read):
    """What `read` returns; any error of tensorflow-datasets as one of ours, in one line."""
    try:
        return read()
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        raise FileError(
            f"data set {name!r}: tensorflow-datasets gives nothing to train with ({type(error).__name__}: {reason}); "
            f"check the name and the network, or put {name}.npz into the data folder"
        ) from error
