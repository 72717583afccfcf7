"""The rows that a layer multiplies by its weights, in the float model and in the quantized one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from keras import ops

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.separable import A2QSeparableConv2D, accumulator_parts
from a2q_keras.model.graph import Nodes, called
from a2q_keras.numerics.moments import Moments

MOST_VALUES = 2**24  # float32 values of a layer's rows or outputs in one batch
ROWS = 2**15  # that are used of each layer, spread over the samples
SHIFTS = (0, 8, 16, 24)  # of the digits of a pixel's number


@dataclass(frozen=True)
class Part:
    """A layer with accumulators, `own`, inside the layer of that place in both models, `name`.

    own_front, float_front: from what enters that place to what enters the part, for a part that is not the first.
    """

    name: str
    own: Any
    own_front: Callable
    float_front: Callable


def parts_of(model, float_model) -> Iterator[tuple[Any, Part]]:
    """(layer, part of it) for all parts with accumulators of a model, in order; layers are matched by name."""
    for layer in model.layers:
        if accumulator_parts(layer):
            yield from ((layer, part) for part in parts(layer, float_model.get_layer(layer.name)))


def parts(layer, float_layer) -> list[Part]:
    """The parts of an accumulator-aware layer whose float counterpart is `float_layer`, in order."""
    if not isinstance(layer, A2QSeparableConv2D):
        return [Part(layer.name, layer, _same, _same)]
    return [
        Part(layer.name, layer.depthwise, _same, _same),
        Part(layer.name, layer.pointwise, layer.depthwise, lambda x: _depthwise(float_layer, x)),
    ]


def _same(x):
    return x


def _depthwise(layer, x):
    return ops.depthwise_conv(
        x, layer.depthwise_kernel, layer.strides, layer.padding, dilation_rate=layer.dilation_rate
    )


def groups(layer) -> int:
    """How many groups of channels read inputs of their own."""
    return layer.kernel.shape[-2] if hasattr(layer, "depth_multiplier") else int(getattr(layer, "groups", 1))


def _length(layer) -> int:
    """How many products a sum has: the K of the rows."""
    return prod(layer.kernel.shape[: -2 if hasattr(layer, "depth_multiplier") else -1])


def rows(layer, x, read, chosen) -> np.ndarray:
    """What the accumulators of a layer multiply by its weights for inputs x, float32 (groups, m, K).

    read: see `pixels_read`; chosen: numbers of the rows wanted, (m,), the places of one sample after the other.
    """
    pixels = np.pad(x.reshape(len(x), -1, x.shape[-1]), [(0, 0), (1, 0), (0, 0)])  # number 0: the padding
    sample, place = np.divmod(chosen, len(read))
    apart = pixels[sample[:, None], read[place]].reshape(len(chosen), read.shape[1], groups(layer), -1)
    return np.moveaxis(apart, 2, 0).reshape(groups(layer), len(chosen), -1)


def pixels_read(layer, spatial) -> np.ndarray:
    """The pixels that each sum of a layer reads, by number from 1, 0 for padding: (places, pixels of a window).

    Found with the layer's own arithmetic: it gets the numbers for inputs, digit by digit, for a GPU may round them to
    8 bits, and unit vectors for weights.
    """
    numbers = np.arange(1, prod(spatial) + 1)
    window = getattr(layer, "kernel_size", None)
    if window is None:
        return numbers[:, None]
    digits = np.stack([numbers >> shift & 255 for shift in SHIFTS]).reshape(-1, *spatial, 1).astype(np.float32)
    unit = np.eye(prod(window), dtype=np.float32).reshape(*window, 1, -1)
    found = ops.convert_to_numpy(layer._linear(ops.convert_to_tensor(digits), ops.convert_to_tensor(unit)))
    parts = np.rint(found).astype(np.int64).reshape(len(SHIFTS), -1, prod(window))
    return sum(part << shift for part, shift in zip(parts, SHIFTS))


def _batch_size(layer, shape) -> int:
    """How many samples go together; shape: of what enters the layer's place in the model."""
    return max(MOST_VALUES // (prod(shape[1:-1]) * groups(layer) * _length(layer)), 1)


class Recorder:
    """The moments of any part of a model that is being quantized, from the values in it and in the float model.

    Parts must be asked for in order: what a part reads is worked out from what was read before it.
    """

    def __init__(self, float_values: Values, own_values: Values, seed: int):
        self.float_values, self.own_values, self.seed = float_values, own_values, seed

    def moments(self, part: Part, columns: np.ndarray) -> list[Moments]:
        """One record per group of channels; columns: float weights (K, C).  ConfigurationError for NaN inputs."""
        own = self.own_values.entering(part.name)  # first, because it may ask for float values
        entering = [self.float_values.entering(part.name), own]
        weights = np.split(columns, groups(part.own), axis=1)
        found = [Moments(len(w), w.shape[1]) for w in weights]
        count, size = len(entering[0]), _batch_size(part.own, entering[0].shape)
        for start in range(0, count, size):
            batch = [array[start : start + size] for array in entering]
            chosen = self._chosen(part, batch, -(-ROWS * len(batch[0]) // count), start)
            for moments, w, float_rows, own in zip(found, weights, *chosen):
                moments.add(own, float_rows, float_rows @ w)
        return found

    def _chosen(self, part, batch, most, start):
        """(float rows, own rows) of a batch, at most `most` of each group, the same ones of both."""
        inputs = [ops.convert_to_numpy(front(x)) for front, x in zip((part.float_front, part.own_front), batch)]
        if not np.isfinite(inputs[0]).all():
            raise ConfigurationError(
                f"layer {part.name!r} reads NaN or infinity on the calibration data; clean the data or the model"
            )
        read = pixels_read(part.own, inputs[0].shape[1:-1])
        chosen = np.arange(len(inputs[0]) * len(read))
        if len(chosen) > most:
            chosen = np.sort(np.random.default_rng([self.seed, start]).choice(len(chosen), most, replace=False))
        return [rows(part.own, x, read, chosen) for x in inputs]


class Values:
    """The values of the tensors inside a functional model on given inputs, worked out when they are asked for.

    Each layer runs once, as it is then.  Values are kept until all that read them have run.
    """

    def __init__(self, graph, samples: list[np.ndarray]):
        self.nodes = Nodes(graph)
        self.made = {id(tensor): array for tensor, array in zip(graph.inputs, samples)}
        self.unread = {key: len(readers) for key, readers in self.nodes.readers.items()}

    def entering(self, name: str) -> np.ndarray:
        """What enters the layer of that name, an array with all samples."""
        return self._of(self._node(name).input_tensors[0])

    def leaving(self, name: str) -> np.ndarray:
        """What the layer of that name makes, an array with all samples."""
        return self._of(self._node(name).output_tensors[0])

    def has(self, name: str) -> bool:
        """Whether there is a layer of that name."""
        return any(node.operation.name == name for node in self.nodes)

    def _node(self, name: str):
        return next(node for node in self.nodes if node.operation.name == name)

    def _of(self, tensor) -> np.ndarray:
        if id(tensor) not in self.made:
            node = next(node for node in self.nodes if node.output_tensors[0] is tensor)
            inputs = [self._of(source) for source in node.input_tensors]
            self.made[id(tensor)] = _run(node.operation, inputs, tensor.shape)
            for source in node.input_tensors:
                self.unread[id(source)] -= 1
                if not self.unread[id(source)]:
                    self.made.pop(id(source), None)
        return self.made[id(tensor)]


def _run(layer, inputs: list[np.ndarray], shape) -> np.ndarray:
    """What a layer makes of its inputs, outputs of a shape (None, ...), some samples at a time."""
    size = max(MOST_VALUES // max(prod(each[1:]) for each in (shape, *(x.shape for x in inputs))), 1)
    batches = ([array[start : start + size] for array in inputs] for start in range(0, len(inputs[0]), size))
    return np.concatenate([ops.convert_to_numpy(called(layer, x)) for x in batches])
