"""How a window moves over a tensor: the one description that dense layers, convolutions and pooling share."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """A window over an image (rows, columns, channels) that arrives in row-major order, channels last.

    window, strides, dilation: per row and column; pads: places before and behind the rows, and the columns.  A dense
    layer is a window of one place over an image of as many places as it has vectors.
    """

    image: tuple[int, int, int]
    window: Pair = (1, 1)
    strides: Pair = (1, 1)
    pads: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    @property
    def extent(self) -> Pair:
        """Rows and columns that the window spans, those that dilation skips included."""
        rows, cols = ((size - 1) * step + 1 for size, step in zip(self.window, self.dilation))
        return rows, cols

    @property
    def places(self) -> Pair:
        """Rows and columns of the result."""
        axes = zip(self.image, self.pads, self.extent, self.strides)
        rows, cols = ((size + sum(pads) - extent) // stride + 1 for size, pads, extent, stride in axes)
        return rows, cols

    @property
    def codes(self) -> int:
        """Codes of the image."""
        return prod(self.image)

    @property
    def products(self) -> int:
        """Products of a window: the K of its sums."""
        return prod(self.window) * self.image[2]

    @property
    def padded(self) -> bool:
        """Whether any window reaches beyond the image."""
        return any(before or behind for before, behind in self.pads)


def vectors(shape: tuple[int, ...]) -> Geometry:
    """The geometry of an op over the last axis of a tensor of this shape.

    >>> vectors((5, 3)).image, vectors((64,)).image
    ((1, 5, 3), (1, 1, 64))
    """
    return Geometry((1, prod(shape[:-1]), shape[-1]))


def sliding(shape: tuple[int, ...], window, strides, pads, dilation=None) -> Geometry:
    """The geometry of a window over a sequence (steps, channels), as an image of one row, or over an image."""
    lead = 3 - len(shape)
    ones, dilation = (1,) * lead, dilation or (1,) * len(window)
    return Geometry(
        (*ones, *shape), (*ones, *window), (*ones, *strides), (*((0, 0),) * lead, *pads), (*ones, *dilation)
    )
