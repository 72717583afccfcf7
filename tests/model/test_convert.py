"""convert: what becomes of each layer, and that the result runs exactly in integers."""

import keras
import numpy as np
import pytest
import qkeras
from keras import layers as L

import a2q_keras as a2q
from a2q_keras.errors import ConfigurationError, UnsupportedLayerError
from a2q_keras.layers.conv import A2QConv2D, A2QDepthwiseConv2D
from a2q_keras.layers.dense import A2QDense
from a2q_keras.layers.separable import A2QSeparableConv2D

IMAGES = np.random.default_rng(0).random((40, 8, 8, 3)).astype(np.float32)


def kinds(model) -> dict[str, str]:
    return {layer.name: type(layer).__name__ for layer in model.layers}


def settle(model):
    """Batch norms with statistics and scales of their own, as after some training."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, part.shape) for part in layer.get_weights()])
    return model


def residual():
    """Padding, batch norms, a sum, a pool, two branches side by side, an average and a dense layer."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(4, 3, use_bias=False, name="stem")(L.ZeroPadding2D(1)(image))
    x = L.ReLU(name="stem_relu")(L.BatchNormalization(name="stem_bn")(x))
    y = L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", name="body")(x))
    x = L.MaxPooling2D()(L.Activation("relu", name="sum_relu")(L.Add(name="sum")([x, y])))
    left = L.SeparableConv2D(3, 3, padding="same", name="left")(x)
    right = L.Conv2D(3, 1, activation="relu", name="right")(x)
    x = L.GlobalAveragePooling2D(name="mean")(L.Concatenate()([left, right]))
    return settle(keras.Model(image, L.Dense(5, name="head")(x), name="residual"))


def test_a_residual_network_becomes_one_that_runs_exactly():
    model = residual()
    before = [part.copy() for part in model.get_weights()]
    ours = a2q.convert(model, acc_bits=16, weight_bits=6, data=IMAGES)
    assert [f"{name}: {kind}" for name, kind in kinds(ours).items() if kind[:3] in ("A2Q", "QAc", "Add")] == [
        "image_quantizer: QActivation",
        "stem: A2QConv2D",
        "stem_relu: QActivation",
        "body: A2QDepthwiseConv2D",
        "sum: Add",
        "sum_relu: QActivation",
        "left: A2QSeparableConv2D",
        "right: A2QConv2D",
        "mean_quantizer: QActivation",
        "head: A2QDense",
    ]
    assert not any(isinstance(layer, L.BatchNormalization) for layer in ours.layers)
    assert np.array_equal(a2q.integer_model(ours).run(IMAGES), ours.predict(IMAGES, verbose=0))
    assert a2q.certify(ours, 16).ok
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights()))


def test_with_many_bits_it_computes_what_the_float_model_did():
    model = residual()
    ours = a2q.convert(model, acc_bits=32, weight_bits=12, act_bits=10, data=IMAGES)
    wanted, got = (found.predict(IMAGES, verbose=0) for found in (model, ours))
    # a float comparison by nature: 12-bit weights and 10-bit activations stand for float ones
    assert np.abs(wanted - got).max() < 0.02 * np.abs(wanted).max()


def test_a_sum_may_be_written_with_a_plus():
    keras.utils.set_random_seed(0)
    x = keras.Input((6,), name="x")
    hidden = L.Dense(6, activation="relu")(x)
    model = keras.Model(x, L.Dense(2)(hidden + L.Dense(6)(hidden)))
    rows = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    made = (
        a2q.convert(model, data=rows),
        a2q.convert(model, 12, 4, 4, data=rows, start="optq", least_act_bits=2),
        a2q.convert(model, 12, 4, 4, data=rows, bias_correction=True),
        a2q.quantize(model, rows, 12, 4, 4),
    )
    for ours in made:
        assert "Add" in kinds(ours).values()
        assert np.array_equal(a2q.integer_model(ours).run(rows), ours.predict(rows, verbose=0))


