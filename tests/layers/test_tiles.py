"""Layers with tiles: every inner accumulator keeps its bits in training, and the model stays an ordinary one."""

import keras
import numpy as np
import pytest
from keras import ops
from qkeras import QActivation

import a2q_keras as a2q
from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics import projection, tiles
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.quantizers import weights
from tests.layers.battery import FORMATS


@pytest.mark.parametrize("inputs", [FixedPoint(4, 0, signed=False), FixedPoint(4, 0, signed=True, symmetric=True)])
@pytest.mark.parametrize("tile", [3, 8])
def test_the_codes_of_a_forward_pass_are_those_of_numpy(inputs, tile):
    rng = np.random.default_rng(tile)
    u, bias = rng.normal(0, 3, (11, 5)).astype(np.float32), np.full(5, 2.0**20, np.float32)
    spec = weights.Accumulator(7, 4, inputs, tile=tile)
    wanted = projection.project_codes(tiles.apart(u, tile), 4, 7, inputs.lo, inputs.hi)
    found = weights.exact(ops.convert_to_tensor(u), 1.0, ops.convert_to_tensor(bias), spec)
    assert np.array_equal(ops.convert_to_numpy(found), tiles.together(wanted, tile, 11))
    _, held = weights.codes_and_thresholds(ops.convert_to_tensor(u), ops.convert_to_tensor(bias), spec)
    assert held.shape == weights.thresholds_shape(11, 5, spec)


def make():
    """A small model with tiles in every layer."""
    keras.utils.set_random_seed(1)
    given = {"acc_bits": 8, "weight_bits": 4, "tile": 4}
    activation = FORMATS["unsigned"]
    layers = [
        a2q.A2QConv2D(4, 3, activation=activation, **given),
        keras.layers.Flatten(),
        a2q.A2QDenseBatchnorm(3, **given),
    ]
    return keras.Sequential([keras.Input((4, 4, 2)), QActivation(activation), *layers])


def test_a_trained_model_with_tiles_is_proven_exact_and_saved(tmp_path):
    model, rng = make(), np.random.default_rng(2)
    x = rng.normal(0, 1.5, (64, 4, 4, 2)).astype(np.float32)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    losses = model.fit(x, 4 * rng.normal(size=(64, 3)), epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    program, proof = a2q.integer_model(model), a2q.certify(model, 8).raise_if_unsafe()
    assert [op.tile for op in program.accumulator_ops] == [4] * 2
    assert max(layer.needed_bits.max() for layer in proof.layers) == 8
    assert np.array_equal(program.run(x), model.predict(x, verbose=0))
    model.save(tmp_path / "m.keras")
    loaded = a2q.load_model(tmp_path / "m.keras")
    assert a2q.integer_model(loaded).digest() == program.digest()
    assert loaded.layers[-1].tile == 4 and "tile" in loaded.layers[-1].get_quantization_config()


def test_a_separable_convolution_gives_its_tile_to_both_parts():
    layer = a2q.A2QSeparableConv2D(4, 2, depthwise_activation="quantized_bits(4,1,1)", tile=3)
    twin = a2q.A2QSeparableConv2D.from_config(layer.get_config())
    assert (twin.depthwise.tile, twin.pointwise.tile) == (3, 3)


@pytest.mark.parametrize("method", ["a2q", "a2q+"])
def test_methods_without_tiles(method):
    with pytest.raises(ConfigurationError, match=f"layer 'fc': method='{method.replace('+', '.')}' has no tiles"):
        a2q.A2QDense(3, method=method, tile=8, name="fc")


@pytest.mark.parametrize("tile", [0, 1.5])
def test_tiles_that_are_no_number_of_products(tile):
    with pytest.raises(ConfigurationError, match="tile=.* a whole number from 1"):
        a2q.A2QDense(3, tile=tile)
