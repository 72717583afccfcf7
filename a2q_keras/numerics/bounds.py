"""Bounds on the accumulator of a layer, and the widths that follow from them.

One output channel computes acc = b + sum_i q_i x_i with weight codes q, input codes x in [lo, hi], lo <= 0 <= hi, and a
bias code b.  With p = sum(max(q, 0)) and n = sum(max(-q, 0)), no partial sum in any order of the additions, bias first
or last, leaves P bits if and only if (the exact condition)

    max(b, 0) + hi*p - lo*n <= 2**(P-1) - 1    and    min(b, 0) + lo*p - hi*n >= -2**(P-1)

Weights are arrays (K, C), output channel last; more leading axes are summed over, too.
"""

from __future__ import annotations

import numpy as np

from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError

MAX_ACC_BITS = 64
BIAS_SHARE = 0.25


def max_l1_norm(acc_bits, input_bits, input_signed, zero_centered=False, bias=0):
    """Largest L1 norm of a channel's weight codes that the A2Q bounds allow, a float (or array (C,) for an array bias).

    A2Q, section 4:   (2**(P-1) - 1 - |b|) * 2**(signed - N)
    A2Q+, section 3:  (2**P - 2 - 2|b|) / (2**N - 1), for weights that sum to zero before rounding (`zero_centered`)

    The papers have no bias (b = 0); here the budget is what the bias code leaves over.

    >>> max_l1_norm(16, 8, False), max_l1_norm(16, 8, True)
    (127.99609375, 255.9921875)
    >>> max_l1_norm(16, 8, False, zero_centered=True)
    256.99607843137255
    """
    check_bits("acc_bits", acc_bits, 2, MAX_ACC_BITS)
    check_bits("input_bits", input_bits, 1, 32)
    left = (2 ** (acc_bits - 1) - 1) - np.abs(np.asarray(bias, np.float64))
    norm = 2 * left / (2**input_bits - 1) if zero_centered else left * 2.0 ** (bool(input_signed) - input_bits)
    return norm if np.ndim(bias) else float(norm)


def largest_bias(acc_bits, lo, hi, share=BIAS_SHARE) -> int:
    """Largest magnitude of a bias code that leaves the weights of a layer most of their room.

    The room 2**(P-1) - 1 is u = room // max(hi, -lo) units of weight and a rest.  The rest is free, and the bias may
    take `share` of the units, rounded down.  Without a limit training lets biases grow into the room of the weights:
    with 6 bits and inputs up to 15 every bias beyond 1 costs half of it.

    >>> largest_bias(6, 0, 15), largest_bias(7, 0, 15), largest_bias(12, 0, 15), largest_bias(12, 0, 15, share=1)
    (1, 18, 517, 2047)
    """
    check_bits("acc_bits", acc_bits, 2, MAX_ACC_BITS)
    check_range(lo, hi)
    room, largest = 2 ** (acc_bits - 1) - 1, max(hi, -lo, 1)
    units = room // largest
    return int(room - (units - int(units * share)) * largest)


def datatype_acc_bits(k, weight_bits, input_bits, input_signed) -> int:
    """Accumulator bits that are enough for any k weights of the given data types (A2Q, section 3).

    P >= a + log2(1 + 2**-a) + 1 with a = log2(k) + N + M - 1 - signed, evaluated in integers.

    >>> datatype_acc_bits(4608, 8, 8, True), datatype_acc_bits(128, 4, 4, False)
    (28, 16)
    """
    check_bits("k", k, 1, 2**40)
    check_bits("weight_bits", weight_bits, 2, 32)
    check_bits("input_bits", input_bits, 1, MAX_ACC_BITS)  # an accumulator may be the input of the next layer
    return (int(k) << (int(input_bits) + int(weight_bits) - 1 - bool(input_signed))).bit_length() + 1


def hls4ml_acc_bits(k, weight_format, input_format, bias_format=None) -> int:
    """Accumulator bits that hls4ml 1.3 takes for k products where `accum` is left to "auto".

    w + x + ceil(log2 k), plus one bit for the bias and what the bias has more in front of or behind the point
    (hls4ml `infer_precision.py`, `_infer_common_precision`).  Formats are `formats.FixedPoint`; bias_format None stands
    for a layer of which hls4ml knows that it has no bias.

    >>> from a2q_keras.numerics.formats import FixedPoint
    >>> x, w = FixedPoint(8, 8, signed=False), FixedPoint(8, 7, signed=True)
    >>> hls4ml_acc_bits(784, w, x), hls4ml_acc_bits(784, w, x, FixedPoint(16, 15, signed=True))
    (26, 27)
    """
    growth = (check_bits("k", k, 1, 2**40) - 1).bit_length()
    integer, frac = weight_format.integer + input_format.integer + growth, weight_format.frac + input_format.frac
    if bias_format is None:
        return integer + frac
    signed = weight_format.signed or input_format.signed
    integer = max(
        integer + (bias_format.signed and not signed), bias_format.integer + (signed and not bias_format.signed)
    )
    return integer + 1 + max(frac, bias_format.frac)