def test_an_activation_that_is_always_zero_leaves_the_next_bias_its_room():
    model = small(L.Flatten(), L.Dense(3, activation="relu", name="dead"), L.Dense(2, name="d"))
    model.get_layer("dead").set_weights([-np.ones((192, 3)), np.zeros(3)])
    model.get_layer("d").bias.assign([0.04, -0.04])
    assert a2q.certify(a2q.convert(model, 12, 4, 4, data=IMAGES), 12).ok


def test_a_converted_model_goes_on_training():
    ours = a2q.convert(residual(), acc_bits=12, weight_bits=4, act_bits=4, data=IMAGES)
    ours.compile("adam", "mse", jit_compile=False)
    ours.fit(IMAGES, np.ones((40, 5)), epochs=1, verbose=0)
    assert np.array_equal(a2q.integer_model(ours).run(IMAGES), ours.predict(IMAGES, verbose=0))
    assert a2q.certify(ours, 12).ok


def small(*layers, shape=(8, 8, 3)):
    return keras.Sequential([keras.Input(shape, name="x"), *layers], name="small")


@pytest.mark.parametrize("method", ["exact", "a2q", "a2q+", "none"])
def test_every_method(method):
    ours = a2q.convert(small(L.Flatten(), L.Dense(3, activation="relu"), L.Dense(2)), 14, 4, 4, method, data=IMAGES)
    assert [layer.method for layer in ours.layers if isinstance(layer, A2QDense)] == [method, method]
    assert method == "none" or a2q.certify(ours, 14).ok


def test_signed_and_unsigned_inputs():
    for data, kind in ((IMAGES, qkeras.quantized_relu), (IMAGES - 0.5, qkeras.quantized_bits)):
        ours = a2q.convert(small(L.Flatten(), L.Dense(2)), data=data)
        assert isinstance(ours.get_layer("x_quantizer").activation, kind)


def test_a_final_softmax_stays():
    ours = a2q.convert(small(L.Flatten(), L.Dense(2, activation="softmax")), data=IMAGES)
    assert ours.name == "small"
    assert a2q.integer_model(ours).float_tail == "softmax"


def test_linear_layers_in_a_row_get_one_quantizer_for_all_readers():
    x = keras.Input((8, 8, 3), name="x")
    y = L.Conv2D(2, 1, name="first")(x)
    model = keras.Model(x, L.Add()([L.Conv2D(2, 1, name="a")(y), L.Conv2D(2, 1, name="b")(y)]))
    ours = a2q.convert(model, data=IMAGES)
    assert [layer.name for layer in ours.layers if isinstance(layer, qkeras.QActivation)] == [
        "x_quantizer",
        "first_quantizer",
    ]
    assert np.array_equal(a2q.integer_model(ours).run(IMAGES), ours.predict(IMAGES, verbose=0))


def test_settings_by_name_class_and_place():
    model = small(
        L.Conv2D(2, 3, name="a"), L.Conv2D(2, 3, name="b"), L.Conv2D(2, 1, name="c"), L.Flatten(), L.Dense(2, name="d")
    )
    ours = a2q.convert(
        model,
        acc_bits=12,
        weight_bits=4,
        data=IMAGES,
        layers={"b": {"acc_bits": 10}, L.Conv2D: {"acc_bits": 11, "method": "a2q"}},
        first={"weight_bits": 8, "act_bits": 7, "acc_bits": 20},
        last={"acc_bits": 24},
    )
    found = {layer.name: layer for layer in ours.layers}
    assert [found[name].acc_bits for name in "abcd"] == [11, 10, 11, 24]
    assert [found[name].weight_bits for name in "abcd"] == [8, 4, 4, 4]
    assert [found[name].method for name in "abcd"] == ["a2q", "a2q", "a2q", "exact"]
    assert found["x_quantizer"].activation.bits == 7


