"""From a float or QKeras model to an accumulator-aware one that starts from its weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import qkeras

from a2q_keras.errors import ConfigurationError, InputRangeError, UnsupportedLayerError
from a2q_keras.layers.conv import A2QConv1D, A2QConv2D, A2QDepthwiseConv1D, A2QDepthwiseConv2D
from a2q_keras.layers.dense import A2QDense
from a2q_keras.layers.separable import A2QSeparableConv2D, accumulator_parts
from a2q_keras.layers.upstream import WITHOUT_WEIGHTS, input_format, is_sum
from a2q_keras.model import calibrate
from a2q_keras.model.absorb import absorbed
from a2q_keras.model.bias_correction import correct_bias
from a2q_keras.model.fold import float_weights, kernel_quantizer
from a2q_keras.model.graph import Nodes, alike, functional
from a2q_keras.model.post_training import activation_bits
from a2q_keras.model.post_training.activation_bits import between_halves, front_name
from a2q_keras.model.post_training.choose import warm_start
from a2q_keras.model.record import SAMPLES, record, samples
from a2q_keras.model.settings import LayerSettings, Settings
from a2q_keras.numerics import bounds
from a2q_keras.numerics.fit import METHODS, Recipe

COUNTERPARTS: dict[str, type] = {
    "Dense": A2QDense,
    "Conv1D": A2QConv1D,
    "Conv2D": A2QConv2D,
    "DepthwiseConv1D": A2QDepthwiseConv1D,
    "DepthwiseConv2D": A2QDepthwiseConv2D,
    "SeparableConv2D": A2QSeparableConv2D,
    "QDense": A2QDense,
    "QConv1D": A2QConv1D,
    "QConv2D": A2QConv2D,
    "QDepthwiseConv2D": A2QDepthwiseConv2D,
    "QDenseBatchnorm": A2QDense,
    "QConv2DBatchnorm": A2QConv2D,
    "QDepthwiseConv2DBatchnorm": A2QDepthwiseConv2D,
}
KEPT = (
    "name",
    "trainable",
    "units",
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "dilation_rate",
    "groups",
    "depth_multiplier",
    "use_bias",
    "activity_regularizer",
    *(
        f"{part}_{kind}"
        for part in ("kernel", "bias", "depthwise", "pointwise")
        for kind in ("initializer", "regularizer")
    ),
)
MOVING = ("QActivation", *WITHOUT_WEIGHTS)
RELUS = ("relu", "relu6")
DTYPE = "float32"  # of the layers made, whatever the policy: it holds exact sums
WEIGHT_BITS = 8  # of layers that have no kernel quantizer
START_SAMPLES = 1024
KEEPING_INPUTS = ("Flatten", "Reshape", "Dropout")  # in front of the QActivation that a model may bring along


def convert(
    model,
    acc_bits=16,
    weight_bits=None,
    act_bits=8,
    method="exact",
    data=None,
    layers=None,
    first=None,
    last=None,
    input_bits=None,
    bias_correction=False,
    tile=None,
    percentile=None,
    start=None,
    least_act_bits=None,
):
    """The accumulator-aware model that starts from `model`, a float or QKeras one, which stays as it is.

    Dense, (Depthwise/Separable) Conv layers and their QKeras kin become A2Q layers of the same names, with their
    weights projected; a batch norm behind one is folded into it, one behind an activation into the layers that read it
    (see `absorb`); ReLUs become quantized_relu, and what reaches an A2Q layer unquantized gets a QActivation, their
    integer bits chosen for least squared error on `data`; so does a capped ReLU (relu6, max_value), whose cap the
    largest code is then.  Sums of accumulators stay exact, a final softmax stays float.

    Layers of QKeras give their weights as they quantize them, and keep the bits of their kernels unless `weight_bits`
    says otherwise (8 for float layers): with a quantizer of alpha=1, and where the accumulators have room, the model
    computes what it did, but for the code -2**(bits - 1), which A2Q layers do not have, and biases, which are rounded
    to the grid of the accumulator.

    data: inputs as for `model.predict`, or an iterable of batches x or (x, y); the first 512 samples are used.  It may
    be left out where QKeras quantizers are everywhere already.  layers: settings (acc_bits, weight_bits, act_bits,
    input_bits, method, tile, least_act_bits; see `model.settings.LayerSettings`) by layer name, class name or class;
    first, last: such settings for the first and the last layer with weights.  A name beats a class, which beats these.
    input_bits: of the model's own inputs, by default what the first layer with weights gets.  bias_correction: take the
    mean error of every channel on `data` away at last (`correct_bias`): for models that are not trained afterwards.
    tile: products of an inner accumulator, as in `A2QDense`.  percentile: choose integer bits such that no value below
    this percentile of the magnitudes is clipped, instead of for least squared error.  start: None, or "gpfq" or "optq":
    training of layers of method "exact" starts from the codes that `quantize` finds by that method, not from the
    nearest codes, which is much closer to the float model where few units of weight fit; it uses 1,024 samples.
    least_act_bits: None, or how few bits an activation may have instead of act_bits: each then gets the number that
    suits the accumulators behind it (`model.post_training.activation_bits`), because half as large inputs leave room
    for twice the weights; the model's own inputs keep theirs.  It uses 1,024 samples, too, and reckons with training.

    Raises UnsupportedLayerError naming a layer without integer counterpart, ConfigurationError for unknown settings
    or missing data.
    """
    if start is not None and start not in METHODS:
        raise ConfigurationError(f"start={start!r} is unknown; allowed are {', '.join(METHODS)}")
    if input_bits is not None:
        bounds.check_bits("input_bits", input_bits, 1, 32)
    default = LayerSettings(acc_bits, weight_bits, act_bits, method, tile=tile, least_act_bits=least_act_bits)
    graph = absorbed(functional(model))
    settings = Settings(default, layers or {}, first or {}, last or {})
    settings.check(graph.layers)
    widths = settings.widths()
    if data is None and (bias_correction or start or widths):
        option = "start" if start else "bias_correction" if bias_correction else "least_act_bits"
        raise ConfigurationError(f"{option} needs data=, about a hundred inputs")
    data = None if data is None else samples(graph, data, START_SAMPLES if start or widths else SAMPLES)
    made = converted(graph, model.name, settings, data, input_bits, percentile)
    if start:
        warm_start(made, graph, data, Recipe(start))
    if bias_correction:
        correct_bias(made, graph, data)
    return made


def converted(graph, name: str, settings: Settings, data, input_bits=None, percentile=None, trained=True):
    """`convert` for a float model without free batch norms, with the nearest codes; `name`: of what it becomes.

    data: None or arrays, one per model input; trained: whether the model will be trained.
    """
    conversion = partial(
        _Conversion, graph, values=_recorded(graph, data), input_bits=input_bits, percentile=percentile
    )
    chosen, widths = {}, settings.widths()
    if widths:
        trial = partial(conversion, settings.by_exact_condition())
        chosen = activation_bits.choose(
            lambda bits: trial(wanted=lambda quantizer: bits).run(), graph, data, widths, trained
        )
    return conversion(settings, wanted=chosen.get).run(name)


class _Conversion:
    """One walk over the float model's nodes, and the new tensor for each float one, by id."""

    def __init__(self, graph, settings: Settings, values, input_bits: int | None, percentile: float | None, wanted):
        """values: see `_recorded`; wanted: a function from the name of a quantizer to the bits that would suit it."""
        self.graph, self.settings, self.input_bits, self.percentile = graph, settings, input_bits, percentile
        self.values, self.wanted = values, wanted
        self.nodes = Nodes(graph)
        weighted = [node.operation.name for node in self.nodes if type(node.operation).__name__ in COUNTERPARTS]
        self.ends = (weighted[:1], weighted[-1:])
        for node in self.nodes:
            _check(node, self.nodes)
        self.inputs = {id(tensor): keras.Input(tensor.shape[1:], name=_name(tensor)) for tensor in graph.inputs}
        self.new: dict[int, Any] = {}
        self.quantized: dict[int, Any] = {}

    def run(self, name: str = "trial"):
        for node in self.nodes:
            if id(node.output_tensors[0]) not in self.new:  # else a batch norm that has been folded
                made, stands_for = self._convert(node)
                self.new[id(stands_for)] = made
        inputs = [self.inputs[id(tensor)] for tensor in self.graph.inputs]
        outputs = [self.new[id(tensor)] for tensor in self.graph.outputs]
        return alike(self.graph, inputs, outputs, name)

    def _seen(self, name: str):
        """The recorded values of a tensor; ConfigurationError without data."""
        if self.values is None:
            raise ConfigurationError(
                f"layer {name!r}: the range of its outputs is not known; give data=, about a hundred inputs"
            )
        return self.values[name]

    def _convert(self, node):
        """(new tensor, the float tensor that it stands for)."""
        layer, kind, output = node.operation, type(node.operation).__name__, node.output_tensors[0]
        tensors = [self.new[id(tensor)] for tensor in node.input_tensors]
        if kind == "InputLayer":
            return self._input(node), output
        if kind in COUNTERPARTS:
            return self._weighted(node, tensors[0])
        if kind in ("Activation", "ReLU", "Softmax") and isinstance(layer, keras.layers.Layer):
            return self._activation(layer, tensors[0]), output
        if kind not in MOVING:
            raise _unsupported(layer)
        if kind == "Add" and len(tensors) < 2:
            raise _unsupported(layer, "adding a constant")
        twin = keras.layers.Add(dtype=DTYPE) if is_sum(layer) else _in_float32(layer)
        return twin(tensors if len(tensors) > 1 else tensors[0]), output

    def _input(self, node):
        """The model's input, quantized at once unless the model brings its own QActivation."""
        tensor, layer = self.inputs[id(node.output_tensors[0])], node.operation
        if self._brings_quantizer(node.output_tensors[0]):
            return tensor
        reader = next((found for found in self.nodes if type(found.operation).__name__ in COUNTERPARTS), node)
        settings = self._settings(reader.operation)
        bits = next(bits for bits in (settings.input_bits, self.input_bits, settings.act_bits) if bits is not None)
        return self._front(tensor, layer.name, bits)

    def _front(self, tensor, name: str, bits: int):
        """`tensor` behind a quantizer; name: of the float tensor that it stands for."""
        quantizer = calibrate.quantizer(self._seen(name), bits, self.percentile)
        return _qactivation(quantizer, front_name(name))(tensor)

    def _brings_quantizer(self, tensor) -> bool:
        readers = self.nodes.reading(tensor)
        kinds = [type(node.operation).__name__ for node in readers]
        passed = [
            kind == "QActivation" or (kind in KEEPING_INPUTS and self._brings_quantizer(node.output_tensors[0]))
            for kind, node in zip(kinds, readers)
        ]
        return bool(passed) and all(passed)

    def _weighted(self, node, tensor):
        layer, settings = node.operation, self._settings(node.operation)
        behind = self.nodes.batchnorm_behind(node)
        stands_for = node.output_tensors[0] if behind is None else behind.output_tensors[0]
        arguments = {key: value for key, value in layer.get_config().items() if key in KEPT}
        arguments |= {key: getattr(settings, key) for key in ("acc_bits", "method", "tile")}
        arguments["dtype"] = DTYPE
        arguments["weight_bits"] = _own_bits(layer) if settings.weight_bits is None else settings.weight_bits
        if behind is not None or hasattr(layer, "get_folded_weights"):
            arguments["use_bias"] = True
        if isinstance(layer, keras.layers.SeparableConv2D):
            name = between_halves(layer.name)
            bits = settings.activation_bits(self.wanted(name))
            arguments["depthwise_activation"] = calibrate.quantizer(self._seen(name), bits, self.percentile)
        arguments["activation"] = self._own_activation(layer, settings)
        twin = COUNTERPARTS[type(layer).__name__](**arguments)
        made = twin(self._quantized(tensor, node, settings))
        twin.set_float_weights(*float_weights(layer, None if behind is None else behind.operation))
        return made, stands_for

    def _quantized(self, tensor, node, settings):
        """`tensor`, behind a quantizer if nothing upstream is one; one quantizer for all layers that read it."""
        try:
            input_format(tensor, node.operation.name)
        except InputRangeError:
            if id(tensor) not in self.quantized:
                name = _name(node.input_tensors[0])
                bits = settings.activation_bits(self.wanted(front_name(name)))
                bits = bits if settings.input_bits is None else settings.input_bits
                self.quantized[id(tensor)] = self._front(tensor, name, bits)
            return self.quantized[id(tensor)]
        return tensor

    def _own_activation(self, layer, settings):
        if hasattr(layer.activation, "bits"):
            return layer.activation
        name = _activation_name(layer)
        if name in RELUS:
            return self._relu(layer, settings)
        if name not in ("linear", "softmax"):
            raise _unsupported(layer, f"the activation {name!r}")
        return name

    def _activation(self, layer, tensor):
        if hasattr(getattr(layer, "activation", None), "bits"):
            return _qactivation(layer.activation, layer.name)(tensor)
        name = _activation_name(layer)
        if name in RELUS:
            return _qactivation(self._relu(layer, self._settings(layer)), layer.name)(tensor)
        if name not in ("linear", "softmax"):
            raise _unsupported(layer, f"the activation {name!r}")
        return _in_float32(layer)(tensor)

    def _relu(self, layer, settings: LayerSettings) -> str:
        bits = settings.activation_bits(self.wanted(layer.name))
        return calibrate.relu(self._seen(layer.name), bits, self.percentile)

    def _settings(self, layer) -> LayerSettings:
        return self.settings.of(layer, layer.name in self.ends[0], layer.name in self.ends[1])


