"""Sets of tensorflow-datasets: real ones that these tests make on disk, for nothing is downloaded here."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from a2q_keras import data
from a2q_keras.data import tfds as door
from a2q_keras.errors import FileError


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Pictures of one grey level each, with training and test split."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(4, 4, 1)), "label": tfds.features.ClassLabel(num_classes=3)}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(6), "test": self._generate_examples(3)}

    def _generate_examples(self, samples):
        for i in range(samples):
            yield i, {"image": np.full((4, 4, 1), i, np.uint8), "label": i % 3}


class TinyTable(tfds.core.GeneratorBasedBuilder):
    """Two named numbers, training split only."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        numbers = tfds.features.FeaturesDict({"length": np.float32, "width": np.float32})
        features = tfds.features.FeaturesDict({"features": numbers, "label": np.int64})
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("features", "label"))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(10):
            yield i, {"features": {"length": float(i), "width": -float(i)}, "label": i % 2}


class Unreachable(TinyPictures):
    """Its download fails."""

    VERSION = tfds.core.Version("1.0.0")

    def _split_generators(self, dl_manager):
        raise ConnectionError("no route to host\nand more lines")


def test_pictures_with_labels(tmp_path):
    found = data.load("tiny_pictures", tmp_path, images=True)
    assert (found.x_train.shape, found.x_test.shape, found.classes) == ((6, 4, 4, 1), (3, 4, 4, 1), 3)
    assert sorted(found.x_train[:, 0, 0, 0] * 256) == list(range(6)) and found.x_train.dtype == np.float32
    assert np.array_equal(found.x_train[:, 0, 0, 0] * 256 % 3, found.y_train)
    assert data.load("tiny_pictures", tmp_path).x_test.shape == (3, 16)


def test_a_table_is_split_and_its_named_numbers_are_columns(tmp_path):
    found = data.load("tiny_table", tmp_path)
    assert (found.x_train.shape, found.x_test.shape) == ((8, 2), (2, 2))
    every = np.concatenate([found.x_train, found.x_test])
    assert sorted(every[:, 0]) == list(range(10)) and np.array_equal(every[:, 0], -every[:, 1])


def test_pictures_for_super_resolution(tmp_path):
    found = data.superresolution("tiny_pictures", 2, 1, tmp_path)
    assert (found.x_train.shape, found.y_test.shape) == ((24, 1, 1, 1), (12, 2, 2, 1))


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda folder: data.load("no_such_set", folder),
            "'no_such_set': tensorflow-datasets gives nothing .*NotFound",
        ),
        (
            lambda folder: data.load("unreachable", folder),
            r"'unreachable': .* \(ConnectionError: no route to host\); check the name and the network",
        ),
        (
            lambda folder: data.superresolution("tiny_table", 2, 1, folder),
            "its features are features, label, none of which is image or hr",
        ),
    ],
)
def test_what_tensorflow_datasets_cannot_do_is_one_line_of_ours(call, words, tmp_path):
    with pytest.raises(FileError, match=words) as caught:
        call(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("load", [data.load, data.superresolution])
def test_without_tensorflow_datasets_the_error_says_what_to_install(load, tmp_path, monkeypatch):
    monkeypatch.setattr(door, "available", lambda: False)
    with pytest.raises(FileError, match=r"nothing.*install tensorflow-datasets \(pip install a2q_keras\[data\]\)"):
        load("nothing", data_dir=tmp_path)