@pytest.mark.parametrize(
    "arguments, wanted",
    [
        ({"input_bits": 8}, (8, 4, 4)),
        ({"first": {"input_bits": 7}, "input_bits": 8}, (7, 4, 4)),
        ({"layers": {"d": {"input_bits": 6}}}, (4, 4, 6)),
        ({"layers": {"c": {"act_bits": 5}}}, (5, 5, 4)),
    ],
)
def test_inputs_and_activations_have_bits_of_their_own(arguments, wanted):
    x = keras.Input((8, 8, 3), name="x")
    y = L.Conv2D(2, 3, activation="relu", name="c")(x)
    model = keras.Model(x, L.Dense(2, name="d")(L.Flatten(name="flat")(L.Conv2D(2, 1, name="linear")(y))))
    found = a2q.convert(model, act_bits=4, data=IMAGES, **arguments).get_layer
    made = found("x_quantizer"), found("c"), found("flat_quantizer")
    assert tuple(layer.activation.bits for layer in made) == wanted


def test_two_inputs_and_two_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    x = L.Dense(4, activation="relu", name="shared_part")(L.Concatenate()([a, b]))
    model = keras.Model([a, b], [L.Dense(1, name="one")(x), L.Dense(2, name="two")(x)])
    data = [IMAGES.reshape(-1, 4), IMAGES.reshape(-1, 4)[:, :3]]
    ours = a2q.convert(model, data=data)
    wanted = ours.predict(data, verbose=0)
    assert all(np.array_equal(*pair) for pair in zip(a2q.integer_model(ours).run(data), wanted))


def test_inputs_and_outputs_by_name_keep_their_names():
    image, more = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="more")
    x = L.Dense(5, activation="relu")(L.Concatenate()([L.Flatten()(image), more]))
    outputs = {"one": L.Dense(2)(x), "two": L.Dense(3)(L.BatchNormalization()(x))}
    model = keras.Model({"more": more, "image": image}, outputs)
    data = {"more": IMAGES.reshape(len(IMAGES), -1)[:, :4], "image": IMAGES}
    ours = a2q.convert(model, acc_bits=12, data=data)
    ours.compile("adam", {"one": "mse", "two": "mse"})
    found = ours.predict(data, verbose=0)
    ours.fit(data, found, verbose=0)
    assert {name: values.shape[1] for name, values in found.items()} == {"one": 2, "two": 3}


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def half_precision(request):
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy("float32")


def test_a_model_in_half_precision_becomes_one_in_float32(half_precision):
    model = small(L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(2), L.Softmax())
    ours = a2q.convert(model, acc_bits=16, data=IMAGES)
    assert {layer.compute_dtype for layer in ours.layers[1:]} == {"float32"}  # behind the InputLayer
    logits = a2q.integer_model(ours).run(IMAGES)
    assert np.array_equal(keras.ops.softmax(logits.astype(np.float32)), ours.predict(IMAGES, verbose=0))


