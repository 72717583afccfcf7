import keras
import pytest

from a2q_keras.errors import ConfigurationError
from a2q_keras.model.settings import LayerSettings, Settings

DENSE = keras.layers.Dense(2, name="fc")


def settings(layers=None, first=None, last=None):
    return Settings(LayerSettings(acc_bits=16), layers or {}, first or {}, last or {})


@pytest.mark.parametrize(
    "given, wanted",
    [
        ({}, 16),
        ({"first": {"acc_bits": 20}}, 20),
        ({"first": {"acc_bits": 20}, "last": {"acc_bits": 21}}, 21),
        ({"first": {"acc_bits": 20}, "layers": {"Dense": {"acc_bits": 12}}}, 12),
        ({"first": {"acc_bits": 20}, "layers": {keras.layers.Dense: {"acc_bits": 12}}}, 12),
        ({"layers": {"Dense": {"acc_bits": 12}, "fc": {"acc_bits": 10}}}, 10),
        ({"layers": {"fc": {"acc_bits": 10}, "Dense": {"acc_bits": 12}}}, 10),
    ],
)
def test_a_name_beats_a_class_which_beats_last_and_first(given, wanted):
    assert settings(**given).of(DENSE, is_first=True, is_last=True).acc_bits == wanted


def test_first_and_last_are_for_these_layers_only():
    chosen = settings(first={"acc_bits": 20}, last={"acc_bits": 21})
    assert [chosen.of(DENSE).acc_bits, chosen.of(DENSE, True).acc_bits] == [16, 20]


def test_what_a_layer_leaves_open_it_takes_from_the_next():
    chosen = settings(first={"weight_bits": 5}, layers={"fc": {"acc_bits": 10}}).of(DENSE, is_first=True)
    assert (chosen.acc_bits, chosen.weight_bits, chosen.method) == (10, 5, "exact")


@pytest.mark.parametrize(
    "given, words",
    [
        ({"layers": {"fc": {"bits": 3}}}, "'fc' sets 'bits', which is unknown; allowed are acc_bits, act_bits"),
        ({"first": {"bits": 3}}, "'first' sets 'bits'"),
        ({"first": 8}, r"'first' is set to 8; give settings, {'acc_bits': 14}"),
        ({"layers": {"fc": 8}}, "'fc' is set to 8; give settings"),
        ({"layers": ["fc"]}, r"layers=\['fc'\]; give settings by layer"),
        ({"layers": {"fc2": {}}}, "layers= names 'fc2', which the model does not have; its layers are fc"),
        ({"layers": {keras.layers.Conv2D: {}}}, "layers= names 'Conv2D'"),
    ],
)
def test_mistakes_are_named(given, words):
    with pytest.raises(ConfigurationError, match=words):
        settings(**given).check([DENSE])
