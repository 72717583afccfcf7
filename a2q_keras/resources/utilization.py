"""Reports of Vivado's `report_utilization`, such as hls4ml's `vivado_synth.rpt`: what the netlist takes of the part."""

from __future__ import annotations

import hashlib
import re

from a2q_keras.errors import FileError
from a2q_keras.resources.usage import ResourceReport, Usage

COMMAND = "report_utilization"
KIND = "utilization report"
AGAIN = f"write it again with Vivado's {COMMAND}"
SYNTHESIZED = "Synthesized"
CARRIES = ("CARRY4", "CARRY8")


def parse(text: str, path) -> ResourceReport:
    """The report in a text; path: the file, for messages.  FileError where it is cut off, altered or another.

    Families are 7 series, UltraScale and UltraScale+; flip-flops include latches.
    """
    tool, name, part, state = (
        _head(text, entry, path) for entry in ("Tool Version", "Design", "Device", "Design State")
    )
    _check_whole(text, path)
    sites, primitives = _rows(text, "Site Type"), _rows(text, "Ref Name")
    if not primitives:
        raise FileError(f"{path} is no whole {KIND}: it lists no primitives; {AGAIN}")
    total = Usage(
        luts=_count(sites, ("CLB LUTs", "Slice LUTs"), path),
        ffs=_count(sites, ("CLB Registers", "Slice Registers"), path),
        carries=sum(_count(primitives, (kind,), path) for kind in CARRIES if kind in primitives),
        dsps=_count(sites, ("DSPs",), path),
        brams=_count(sites, ("Block RAM Tile",), path, units=2),  # a tile holds two memories of 18 Kbit
        urams=_count(sites, ("URAM",), path) if "URAM" in sites else 0,
    )
    method = "Vivado synthesis" if state == SYNTHESIZED else f"Vivado, {state.lower()}"
    version = re.sub(r"^Vivado v\.?(\S+).*", r"Vivado \1", tool)
    return ResourceReport(name, hashlib.sha256(text.encode()).hexdigest(), version, part, True, method, total)


def _head(text: str, entry: str, path) -> str:
    found = re.search(rf"^\| {entry} *: *(.*\S) *$", text, re.MULTILINE)
    if not found:
        raise FileError(f"{path} is no whole {KIND}: its head has no {entry!r}; {AGAIN}")
    return found[1]


def _check_whole(text: str, path):
    """FileError unless the last section of the table of contents is there and no table is cut off at the end."""
    contents = re.search(r"^Table of Contents\n-+\n((?:.+\n)+)", text, re.MULTILINE)
    last = contents[1].splitlines()[-1].strip() if contents else "table of contents"
    if not contents or not re.search(rf"^{re.escape(last)}\n-+$", text, re.MULTILINE):
        raise FileError(f"{path} is no whole {KIND}: section {last!r} is missing; {AGAIN}")
    end = text.rstrip().splitlines()[-1]
    if end.startswith("|"):
        raise FileError(f"{path} is no whole {KIND}: its last table ends with {end!r:.60}; {AGAIN}")


def _rows(text: str, first: str) -> dict[str, str]:
    """Column "Used" by first column, of the tables whose columns are `first`, "Used" and more than that.

    The same name in a later table is another count of the same sites, as by regions of the chip.
    """
    found: dict[str, str] = {}
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] == first:
            inside = cells[1:2] == ["Used"] and len(cells) > 2
        elif inside and len(cells) > 2:
            found.setdefault(cells[0].rstrip("*"), cells[1])
        elif not line.startswith("+"):
            inside = False
    return found


def _count(rows: dict[str, str], names: tuple[str, ...], path, units: int = 1) -> int:
    """The entry of one of `names`, times `units`: a whole number."""
    name = next((name for name in names if name in rows), None)
    if name is None:
        raise FileError(f"{path}: no row {' or '.join(names)}; 7 series, UltraScale and UltraScale+ have one: {AGAIN}")
    number = re.fullmatch(r"\d+(\.[05])?", rows[name], re.ASCII)
    count = float(rows[name]) * units if number else 0.5
    if not count.is_integer():
        raise FileError(f"{path}: {name!r} is {rows[name]!r}, which is no count; {AGAIN}")
    return int(count)
