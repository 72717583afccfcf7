"""Resources of a design or a program, by synthesis; results are kept by content where A2Q_CACHE names a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import NamedTuple

from a2q_keras.errors import ConfigurationError, FileError
from a2q_keras.integer.graph import Input, IntegerProgram, Op, Reshape, sources
from a2q_keras.resources import yosys
from a2q_keras.resources.usage import ResourceReport, Usage
from a2q_keras.rtl import styles
from a2q_keras.rtl.design import RtlDesign
from a2q_keras.tools import CACHE, YOSYS

WHOLE, BY_LAYER = "whole design", "layer by layer, added"


class Synthesis(NamedTuple):
    """How designs are synthesised; timeout: seconds for each run of Yosys."""

    family: str = "xcup"
    dsp: bool = False
    by_module: bool = False
    timeout: float = yosys.HOUR


def of_design(design: RtlDesign, how: Synthesis) -> ResourceReport:
    """The report of a design that is synthesised as a whole."""
    yosys.check(design.language, how.family)
    version = YOSYS.version()
    kept = _kept(design, how, version)
    if kept is not None and (report := _load(kept)):
        return report
    parts = yosys.synthesize(design, *how)
    total = reduce(Usage.__add__, parts.values())
    origin = (design.name, design.digest(), version, how.family, how.dsp, WHOLE)
    report = ResourceReport(*origin, total, parts if how.by_module else {}, design.estimated_luts)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        report.save(kept)
    return report


def _kept(design: RtlDesign, how: Synthesis, version: str) -> Path | None:
    """Where the report of this very text, by Yosys of this very version, is kept."""
    if not os.environ.get(CACHE):
        return None
    key = (design.digest(), version, yosys.script(design, how.family, how.dsp, how.by_module), yosys.COUNTED)
    return Path(os.environ[CACHE]) / f"resources-{hashlib.sha256(repr(key).encode()).hexdigest()}.json"


def _load(path: Path) -> ResourceReport | None:
    """A kept report; a damaged one is made again."""
    try:
        return ResourceReport.load(path)
    except FileError:
        return None


def of_layers(
    program: IntegerProgram,
    how: Synthesis,
    only: Sequence[str] = (),
    on_layer: Callable[[str], None] = lambda name: None,
    **options,
) -> ResourceReport:
    """The report of a program whose ops are built and synthesised one by one, and added; options: of the style.

    An op alone takes every code of its inputs' formats, and registers stand at its ports: the whole design may need
    less.  only: names of ops, or all.  on_layer: is called with the name of each op before it.
    """
    unknown = sorted(set(only) - {op.name for op in program.ops})
    if unknown:
        raise ConfigurationError(f"{program.name!r} has no layer {unknown[0]!r}; its ops are {_names(program)}")
    reports = {}
    for op in program.ops:
        if op.name in only if only else not isinstance(op, Reshape):
            on_layer(op.name)
            reports[op.name] = of_design(styles.build(alone(program, op), **options), how)
    total = reduce(Usage.__add__, (report.total for report in reports.values()), Usage())
    parts = {name: report.total for name, report in reports.items()}
    estimates = [report.estimated_luts or 0 for report in reports.values()]
    origin = (program.name, program.digest(), YOSYS.version(), how.family, how.dsp, BY_LAYER)
    return ResourceReport(*origin, total, parts, sum(estimates))


def _names(program) -> str:
    return ", ".join(op.name for op in program.ops)


def alone(program: IntegerProgram, op: Op) -> IntegerProgram:
    """The program of one op, whose inputs are the tensors that it reads."""
    read = dict.fromkeys(sources(op))
    inputs = tuple(Input(name, program.shapes[name], program.formats[name]) for name in read)
    return IntegerProgram(f"{program.name}, {op.name}", inputs, (op,), (op.name,))