def _recorded(graph, data):
    """Values of the tensors of the float model by name, and of those inside separable layers; None without data."""
    if data is None:
        return None
    nodes = Nodes(graph)
    tensors = {node.operation.name: node.output_tensors[0] for node in nodes}
    separable = [node for node in nodes if type(node.operation).__name__ == "SeparableConv2D"]
    tensors |= {between_halves(node.operation.name): _depthwise_half(node) for node in separable}
    return record(graph, tensors, data)


def _check(node, nodes):
    layer = node.operation
    # within this model: a Sequential that was loaded has called its layers before
    if sum(other.operation is layer for other in nodes) > 1:
        raise UnsupportedLayerError(f"layer {layer.name!r} is used more than once; make one layer for each use")
    if accumulator_parts(layer):
        raise UnsupportedLayerError(
            f"layer {layer.name!r} ({type(layer).__name__}) is accumulator-aware already; set its acc_bits and compile "
            "the model again, or convert the model that it came from"
        )
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise UnsupportedLayerError(f"layer {layer.name!r}: data_format must be channels_last")


def _own_bits(layer) -> int:
    """Bits for the kernel of a layer by its QKeras quantizer."""
    quantizer = kernel_quantizer(layer)
    if quantizer is None or isinstance(quantizer, qkeras.quantized_po2):  # whose bits are those of an exponent
        return WEIGHT_BITS
    return min(max(quantizer.bits, 2), 16)


