import keras
import numpy as np
import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.model import record


@pytest.fixture(scope="module")
def model():
    x = keras.Input((3,), name="x")
    return keras.Model(x, keras.ops.multiply(x, 2.0), name="doubling")


def recorded(model, data):
    return record.record(model, {"x": model.inputs[0], "out": model.outputs[0]}, data)


def test_the_values_of_every_tensor_in_the_order_of_the_samples(model):
    data = np.arange(600, dtype=np.float32).reshape(200, 3)  # more than a batch
    found = recorded(model, data)
    assert np.array_equal(found["x"], data.ravel()) and np.array_equal(found["out"], 2 * data.ravel())


@pytest.mark.parametrize("with_labels", [False, True])
def test_batches_are_taken_until_there_are_enough_samples(model, with_labels):
    batch = np.ones((100, 3), np.float32)
    drawn = []

    def batches():
        for i in range(1000):
            drawn.append(i)
            yield (i * batch, np.zeros(100)) if with_labels else i * batch

    found = recorded(model, batches())
    assert len(found["x"]) == 3 * record.SAMPLES and len(drawn) == -(-record.SAMPLES // 100)


def test_of_large_tensors_a_share_of_each_batch_is_kept(model, monkeypatch):
    monkeypatch.setattr(record, "KEPT", 80)
    found = recorded(model, np.arange(384, dtype=np.float32).reshape(128, 3))
    assert len(found["x"]) == 2 * (80 * record.BATCH // record.SAMPLES)
    assert found["x"].max() > 192 > found["x"].min()  # of both batches


@pytest.mark.parametrize(
    "data, words",
    [
        (np.zeros((4, 2)), r"data of shapes \[\(2,\)\] does not fit the inputs of 'doubling', \[\(3,\)\]"),
        (np.zeros((0, 3)), "data is empty; give about a hundred inputs"),
        ([["a"] * 3], "data for 'doubling' are <U1; give arrays of real numbers"),
        (np.full((4, 3), 1j), "data for 'doubling' are complex128"),
        ([([[[1, 2], [3]]], 0)], "data for 'doubling' are no array"),
        ({"y": np.zeros((4, 3))}, "data has no input 'x' of 'doubling'; its inputs are x"),
        (np.full((4, 3), np.nan), "layer 'x' makes NaN or infinity on the calibration data; clean"),
    ],
)
def test_what_cannot_be_used_is_refused(model, data, words):
    with pytest.raises(ConfigurationError, match=words):
        recorded(model, data)


@pytest.fixture(scope="module")
def two():
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    return keras.Model([a, b], keras.layers.Concatenate(name="both")([a, b]))


A, B = np.arange(20.0).reshape(10, 2), np.arange(10.0).reshape(10, 1)


@pytest.mark.parametrize(
    "data",
    [
        [A, B],
        {"b": B, "a": A},
        [(A[:4], B[:4]), (A[4:], B[4:])],
        [{"a": A, "b": B}],
        [({"b": B, "a": A}, np.zeros(10))],
        [((A, B), np.zeros(10))],
    ],
    ids=["list", "dict", "batches", "batch by name", "by name with labels", "with labels"],
)
def test_several_inputs_come_in_order_or_by_name(two, data):
    assert all(np.array_equal(*pair) for pair in zip(record.samples(two, data), (A, B), strict=True))


def test_inputs_of_unequal_lengths_are_refused(two):
    with pytest.raises(ConfigurationError, match=r"are given \[10, 4\] samples; give as many of each"):
        record.samples(two, [A, B[:4]])
