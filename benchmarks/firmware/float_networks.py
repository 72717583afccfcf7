"""The float Keras model with the layers of an integer program: what a user of hls4ml alone would convert."""

from __future__ import annotations

from keras import Input, Model, layers

from a2q_keras.integer.graph import (
    Add,
    AvgPool,
    Concatenate,
    Conv,
    Dense,
    IntegerProgram,
    MaxPool,
    Quantize,
    Reshape,
    Upsample,
    sources,
)


def float_network(program: IntegerProgram) -> Model:
    """A Keras model with a layer per op: ReLUs for requantizations, random weights.

    KeyError for an op that the reference networks of `networks` do not have.
    """
    tensors = {node.name: Input(node.shape, name=node.name) for node in program.inputs}
    inputs = list(tensors.values())
    for op in program.ops:
        read = [tensors[name] for name in sources(op)]
        tensors[op.name] = _LAYERS[type(op)](op)(read if len(read) > 1 else read[0])
    return Model(inputs, [tensors[name] for name in program.outputs], name=program.name)


def _conv(op: Conv):
    settings = {"strides": op.strides, "padding": _padding(op.pads, op.window), "name": op.name}
    if op.groups > 1:
        return layers.DepthwiseConv2D(op.window, **settings)
    return layers.Conv2D(op.weights.shape[-1], op.window, **settings)


def _padding(pads, window) -> str:
    return "same" if any(map(any, pads)) or set(window) == {1} else "valid"


_LAYERS = {
    Dense: lambda op: layers.Dense(op.weights.shape[-1], name=op.name),
    Conv: _conv,
    Quantize: lambda op: layers.ReLU(name=op.name),
    Reshape: lambda op: layers.Flatten(name=op.name),
    MaxPool: lambda op: layers.MaxPooling2D(op.window, op.strides, name=op.name),
    AvgPool: lambda op: layers.AveragePooling2D(op.window, op.strides, name=op.name),
    Add: lambda op: layers.Add(name=op.name),
    Concatenate: lambda op: layers.Concatenate(op.axis + 1, name=op.name),
    Upsample: lambda op: layers.UpSampling2D(op.factors, name=op.name),
}
