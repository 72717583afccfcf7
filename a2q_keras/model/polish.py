"""Coordinate descent on the codes of a trained model: what training left undone, one unit of weight at a time.

The straight-through gradient of training knows no rounding.  Where few units fit an accumulator, weights oscillate
around the edge of a code (Nagel et al., ICML 2022), and the network that is there when the learning rate has fallen to
zero is not the best of its neighbours.  Here every step is measured: the loss of the network of codes itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from a2q_keras.errors import ConfigurationError, WeightError
from a2q_keras.layers.search import only_rounding
from a2q_keras.layers.separable import accumulator_layers
from a2q_keras.model.graph import alike, functional
from a2q_keras.model.record import samples
from a2q_keras.numerics import bounds, tiles
from a2q_keras.quantizers.accumulator import bias_limit

EVERY = 2**62  # samples
ADDED = 8  # changes of a channel of which each is tried together with a unit given up


def polish(model, x, y, loss=None, sweeps=5, tries=4) -> list[float]:
    """Lower the loss of a trained model by changing codes of its layers, unit by unit; the bounds hold all the time.

    For each channel of the layers of method "exact", from the last layer to the first, a weight gains or loses a unit,
    one gives a unit to another, or the bias moves: what the gradient promises most is tried, up to `tries` of it, and
    the first that lowers the loss is kept.  Returns the loss before and after each sweep, which never rises; it ends
    early where nothing is found.  Afterwards the latent weights are the values of the codes; training may go on, at the
    same scales.

    x, y: as for `model.fit`, arrays or lists or dicts of them; all of it is one batch.  As much of the training data as
    memory allows: with a few samples per weight, what is gained on them is lost on others.  loss: by default that of
    `model.compile`, which is left alone.  A sweep takes up to `tries` forward passes per channel: seconds for networks
    of some hundred channels.  Layers that fold a batch norm and those that are not trainable stay as they are.

    Raises ConfigurationError without a layer or a loss and for data that do not fit, WeightError where the loss is not
    finite.
    """
    chosen = [layer for layer in accumulator_layers(functional(model)) if _own(layer)]
    if not chosen:
        raise ConfigurationError(
            f"model {model.name!r} has no trainable layer of method 'exact' without a batch norm inside; "
            "polish changes the codes of such layers only"
        )
    judge, layers = _Judge(model, x, y, loss), []
    try:
        layers.extend(map(_Codes, chosen))
        return _sweep(layers, judge, sweeps, tries)
    finally:
        for codes in layers:
            codes.layer.follow_kernel()
            codes.layer.search_anew(scale_may_move=False)


def _own(layer) -> bool:
    """Whether the codes of a layer are its own to choose."""
    return layer.method == "exact" and layer.trainable and not hasattr(layer, "batchnorm")


def _sweep(layers: list[_Codes], judge: _Judge, sweeps: int, tries: int) -> list[float]:
    """The losses of `polish`."""
    losses = [judge.loss()]
    for _ in range(sweeps):
        lowest = losses[-1]
        for layer in reversed(layers):
            lowest = _descend(layer, judge, lowest, tries)
        losses.append(lowest)
        if losses[-1] == losses[-2]:
            break
    return losses


def _descend(layer: _Codes, judge: _Judge, lowest: float, tries: int) -> float:
    """One pass over the channels of a layer, those of the steepest slope first; the loss then."""
    gradient = judge.gradient(layer)
    for channel in np.argsort(-np.abs(gradient.columns).max(axis=0), kind="stable"):
        for change in islice(layer.changes(channel, gradient), tries):
            before = layer.exchange(channel, change)
            found = judge.loss()
            if found < lowest:
                lowest = found
                break
            layer.exchange(channel, before)
    return lowest


class _Judge:
    """The loss of a model on all samples, and its gradient, on any backend: by what a step of SGD changes."""

    def __init__(self, model, x, y, loss):
        loss = loss or getattr(model, "loss", None)
        if loss is None:
            raise ConfigurationError(f"model {model.name!r} is not compiled; give polish(..., loss=) or compile it")
        graph = functional(model)
        self.model = alike(graph, graph.inputs, graph.outputs, model.name)
        self.model.compile(keras.optimizers.SGD(1.0), loss)
        self.data = _arrays(self.model, x, y)

    def loss(self) -> float:
        """Raises WeightError where it is not finite."""
        found = float(self.model.test_on_batch(*self.data))
        if not np.isfinite(found):
            raise WeightError(f"model {self.model.name!r}: its loss is {found}; train again with a lower learning rate")
        return found

    def gradient(self, layer: _Codes) -> _Point:
        """With respect to the codes of a layer."""
        before, here = self.model.get_weights(), layer.latent()
        try:
            self.model.train_on_batch(*self.data)
            there = layer.latent()
        finally:
            self.model.set_weights(before)
        return _Point(*((now - then) * step for now, then, step in zip(here, there, layer.steps)))


def _arrays(model, x, y):
    """The samples and their labels; ConfigurationError where these are not arrays of as many of each."""
    inputs = samples(model, x, EVERY)
    labels = y if isinstance(y, Mapping) else np.asarray(y) if len(model.outputs) == 1 else list(y)
    lengths = {np.shape(part)[:1] for part in keras.tree.flatten(labels)}
    if lengths != {(len(inputs[0]),)}:
        raise ConfigurationError(
            f"polish needs an array of labels for the {len(inputs[0])} samples; got labels of lengths "
            f"{sorted(sum(lengths, ()))}"
        )
    return keras.tree.pack_sequence_as(model.input, inputs), labels


class _Point(NamedTuple):
    """Codes of a layer, or the slope of the loss by each: columns (K, C) and bias (C,); of one channel (K,) and ()."""

    columns: Any
    bias: Any


class _Codes:
    """A layer whose latent weights are the values of its codes, so that training would change nothing but these."""

    def __init__(self, layer):
        columns, bias, frac = layer.integer_weights()
        self.layer, self.spec = layer, layer.accumulator
        self.codes = _Point(columns.reshape(-1, len(bias)), bias)
        self.steps = 2.0**-frac, 2.0 ** -(frac + layer.input_format.frac)
        self._write()
        layer.follow_kernel(as_it_is=True)
        layer.held.assign(only_rounding(layer.held.shape))

    def latent(self) -> _Point:
        """The latent weights."""
        kernel = ops.convert_to_numpy(self.layer.kernel).reshape(self.codes.columns.shape)
        return _Point(kernel, ops.convert_to_numpy(self.layer.bias) if self.layer.use_bias else self.codes.bias)

    def _write(self):
        columns, bias = (codes * step for codes, step in zip(self.codes, self.steps))
        self.layer.kernel.assign(columns.reshape(self.layer.kernel.shape))
        if self.layer.use_bias:
            self.layer.bias.assign(bias)

    def exchange(self, channel, codes: _Point) -> _Point:
        """Give a channel other codes; returns those that it had."""
        before = _Point(self.codes.columns[:, channel].copy(), self.codes.bias[channel])
        self.codes.columns[:, channel], self.codes.bias[channel] = codes
        self._write()
        return before

    def changes(self, channel, gradient: _Point) -> Iterator[_Point]:
        """Codes of a channel after one change that fits and should lower the loss, from the most promising one on."""
        column, slope = self.codes.columns[:, channel], gradient.columns[:, channel]
        moves = _moves(column, slope, self.spec.qmax)
        if self.layer.use_bias and self.layer.bias_quantizer is None:
            steps = (1, -1, self.spec.input.hi + 1, -self.spec.input.hi - 1)
            moves += [(-step * gradient.bias[channel], {}, step) for step in steps]
        for promise, units, step in sorted(moves, key=lambda move: -move[0]):
            changed = _Point(column.copy(), self.codes.bias[channel] + step)
            for index, unit in units.items():
                changed.columns[index] += unit
            if promise > 0 and self._fits(changed):
                yield changed

    def _fits(self, codes: _Point) -> bool:
        """Whether the accumulator of a channel holds its codes."""
        inputs, column = self.spec.input, codes.columns[:, None]
        if abs(codes.bias) > bias_limit(self.spec):
            return False
        reached = tiles.acc_range(column, inputs.lo, inputs.hi, codes.bias, self.spec.tile)
        return bounds.bits_for(*reached).max() <= self.spec.acc_bits


def _moves(column, slope, qmax) -> list:
    """(what the loss should fall by, {weight: units}, 0) of every unit that a weight of a channel (K,) can gain or
    lose, and of the best ones together with a unit that another weight gives up."""
    units = np.array([1, -1])[:, None]
    falls = np.where(np.abs(column + units) <= qmax, -units * slope, -np.inf)
    singles = [(falls[side, k], {k: int(units[side, 0])}, 0) for side, k in np.argwhere(np.isfinite(falls))]
    best = sorted(singles, key=lambda move: -move[0])[:ADDED]
    given = [(k, -int(np.sign(column[k]))) for k in np.flatnonzero(column)]
    pairs = [
        (fall - unit * slope[k], added | {k: unit}, 0) for fall, added, _ in best for k, unit in given if k not in added
    ]
    return singles + pairs
