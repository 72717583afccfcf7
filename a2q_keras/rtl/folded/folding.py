"""How much of each layer works at the same time: a request, and what it comes to for one layer."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import gcd

from a2q_keras.errors import ConfigurationError
from a2q_keras.numerics.formats import FixedPoint
from a2q_keras.rtl.folded.geometry import Geometry

Count = int | Mapping[str, int]


@dataclass(frozen=True)
class Folding:
    """pe: output channels that a layer computes at a time; simd: products of each of them in a cycle.

    Each is one number for all layers, or a dict by layer with "*" for the others (1 where that is missing).  pe must
    divide the output channels, simd the input channels (of a dense layer: the inputs) and, where a layer has several
    tiles, the products of one.  For max pooling pe is the channels at a time, and simd is not used.
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
    """pe and simd of one layer, and the clock cycles that it then takes for a sample."""

    pe: int
    simd: int
    cycles: int


@dataclass(frozen=True)
class Tiles:
    """Multi-stage accumulation of a layer: the products of a tile, and the format of the outer accumulators."""

    products: int
    outer: FixedPoint


def choose(name: str, geometry: Geometry, channels: int, folding: Folding, tile: int | None = None) -> Fold:
    """The fold of a layer of `channels` output channels that sums `tile` products at a time, or (None) all.

    A beat holds products of one tile: where there are several, simd divides theirs, too.
    Raises ConfigurationError, naming the legal values, where pe or simd divide nothing or no fold is fast enough.
    """
    inputs, tile = geometry.image[2], None if tile is None or tile >= geometry.products else tile
    legal = divisors(channels), divisors(inputs if tile is None else gcd(inputs, tile))
    if folding.cycles is not None:
        return _fitting(name, [_fold(geometry, channels, *both) for both in product(*legal)], folding.cycles)
    pe, simd = _asked(folding.pe, name), _asked(folding.simd, name)
    nothing = "divides nothing there"
    both = nothing if tile is None else f"divides not both its {inputs} input channels and its tile of {tile} products"
    _check_count(name, "pe", pe, legal[0], nothing)
    _check_count(name, "simd", simd, legal[1], both)
    return _fold(geometry, channels, pe, simd)


def _check_count(name: str, key: str, value, allowed: list[int], wrong: str):
    if value not in allowed:
        raise ConfigurationError(
            f"layer {name!r}: {key}={value!r} {wrong}; allowed are {', '.join(map(str, allowed))}; "
            f'give {key} by layer, such as {{"{name}": {allowed[-1]}, "*": 1}}'
        )


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


def cycles_of(geometry: Geometry, channels: int, pe: int, simd: int) -> int:
    """Cycles for a sample: those of the products, or of the inputs where they are more.

    >>> cycles_of(Geometry((1, 1, 64)), 32, pe=4, simd=8)
    64
    """
    places, window = geometry.places, geometry.window
    products = places[0] * places[1] * (channels // pe) * window[0] * window[1] * (geometry.image[2] // simd)
    return max(products, geometry.codes // simd)


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


def _fold(geometry: Geometry, channels: int, pe: int, simd: int) -> Fold:
    return Fold(pe, simd, cycles_of(geometry, channels, pe, simd))


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
