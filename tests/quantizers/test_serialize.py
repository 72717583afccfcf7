import keras
import numpy as np
import pytest
import qkeras

from a2q_keras.errors import ConfigurationError
from a2q_keras.quantizers.serialize import get_activation, get_quantizer, serialize

X = np.linspace(-5, 5, 101).astype(np.float32)
TEXTS = [
    "quantized_relu(4,2)",
    "quantized_bits(5,1,alpha=1)",
    "quantized_bits(bits=6, integer=2, symmetric=1, alpha=1)",
]


def same(a, b) -> bool:
    return type(a) is type(b) and np.array_equal(np.asarray(a(X)), np.asarray(b(X)))


def test_none_stays_none():
    assert get_quantizer(None, "input_quantizer") is None and serialize(None) is None


def test_an_object_stays_itself():
    quantizer = qkeras.quantized_relu(4, 2)
    assert get_quantizer(quantizer, "input_quantizer") is quantizer
    assert get_activation(quantizer) is quantizer


@pytest.mark.parametrize("text", TEXTS)
def test_configs_make_the_same_quantizer_again(text):
    quantizer = get_quantizer(text, "input_quantizer")
    assert same(get_quantizer(serialize(quantizer), "input_quantizer"), quantizer)
    assert same(get_activation(text), quantizer) and same(get_activation(serialize(quantizer)), quantizer)


@pytest.mark.parametrize("wrong", ["quantized_rellu(4,2)", "quantized_relu(4,", 7, {"class_name": "Nothing"}], ids=str)
def test_what_is_no_quantizer_is_refused_with_an_example(wrong):
    with pytest.raises(
        ConfigurationError, match=r"bias_quantizer=.* is not a quantizer.*such as quantized_relu\(4, 2\)"
    ):
        get_quantizer(wrong, "bias_quantizer")


def test_keras_activations_keep_their_names():
    assert get_activation("relu") is keras.activations.relu
    assert get_activation(None) is keras.activations.linear
    assert get_activation(keras.activations.softmax) is keras.activations.softmax


def test_a_quantizer_without_its_bits_is_no_activation():
    with pytest.raises(ConfigurationError, match=r"activation='quantized_relu' is unknown; give a name of Keras"):
        get_activation("quantized_relu")
