"""Each layer's integer meaning: on the exported program the golden run equals Keras' own forward pass."""

import keras
import numpy as np
import pytest
from keras import layers
from qkeras import QActivation

from a2q_keras.errors import ConfigurationError, UnsupportedLayerError
from a2q_keras.integer.export import export
from a2q_keras.integer.handlers import _HANDLERS
from a2q_keras.layers.batchnorm import A2QConv2DBatchnorm, A2QDenseBatchnorm, A2QDepthwiseConv2DBatchnorm
from a2q_keras.layers.conv import A2QConv1D, A2QConv2D, A2QDepthwiseConv1D, A2QDepthwiseConv2D
from a2q_keras.layers.dense import A2QDense
from a2q_keras.layers.separable import A2QSeparableConv2D
from a2q_keras.layers.upstream import WITHOUT_WEIGHTS

SIGNED, RELU = "quantized_bits(5,1,alpha=1)", "quantized_relu(4,2)"
BITS = {"acc_bits": 16, "weight_bits": 4}
IMAGE, SEQUENCE = (8, 7, 4), (9, 4)


def chain(shape, *parts):
    """The layers behind a quantizer of signed inputs."""
    return keras.Sequential([keras.Input(shape, name="x"), QActivation(SIGNED, name="q"), *parts])


def assert_equal(model, samples=6):
    """Random biases, so that padding and bias meet; then golden run and Keras must agree in every value."""
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if weight.name == "bias":
            weight.assign(rng.normal(0, 0.3, weight.shape))
    x = [rng.normal(0, 1.5, (samples, *part.shape[1:])).astype(np.float32) for part in model.inputs]
    program = export(model)
    assert all(op.acc_bits <= 24 for op in program.accumulator_ops)
    golden = program.run(x if len(x) > 1 else x[0])
    wanted = model.predict(x if len(x) > 1 else x[0], verbose=0)
    pairs = zip(golden, wanted) if isinstance(wanted, list) else [(golden, wanted)]
    assert all(np.array_equal(ours, keras_values) for ours, keras_values in pairs)
    assert all(np.unique(values).size > 1 for values in (golden if isinstance(golden, list) else [golden]))
    return program


