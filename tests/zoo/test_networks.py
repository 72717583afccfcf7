"""Every reference network: it converts, trains a step, and runs in integers exactly."""

import keras
import numpy as np
import pytest

import a2q_keras as a2q
from a2q_keras.errors import ConfigurationError
from a2q_keras.zoo import networks

TINY = {
    "jet_tagger": {"width": 0.25},
    "magic_gamma": {"width": 0.25},
    "dry_bean": {"width": 0.25},
    "lenet": {"width": 2, "input_shape": (16, 16, 1)},
    "mobilenet_v1": {"width": 2},
    "resnet8": {"width": 2, "input_shape": (16, 16, 3)},
    "resnet18": {"width": 2},
    "espcn": {"width": 4, "input_shape": (8, 8, 1)},
    "unet": {"width": 2, "input_shape": (8, 8, 1)},
}


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_network_converts_trains_and_runs_exactly(name):
    keras.utils.set_random_seed(0)
    model, rng = networks.build(name, **TINY[name]), np.random.default_rng(0)
    x = rng.random((8, *model.input_shape[1:])).astype(np.float32)
    ours = a2q.convert(model, acc_bits=12, weight_bits=4, act_bits=4, data=x)
    ours.compile("sgd", "mse", jit_compile=False)
    ours.fit(x, rng.random((8, *ours.output_shape[1:])), batch_size=4, verbose=0)
    program = a2q.integer_model(ours)
    assert np.array_equal(program.run(x), ours.predict(x, verbose=0))
    assert a2q.certify(program, 12).ok


def test_sizes_of_the_papers():
    assert networks.build("resnet18").count_params() == 11_183_562
    assert [layer.units for layer in networks.build("jet_tagger").layers] == [64, 32, 32, 5]
    assert networks.build("resnet8").count_params() == 78_714


@pytest.mark.parametrize(
    "name, arguments, words",
    [
        ("alexnet", {}, "no network 'alexnet' in the zoo; it has jet_tagger"),
        ("resnet8", {"width": 2.5}, "network 'resnet8': width=2.5 is not allowed; give a positive whole number"),
        ("resnet8", {"width": float("nan")}, "width=nan is not allowed"),
        ("jet_tagger", {"width": float("inf")}, "width=inf is not allowed; give a positive number"),
        ("jet_tagger", {"width": -1}, "width=-1 is not allowed"),
        ("lenet", {"width": "wide"}, "width='wide' is not allowed"),
        ("jet_tagger", {"input_shape": ()}, "network 'jet_tagger': .*; allowed are input_shape"),
        ("lenet", {"depth": 3}, "network 'lenet': .*'depth'.*; allowed are input_shape, width, classes, factor"),
    ],
)
def test_unknown_names_are_refused(name, arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        networks.build(name, **arguments)