def _name(tensor) -> str:
    return tensor._keras_history.operation.name


def _qactivation(quantizer, name: str):
    return qkeras.QActivation(quantizer, name=name, dtype=DTYPE)


def _in_float32(layer):
    """The layer again, in float32 where the model was in half precision."""
    return type(layer).from_config(layer.get_config() | {"dtype": DTYPE})


def _activation_name(layer) -> str:
    if isinstance(layer, keras.layers.ReLU):
        return "relu" if not (layer.negative_slope or layer.threshold) else "leaky_relu"
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    activation = layer.activation
    return "linear" if activation is None else getattr(activation, "__name__", type(activation).__name__)


def _unsupported(layer, what=None) -> UnsupportedLayerError:
    kind = type(layer).__name__
    advice = {
        "BatchNormalization": "normalise the last axis; put it right behind a layer with weights and no activation, "
        "whose only reader it is, or where only dense layers and convolutions with padding valid read it; standardise "
        "the data instead of normalising the model's inputs",
        "Functional": "a model inside a model: call its layers one by one",
        "Sequential": "a model inside a model: call its layers one by one",
    }.get(kind, "use ReLU or a QActivation for activations, and leave other layers out or outside the model")
    return UnsupportedLayerError(
        f"layer {layer.name!r} ({kind}): {what or 'it'} has no integer counterpart; {advice}. Converted are "
        f"{', '.join(sorted(COUNTERPARTS))}, BatchNormalization, ReLU and {', '.join(sorted(MOVING))}"
    )


def _depthwise_half(node):
    """The symbolic tensor between the two convolutions of a separable one."""
    layer = node.operation
    return keras.ops.depthwise_conv(
        node.input_tensors[0],
        keras.ops.convert_to_numpy(layer.depthwise_kernel),
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
    )