def qkeras_model(kernel, bias):
    """Convolutions and a dense layer of plain QKeras, with biases and statistics as training leaves them."""
    keras.utils.set_random_seed(0)
    model = small(
        qkeras.QActivation("quantized_relu(6,0)", name="entry"),
        qkeras.QConv2D(4, 3, kernel_quantizer=kernel, bias_quantizer=bias, name="conv"),
        qkeras.QActivation("quantized_relu(4,1)"),
        qkeras.QDepthwiseConv2D(
            3, depthwise_quantizer=kernel, bias_quantizer=bias, name="depthwise", activation="quantized_relu(4,1)"
        ),
        qkeras.QConv2DBatchnorm(3, 2, kernel_quantizer=kernel, bias_quantizer=bias, name="folded"),
        qkeras.QActivation("quantized_relu(4,1)"),
        L.Flatten(),
        qkeras.QDense(2, kernel_quantizer=kernel, bias_quantizer=bias, name="head"),
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("bias", "beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def test_a_qkeras_model_needs_no_data():
    bits = "quantized_bits(4,0,alpha=1)"
    ours = a2q.convert(qkeras_model(bits, bits), acc_bits=14)
    assert kinds(ours) | {"conv": "A2QConv2D", "folded": "A2QConv2D", "head": "A2QDense"} == kinds(ours)
    assert isinstance(ours.get_layer("depthwise"), A2QDepthwiseConv2D)
    assert "depthwise" in kinds(ours) and "x_quantizer" not in kinds(ours)
    assert np.array_equal(a2q.integer_model(ours).run(IMAGES), ours.predict(IMAGES, verbose=0))


def test_a_qkeras_model_computes_what_it_did_where_accumulators_are_wide():
    model = qkeras_model("quantized_bits(4,0,1,alpha=1)", "quantized_bits(6,0,1,alpha=1)")
    wanted = model.predict(IMAGES, verbose=0)
    assert np.array_equal(a2q.convert(model, acc_bits=20).predict(IMAGES, verbose=0), wanted)
    assert np.ptp(wanted) > 0.5 and not np.array_equal(a2q.convert(model, 7).predict(IMAGES, verbose=0), wanted)


@pytest.mark.parametrize(
    "quantizer, bits",
    [
        ("quantized_bits(5,0,alpha=1)", 5),
        ("quantized_linear(6,0)", 6),
        ("binary(alpha=1)", 2),
        ("ternary(alpha=1)", 2),
        ("quantized_bits(24,0,alpha=1)", 16),
        ("quantized_po2(4)", 8),
        (None, 8),
        (a2q.quantizers.a2q_bits(3, acc_bits=12, input_bits=8), 3),
    ],
)
def test_kernels_keep_the_bits_of_qkeras(quantizer, bits):
    model = small(L.Flatten(), qkeras.QDense(3, kernel_quantizer=quantizer, name="dense"))
    assert a2q.convert(model, data=IMAGES).get_layer("dense").weight_bits == bits
    assert a2q.convert(model, weight_bits=7, data=IMAGES).get_layer("dense").weight_bits == 7
    assert a2q.quantize(model, IMAGES).get_layer("dense").weight_bits == bits


def test_weights_and_arguments_are_carried_over():
    conv = L.Conv2D(4, 3, strides=2, padding="same", dilation_rate=1, groups=1, name="c", use_bias=False)
    model = small(conv)
    ours = a2q.convert(model, acc_bits=24, data=IMAGES).get_layer("c")
    assert isinstance(ours, A2QConv2D) and not ours.use_bias
    assert (ours.strides, ours.padding) == ((2, 2), "same")
    assert np.array_equal(ours.kernel, conv.kernel)
    separable = small(L.SeparableConv2D(4, 3, depth_multiplier=2, name="s"))
    twin = a2q.convert(separable, data=IMAGES).get_layer("s")
    assert isinstance(twin, A2QSeparableConv2D)
    assert np.array_equal(twin.pointwise.kernel, separable.layers[0].pointwise_kernel)


def nested():
    return small(keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(2, 3)], name="inner"))


def written(operation):
    """A model with an operation that is no layer."""
    x = keras.Input((3,))
    return keras.Model(x, L.Dense(2)(operation(L.Dense(3)(x))))


def shared():
    layer, x = L.Dense(3, name="twice"), keras.Input((3,))
    return keras.Model(x, layer(layer(x)))


