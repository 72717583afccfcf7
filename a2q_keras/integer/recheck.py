"""A second derivation of every figure in a certificate, from the codes in it alone.

Written apart from `numerics.bounds`, so that a mistake there does not confirm itself: each product is bounded by its
own interval, sums are Python integers, and widths are found by counting up.
"""

from __future__ import annotations

from itertools import count

import numpy as np

from a2q_keras.errors import FileError


def check(record):
    """FileError naming layer and figure where a LayerCertificate states what its codes do not give."""
    _check_format(record, "weights", record.weights, record.weight_format)
    figures = _figures(record)
    for figure, wanted in figures.items():
        _same(record, figure, getattr(record, figure), wanted)
    worst = record.worst_channel
    for figure, extreme, bound in (("worst_max_input", "acc_max", max), ("worst_min_input", "acc_min", min)):
        codes = getattr(record, figure)
        _check_format(record, figure, codes, record.input_format)
        reached = bound(int(record.bias[worst]), 0) + _dot(record.weights[:, worst], codes)
        _same(record, f"the {extreme} that {figure} reaches", reached, figures[extreme][worst])


def check_shapes(record):
    """ValueError unless the arrays of a LayerCertificate fit each other and its width is one of 2 to 64."""
    k, c = record.weights.shape
    wanted = dict.fromkeys(("bias", "needed_bits", "acc_min", "acc_max"), (c,))
    for name, shape in (wanted | dict.fromkeys(("worst_max_input", "worst_min_input"), (k,))).items():
        found = getattr(record, name).shape
        if found != shape:
            raise ValueError(f"layer {record.name!r}: {name} has shape {found}, its weights ask for {shape}")
    if not (k and c and 2 <= record.acc_bits <= 64):
        raise ValueError(
            f"layer {record.name!r}: {k} x {c} weights, acc_bits={record.acc_bits}; allowed are 2 to 64 bits"
        )


def _figures(record) -> dict:
    """Every figure by name, as Python numbers and lists of them."""
    sums = [_sums(column, record) for column in zip(*record.weights.tolist())]
    bias = record.bias.tolist()
    bottom = [min(b, 0) + least for b, (least, _) in zip(bias, sums)]
    top = [max(b, 0) + most for b, (_, most) in zip(bias, sums)]
    reach = [max(most, -least - 1) for least, most in zip(bottom, top)]
    return {
        "acc_min": bottom,
        "acc_max": top,
        "needed_bits": [_width(least, most) for least, most in zip(bottom, top)],
        "worst_channel": reach.index(max(reach)),
        "sparsity": sum(row.count(0) for row in record.weights.tolist()) / record.weights.size,
        "datatype_bits": _datatype_bits(record),
        "hls4ml_bits": _hls4ml_bits(record, bias),
    }


def _codes(format) -> tuple[int, int]:
    """The smallest and largest code of a format."""
    if not format.signed:
        return 0, 2**format.bits - 1
    half = 2 ** (format.bits - 1)
    return (1 if format.symmetric else 0) - half, half - 1


def _sums(column, record) -> tuple[int, int]:
    """The smallest and largest sum of any of the products of one channel."""
    lo, hi = _codes(record.input_format)
    ends = [(q * lo, q * hi) for q in column]
    return sum(min(pair) for pair in ends), sum(max(pair) for pair in ends)


def _width(least: int, most: int) -> int:
    return next(bits for bits in count(1) if -(2 ** (bits - 1)) <= least and most < 2 ** (bits - 1))


def _datatype_bits(record) -> int:
    """The width for any weights of the format, as A2Q counts it: |q| <= 2**(M-1), |x| <= 2**(N - signed), symmetric."""
    weights, inputs = record.weight_format, record.input_format
    product = 2 ** (max(weights.bits - weights.signed, 1) + inputs.bits - inputs.signed)
    largest = len(record.weights) * product
    return _width(-largest, largest)


def _hls4ml_bits(record, bias) -> int:
    """Bits of the product, ceil(log2 k) for the sum and one for the bias, or more where the bias is wider."""
    weights, inputs = record.weight_format, record.input_format
    growth = next(bits for bits in count() if 2**bits >= len(record.weights))
    product = weights.bits + inputs.bits + growth + (not weights.signed and not inputs.signed)
    return 1 + max(product, _width(min(*bias, 0), max(*bias, 0)))


def _dot(column, codes) -> int:
    return sum(q * x for q, x in zip(column.tolist(), codes.tolist()))


def _check_format(record, name, codes, format):
    lo, hi = _codes(format)
    if codes.size and not lo <= int(codes.min()) <= int(codes.max()) <= hi:
        raise _different(record, f"the range of {name}", f"{codes.min()} to {codes.max()}", f"{lo} to {hi} ({format})")


def _same(record, figure: str, found, wanted):
    """FileError unless the figure equals what the codes give; in a list, names the first channel that differs."""
    if not isinstance(found, np.ndarray):
        if found != wanted:
            raise _different(record, figure, found, wanted)
        return
    for channel, pair in enumerate(zip(found.tolist(), wanted)):
        if pair[0] != pair[1]:
            raise _different(record, f"{figure} of channel {channel}", *pair)


def _different(record, figure, found, wanted) -> FileError:
    return FileError(
        f"layer {record.name!r}: {figure} is {found} in the certificate, its codes give {wanted}; "
        "the certificate was altered or its writer was wrong: certify the program again"
    )
