"""How much of each layer works at the same time: a request, and what it comes to for one layer."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from math import prod

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.geometry import Geometry

Count = int | Mapping[str, int]


@dataclass(frozen=True)
class Folding:
    """pe: output channels that a layer computes at a time; simd: products of each of them in a cycle.

    Each is one number for all layers, or a dict by layer with "*" for the others (1 where that is missing).  pe must
    divide the output channels, simd the input channels (of a dense layer: the inputs) and, where a layer has several
    tiles, the products of one.  In a convolution with groups these are the channels of one group; or pe is all output
    channels of several groups, as many as divide them, and simd all input channels of one.  For max pooling pe is the
    channels at a time, and simd is not used.
    cycles: instead of these two, a target: every layer gets the fewest multipliers with which a sample takes no more
    cycles.
    """

    pe: Count = 1
    simd: Count = 1
    cycles: int | None = None

    def only(self, layers: Container[str]) -> Folding:
        """The same for some of the layers: dicts name no others."""
        return replace(self, pe=_only(self.pe, layers), simd=_only(self.simd, layers))

    def names(self) -> set[str]:
        """The layers that dicts name."""
        return {name for count in (self.pe, self.simd) if isinstance(count, Mapping) for name in count} - {"*"}


@dataclass(frozen=True)
class Fold:
    """pe and simd of one layer, and the clock cycles that it then takes for a sample.

    groups: of channels that it takes at a time, where pe is all output channels of several.
    """

    pe: int
    simd: int
    cycles: int
    groups: int = 1

    @property
    def lanes(self) -> int:
        """Input codes of a beat."""
        return self.simd * self.groups


@dataclass(frozen=True)
class Tiles:
    """Multi-stage accumulation of a layer: the products of a tile, and the format of the outer accumulators."""

    products: int
    outer: FixedPoint


@dataclass(frozen=True)
class Work:
    """What a layer computes: at each place of its geometry `channels` sums over the window.

    groups: of input and of output channels; a sum reads the input channels of its group.  tile: how many of its
    products inner accumulators sum at a time; None: all.
    """

    geometry: Geometry
    channels: int
    groups: int = 1
    tile: int | None = None

    @property
    def inputs(self) -> int:
        """Input channels of a group."""
        return self.geometry.image[2] // self.groups

    @property
    def outputs(self) -> int:
        """Output channels of a group."""
        return self.channels // self.groups

    @property
    def tiled(self) -> bool:
        """Whether a sum has several tiles."""
        return self.tile is not None and self.tile < prod(self.geometry.window) * self.inputs

    def folds(self) -> list[Fold]:
        """Every fold: some output channels of a group at a time, or all those of several groups.

        A beat holds the same input channels of each group that is computed, side by side: of several groups, all.  It
        holds products of one tile: where there are several, simd divides theirs, too.
        """
        inside = [(pe, simd, 1) for pe in divisors(self.outputs) for simd in divisors(self.inputs)]
        across = [(groups * self.outputs, self.inputs, groups) for groups in divisors(self.groups)[1:]]
        fitting = [fold for fold in inside + across if not self.tiled or self.tile % fold[1] == 0]
        return [Fold(pe, simd, cycles_of(self, pe, simd, groups), groups) for pe, simd, groups in fitting]


def choose(name: str, work: Work, folding: Folding) -> Fold:
    """The fold of a layer.

    Raises ConfigurationError, naming the legal values, where pe or simd divide nothing or no fold is fast enough.
    """
    folds = work.folds()
    if folding.cycles is not None:
        return _fitting(name, folds, folding.cycles)
    pe, simd = _asked(folding.pe, name), _asked(folding.simd, name)
    _check_count(name, "pe", pe, sorted({fold.pe for fold in folds}), "divides nothing there")
    folds = [fold for fold in folds if fold.pe == pe]
    _check_count(name, "simd", simd, [fold.simd for fold in folds], _wrong_simd(work, folds[0]))
    return next(fold for fold in folds if fold.simd == simd)


def _check_count(name: str, key: str, value, allowed: list[int], wrong: str):
    if value not in allowed:
        raise ConfigurationError(
            f"layer {name!r}: {key}={value!r} {wrong}; allowed are {', '.join(map(str, allowed))}; "
            f'give {key} by layer, such as {{"{name}": {allowed[-1]}, "*": 1}}'
        )


def _wrong_simd(work: Work, fold: Fold) -> str:
    """What is wrong with a simd that no fold has whose pe is that of `fold`."""
    if fold.groups > 1:
        return f"is not all input channels of a group, and pe={fold.pe} takes {fold.groups} groups"
    if work.tiled:
        return f"divides not both its {work.inputs} input channels and its tile of {work.tile} products"
    return "divides nothing there"


def choose_pooling(name: str, geometry: Geometry, folding: Folding) -> Fold:
    """The fold of a max pooling: pe channels at a time, one place of the window in a cycle."""
    allowed = divisors(geometry.image[2])
    folds = [Fold(pe, pe, _pooling_cycles(geometry, pe)) for pe in allowed]
    if folding.cycles is not None:
        return _first(name, [fold for fold in folds if fold.cycles <= folding.cycles], folds[-1].cycles, folding.cycles)
    pe = _asked(folding.pe, name)
    if pe not in allowed:
        raise ConfigurationError(
            f"layer {name!r}: pe={pe!r} divides nothing there; allowed are {', '.join(map(str, allowed))}"
        )
    return folds[allowed.index(pe)]


def cycles_of(work: Work, pe: int, simd: int, groups: int = 1) -> int:
    """Cycles for a sample: those of the products, or of the inputs where they are more.

    >>> cycles_of(Work(Geometry((1, 1, 64)), 32), pe=4, simd=8)
    64
    """
    places, window = work.geometry.places, work.geometry.window
    products = prod(places) * (work.channels // pe) * prod(window) * (work.inputs // simd)
    return max(products, work.geometry.codes // (simd * groups))


def divisors(number: int) -> list[int]:
    """All divisors, smallest first.

    >>> divisors(10)
    [1, 2, 5, 10]
    """
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _pooling_cycles(geometry: Geometry, pe: int) -> int:
    places, window = geometry.places, geometry.window
    return max(places[0] * places[1] * window[0] * window[1] * geometry.image[2], geometry.codes) // pe


def _only(count: Count, layers: Container[str]) -> Count:
    if not isinstance(count, Mapping):
        return count
    return {name: value for name, value in count.items() if name in layers or name == "*"}


def _asked(count: Count, name: str) -> int:
    return count.get(name, count.get("*", 1)) if isinstance(count, Mapping) else count


def _fitting(name: str, folds: list[Fold], cycles: int) -> Fold:
    """The fewest multipliers that are fast enough; among equals the fewest accumulators."""
    folds = sorted(folds, key=lambda fold: (fold.pe * fold.simd, fold.pe))
    fastest = min(fold.cycles for fold in folds)
    return _first(name, [fold for fold in folds if fold.cycles <= cycles], fastest, cycles)


def _first(name: str, folds: list[Fold], fastest: int, cycles: int) -> Fold:
    if not folds:
        raise ConfigurationError(
            f"layer {name!r}: a sample in cycles={cycles} is out of reach; its fastest fold takes {fastest}; allow "
            'that many, or use style="parallel"'
        )
    return folds[0]