@pytest.mark.parametrize(
    "make, words",
    [
        (
            lambda: small(L.Conv2D(2, 3, activation="tanh", name="c")),
            r"'c' \(Conv2D\): the activation 'tanh' has no int",
        ),
        (
            lambda: small(L.LeakyReLU(name="l"), L.Conv2D(2, 3)),
            r"layer 'l' \(LeakyReLU\): it has no integer counterpart",
        ),
        (lambda: small(L.ReLU(negative_slope=0.1, name="r")), "the activation 'leaky_relu' has no integer counterpart"),
        (
            lambda: small(L.Conv2D(8, 1), L.BatchNormalization(axis=1, name="bn"), L.ReLU()),
            r"'bn' \(BatchNormalization\): it has no integer counterpart; normalise the last axis",
        ),
        (lambda: small(L.BatchNormalization(name="bn"), L.Conv2D(2, 3)), "put it right behind a layer with weights"),
        (lambda: small(L.LayerNormalization(name="ln")), r"'ln' \(LayerNormalization\): it has no integer counterpart"),
        (
            lambda: small(L.UpSampling2D(interpolation="bilinear", name="u"), L.Conv2D(2, 3)),
            "'u': interpolation='bilin",
        ),
        (lambda: small(L.AveragePooling2D(3, name="p"), L.Conv2D(2, 1)), "'p': the mean of 9 values is no fixed-point"),
        (nested, r"'inner' \(Sequential\): it has no integer counterpart; a model inside a model: call its layers"),
        (lambda: written(lambda x: x + 1.0), r"\(Add\): adding a constant has no integer counterpart"),
        (lambda: written(keras.ops.softmax), r"\(Softmax\): it has no integer counterpart"),
        (shared, "layer 'twice' is used more than once; make one layer for each use"),
        (
            lambda: a2q.convert(small(L.Conv2D(2, 3, name="c")), data=IMAGES),
            r"'c' \(A2QConv2D\) is accumulator-aware alr",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(make, words):
    model = make()
    data = np.random.default_rng(0).random((5, *model.input_shape[1:])).astype(np.float32)
    with pytest.raises(UnsupportedLayerError, match=words):
        a2q.convert(model, data=data)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({}, "layer 'x': the range of its outputs is not known; give data=, about a hundred inputs"),
        ({"data": IMAGES[:0]}, "data is empty; give about a hundred inputs"),
        ({"data": IMAGES[:, :4]}, r"data of shapes \[\(4, 8, 3\)\] does not fit the inputs of .*, \[\(8, 8, 3\)\]"),
        ({"data": IMAGES * np.nan}, "makes NaN or infinity on the calibration data; clean the data or the model"),
        (
            {"data": IMAGES, "layers": {"d": {"bits": 3}}},
            "'d' sets 'bits', which is unknown; allowed are acc_bits, act_",
        ),
        (
            {"data": IMAGES, "layers": {"nobody": {}}},
            "names 'nobody', which the model does not have; its layers are d, f",
        ),
        ({"data": IMAGES, "first": {"method": "best"}}, "method='best' is unknown"),
        ({"data": IMAGES, "acc_bits": 1}, "acc_bits=1 is not allowed"),
        ({"data": 5}, "data=5 for .* are no inputs; give an array or batches"),
        ({"data": IMAGES, "act_bits": 0}, "act_bits=0 is not allowed"),
        ({"data": IMAGES, "input_bits": 0}, "^input_bits=0 is not allowed"),
        ({"data": IMAGES, "first": {"input_bits": "8"}}, "^input_bits='8' is not allowed"),
    ],
)
def test_bad_settings_and_data_are_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        a2q.convert(small(L.Flatten(name="f"), L.Dense(2, name="d")), **arguments)


def test_data_may_come_in_batches():
    model = small(L.Flatten(), L.Dense(2, name="d"))
    whole = a2q.convert(model, data=IMAGES).get_layer("x_quantizer").activation.integer
    for batches in ([IMAGES[:30], IMAGES[30:]], [(IMAGES[:30], None), (IMAGES[30:], None)]):
        assert a2q.convert(model, data=iter(batches)).get_layer("x_quantizer").activation.integer == whole


def test_data_of_two_inputs_may_come_with_labels():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], L.Dense(2)(L.Concatenate()([a, b])))
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)

    def integers(data):
        found = a2q.convert(model, data=data)
        return [found.get_layer(f"{name}_quantizer").activation.integer for name in "ab"]

    batches = [(rows[:30], 8 * rows[:30]), (rows[30:], 8 * rows[30:])]
    assert integers(iter([(batch, None) for batch in batches])) == integers(iter(batches)) == integers([rows, 8 * rows])


@pytest.mark.parametrize("capped", [L.Dense(4, activation="relu6", name="capped"), L.ReLU(6, name="capped")])
def test_the_largest_code_is_the_cap_of_a_capped_relu(capped):
    model = small(L.Flatten(), L.Dense(4, kernel_initializer=keras.initializers.Constant(1)), capped, L.Dense(2))
    activation = a2q.convert(model, data=IMAGES).get_layer("capped").activation
    assert type(activation).__name__ == "quantized_relu" and activation.max() <= 8


def test_something_else_than_a_model_is_refused():
    with pytest.raises(ConfigurationError, match="'layer' is not a built Sequential or functional Keras model"):
        a2q.convert(L.Dense(2, name="layer"))
