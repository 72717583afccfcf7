"""Layers with a folded batch norm: the battery, and the folding itself against Keras' float layers."""

import keras
import numpy as np
import pytest
from qkeras import QActivation

import a2q_keras as a2q
from a2q_keras.errors import ConfigurationError, WeightError
from a2q_keras.layers.batchnorm import A2QConv2DBatchnorm, A2QDenseBatchnorm, A2QDepthwiseConv2DBatchnorm
from tests.layers.battery import Battery


class TestA2QDenseBatchnorm(Battery):
    def make(self, **arguments):
        return A2QDenseBatchnorm(4, ema_freeze_delay=10, **arguments)


class TestA2QConv2DBatchnorm(Battery):
    shape = (6, 5, 2)

    def make(self, **arguments):
        return A2QConv2DBatchnorm(3, (3, 2), use_bias=False, momentum=0.8, **arguments)


class TestA2QDepthwiseConv2DBatchnorm(Battery):
    shape = (5, 5, 2)

    def make(self, **arguments):
        return A2QDepthwiseConv2DBatchnorm(
            3, use_bias=False, folding_mode="batch_stats_folding", momentum=0.8, **arguments
        )


def float_pair(use_bias, scale=True, center=True):
    """A float convolution and its batch norm, with statistics of some data in them."""
    rng = np.random.default_rng(0)
    conv, norm = (
        keras.layers.Conv2D(3, 3, use_bias=use_bias),
        keras.layers.BatchNormalization(center=center, scale=scale),
    )
    conv.build((None, 6, 6, 2))
    norm.build((None, 4, 4, 3))
    for layer in (conv, norm):
        layer.set_weights([np.abs(rng.normal(1, 0.4, part.shape)) for part in layer.get_weights()])
    return conv, norm


def folded(conv, norm, **arguments):
    """Our layer with the weights of both, at so many bits that rounding is all that differs."""
    layer = A2QConv2DBatchnorm(
        3, 3, use_bias=conv.use_bias, center=norm.center, scale=norm.scale, acc_bits=32, weight_bits=14, **arguments
    )
    keras.Sequential([keras.Input((6, 6, 2)), QActivation("quantized_relu(8,2)"), layer])
    kernel, bias = (*conv.get_weights(), None)[:2]
    gamma, beta, mean, variance = norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance
    layer.set_float_weights(kernel, bias, gamma, beta, mean, variance)
    return layer


@pytest.mark.parametrize("use_bias, scale, center", [(True, True, True), (False, True, True), (False, False, False)])
def test_the_folded_weights_are_those_of_convolution_and_batch_norm(use_bias, scale, center):
    conv, norm = float_pair(use_bias, scale, center)
    codes, bias, frac = (layer := folded(conv, norm)).integer_weights()
    gamma = norm.gamma.numpy() if scale else 1.0
    factor = gamma / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    shift = (norm.beta.numpy() if center else 0.0) - norm.moving_mean.numpy() * factor
    kernel, own = (*conv.get_weights(), np.zeros(3))[:2]
    # float comparisons by nature: each folded weight is within half a step of its grid, and float32 adds an ulp
    assert np.abs(codes * 2.0**-frac - kernel * factor).max() <= 2.0 ** -(frac + 1) * 1.001
    step = 2.0 ** -(frac + layer.input_format.frac)
    assert np.abs(bias * step - (own * factor + shift)).max() <= step / 2 + 1e-5


@pytest.mark.parametrize("mode", ["ema_stats_folding", "batch_stats_folding"])
def test_training_outputs_are_those_of_batch_norm_up_to_rounding(mode):
    conv, norm = float_pair(use_bias=True)
    layer = folded(conv, norm, folding_mode=mode, momentum=0.9)
    norm.momentum = 0.9
    x = np.random.default_rng(1).integers(0, 256, (16, 6, 6, 2)).astype(np.float32) / 64
    wanted, got = norm(conv(x), training=True).numpy(), layer(x, training=True)
    # float comparison by nature: weights of 14 bits stand for float ones, outputs are of order 1
    assert np.abs(wanted - got).max() < 5e-3
    for name in ("moving_mean", "moving_variance"):
        assert np.allclose(getattr(layer.batchnorm, name), getattr(norm, name), rtol=1e-4)
    assert int(layer.iteration) == 0


def test_after_the_delay_the_statistics_stand_still_and_training_computes_what_inference_does():
    conv, norm = float_pair(use_bias=True)
    layer = folded(conv, norm, ema_freeze_delay=1)
    x = np.random.default_rng(1).integers(0, 256, (16, 6, 6, 2)).astype(np.float32) / 64
    for _ in range(3):
        layer(x, training=True)
    before = layer.batchnorm.moving_mean.numpy()
    outputs = layer(x, training=True)
    assert np.array_equal(before, layer.batchnorm.moving_mean)
    assert np.array_equal(outputs, layer(x, training=False))


def test_a_batch_norm_that_is_not_trainable_stands_still():
    conv, norm = float_pair(use_bias=True)
    layer = folded(conv, norm)
    layer.batchnorm.trainable = False
    x = np.ones((4, 6, 6, 2), np.float32)
    assert np.array_equal(layer(x, training=True), layer(x, training=False))


def test_nan_statistics_are_refused_by_name():
    layer = folded(*float_pair(use_bias=True), name="bn")
    layer.batchnorm.moving_variance.assign([1.0, np.nan, 1.0])
    with pytest.raises(WeightError, match="layer 'bn': its moving_variance holds NaN or infinity"):
        layer.integer_weights()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"folding_mode": "both"}, "layer 'd': folding_mode='both' is unknown; allowed are ema_stats_folding, batch_"),
        ({"axis": 1}, "layer 'd': axis=1 is not the channels; only axis=-1 can be folded"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        layer = A2QConv2DBatchnorm(2, 3, name="d", input_quantizer="quantized_relu(4,1)", **arguments)
        layer.build((None, 5, 5, 2))


def test_the_layers_are_public():
    assert a2q.A2QDenseBatchnorm is A2QDenseBatchnorm
