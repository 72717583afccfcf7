"""GPFQ, OPTQ and AXE against slow versions written from the papers' equations, one channel and one weight at a time."""

import numpy as np
import pytest

from a2q_keras.numerics import bounds, greedy
from a2q_keras.numerics.axe import AxeRunning
from a2q_keras.numerics.running import Running, Target
from tests.numerics.test_running import check

CASES = {"unsigned": (0, 15), "signed": (-8, 7), "symmetric": (-7, 7)}


def data(k=70, channels=6, rows=90, seed=0):
    """Correlated inputs of the float network X, those of the quantized one Y, and weights over scale."""
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(size=(rows, k)) @ rng.normal(size=(k, k)) / 4, 0)
    y = x + rng.normal(0, 0.1, x.shape)
    y[:, 5] = x[:, 5] = 0  # an input that is always zero
    return x, y, rng.normal(0, 2, (k, channels))


class Exact:
    """The exact condition, by trying: the codes of a tile may only be what keeps every partial sum in P bits."""

    def __init__(self, target, bias):
        self.target, self.bias = target, bias
        self.tiles = {}

    def __call__(self, i, value):
        target = self.target
        own = self.tiles.setdefault(i // target.tile if target.tile else 0, [])
        bias, half = 0 if target.tile else self.bias, 2 ** (target.acc_bits - 1)

        def fits(q):
            ends = [(c * target.lo, c * target.hi) for c in [*own, q]]
            top, bottom = sum(map(max, ends)) + max(bias, 0), sum(map(min, ends)) + min(bias, 0)
            return top <= half - 1 and bottom >= -half

        allowed = [q for q in range(-target.qmax, target.qmax + 1) if fits(q)]
        nearest = round(value)  # half to even
        own.append(min(max(nearest, min(allowed)), max(allowed)))
        return own[-1], value


class Axe:
    """AXE's soft threshold and strict budget as Brevitas computes them, bias taken off the budget."""

    def __init__(self, target, bias, w):
        self.target, self.step = target, target.tile or len(w)
        self.left = 2 ** (target.acc_bits - 1) - 1 - (0 if target.tile else abs(int(bias)))
        self.p, self.n, self.threshold = {}, {}, {}
        for tile in range(-(-len(w) // self.step)):
            part = w[tile * self.step : (tile + 1) * self.step]
            radius = 2 * self.left / (target.hi - target.lo)
            self.threshold[tile] = by_bisection(np.abs(part - part.mean()), radius)

    def __call__(self, i, value):
        tile, lo, hi = i // self.step, self.target.lo, self.target.hi
        p, n = self.p.get(tile, 0), self.n.get(tile, 0)
        above, below = self.left - (hi * p + lo * n), self.left + (lo * p + hi * n)
        upper, lower = above / hi, -below / hi
        if lo:
            upper, lower = min(upper, below / -lo), max(lower, -above / -lo)
        shrunk = np.sign(value) * max(abs(value) - self.threshold[tile], 0)
        kept = min(max(shrunk, min(lower + 0.5, 0)), max(upper - 0.5, 0))
        q = int(min(max(round(kept), -self.target.qmax), self.target.qmax))
        self.p[tile], self.n[tile] = p + max(q, 0), n + min(q, 0)
        return q, kept


def by_bisection(magnitude, radius):
    below, above = 0.0, magnitude.max()
    if magnitude.sum() <= radius:
        return 0.0
    for _ in range(200):
        middle = (below + above) / 2
        small = np.maximum(magnitude - middle, 0).sum() <= radius
        below, above = (below, middle) if small else (middle, above)
    return above


def slow_gpfq(x, y, w, choose, order):
    """q_t = Q(<Y_t, u + w_t X_t> / ||Y_t||^2), u <- u + w_t X_t - q_t Y_t."""
    u, codes = np.zeros(len(x)), np.zeros(len(w), int)
    for t in order:
        u = u + w[t] * x[:, t]
        energy = y[:, t] @ y[:, t]
        codes[t], _ = choose(int(t), y[:, t] @ u / energy if energy else 0.0)
        u = u - codes[t] * y[:, t]
    return codes


def slow_optq(gram, w, choose, order, keep_shrinkage):
    """The update of the weights still to come by the inverse Hessian, which loses a row and column at each step."""
    w, codes, left = w.copy(), np.zeros(len(w), int), list(order)
    while left:
        t, inverse = left[0], np.linalg.inv(gram[np.ix_(left, left)])
        codes[t], kept = choose(int(t), w[t])
        error = (kept if keep_shrinkage else w[t]) - codes[t]
        w[left] -= error * inverse[:, 0] / inverse[0, 0]
        left = left[1:]
    return codes


@pytest.mark.parametrize("budget", ["exact", "axe"])
@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("case", CASES)
def test_gpfq_and_optq_are_the_papers(case, tile, budget):
    lo, hi = CASES[case]
    x, y, w = data()
    target = Target(9 if tile else 10, 4, lo, hi, tile)
    bias = np.array([0, 40, -70, 3, 100, -9])
    gram, axe = y.T @ y, budget == "axe"
    softened, order = greedy.damped(gram, 0.01), greedy.energy_order(gram)
    make = (lambda: AxeRunning(target, w, bias)) if axe else (lambda: Running(target, len(w), bias))
    slow = (lambda c: Axe(target, bias[c], w[:, c])) if axe else (lambda c: Exact(target, bias[c]))

    found = greedy.Gpfq(gram, y.T @ x, order).codes(w, make())
    wanted = [slow_gpfq(x, y, w[:, c], slow(c), order) for c in range(w.shape[1])]
    assert np.array_equal(found, np.stack(wanted, axis=1))
    check(found, target, bias)

    found = greedy.Optq(softened, order, keep_shrinkage=axe).codes(w, make())
    wanted = [slow_optq(softened, w[:, c], slow(c), order, axe) for c in range(w.shape[1])]
    assert np.array_equal(found, np.stack(wanted, axis=1))
    check(found, target, bias)


def test_the_budget_binds_in_those_cases():
    """Without a budget the codes would need more bits: the cases above test something."""
    x, y, w = data()
    wide = greedy.Gpfq(y.T @ y, y.T @ x).codes(w, Running(Target(32, 4, 0, 15), len(w), np.zeros(6, int)))
    assert (bounds.min_acc_bits(wide, 0, 15) > 10).all()
