"""What post-training quantization needs of the data: second moments of the rows that a layer reads."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from a2q_keras.numerics.greedy import damped


class Moments:
    """Sums over rows, batch by batch, so that memory does not grow with the data.

    Y: rows (m, K) that the quantized layer reads, as values; X: the same rows in the float network; wanted: X @ w,
    (m, C).  gram = Y'Y / m and cross = Y'X / m, float64 (K, K), `power` = mean of wanted**2 (C,), and the means.
    """

    def __init__(self, k: int, channels: int):
        self.rows = 0
        self._gram, self._cross = np.zeros((k, k)), np.zeros((k, k))
        self._own, self._float = np.zeros(k), np.zeros(k)
        self._power = np.zeros(channels)

    def add(self, own, float_rows, wanted):
        """Count some more rows: Y, X and X @ w."""
        own, float_rows = np.asarray(own, np.float64), np.asarray(float_rows, np.float64)
        self.rows += len(own)
        self._gram += own.T @ own
        self._cross += own.T @ float_rows
        self._own += own.sum(axis=0)
        self._float += float_rows.sum(axis=0)
        self._power += np.square(np.asarray(wanted, np.float64)).sum(axis=0)

    @property
    def gram(self) -> np.ndarray:
        """Y'Y / m."""
        return self._gram / self.rows

    @property
    def cross(self) -> np.ndarray:
        """Y'X / m."""
        return self._cross / self.rows

    @property
    def own_mean(self) -> np.ndarray:
        """The mean row of the quantized network, (K,)."""
        return self._own / self.rows

    @property
    def float_mean(self) -> np.ndarray:
        """The mean row of the float network, (K,)."""
        return self._float / self.rows

    def output_error(self, w, values, shift) -> np.ndarray:
        """Mean squared error (C,) of outputs Y @ values for wanted X @ w + shift; shift: what the biases differ by."""
        error = ((self.gram @ values - 2 * self.cross @ w) * values).sum(axis=0) + self._power / self.rows
        return error + 2 * shift * (self.float_mean @ w - self.own_mean @ values) + shift**2

    def variance(self, w) -> np.ndarray:
        """The variance of the wanted outputs X @ w, (C,)."""
        return self._power / self.rows - (self.float_mean @ w) ** 2

    def problem(self, w, damping: float, centred: bool) -> Problem:
        """What the codes of weights w (K, C) are chosen by; see `Problem`."""
        gram, cross, power = self.gram, self.cross, self._power / self.rows
        if centred:
            gram = gram - np.outer(self.own_mean, self.own_mean)
            cross = cross - np.outer(self.own_mean, self.float_mean)
            power = power - (self.float_mean @ w) ** 2
        softened = damped(gram, damping)
        return Problem(softened, cross + softened - gram, w, power + _ridge(softened - gram, w))


def _ridge(added, w):
    return (np.diag(added)[:, None] * w * w).sum(axis=0)


class Problem:
    """Least squares for the codes of a layer: ||X w - Y s q||**2 / m plus a little ||w - s q||**2 (damping).

    centred: the means are left to the bias.  gram, cross: damped.  The error is q' gram q - 2 pull' q + offset with
    pull = cross @ w and offset (C,).
    """

    def __init__(self, gram, cross, w, offset):
        self.gram, self.cross, self.w, self.offset = gram, cross, w, offset
        self.pull = cross @ w

    @cached_property
    def optimum(self) -> np.ndarray:
        """The real weights of least error, (K, C)."""
        return np.linalg.solve(self.gram, self.pull)

    def error(self, values) -> np.ndarray:
        """The error of weight values s * q (K, C), (C,)."""
        return ((self.gram @ values - 2 * self.pull) * values).sum(axis=0) + self.offset
