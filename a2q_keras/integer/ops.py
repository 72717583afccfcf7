"""The ops of an integer program: frozen records, without Keras.

Shapes leave the batch axis out; images are (rows, columns, channels), sequences (steps, channels).  What an op computes
is said here in words and in `integer.run` in code; which shapes and formats fit together, in `integer.checks`.

Multi-stage accumulation.  Without `tile` an op with accumulators has one of `acc_bits` bits per output channel, which
sums all K products and the bias.  With `tile` = T the products are taken T at a time, in the order of the rows of the
weights reshaped to (K, C); the last tile may be shorter.  Each tile is summed from zero in an inner accumulator of
`acc_bits` bits.  The sums of the tiles and the bias are added in an outer accumulator, as wide as the codes ask for
(`numerics.tiles.outer_bits`): it is what the op makes, so its width is that of the op's format.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index

import numpy as np

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics.formats import FixedPoint


@dataclass(frozen=True)
class Input:
    """A network input, quantized on entry to `format` (round half to even, saturate)."""

    name: str
    shape: tuple[int, ...]
    format: FixedPoint


@dataclass(frozen=True, eq=False)
class Dense:
    """acc = bias + source @ weights over the last axis, exact, in an accumulator of `acc_bits` bits.

    weights: codes (K, C) int64; bias: codes (C,) int64 in the unit of the accumulator, whose frac is the sum of the
    fracs of the source and of `weight_format`.  tile: see above.
    """

    name: str
    source: str
    weights: np.ndarray
    bias: np.ndarray
    weight_format: FixedPoint
    acc_bits: int
    tile: int | None = None

    def __post_init__(self):
        _freeze_codes(self)


@dataclass(frozen=True, eq=False)
class Conv:
    """acc = bias + the correlation of the source with `weights` along its spatial axes, in `acc_bits` bits.

    weights: codes (*window, inputs per group, C) int64; bias as in Dense.  strides, dilation: per spatial axis; pads:
    zeros before and behind each of them; groups: output channel c reads the input channels of group
    c // (C / groups).  A depthwise convolution has as many groups as input channels.  tile: see above; products go
    along the window, its last axis fastest, and within it along the input channels.
    """

    name: str
    source: str
    weights: np.ndarray
    bias: np.ndarray
    weight_format: FixedPoint
    acc_bits: int
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1
    tile: int | None = None

    def __post_init__(self):
        _freeze_codes(self)

    @property
    def window(self) -> tuple[int, ...]:
        """Weights along each spatial axis."""
        return self.weights.shape[:-2]

    @property
    def extent(self) -> tuple[int, ...]:
        """Source values that the window spans along each spatial axis, those that dilation skips included."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.window, self.dilation))


@dataclass(frozen=True)
class Quantize:
    """Requantization to `format`: round half to even, saturate.  An unsigned format makes it a ReLU."""

    name: str
    source: str
    format: FixedPoint


@dataclass(frozen=True)
class Reshape:
    """The same codes in another shape, row-major."""

    name: str
    source: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class MaxPool:
    """The largest code of each window and channel; padding never wins."""

    name: str
    source: str
    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class AvgPool:
    """The exact mean of each window and channel, over the codes that are not padding.

    The result has log2(window size) more fractional bits; every window must hold a power of two of codes.
    """

    name: str
    source: str
    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Add:
    """The exact sum of the sources, value by value, in `numerics.formats.sum_format` of their formats."""

    name: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Concatenate:
    """The sources side by side along `axis` (from 0, batch not counted), in `union_format` of their formats."""

    name: str
    sources: tuple[str, ...]
    axis: int


@dataclass(frozen=True)
class Upsample:
    """Each code repeated `factors` times along each spatial axis: nearest neighbour."""

    name: str
    source: str
    factors: tuple[int, ...]


@dataclass(frozen=True)
class Pad:
    """Zeros before and behind each spatial axis."""

    name: str
    source: str
    pads: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Crop:
    """Codes cut off before and behind each spatial axis."""

    name: str
    source: str
    cuts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Transpose:
    """Axis i of the result is axis `axes[i]` of the source (from 0, batch not counted)."""

    name: str
    source: str
    axes: tuple[int, ...]


Op = Dense | Conv | Quantize | Reshape | MaxPool | AvgPool | Add | Concatenate | Upsample | Pad | Crop | Transpose
AccumulatorOp = Dense | Conv


def sources(node: Input | Op) -> tuple[str, ...]:
    """The names of the tensors that a node reads."""
    if isinstance(node, Input):
        return ()
    return node.sources if isinstance(node, (Add, Concatenate)) else (node.source,)


def _freeze_codes(op):
    for key in ("weights", "bias"):
        given = np.asarray(getattr(op, key))
        if given.dtype.kind not in "iub" and not (given == np.rint(given)).all():
            raise ConfigurationError(f"layer {op.name!r}: its {key} are codes, whole numbers; got {given.dtype}")
        codes = np.ascontiguousarray(given, dtype=np.int64)
        codes.flags.writeable = False
        object.__setattr__(op, key, codes)
    object.__setattr__(op, "acc_bits", index(op.acc_bits))