CONVOLUTIONS = {
    "2-D valid": (IMAGE, lambda: A2QConv2D(6, (3, 2), **BITS)),
    "2-D valid, strides": (IMAGE, lambda: A2QConv2D(6, 3, strides=(2, 3), **BITS)),
    "2-D valid, dilation": (IMAGE, lambda: A2QConv2D(6, (2, 3), dilation_rate=(3, 2), **BITS)),
    "2-D same": (IMAGE, lambda: A2QConv2D(6, (3, 2), padding="same", **BITS)),
    "2-D same, strides": (IMAGE, lambda: A2QConv2D(6, 3, padding="same", strides=2, **BITS)),
    "2-D same, window 1, strides": (IMAGE, lambda: A2QConv2D(6, 1, padding="same", strides=2, **BITS)),
    "2-D same, dilation": (IMAGE, lambda: A2QConv2D(6, 3, padding="same", dilation_rate=2, **BITS)),
    "2-D same, groups": (IMAGE, lambda: A2QConv2D(6, 3, padding="same", groups=2, **BITS)),
    "2-D same, strides, groups": (IMAGE, lambda: A2QConv2D(8, 3, padding="same", strides=2, groups=4, **BITS)),
    "1-D valid, strides": (SEQUENCE, lambda: A2QConv1D(6, 3, strides=2, **BITS)),
    "1-D same, strides": (SEQUENCE, lambda: A2QConv1D(6, 4, strides=2, padding="same", **BITS)),
    "1-D same, dilation": (SEQUENCE, lambda: A2QConv1D(6, 3, dilation_rate=2, padding="same", **BITS)),
    "1-D causal, dilation": (SEQUENCE, lambda: A2QConv1D(6, 3, dilation_rate=3, padding="causal", **BITS)),
    "1-D causal, strides": (SEQUENCE, lambda: A2QConv1D(6, 3, strides=2, padding="causal", **BITS)),
    "depthwise 1-D": (SEQUENCE, lambda: A2QDepthwiseConv1D(3, padding="same", depth_multiplier=2, **BITS)),
    "depthwise": (IMAGE, lambda: A2QDepthwiseConv2D(3, depth_multiplier=2, **BITS)),
    "depthwise same, strides": (IMAGE, lambda: A2QDepthwiseConv2D(3, padding="same", strides=2, **BITS)),
    "depthwise same, dilation": (
        IMAGE,
        lambda: A2QDepthwiseConv2D(3, padding="same", dilation_rate=2, depth_multiplier=2, **BITS),
    ),
    "separable": (
        IMAGE,
        lambda: A2QSeparableConv2D(
            5, 3, padding="same", strides=2, depth_multiplier=2, depthwise_activation=RELU, **BITS
        ),
    ),
    "no bias": (IMAGE, lambda: A2QConv2D(6, 3, use_bias=False, **BITS)),
    "activation": (IMAGE, lambda: A2QConv2D(6, 3, activation=RELU, **BITS)),
    "with batch norm": (IMAGE, lambda: A2QConv2DBatchnorm(6, 3, padding="same", **BITS)),
    "depthwise with batch norm": (IMAGE, lambda: A2QDepthwiseConv2DBatchnorm(3, **BITS)),
    "dense with batch norm, on images": (IMAGE, lambda: A2QDenseBatchnorm(5, **BITS)),
    "dense, on sequences": (SEQUENCE, lambda: A2QDense(5, **BITS)),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_accumulator_layers(case):
    shape, make = CONVOLUTIONS[case]
    assert_equal(chain(shape, make()))


OTHERS = {
    "max": lambda: layers.MaxPooling2D((3, 2)),
    "max same, strides": lambda: layers.MaxPooling2D(3, strides=2, padding="same"),
    "mean": lambda: layers.AveragePooling2D((2, 4), strides=1),
    "mean same": lambda: layers.AveragePooling2D((2, 2), padding="same"),
    "largest": lambda: layers.GlobalMaxPooling2D(),
    "largest, keepdims": lambda: layers.GlobalMaxPooling2D(keepdims=True),
    "nearest": lambda: layers.UpSampling2D((2, 3)),
    "zeros": lambda: layers.ZeroPadding2D(((1, 0), (2, 3))),
    "crop": lambda: layers.Cropping2D(((1, 0), (2, 3))),
    "axes": lambda: layers.Permute((3, 1, 2)),
    "dropout": lambda: layers.SpatialDropout2D(0.5),
    "noise": lambda: layers.GaussianNoise(0.5),
    "gaussian dropout": lambda: layers.GaussianDropout(0.5),
    "regularization": lambda: layers.ActivityRegularization(0.1),
    "flat": lambda: layers.Flatten(),
    "reshape": lambda: layers.Reshape((7, -1)),
}


@pytest.mark.parametrize("case", OTHERS)
def test_layers_on_images(case):
    assert_equal(chain(IMAGE, OTHERS[case](), A2QDense(3, **BITS)))


SEQUENCES = {
    "max": lambda: layers.MaxPooling1D(2),
    "mean": lambda: layers.AveragePooling1D(4, strides=1),
    "mean of all": lambda: layers.GlobalAveragePooling1D(),
    "mean of all, keepdims": lambda: layers.GlobalAveragePooling1D(keepdims=True),
    "largest": lambda: layers.GlobalMaxPooling1D(),
    "nearest": lambda: layers.UpSampling1D(3),
    "zeros": lambda: layers.ZeroPadding1D((1, 2)),
    "crop": lambda: layers.Cropping1D((1, 2)),
    "dropout": lambda: layers.SpatialDropout1D(0.5),
}


@pytest.mark.parametrize("case", SEQUENCES)
def test_layers_on_sequences(case):
    assert_equal(chain((8, 4), SEQUENCES[case](), A2QDense(3, **BITS)))


def residual():
    """Convolution, two branches of different formats added and joined, pools, dense; two outputs."""
    x = keras.Input((8, 8, 2), name="x")
    stem = A2QConv2D(4, 3, padding="same", activation=RELU, **BITS)(QActivation(SIGNED)(x))
    branch = A2QConv2D(4, 3, padding="same", strides=2, name="branch", **BITS)(stem)
    short = A2QConv2D(4, 1, strides=2, acc_bits=12, weight_bits=6, name="short")(stem)
    joined = QActivation(RELU)(layers.Add(name="add")([branch, short]))
    side = layers.Concatenate(name="side")([joined, layers.AveragePooling2D(2)(stem)])
    pooled = layers.GlobalAveragePooling2D()(side)
    return keras.Model(x, [A2QDense(3, **BITS)(pooled), layers.Flatten()(layers.MaxPooling2D(2)(side))])


def test_what_has_a_format_has_an_integer_meaning():
    assert set(WITHOUT_WEIGHTS) <= set(_HANDLERS)


def test_a_residual_network():
    program = assert_equal(residual())
    fracs = [program.formats[name].frac for name in program["add"].sources]
    assert fracs[0] != fracs[1], "sums of one step only would not show that they are aligned"


def test_inputs_keep_the_order_of_the_model():
    """The second input is quantized first, and a third is read by nothing but a quantizer."""
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    first = A2QDense(4, input_quantizer=RELU, **BITS)(b)
    late = A2QDense(4, **BITS)(QActivation(SIGNED)(layers.Dropout(0.1)(layers.Flatten()(a))))
    program = assert_equal(
        keras.Model([a, b], layers.Add()([A2QDense(4, input_quantizer=SIGNED, **BITS)(first), late]))
    )
    assert [node.name for node in program.inputs] == ["a", "b"]


def twice():
    x, shared = keras.Input((4,)), A2QDense(4, name="shared", **BITS)
    return keras.Model(x, shared(QActivation(SIGNED)(shared(QActivation(SIGNED)(x)))))


REFUSED = {
    "used twice": (twice, UnsupportedLayerError, "layer 'shared' is used more than once.*make one layer for each use"),
    "bilinear": (
        lambda: chain(IMAGE, layers.UpSampling2D(2, interpolation="bilinear", name="up")),
        UnsupportedLayerError,
        "layer 'up': interpolation='bilinear' makes new values; use nearest",
    ),
    "channels first": (
        lambda: chain(IMAGE, layers.ZeroPadding2D(1, data_format="channels_first", name="pad")),
        UnsupportedLayerError,
        r"layer 'pad' \(ZeroPadding2D\): data_format must be channels_last",
    ),
    "a float ReLU": (
        lambda: chain(IMAGE, layers.ReLU(name="r")),
        UnsupportedLayerError,
        r"layer 'r' \(ReLU\) has no exact integer meaning.*QActivation for a float activation",
    ),
    "a raw input in a pool": (
        lambda: keras.Sequential([keras.Input(IMAGE), layers.MaxPooling2D(2, name="p"), QActivation(SIGNED)]),
        UnsupportedLayerError,
        "layer 'p': its inputs are not quantized; put a QActivation in front",
    ),
    "a mean of nine": (
        lambda: chain(IMAGE, layers.AveragePooling2D(3, name="p")),
        ConfigurationError,
        "'p': windows of 3 values along an axis have no fixed-point mean",
    ),
    "half precision": (
        lambda: chain((4,), A2QDense(3, **BITS), QActivation(SIGNED, dtype="mixed_bfloat16", name="half")),
        ConfigurationError,
        "layer 'half': bfloat16 cannot hold exact sums; use dtype float32",
    ),
    "an open shape": (
        lambda: keras.Sequential([keras.Input((None, 4), name="x"), A2QDense(2, input_quantizer=RELU, **BITS)]),
        UnsupportedLayerError,
        r"input 'x': its shape \(None, 4\) is open; give keras.Input numbers",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    make, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        export(make())
