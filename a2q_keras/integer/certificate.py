"""The certificate: for every accumulator of an integer program, the width it needs, and the proof.

The proof is the exact condition of `numerics.bounds` on the codes of each channel and the range of its input codes; the
certificate carries both, so anyone can check it again (`Certificate.verify`, written apart in `integer.recheck`).
The window of a convolution counts whole, also where a part of it lies in the padding at every place: there less may do.
With multi-stage accumulation (`integer.ops`) it is shown for the inner accumulator of every tile and for the outer one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from a2q_keras.errors import AccumulatorOverflowError, ConfigurationError
from a2q_keras.integer import recheck, storage
from a2q_keras.integer.graph import AccumulatorOp, Conv, Dense, IntegerProgram
from a2q_keras.numerics import bounds, tiles
from a2q_keras.numerics.formats import FixedPoint

KIND = "a2q_keras accumulator certificate"
VERSION = 1


class Overflow(NamedTuple):
    """A channel whose accumulator is too narrow."""

    layer: str
    channel: int
    needed_bits: int
    acc_bits: int


@dataclass(frozen=True, eq=False, repr=False)
class LayerCertificate:
    """One layer: what it computes with, and what follows from that.

    Codes: weights (K, C), the K products of each of C channels; bias (C,); inputs take any code of `input_format`.
    acc_bits: the width granted.  Per channel (C,): `needed_bits`, the smallest safe width; `acc_min` and `acc_max`, the
    extremes over every partial sum, in any order and with the bias first or last.  worst_max_input, worst_min_input:
    input codes (K,) that drive `worst_channel` there.  datatype_bits, hls4ml_bits: the widths that follow from the data
    types alone (A2Q, section 3; hls4ml with accum "auto").

    tile: None, or the products that an inner accumulator sums.  Then acc_bits is granted to each inner accumulator,
    which has no bias, and of needed_bits, acc_min, acc_max and worst_channel those of the fullest tile of a channel are
    told; `tile_bits` (tiles, C) has the width that each tile needs.  Per channel: `outer_bits`, what the outer
    accumulator needs, and its extremes `outer_min` and `outer_max`, bias included.  One worst-case input drives all
    accumulators of a channel to their extremes at once.  datatype_bits is for one tile, hls4ml_bits for all products.
    """

    name: str
    kind: str
    source: str
    weights: np.ndarray
    bias: np.ndarray
    weight_format: FixedPoint
    input_format: FixedPoint
    acc_bits: int
    needed_bits: np.ndarray
    acc_min: np.ndarray
    acc_max: np.ndarray
    worst_channel: int
    worst_max_input: np.ndarray
    worst_min_input: np.ndarray
    sparsity: float
    datatype_bits: int
    hls4ml_bits: int
    tile: int | None = None
    tile_bits: np.ndarray | None = None
    outer_bits: np.ndarray | None = None
    outer_min: np.ndarray | None = None
    outer_max: np.ndarray | None = None

    def __post_init__(self):
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __repr__(self):
        each = "" if self.tile is None else f" for every {self.tile} products, {self.result_bits} for their sums"
        needed = int(self.needed_bits.max())
        return f"{self.name}: {self.k} x {self.channels} weights, needs {needed} of {self.acc_bits} bits{each}"

    @property
    def k(self) -> int:
        """Products summed by each channel."""
        return self.weights.shape[0]

    @property
    def channels(self) -> int:
        """Accumulators of the layer."""
        return self.weights.shape[1]

    @property
    def weight_bits(self) -> int:
        """Bits of a weight code."""
        return self.weight_format.bits

    @property
    def slack(self) -> int:
        """Bits granted beyond what the worst channel needs; negative where the accumulator can overflow."""
        return self.acc_bits - int(self.needed_bits.max())

    @property
    def result_bits(self) -> int:
        """The width of the accumulator that holds the results: acc_bits, or with tiles what the outer one needs."""
        return self.acc_bits if self.outer_bits is None else max(int(self.outer_bits.max()), 2)

    def worst_case_input(self, channel: int | None = None, sign: int = 1) -> np.ndarray:
        """Input codes (K,) that drive a channel to its extreme; see `Certificate.worst_case_input`."""
        channel = self.worst_channel if channel is None else channel
        if not 0 <= channel < self.channels:
            raise ConfigurationError(f"layer {self.name!r} has channels 0 to {self.channels - 1}; got {channel}")
        return _extreme_input(self.weights[:, channel], self.input_format, sign)


@dataclass(frozen=True, eq=False, repr=False)
class Certificate:
    """What `certify` found: a record per layer with an accumulator, in order of execution.

    program, program_sha256: name and digest of the program certified, with the accumulator widths granted here.
    """

    program: str
    program_sha256: str
    layers: tuple[LayerCertificate, ...]

    def __repr__(self):
        count = len(self.overflows)
        found = f"channels that can overflow: {count}" if count else "no accumulator can overflow"
        return "\n  ".join([f"Certificate of {self.program!r}, {found}", *map(repr, self.layers)])

    def __getitem__(self, layer: str) -> LayerCertificate:
        """The record of a layer, by name; ConfigurationError where there is none."""
        check_layers([layer], [record.name for record in self.layers])
        return next(record for record in self.layers if record.name == layer)

    @property
    def acc_bits(self) -> dict[str, int]:
        """The accumulator width granted to each layer."""
        return {record.name: record.acc_bits for record in self.layers}

    @property
    def overflows(self) -> list[Overflow]:
        """The channels that need more bits than granted."""
        return [
            Overflow(record.name, int(c), int(record.needed_bits[c]), record.acc_bits)
            for record in self.layers
            for c in np.flatnonzero(record.needed_bits > record.acc_bits)
        ]

    @property
    def ok(self) -> bool:
        """Whether no accumulator can overflow, for any input."""
        return not self.overflows

    def raise_if_unsafe(self) -> Certificate:
        """This certificate; AccumulatorOverflowError where an accumulator is too narrow."""
        found = self.overflows
        if found:
            worst = max(found, key=lambda overflow: overflow.needed_bits - overflow.acc_bits)
            others = f" ({len(found)} channels are too wide)" if len(found) > 1 else ""
            bias = int(self[worst.layer].bias[worst.channel])
            alone = int(bounds.bits_for(min(bias, 0), max(bias, 0))) if self[worst.layer].tile is None else 0
            others += f"; its bias code {bias} alone needs {alone}" if alone > worst.acc_bits else ""
            raise AccumulatorOverflowError(
                f"layer {worst.layer!r}, channel {worst.channel}: the accumulator needs {worst.needed_bits} bits and "
                f"acc_bits grants {worst.acc_bits}{others}; grant {worst.needed_bits} bits, train or quantize this "
                f"layer for acc_bits={worst.acc_bits}, or use acc_bits=None for the smallest safe widths"
            )
        return self

    def worst_case_input(self, layer: str, channel: int | None = None, sign: int = 1) -> np.ndarray:
        """Input codes (K,) of a layer that drive a channel (None: the worst) to acc_max, or to acc_min for sign=-1.

        x_i = hi where the weight code is positive, lo where it is negative (the other way round for sign=-1), so that
        sum(q * x) is extreme.  acc_max = max(bias, 0) + sum(q * x): with a bias of at least 0 it is the whole sum; with
        a negative bias it is the partial sum before the bias is added, and is reached only where the bias comes last.
        Likewise acc_min with the signs changed.  With tiles the same holds for outer_max and outer_min.
        """
        return self[layer].worst_case_input(channel, sign)

    def verify(self, program: IntegerProgram | None = None) -> Certificate:
        """This certificate, after every figure was derived again from the codes in it, in Python integers.

        program: None, or the program that it should be for, which its digest and its layers then must be those of.

        Raises FileError where a figure differs, naming layer and figure, or for another program, and
        AccumulatorOverflowError where the figures are right but an accumulator is too narrow.
        """
        if program is not None:
            recheck.check_program(self, program.with_acc_bits(self.acc_bits))
        for record in self.layers:
            recheck.check(record)
        return self.raise_if_unsafe()

    def to_json(self) -> str:
        """The certificate as a JSON text that holds all that `verify` needs."""
        body = {key: value for key, value in vars(self).items() if key != "layers"}
        layers = [storage.encode(record) for record in self.layers]
        return storage.to_text({"format": KIND, "version": VERSION, **body, "layers": layers}) + "\n"

    def save(self, path):
        """Write the JSON text to a file, atomically; FileError where that fails."""
        storage.write_text(path, self.to_json())

    @classmethod
    def from_json(cls, text: str, source="this text") -> Certificate:
        """The certificate in a JSON text; FileError naming `source` where it is none.

        The figures in it are not checked before `verify`.
        """
        record = storage.parse(text, source, KIND, VERSION)
        with storage.reading(source, KIND):
            layers = tuple(storage.decode(LayerCertificate, layer) for layer in record.pop("layers"))
            for layer in layers:
                recheck.check_shapes(layer)
            return cls(layers=layers, **{key: storage.exactly(str, value) for key, value in record.items()})

    @classmethod
    def load(cls, path) -> Certificate:
        """The certificate in a file that `save` wrote; FileError where the file is missing or something else."""
        return cls.from_json(storage.read_text(path, KIND), path)


def certify(program: IntegerProgram, acc_bits: int | dict[str, int] | None = None) -> Certificate:
    """The widths that the accumulators of `program` need, against those granted.

    acc_bits: bits for every layer; or a dict by layer name; None, and layers that a dict leaves out, take the smallest
    safe width (at least 2).  The result may be unsafe: ask `ok` or call `raise_if_unsafe`.

    Raises ConfigurationError for an unknown layer or a width outside 2 to 64, AccumulatorOverflowError where a layer's
    sums need more than 64 bits.

    >>> from a2q_keras.integer.graph import Input
    >>> x, w = FixedPoint(4, 0, signed=False), FixedPoint(3, 0, signed=True)
    >>> dense = Dense("fc", "x", weights=[[3], [-2]], bias=[4], weight_format=w, acc_bits=16)
    >>> cert = certify(IntegerProgram("net", (Input("x", (2,), x),), (dense,), ("fc",)))
    >>> cert["fc"].acc_bits, cert["fc"].acc_min, cert["fc"].acc_max, cert.worst_case_input("fc")
    (7, array([-30]), array([49]), array([15,  0]))
    """
    names = [op.name for op in program.accumulator_ops]
    asked = acc_bits if isinstance(acc_bits, dict) else {} if acc_bits is None else dict.fromkeys(names, acc_bits)
    check_layers(asked, names)
    layers: list[LayerCertificate] = []
    for op in program.accumulator_ops:
        layers.append(_layer(program, op, asked.get(op.name)))
        # an accumulator may be the input of the next layer, whose range then follows from the width granted
        program = program.with_acc_bits({op.name: layers[-1].acc_bits})
    return Certificate(program.name, program.digest(), tuple(layers))


def check_layers(names, known):
    """ConfigurationError unless all `names` are names of layers with an accumulator."""
    unknown = [name for name in names if name not in known]
    if unknown:
        listed = ", ".join(map(repr, known)) or "none"
        raise ConfigurationError(
            f"no layer {unknown[0]!r} with an accumulator in this program; its layers are {listed}"
        )


def _layer(program, op: AccumulatorOp, acc_bits: int | None) -> LayerCertificate:
    weights, bias = _COLUMNS[type(op)](op)
    inputs = program.formats[op.source]
    try:
        bottom, top, needed, outer = _sums(op, weights, bias, inputs)
    except ConfigurationError as error:
        raise AccumulatorOverflowError(f"layer {op.name!r}: {error}") from error
    worst = int(np.argmax(np.maximum(top, -(bottom + 1))))
    granted = max(int(needed.max()), 2) if acc_bits is None else acc_bits
    return LayerCertificate(
        name=op.name,
        kind=type(op).__name__,
        source=op.source,
        weights=weights,
        bias=bias,
        weight_format=op.weight_format,
        input_format=inputs,
        acc_bits=bounds.check_bits(f"acc_bits of layer {op.name!r}", granted, 2, bounds.MAX_ACC_BITS),
        needed_bits=needed,
        acc_min=bottom,
        acc_max=top,
        worst_channel=worst,
        worst_max_input=_extreme_input(weights[:, worst], inputs, 1),
        worst_min_input=_extreme_input(weights[:, worst], inputs, -1),
        sparsity=np.count_nonzero(weights == 0) / weights.size,
        datatype_bits=_datatype_bits(min(op.tile or len(weights), len(weights)), op.weight_format, inputs),
        hls4ml_bits=bounds.hls4ml_acc_bits(len(weights), op.weight_format, inputs, _bias_format(bias, op, inputs)),
        tile=op.tile,
        **outer,
    )


def _dense_columns(op: Dense):
    return op.weights, op.bias


def _conv_columns(op: Conv):
    """A window that lies wholly inside is the worst: one that reaches into the padding has zeros for some products."""
    return op.weights.reshape(-1, op.weights.shape[-1]), op.bias


# Per op with accumulators: its weight codes as (K, C), the K products of each of C sums, and its bias codes (C,).
_COLUMNS: dict[type, Callable] = {Dense: _dense_columns, Conv: _conv_columns}


def _sums(op: AccumulatorOp, weights, bias, inputs: FixedPoint):
    """(acc_min, acc_max, needed_bits, what there is besides with tiles) of a LayerCertificate.

    Raises ConfigurationError where a sum leaves 64 bits.
    """
    bottom, top = bounds.acc_range(weights, inputs.lo, inputs.hi, bias)
    bits = bounds.bits_for(bottom, top)
    if op.tile is None:
        return bottom, top, bits, {}
    inner = tiles.inner_range(weights, inputs.lo, inputs.hi, op.tile)
    tile_bits = bounds.bits_for(*inner)
    outer = {"tile_bits": tile_bits, "outer_bits": bits, "outer_min": bottom, "outer_max": top}
    return inner[0].min(axis=0), inner[1].max(axis=0), tile_bits.max(axis=0), outer


def _extreme_input(weights, inputs: FixedPoint, sign: int) -> np.ndarray:
    if sign not in (1, -1):
        raise ConfigurationError(f"sign={sign!r} is not allowed; give 1 for the largest sum or -1 for the smallest")
    upward = sign * weights
    return np.where(upward > 0, inputs.hi, np.where(upward < 0, inputs.lo, 0))


def _datatype_bits(k, weights: FixedPoint, inputs: FixedPoint) -> int:
    signed_bits = max(weights.bits + (not weights.signed), 2)  # unsigned codes as signed ones of one bit more
    return bounds.datatype_acc_bits(k, signed_bits, inputs.bits, inputs.signed)


def _bias_format(bias, op, inputs: FixedPoint) -> FixedPoint:
    """The smallest signed format, on the accumulator's grid, that holds the bias codes of a layer."""
    bits = int(bounds.bits_for(min(bias.min(), 0), max(bias.max(), 0)))
    return FixedPoint(bits, op.weight_format.frac + inputs.frac, signed=True)
