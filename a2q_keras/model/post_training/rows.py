"""The rows that a layer multiplies by its weights, in the float model and in the quantized one, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np
from keras import ops

from a2q_keras.errors import ConfigurationError
from a2q_keras.layers.separable import A2QSeparableConv2D
from a2q_keras.model.graph import Nodes, functional
from a2q_keras.numerics.moments import Moments

# float32 values of a layer's rows in one batch: large batches, because each runs the quantizers of all layers before it
MOST_VALUES = 2**24
ROWS = 2**15  # that are used of each layer, spread over the samples


@dataclass(frozen=True)
class Part:
    """A layer with accumulators, `own`, inside the layer of that place in both models, `name`.

    own_front, float_front: from what enters that place to what enters the part, for a part that is not the first.
    """

    name: str
    own: Any
    own_front: Callable
    float_front: Callable


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


def rows(layer, x) -> np.ndarray:
    """What the accumulators of a layer multiply by its weights for inputs x, float32 (groups, m, K).

    Found with the layer's own arithmetic, by giving it unit vectors for weights.
    """
    shape, count, k = layer.kernel.shape, groups(layer), _length(layer)
    if hasattr(layer, "depth_multiplier"):
        unit = np.tile(np.eye(k, dtype=np.float32)[:, None], (1, count, 1)).reshape(*shape[:-1], k)
    else:
        unit = np.tile(np.eye(k, dtype=np.float32).reshape(*shape[:-1], k), (1,) * (len(shape) - 1) + (count,))
    products = ops.convert_to_numpy(layer._linear(x, ops.convert_to_tensor(unit)))
    return np.moveaxis(products.reshape(-1, count, k), 1, 0)


def _front(model, name: str):
    """The part of a Sequential or functional model that computes what enters the layer `name`."""
    graph = functional(model)
    found = next(node for node in Nodes(graph) if node.operation.name == name)
    return keras.Model(graph.inputs, found.input_tensors[0])


def _batch_size(layer, shape) -> int:
    """How many samples go together; shape: of what enters the layer's place in the model."""
    return max(MOST_VALUES // (prod(shape[1:-1]) * groups(layer) * _length(layer)), 1)


class Recorder:
    """The moments of any part of a model that is being quantized, from samples of the inputs."""

    def __init__(self, float_model, model, samples: list[np.ndarray], seed: int):
        self.models, self.samples, self.seed = (float_model, model), samples, seed

    def moments(self, part: Part, columns: np.ndarray) -> list[Moments]:
        """One record per group of channels; columns: float weights (K, C).  ConfigurationError for NaN inputs."""
        fronts = [_front(model, part.name) for model in self.models]
        weights = np.split(columns, groups(part.own), axis=1)
        found = [Moments(len(w), w.shape[1]) for w in weights]
        count, size = len(self.samples[0]), _batch_size(part.own, fronts[1].output.shape)
        for start in range(0, count, size):
            batch = [array[start : start + size] for array in self.samples]
            chosen = self._chosen(part, fronts, batch, -(-ROWS * len(batch[0]) // count), start)
            for moments, w, float_rows, own in zip(found, weights, *chosen):
                moments.add(own, float_rows, float_rows @ w)
        return found

    def _chosen(self, part, fronts, batch, most, start):
        """(float rows, own rows) of a batch, at most `most` of each group, the same ones of both."""
        entering = [front(batch, training=False) for front in fronts]
        both = [rows(part.own, front(x)) for front, x in zip((part.float_front, part.own_front), entering)]
        if not np.isfinite(both[0]).all():
            raise ConfigurationError(
                f"layer {part.name!r} reads NaN or infinity on the calibration data; clean the data or the model"
            )
        available = both[0].shape[1]
        if available > most:
            places = np.sort(np.random.default_rng([self.seed, start]).choice(available, most, replace=False))
            both = [part_rows[:, places] for part_rows in both]
        return both
