"""convert(start=...): training starts from the codes that post-training quantization finds."""

import keras
import numpy as np
import pytest

import a2q_keras as a2q
from a2q_keras.callbacks import accumulator_layers
from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics.bounds import BIAS_SHARE
from tests.model.post_training.test_quantize import TABLE, mlp
from tests.model.test_convert import IMAGES, residual


def output_error(model, ours, data) -> float:
    wanted = keras.ops.convert_to_numpy(model(data))
    return float(np.square(a2q.integer_model(ours).run(data) - wanted).sum())


def check_that_it_trains_on(residual_network, acc_bits):
    """After some training it is proven for acc_bits and runs exactly."""
    residual_network.compile("adam", "mse")
    residual_network.fit(IMAGES, np.zeros((40, 5)), epochs=1, verbose=0)
    program = a2q.integer_model(residual_network)
    assert a2q.certify(program, acc_bits).ok
    assert np.array_equal(program.run(IMAGES), residual_network.predict(IMAGES, verbose=0))


@pytest.mark.parametrize("method", ["gpfq", "optq"])
def test_the_codes_are_those_of_quantize_and_the_biases_are_limited_as_in_training(method):
    model = mlp()
    started = a2q.convert(model, 9, 4, 4, data=TABLE, start=method)
    quantized = a2q.quantize(model, TABLE, 9, 4, 4, method)
    for layer, other in zip(accumulator_layers(started), accumulator_layers(quantized)):
        assert np.array_equal(*map(keras.ops.convert_to_numpy, (layer.kernel, other.kernel)))
        assert (layer.bias_share, other.bias_share) == (BIAS_SHARE, 1.0)
    assert a2q.certify(started, 9).ok
    assert output_error(model, started, TABLE) < output_error(model, a2q.convert(model, 9, 4, 4, data=TABLE), TABLE)


def test_a_residual_network_starts_closer_and_trains_on():
    model = residual()
    started = a2q.convert(model, 11, 4, 4, data=IMAGES, start="optq")
    assert output_error(model, started, IMAGES) < output_error(model, a2q.convert(model, 11, 4, 4, data=IMAGES), IMAGES)
    check_that_it_trains_on(started, 11)


def test_the_scales_that_the_outputs_chose_stay_in_training():
    started = a2q.convert(mlp(), 9, 4, 4, data=TABLE, start="optq")
    before = scales(started)
    for layer in accumulator_layers(started):
        layer.kernel.assign(5 * layer.kernel)
    outputs = started.predict(TABLE, verbose=0)
    started.compile("adam", "mse")
    started.fit(TABLE, outputs, epochs=1, verbose=0)
    assert scales(started) == before


def scales(model) -> list[float]:
    """The exponent of each layer's scale."""
    return [float(keras.ops.convert_to_numpy(layer.scale_log2)) for layer in accumulator_layers(model)]


def test_layers_of_other_methods_start_as_ever():
    settings = {
        "acc_bits": 10,
        "weight_bits": 4,
        "act_bits": 4,
        "data": TABLE,
        "layers": {"dense_1": {"method": "a2q+"}},
    }
    started, plain = a2q.convert(mlp(), start="gpfq", **settings), a2q.convert(mlp(), **settings)
    same = [
        np.array_equal(started.get_layer(name).integer_weights()[0], plain.get_layer(name).integer_weights()[0])
        for name in ("dense_0", "dense_1", "head")
    ]
    assert same == [False, True, False]


def test_it_needs_data_and_a_known_method():
    with pytest.raises(ConfigurationError, match="start needs data=, about a hundred inputs"):
        a2q.convert(mlp(), start="optq")
    with pytest.raises(ConfigurationError, match="start='rtn' is unknown; allowed are gpfq, optq, exact"):
        a2q.convert(mlp(), data=TABLE, start="rtn")
