"""Equality of integer codes, layer by layer.  There is no tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np

from a2q_keras.errors import ToolFailedError

NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True)
class Mismatch:
    """The first code of a layer that differs, and how many of its codes do."""

    layer: str
    sample: int
    index: tuple[int, ...]
    wanted: int
    got: int
    differing: int
    compared: int
    wanted_format: str = ""
    got_format: str = ""

    def __str__(self):
        formats = f"; wanted {self.wanted_format}, got {self.got_format}" if self.wanted_format else ""
        return (
            f"layer {self.layer!r}, sample {self.sample}, index {self.index}: got code {self.got}, "
            f"wanted {self.wanted} ({self.differing} of {self.compared} codes differ{formats})"
        )

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self) | {"index": list(self.index)}


def port(output: str) -> str:
    """The name under which an output port is compared, beside the layer that feeds it."""
    return f"{output} (output)"


def mismatches(order, wanted: dict, got: dict, wanted_formats=NOTHING, got_formats=NOTHING) -> tuple[Mismatch, ...]:
    """One record for each layer that differs, in the given order of layer names.

    wanted, got: code arrays (samples, *shape) by layer.  Formats, where given, are shown in the records.
    Raises ToolFailedError where `got` lacks a layer or has it in another shape: that is no result at all.
    """
    _check_complete(order, wanted, got)
    found = (
        _mismatch(name, wanted[name], got[name], wanted_formats.get(name, ""), got_formats.get(name, ""))
        for name in order
    )
    return tuple(record for record in found if record)


def first_mismatch(order, wanted: dict, got: dict, wanted_formats=NOTHING, got_formats=NOTHING) -> Mismatch | None:
    """The first of `mismatches`, or None where all codes are equal."""
    return next(iter(mismatches(order, wanted, got, wanted_formats, got_formats)), None)


def _check_complete(order, wanted, got):
    for name in order:
        if name not in got or got[name].shape != wanted[name].shape:
            found = f"codes of shape {got[name].shape}" if name in got else "no codes"
            raise ToolFailedError(
                f"layer {name!r}: the engine returned {found}, wanted shape {wanted[name].shape}; nothing was compared"
            )


def _mismatch(name, wanted, got, wanted_format, got_format) -> Mismatch | None:
    differs = wanted != got
    if not differs.any():
        return None
    place = tuple(map(int, np.argwhere(differs)[0]))
    return Mismatch(
        layer=name,
        sample=place[0],
        index=place[1:],
        wanted=int(wanted[place]),
        got=int(got[place]),
        differing=int(differs.sum()),
        compared=differs.size,
        wanted_format=str(wanted_format),
        got_format=str(got_format),
    )