def acc_range(q, lo, hi, bias=0) -> tuple[np.ndarray, np.ndarray]:
    """(min, max) over every partial sum in any order, int64 arrays (C,).

    Raises ConfigurationError where a sum leaves 64 bits.

    >>> acc_range(np.array([[3], [-2]]), 0, 15, bias=4)
    (array([-30]), array([49]))
    """
    check_range(lo, hi)
    q, bias, lo, hi = _channels(q), np.asarray(bias), int(lo), int(hi)
    if bias.dtype.kind not in "iuO" or (bias.dtype.kind == "O" and not all(isinstance(b, int) for b in bias.flat)):
        raise ConfigurationError(f"bias codes are whole numbers, an int or an integer array (C,); got {bias.dtype}")
    # Python integers where an int64 could overflow: the bound itself must not wrap.
    largest = float(np.abs(q.astype(np.float64)).sum(axis=0).max(initial=1)) * max(hi, -lo) + float(
        np.abs(bias.astype(np.float64)).max(initial=0)
    )
    kind = np.int64 if largest < 2.0**62 else object
    q, bias = q.astype(kind), bias.astype(kind)
    positive, negative = np.maximum(q, 0).sum(axis=0), np.maximum(-q, 0).sum(axis=0)
    top = np.maximum(bias, 0) + hi * positive - lo * negative
    bottom = np.minimum(bias, 0) + lo * positive - hi * negative
    if kind is object and (max(top) >= 2**63 or min(bottom) < -(2**63)):
        raise ConfigurationError("a partial sum leaves 64 bits; use fewer weight or input bits")
    return bottom.astype(np.int64), top.astype(np.int64)


def min_acc_bits(q, lo, hi, bias=0) -> np.ndarray:
    """Smallest safe accumulator width of each channel by the exact condition, int array (C,).

    >>> min_acc_bits(np.array([[3, 0], [-2, 0]]), 0, 15, bias=4)
    array([7, 4])
    """
    return bits_for(*acc_range(q, lo, hi, bias))


def bits_for(bottom, top) -> np.ndarray:
    """Bits of the smallest two's complement integer that holds `bottom` <= 0 and `top` >= 0, element by element."""
    pairs = zip(np.ravel(bottom).tolist(), np.ravel(top).tolist())
    bits = [max(int(most).bit_length(), int(-least - 1 if least < 0 else 0).bit_length()) + 1 for least, most in pairs]
    return np.array(bits, dtype=np.int64).reshape(np.shape(top))


def headroom(acc_bits, bias=0) -> tuple[np.ndarray, np.ndarray]:
    """What a bias code leaves of an accumulator: (upward, downward), int64, both at least 0.

    Raises AccumulatorOverflowError where acc_bits cannot hold the bias itself.
    """
    check_bits("acc_bits", acc_bits, 2, MAX_ACC_BITS)
    bias = np.asarray(bias, np.int64)
    most, least = 2 ** (acc_bits - 1) - 1, -(2 ** (acc_bits - 1))
    if bias.size and (bias.max() > most or bias.min() < least):
        worst = int(np.argmax(np.maximum(bias - most, least - bias))) if bias.ndim else 0
        code = int(bias.reshape(-1)[worst])
        raise AccumulatorOverflowError(
            f"channel {worst}: the bias code {code} needs {int(bits_for(min(code, 0), max(code, 0)))} bits, "
            f"acc_bits={acc_bits} holds {least} to {most}; raise acc_bits or make the bias smaller"
        )
    downward = np.clip(np.minimum(bias, 0), least, 0) - least if acc_bits < 64 else _downward_64(bias)
    return most - np.maximum(bias, 0), downward


def _downward_64(bias):
    """2**63 itself is no int64; one unit less is as good for any bias below zero and sound for the rest."""
    return np.maximum(np.minimum(bias, 0) + (2**63 - 1), 0)


def check_bits(name: str, value, least: int, most: int) -> int:
    """`value` as an int; ConfigurationError unless it is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most:
        raise ConfigurationError(f"{name}={value!r} is not allowed; give a whole number from {least} to {most}")
    return int(value)


def check_range(lo, hi):
    """ConfigurationError unless lo <= 0 <= hi, both integers."""
    if not (isinstance(lo, (int, np.integer)) and isinstance(hi, (int, np.integer)) and lo <= 0 <= hi):
        raise ConfigurationError(
            f"the input codes go from lo={lo} to hi={hi}; whole numbers with lo <= 0 <= hi are allowed"
        )


def _channels(q) -> np.ndarray:
    q = np.asarray(q)
    if q.ndim == 0 or q.dtype.kind not in "iu":
        raise ConfigurationError(f"weight codes are an integer array (K, C); got {q.dtype} of shape {q.shape}")
    return q.reshape(-1, q.shape[-1])
