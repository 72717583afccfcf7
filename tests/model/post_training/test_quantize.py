"""Post-training quantization of whole models: proven, exact, better than projection, and ordinary models afterwards."""

import keras
import numpy as np
import pytest
from keras import layers as L

import a2q_keras as a2q
from a2q_keras.errors import ConfigurationError, ConversionError
from a2q_keras.model.post_training import codes
from tests.model.test_convert import IMAGES, residual
from tests.models import two_layers

RNG = np.random.default_rng(3)
TABLE = (RNG.normal(size=(300, 12)) @ RNG.normal(size=(12, 12)) / 4).astype(np.float32)


def mlp():
    keras.utils.set_random_seed(2)
    hidden = [L.Dense(24, activation="relu", bias_initializer="normal", name=f"dense_{i}") for i in range(2)]
    return keras.Sequential([keras.Input((12,)), *hidden, L.Dense(4, name="head")])


def quantized(model, data, acc_bits, **arguments):
    """(model, records, relative output error): proven for acc_bits."""
    found = []
    ours = a2q.quantize(model, data, acc_bits, 4, 4, on_layer=found.append, **arguments)
    program = a2q.integer_model(ours)
    assert a2q.certify(program, acc_bits).ok
    outputs, wanted = program.run(data), keras.ops.convert_to_numpy(model(data))
    return ours, found, np.square(outputs - wanted).sum() / np.square(wanted - wanted.mean(axis=0)).sum()


def test_the_methods_on_an_mlp(acc_bits=8):
    model, errors = mlp(), {}
    for method, budget in (("exact", "exact"), ("gpfq", "axe"), ("optq", "axe"), ("gpfq", "exact"), ("optq", "exact")):
        _, found, errors[method, budget] = quantized(model, TABLE, acc_bits, method=method, budget=budget)
        assert [layer.name for layer in found] == ["dense_0", "dense_1", "head"]
        assert all(layer.needed_bits <= acc_bits and layer.budget_used <= 1 for layer in found)
        if budget == "exact":
            assert all(layer.error_after <= layer.error_before for layer in found)
    ours = max(errors["gpfq", "exact"], errors["optq", "exact"])
    assert ours < min(errors["exact", "exact"], errors["gpfq", "axe"], errors["optq", "axe"])


def test_a_residual_network_with_every_kind_of_layer():
    model = residual()
    ours, found, error = quantized(model, IMAGES, 11)
    names = ["stem", "body", "left_depthwise", "left_pointwise", "right", "head"]
    assert sorted(layer.name for layer in found) == sorted(names)
    assert np.array_equal(a2q.integer_model(ours).run(IMAGES), ours.predict(IMAGES, verbose=0))
    converted = a2q.integer_model(a2q.convert(model, 11, 4, 4, data=IMAGES)).run(IMAGES)
    wanted = keras.ops.convert_to_numpy(model(IMAGES))
    assert error < np.square(converted - wanted).sum() / np.square(wanted - wanted.mean(axis=0)).sum()


def test_it_is_an_ordinary_model_the_same_each_time(tmp_path):
    model = mlp()
    model.save(tmp_path / "float.keras")
    ours, _, _ = quantized(model, TABLE, 10)
    assert ours.name == model.name
    again = a2q.quantize(a2q.load_model(tmp_path / "float.keras"), TABLE, 10, 4, 4)
    digest = a2q.integer_model(ours).digest()
    assert a2q.integer_model(again).digest() == digest
    ours.save(tmp_path / "ours.keras")
    assert a2q.integer_model(a2q.load_model(tmp_path / "ours.keras")).digest() == digest
    ours.compile("adam", "mse")
    ours.fit(TABLE, np.zeros((300, 4)), epochs=1, verbose=0)
    assert a2q.certify(ours, 10).ok and a2q.integer_model(ours).digest() != digest


def test_settings_of_single_layers():
    ours = a2q.quantize(mlp(), TABLE, 12, 4, 4, layers={"dense_1": {"acc_bits": 9}}, last={"weight_bits": 6})
    proof = a2q.certify(ours, {"dense_0": 12, "dense_1": 9, "head": 12}).raise_if_unsafe()
    assert [layer.weight_bits for layer in proof.layers] == [4, 4, 6]
    with pytest.raises(ConfigurationError, match="'head' sets method='a2q'.*one method for all layers"):
        a2q.quantize(mlp(), TABLE, layers={"head": {"method": "a2q"}})


@pytest.mark.parametrize("method, budget", [("exact", "exact"), ("gpfq", "axe"), ("optq", "exact")])
def test_tiles_are_carried_through_save_training_and_export(method, budget, tmp_path):
    ours, found, error = quantized(mlp(), TABLE, 8, method=method, budget=budget, tile=6)
    program = a2q.integer_model(ours)
    assert [op.tile for op in program.accumulator_ops] == [6, 6, 6] == [layer.tile for layer in found]
    assert [layer.outer_bits for layer in found] == [layer.result_bits for layer in a2q.certify(program).layers]
    assert all(layer.needed_bits <= 8 and layer.budget_used <= 1 for layer in found)
    assert np.array_equal(program.run(TABLE), ours.predict(TABLE, verbose=0))
    assert error < quantized(mlp(), TABLE, 8, method=method, budget=budget)[2]  # more room for the same bits
    ours.save(tmp_path / "ours.keras")
    loaded = a2q.load_model(tmp_path / "ours.keras")
    assert a2q.integer_model(loaded).digest() == program.digest()
    loaded.compile("adam", "mse")
    loaded.fit(TABLE, np.zeros((300, 4)), epochs=1, verbose=0)
    assert a2q.certify(loaded, 8).ok


def test_ranges_by_percentile():
    def ranges(**options):
        ours = a2q.quantize(mlp(), TABLE, 16, 4, 4, method="exact", **options)
        return [layer.input_format.hi * layer.input_format.step for layer in a2q.certify(ours).layers]

    clipped, whole = (ranges(calibration="percentile", percentile=percentile) for percentile in (90, 100))
    assert all(small <= large for small, large in zip(clipped, whole)) and clipped != whole != ranges()
    with pytest.raises(ConfigurationError, match="calibration='max' is unknown; allowed are mse, percentile"):
        a2q.quantize(mlp(), TABLE, calibration="max")


def test_many_bits_compute_what_the_float_model_does():
    ours = a2q.quantize(mlp(), TABLE, 40, 12, 12)
    wanted, got = (keras.ops.convert_to_numpy(found(TABLE)) for found in (mlp(), ours))
    # a float comparison by nature: 12-bit weights and activations stand for float ones
    assert np.abs(wanted - got).max() < 0.01 * np.abs(wanted).max()


def test_codes_that_the_layer_would_change_are_refused():
    layer = two_layers().get_layer("second")
    with pytest.raises(ConversionError, match="layer 'second': the codes found do not survive"):
        codes.set_codes(layer, np.full((5, 3), 7 * 2**8), np.zeros(3, int), -2)


def test_calibration_data_with_nan_is_refused():
    with pytest.raises(ConfigurationError, match="NaN or infinity on the calibration data"):
        a2q.quantize(mlp(), np.where(np.arange(300)[:, None] == 7, np.nan, TABLE))
