"""The QKeras twin computes the same, and QKeras' own print_qstats counts it."""

import keras
import numpy as np
import pytest
import qkeras
from keras import layers as L
from qkeras import QActivation

import a2q_keras as a2q
from a2q_keras.errors import UnsupportedLayerError

ROWS = np.random.default_rng(0).normal(0, 2, (16, 8, 3)).astype(np.float32)
BITS = {"acc_bits": 12, "weight_bits": 4}


def every_layer():
    """Each of our layers once, 1D and 2D, batch norms with statistics of their own."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 3), name="x")
    y = QActivation("quantized_bits(5,1,alpha=1)", name="entry")(x)
    y = a2q.A2QConv1D(4, 3, padding="causal", dilation_rate=2, activation="quantized_relu(4,2)", name="conv1", **BITS)(
        y
    )
    y = a2q.A2QDepthwiseConv1D(3, strides=2, depth_multiplier=2, padding="same", name="depthwise1d", **BITS)(y)
    y = L.Reshape((4, 4, 2))(a2q.A2QActivation(4, 2, name="learned")(y))
    y = a2q.A2QConv2D(4, 3, padding="same", use_bias=False, activation="quantized_relu(4,2)", name="conv2d", **BITS)(y)
    y = a2q.A2QDepthwiseConv2D(2, name="depthwise", activation="quantized_relu(4,2)", **BITS)(y)
    y = a2q.A2QSeparableConv2D(4, 2, name="separable", depthwise_activation="quantized_bits(4,2,alpha=1)", **BITS)(y)
    y = QActivation("quantized_relu(4,2)")(y)
    y = a2q.A2QConv2DBatchnorm(4, 1, name="conv_bn", activation="quantized_relu(4,2)", **BITS)(y)
    y = a2q.A2QDepthwiseConv2DBatchnorm(1, name="depthwise_bn", activation="quantized_relu(4,2)", **BITS)(y)
    y = L.Flatten()(y)
    y = a2q.A2QDenseBatchnorm(5, name="dense_bn", activation="quantized_relu(4,2)", use_bias=False, **BITS)(y)
    y = a2q.A2QDense(2, method="a2q", input_quantizer="quantized_relu(3,2)", name="dense", **BITS)(y)
    model = keras.Model(x, y, name="every")
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if hasattr(layer, "batchnorm"):
            layer.set_float_weights(layer.kernel, None, *rng.uniform(0.5, 1.5, (4, layer.batchnorm.gamma.shape[0])))
    return model


@pytest.fixture(scope="module")
def model():
    return every_layer()


def test_the_qkeras_model_computes_the_same(model):
    twin = a2q.to_qkeras(model)
    assert not any(type(layer).__module__.startswith("a2q_keras") for layer in twin.layers)
    assert np.array_equal(twin.predict(ROWS, verbose=0), model.predict(ROWS, verbose=0))


def test_the_bias_of_a_layer_with_tiles_is_not_bound_to_their_width():
    layer = a2q.A2QDense(2, acc_bits=8, weight_bits=4, tile=4, input_quantizer="quantized_relu(4,0)")
    model = keras.Sequential([keras.Input((12,)), layer])
    layer.set_weights([np.random.default_rng(0).normal(size=(12, 2)), np.array([90.0, -110.0])])
    x = np.random.default_rng(1).random((16, 12), np.float32)
    assert np.array_equal(a2q.to_qkeras(model).predict(x, verbose=0), model.predict(x, verbose=0))
    assert np.abs(model.predict(x, verbose=0)).min() > 50


def test_a_sum_written_with_a_plus_stays():
    x = keras.Input((8,))
    quantized = QActivation("quantized_relu(4,1)")(x)
    model = keras.Model(x, a2q.A2QDense(3, name="a", **BITS)(quantized) + a2q.A2QDense(3, name="b", **BITS)(quantized))
    rows = np.random.default_rng(0).random((16, 8), np.float32)
    assert np.array_equal(a2q.to_qkeras(model).predict(rows, verbose=0), model.predict(rows, verbose=0))


def test_qstats_show_every_layer(model, capsys):
    before = [keras.ops.convert_to_numpy(variable).copy() for variable in model.variables]
    a2q.print_qstats(model)
    operations, _, weights, sparsity = capsys.readouterr().out.strip().split("\n\n")
    # name: multiplications, kind (sign, bits of weights and inputs)
    assert [line.split() for line in operations.splitlines()[1:]] == [
        ["conv1", ":", str(8 * 4 * 3 * 3), "(smult_4_5)"],
        ["conv2d", ":", str(16 * 4 * 9 * 2), "(smult_4_4)"],
        ["conv_bn", ":", str(4 * 4 * 4), "(smult_4_4)"],
        ["dense", ":", str(5 * 2), "(smult_4_3)"],
        ["dense_bn", ":", str(16 * 5), "(smult_4_4)"],
        ["depthwise", ":", str(9 * 4 * 4), "(smult_4_4)"],
        ["depthwise1d", ":", str(4 * 3 * 4), "(smult_4_4)"],  # QKeras leaves the depth multiplier 2 out
        ["depthwise_bn", ":", str(4 * 4), "(smult_4_4)"],
        ["separable_depthwise", ":", str(4 * 4 * 4), "(smult_4_4)"],
        ["separable_pointwise", ":", str(4 * 4 * 4), "(smult_4_4)"],
    ]
    found = {line.split()[0]: line.split(":")[1].split() for line in weights.splitlines()[1:] if ":" in line}
    assert found["conv1_weights"] == ["36", "(4-bit", "unit)"] and found["conv1_bias"] == ["4", "(12-bit", "unit)"]
    assert found["conv2d_bias"][0] == "0" and found["dense_bn_bias"][0] == "5"
    codes, bias, _ = model.get_layer("dense").integer_weights()
    share = np.mean(np.concatenate([codes.ravel(), bias]) == 0)
    assert f"{'dense':30} : {share:.4f}" in sparsity
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights()))


@pytest.mark.parametrize(
    "layer, words",
    [
        (a2q.A2QConv2D(4, 1, groups=2, name="grouped"), "'grouped': QKeras cannot run groups=2; use groups=1"),
        (a2q.A2QDense(1, name="one"), "'one': QKeras cannot count a dense layer of one unit or one input"),
    ],
)
def test_what_qkeras_cannot_do_is_refused(layer, words):
    model = keras.Sequential([keras.Input((4, 4, 2)), QActivation("quantized_relu(4,1)"), layer])
    with pytest.raises(UnsupportedLayerError, match=words):
        a2q.print_qstats(model)


@pytest.mark.parametrize("method", ["exact", "a2q", "a2q+"])
def test_layers_of_qkeras_with_our_quantizer_are_counted(method, capsys):
    keras.utils.set_random_seed(0)
    bits = {"acc_bits": 9, "input_bits": 4, "method": method}
    quantizers = [a2q.quantizers.a2q_bits(4, **bits, depthwise=depthwise) for depthwise in (False, True)]
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            QActivation("quantized_relu(4,1)"),
            qkeras.QConv2D(4, 3, kernel_quantizer=quantizers[0], use_bias=False, name="conv"),
            QActivation("quantized_relu(4,1)"),
            qkeras.QDepthwiseConv2D(3, depthwise_quantizer=quantizers[1], use_bias=False, name="depthwise"),
        ]
    )
    pictures = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    twin = a2q.to_qkeras(model)
    assert not any("a2q" in str(layer.get_config()) for layer in twin.layers)
    assert np.array_equal(twin.predict(pictures, verbose=0), model.predict(pictures, verbose=0))
    a2q.print_qstats(model)
    assert "(smult_4_4)" in capsys.readouterr().out


@pytest.mark.parametrize("custom_objects", [None, "given"])
def test_every_layer_loads_with_and_without_custom_objects(model, custom_objects, tmp_path):
    model.save(tmp_path / "m.keras")
    ours = {type(layer).__name__: type(layer) for layer in model.layers if "a2q" in type(layer).__module__}
    given = None if custom_objects is None else ours | {"QActivation": qkeras.QActivation}
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects=given)
    assert np.array_equal(loaded.predict(ROWS, verbose=0), model.predict(ROWS, verbose=0))
