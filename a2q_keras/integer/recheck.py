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
    for side, bound in (("max", max), ("min", min)):
        _check_format(record, f"worst_{side}_input", getattr(record, f"worst_{side}_input"), record.input_format)
        for extreme, reached in _reached(record, side, bound).items():
            wanted = figures[extreme][record.worst_channel]
            _same(record, f"the {extreme} that worst_{side}_input reaches", reached, wanted)


def check_program(certificate, program):
    """FileError where a Certificate is not that of a program with the widths that it grants."""
    wanted, found = ([part.name for part in parts] for parts in (program.accumulator_ops, certificate.layers))
    if found != wanted or certificate.program_sha256 != program.digest():
        raise FileError(
            f"the certificate of {certificate.program!r}, layers {', '.join(found) or 'none'}, is not of program "
            f"{program.name!r} with layers {', '.join(wanted) or 'none'} and these widths; certify that"
        )


def _reached(record, side: str, bound) -> dict[str, int]:
    """What the worst-case input of a side makes of the accumulators of the worst channel, by figure."""
    column = record.weights[:, record.worst_channel].tolist()
    products = [q * x for q, x in zip(column, getattr(record, f"worst_{side}_input").tolist())]
    whole = bound(int(record.bias[record.worst_channel]), 0) + sum(products)
    if record.tile is None:
        return {f"acc_{side}": whole}
    return {f"acc_{side}": bound(map(sum, _tiles(products, record.tile))), f"outer_{side}": whole}


def _tiles(column, tile: int) -> list:
    """A list cut into pieces of `tile`."""
    return [column[first : first + tile] for first in range(0, len(column), tile)]


def check_shapes(record):
    """ValueError unless the arrays of a LayerCertificate fit each other and its width is one of 2 to 64."""
    k, c = record.weights.shape
    wanted: dict = dict.fromkeys(("bias", "needed_bits", "acc_min", "acc_max"), (c,))
    wanted |= dict.fromkeys(("worst_max_input", "worst_min_input"), (k,))
    if record.tile is not None and record.tile < 1:
        raise ValueError(f"layer {record.name!r}: tile is {record.tile}; a tile has at least one product")
    outer: dict = dict.fromkeys(("outer_bits", "outer_min", "outer_max"), (c,))
    outer["tile_bits"] = (-(-k // (record.tile or 1)), c)
    wanted |= outer if record.tile else dict.fromkeys(outer)
    for name, shape in wanted.items():
        found = getattr(getattr(record, name), "shape", None)
        if found != shape:
            raise ValueError(f"layer {record.name!r}: {name} has shape {found}, its weights ask for {shape}")
    if not (k and c and 2 <= record.acc_bits <= 64):
        raise ValueError(
            f"layer {record.name!r}: {k} x {c} weights, acc_bits={record.acc_bits}; allowed are 2 to 64 bits"
        )


def _figures(record) -> dict:
    """Every figure by name, as Python numbers and lists of them."""
    found = _figures_of_tiles(record) if record.tile else _figures_of_sums(record, "acc_min", "acc_max", "needed_bits")
    reach = [max(most, -least - 1) for least, most in zip(found["acc_min"], found["acc_max"])]
    return found | {
        "worst_channel": reach.index(max(reach)),
        "sparsity": sum(row.count(0) for row in record.weights.tolist()) / record.weights.size,
        "datatype_bits": _datatype_bits(record),
        "hls4ml_bits": _hls4ml_bits(record, record.bias.tolist()),
    }


def _figures_of_sums(record, *names: str) -> dict[str, list[int]]:
    """Extremes and width of the sum of all products and the bias, per channel, under these names."""
    sums = [_sums(column, record) for column in zip(*record.weights.tolist())]
    bias = record.bias.tolist()
    bottom = [min(b, 0) + least for b, (least, _) in zip(bias, sums)]
    top = [max(b, 0) + most for b, (_, most) in zip(bias, sums)]
    return dict(zip(names, (bottom, top, [_width(least, most) for least, most in zip(bottom, top)])))


def _figures_of_tiles(record) -> dict[str, list]:
    """The figures of the inner accumulators and, from all products and the bias, of the outer one."""
    inner = [[_sums(part, record) for part in _tiles(column, record.tile)] for column in zip(*record.weights.tolist())]
    widths = [[_width(least, most) for least, most in channel] for channel in inner]
    return _figures_of_sums(record, "outer_min", "outer_max", "outer_bits") | {
        "acc_min": [min(least for least, _ in channel) for channel in inner],
        "acc_max": [max(most for _, most in channel) for channel in inner],
        "needed_bits": [max(channel) for channel in widths],
        "tile_bits": [list(tile) for tile in zip(*widths)],
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
    largest = min(record.tile or len(record.weights), len(record.weights)) * product
    return _width(-largest, largest)


def _hls4ml_bits(record, bias) -> int:
    """Bits of the product, ceil(log2 k) for the sum and one for the bias, or more where the bias is wider."""
    weights, inputs = record.weight_format, record.input_format
    growth = next(bits for bits in count() if 2**bits >= len(record.weights))
    product = weights.bits + inputs.bits + growth + (not weights.signed and not inputs.signed)
    return 1 + max(product, _width(min(*bias, 0), max(*bias, 0)))


def _check_format(record, name, codes, format):
    lo, hi = _codes(format)
    if codes.size and not lo <= int(codes.min()) <= int(codes.max()) <= hi:
        raise _different(record, f"the range of {name}", f"{codes.min()} to {codes.max()}", f"{lo} to {hi} ({format})")


def _same(record, figure: str, found, wanted):
    """FileError unless the figure equals what the codes give; in a list, names the first channel that differs."""
    if np.ndim(found) == 2:
        for tile, pair in enumerate(zip(found, wanted)):
            _same(record, f"{figure} of tile {tile}", *pair)
        return
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
