"""Codes, bias and scale of a layer from weights and moments of its inputs: post-training quantization, all methods."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics import bounds, greedy, projection, quantize, tiles
from a2q_keras.numerics.axe import AxeRunning
from a2q_keras.numerics.moments import Moments
from a2q_keras.numerics.refine import refine
from a2q_keras.numerics.running import Running, Target

METHODS = ("gpfq", "optq", "exact")
BUDGETS = ("exact", "axe")
AXE_DAMPING = 0.01
FLOAT32_BITS = 24
SHORT_LIST = 2  # scales that are worked out, of those that a quick look finds best


@dataclass(frozen=True)
class Recipe:
    """How codes are chosen.

    method: "gpfq", "optq" (numerics.greedy) or "exact" (the nearest codes; data only for the bias).  budget: "exact"
    (the exact condition, scale chosen with it in mind) or "axe" (the paper's thresholds and budgets at the scale that
    suits the weights alone).  refine: descend further on the output error; correct_bias: let the bias make up for the
    mean error.  Both budgets keep the accumulators from overflowing.  damping: see `Moments.problem`; passes: codes are
    chosen anew so often for the bias found before; rounds: of refinement.
    """

    method: str = "gpfq"
    budget: str = "exact"
    refine: bool = True
    correct_bias: bool = True
    damping: float = 0.05
    passes: int = 2
    rounds: int = 2

    def __post_init__(self):
        for name, allowed in (("method", METHODS), ("budget", BUDGETS)):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(f"{name}={getattr(self, name)!r} is unknown; allowed are {', '.join(allowed)}")


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that read the same inputs: weights (K, C), bias values (C,) or None, and the moments of the inputs."""

    w: np.ndarray
    bias: np.ndarray | None
    moments: Moments


@dataclass(frozen=True, eq=False)
class Fit:
    """Codes (K, C) and bias codes (C,) of a group; error (C,): mean squared error of the outputs, as values."""

    codes: np.ndarray
    bias: np.ndarray
    error: np.ndarray


def fit(groups: list[Group], target: Target, input_frac: int, recipe: Recipe) -> tuple[int, list[Fit]]:
    """(scale exponent, a Fit per group) of a layer, whose groups share one scale 2**exponent.

    input_frac: of the input format; the bias has the unit 2**(exponent - input_frac).  The codes fit `target`, bias
    included, whatever the recipe.  Raises AccumulatorOverflowError where no scale holds the bias.
    """
    tasks = [_Task(group, target, input_frac, recipe) for group in groups]
    w = np.concatenate([group.w for group in groups], axis=1)
    bias = np.concatenate([np.zeros(g.w.shape[1]) if g.bias is None else g.bias for g in groups])
    scales = _scales(w, bias, target, input_frac, recipe)
    if len(scales) > 1:
        quick = {e: sum(task.run(e, thorough=False).error.sum() for task in tasks) for e in scales}
        scales = sorted(scales, key=lambda e: quick[e])[:SHORT_LIST]
    found = {e: [task.run(e) for task in tasks] for e in scales}
    best = min(found, key=lambda e: sum(part.error.sum() for part in found[e]))
    return best, found[best]


def _scales(w, bias, target: Target, input_frac, recipe: Recipe) -> list[int]:
    """The exponents to try: those of `quantize.search_scale_log2`, or its choice."""
    if recipe.budget == "axe":
        return [quantize.search_scale_log2(w, target.weight_bits, bounds.MAX_ACC_BITS, target.lo, target.hi)]
    if target.tile is not None:
        w = tiles.apart(w, target.tile)
        bias = np.zeros(w.shape[1])
    found = quantize.search_scale_log2(w, target.weight_bits, target.acc_bits, target.lo, target.hi, bias, input_frac)
    if recipe.method == "exact":
        return [found]
    return [found + step for step in (-2, -1, 0, 1, 2)]


