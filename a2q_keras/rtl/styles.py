"""The styles of hardware by name: one row says how it is configured and who builds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import NamedTuple

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer.graph import IntegerProgram
from a2q_keras.rtl import parallel
from a2q_keras.rtl.design import RtlDesign
from a2q_keras.rtl.folded import build as folded
from a2q_keras.rtl.folded.folding import Folding


class Style(NamedTuple):
    """The record of a style's options, and the function (program, record, on_op) -> design."""

    config: type
    build: Callable


STYLES = {
    "parallel": Style(parallel.ParallelConfig, parallel.build),
    "folded": Style(Folding, folded.build),
}


def build(
    program: IntegerProgram,
    style: str = "parallel",
    on_op: Callable[[str], None] = lambda name: None,
    **options,
) -> RtlDesign:
    """The design of a program in a style; options: the fields of the style's record.

    on_op: is called with the name of each op before it is built.  Raises ConfigurationError for an unknown style or
    option, and what the style raises.
    """
    config = configure(style, **options)
    return STYLES[style].build(program, config, on_op)


def configure(style: str, **options):
    """The record of a style's options.  Raises ConfigurationError for an unknown style or option."""
    if style not in STYLES:
        raise ConfigurationError(f"style {style!r} is unknown; there are {', '.join(STYLES)}")
    known = [field.name for field in fields(STYLES[style].config)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigurationError(f"style {style!r} has no option {unknown[0]!r}; it has {', '.join(known)}")
    return STYLES[style].config(**options)
