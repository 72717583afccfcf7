"""Post-training quantization of a layer, one weight after the other, each making up for the errors so far.

A layer multiplies rows of inputs X (m, K) of the float network by weights w (K, C); the quantized layer multiplies its
own inputs Y (m, K) by codes q.  All that the algorithms need of the data are gram = Y'Y and cross = Y'X, both (K, K).
Weights come in units of the scale (w / s), so that codes are whole numbers near them; all channels are done together.

GPFQ (Zhang, Zhou, Saab, SIAM J. Math. Data Sci. 2023): w_t and the error so far are projected onto column t of Y,

    q_t = Q((sum_{j<=t} cross_tj w_j - sum_{j<t} gram_tj q_j) / gram_tt)

OPTQ (Frantar et al., ICLR 2023): the weights still to come are chosen anew to make up for the error.  With
gram = R R', R upper triangular, their inverse Hessian recursion is the same as

    q_t = Q(w_t + sum_{j<t} R_jt (w_j - q_j) / R_tt)

so that both are one loop over a lower triangular matrix, done in blocks: matrix products between blocks, short
vector products inside.
"""

from __future__ import annotations

import numpy as np

from a2q_keras.numerics.running import Running

BLOCK = 32


def energy_order(gram) -> np.ndarray:
    """The order in which weights are quantized: inputs of the highest energy first, ties by index."""
    return np.argsort(-np.diag(gram), kind="stable")


class Gpfq:
    """Greedy path following for inputs of these moments, prepared once for any scale of the weights.

    order: of the K weights, by default as they are.  Inputs that are always zero get the code 0.
    """

    def __init__(self, gram, cross, order=None):
        self.order = np.arange(len(gram)) if order is None else order
        gram, cross = (part[np.ix_(self.order, self.order)] for part in (gram, cross))
        energy = np.diag(gram)[:, None]
        share = np.divide(1.0, energy, out=np.zeros_like(energy), where=energy > 0)
        self.reach, self.mixing = share * np.tril(cross), share * np.tril(gram, -1)

    def codes(self, w, running: Running) -> np.ndarray:
        """Codes of weights w (K, C), int64 (K, C), that fit what `running` holds."""
        base = self.reach @ w[self.order]
        return _choose(base, self.mixing, np.zeros_like(base), running, self.order)


class Optq:
    """Optimal brain quantization for inputs of these moments, prepared once for any scale of the weights.

    gram: positive definite, see `damped`.  keep_shrinkage: what `running` took off a value before
    rounding it (a soft threshold) is no error that later weights make up for, as in Brevitas' accumulator-aware OPTQ.
    """

    def __init__(self, gram, order=None, keep_shrinkage=False):
        self.order = np.arange(len(gram)) if order is None else order
        factor = triangle(gram[np.ix_(self.order, self.order)])
        factor /= np.diag(factor)[:, None].copy()
        self.mixing, self.keep_shrinkage = np.tril(factor, -1), keep_shrinkage

    def codes(self, w, running: Running) -> np.ndarray:
        """Codes of weights w (K, C), int64 (K, C), that fit what `running` holds."""
        w = w[self.order]
        return _choose(w, self.mixing, w, running, self.order, self.keep_shrinkage)


def damped(gram, damping: float) -> np.ndarray:
    """gram with damping * mean(diagonal) added to its diagonal; the unit matrix where all inputs are zero."""
    energy = np.diag(gram)
    return gram + np.eye(len(gram)) * (damping * energy.mean() if energy.any() else 1.0)


def triangle(gram) -> np.ndarray:
    """R' of gram = R R' with R upper triangular: a Cholesky factor from the last row up."""
    return np.linalg.cholesky(gram[::-1, ::-1])[::-1, ::-1].T.copy()


def _choose(base, mixing, own, running: Running, order, keep_shrinkage=False) -> np.ndarray:
    """q_t = choose(base_t + sum_{j<t} mixing_tj (own_j - q_j)) for t = 0, 1, ...; codes in the original order."""
    carried = np.zeros(base.shape)
    codes = np.zeros(base.shape, np.int64)
    for start in range(0, len(base), BLOCK):
        stop = min(start + BLOCK, len(base))
        values = base[start:stop] + mixing[start:stop, :start] @ carried[:start]
        for t in range(start, stop):
            value = values[t - start] + mixing[t, start:t] @ carried[start:t]
            codes[order[t]], kept = running.choose(int(order[t]), value)
            carried[t] = own[t] - codes[order[t]] - ((value - kept) if keep_shrinkage else 0.0)
    return codes