class _Task:
    """One group at any scale."""

    def __init__(self, group: Group, target: Target, input_frac: int, recipe: Recipe):
        self.group, self.target, self.frac, self.recipe = group, target, input_frac, recipe
        axe = recipe.budget == "axe"
        self.centred = recipe.correct_bias and group.bias is not None and not axe
        damping = AXE_DAMPING if axe and recipe.method == "optq" else 0.0 if axe else recipe.damping
        self.problem = group.moments.problem(group.w, damping, self.centred)

    def run(self, exponent: int, thorough=True) -> Fit:
        """The best codes found at scale 2**exponent: the best pass of each channel."""
        channels = self.group.w.shape[1]
        bias = self._bias_codes(np.zeros(channels) if self.group.bias is None else self.group.bias, exponent)
        best, wanted = self._finished(self._codes(exponent, bias, thorough), bias, exponent)
        for _ in range(1, self.recipe.passes if thorough and self.centred else 1):
            found, wanted = self._finished(self._codes(exponent, wanted, thorough), wanted, exponent)
            best = _better(best, found)
        return best

    def _codes(self, exponent, bias, thorough):
        scale, target = 2.0**exponent, self.target
        w = self.group.w / scale
        if self.recipe.budget == "axe":
            running: Running = AxeRunning(target, w, bias)
        else:
            running = Running(target, len(w), bias)
        codes = self._start(w, scale, bias, running)
        if thorough and self.recipe.refine and self.recipe.method != "exact" and self.recipe.budget == "exact":
            codes = refine(self.problem.gram, self.problem.pull / scale, codes, target, bias, self.recipe.rounds)
        return codes

    def _start(self, w, scale, bias, running):
        axe = self.recipe.budget == "axe"
        if axe:  # as Brevitas: inputs that are always zero get no weight
            w = np.where(np.diag(self.group.moments.gram)[:, None] > 0, w, 0.0)
        if self.recipe.method == "exact":
            return _nearest(w, self.target, bias)
        wanted = self.problem.optimum / scale if self.recipe.method == "optq" and not axe else w
        return self.algorithm.codes(wanted, running)

    @cached_property
    def algorithm(self) -> greedy.Gpfq | greedy.Optq:
        """The algorithm of the recipe, made once for all scales: most of its work is the factor of a large matrix."""
        gram, order = self.problem.gram, greedy.energy_order(self.problem.gram)
        if self.recipe.method == "gpfq":
            return greedy.Gpfq(gram, self.problem.cross, order)
        return greedy.Optq(gram, order, keep_shrinkage=self.recipe.budget == "axe")

    def _finished(self, codes, bias, exponent):
        """(Fit, the bias codes that would suit the codes best)."""
        values, wanted = codes * 2.0**exponent, bias
        if self.recipe.correct_bias and self.group.bias is not None:
            moments = self.group.moments
            mean_error = moments.float_mean @ self.group.w - moments.own_mean @ values
            wanted = self._bias_codes(self.group.bias + mean_error, exponent)
        bias = self._fitting_bias(codes, wanted)
        error = self.problem.error(values)
        if self.centred:
            left = self.group.bias + mean_error - bias * 2.0 ** (exponent - self.frac)
            error = error + left**2
        return Fit(codes, bias, error), wanted

    def _bias_codes(self, values, exponent):
        """The nearest codes that an accumulator holds alone, on a grid that float32 holds, too."""
        bits = tiles.BIAS_BITS if self.target.tile is not None else min(self.target.acc_bits, bounds.MAX_ACC_BITS - 4)
        most = 2 ** (bits - 1) - 1
        codes = np.clip(np.rint(values * 2.0 ** (self.frac - exponent)), -most, most)
        return self._coarse(codes.astype(np.int64))

    def _coarse(self, codes):
        step = 2 ** max(self.target.acc_bits - FLOAT32_BITS, 0) if self.target.tile is None else 1
        return np.sign(codes) * (np.abs(codes) // step * step)

    def _fitting_bias(self, codes, wanted):
        if self.target.tile is not None:
            return wanted
        bottom, top = bounds.acc_range(codes, self.target.lo, self.target.hi)
        half = 2 ** (self.target.acc_bits - 1)
        return self._coarse(np.clip(wanted, -half - bottom, half - 1 - top))


def _better(old: Fit, new: Fit) -> Fit:
    """Of each channel the fit of the smaller error."""
    better = new.error < old.error
    pairs = zip(vars(new).values(), vars(old).values())
    return Fit(*(np.where(better, first, second) for first, second in pairs))


def _nearest(w, target: Target, bias):
    columns = tiles.apart(w, target.tile)
    bias = bias if target.tile is None else np.zeros(columns.shape[1], np.int64)
    codes = projection.project_codes(columns, target.weight_bits, target.acc_bits, target.lo, target.hi, bias)
    return tiles.together(codes, target.tile, len(w))
