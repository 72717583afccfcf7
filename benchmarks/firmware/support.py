"""Which op and network is exact on which backend, io_type and strategy of hls4ml: built, run and compared bit for bit.

    python benchmarks/firmware/support.py [--output docs/support.md] [--only "Vitis io_stream"]

For each way to build, all programs that are not refused go side by side into one firmware, whose every layer and output
is compared with the golden run on random inputs, values between the codes and worst cases.  Exit status 1 if any
differs.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from a2q_keras.cosim.run import cosim
from a2q_keras.errors import A2QError
from a2q_keras.hls.layers import plan
from a2q_keras.hls.project import build
from a2q_keras.hls.settings import BACKENDS, IO_TYPES, HlsConfig
from a2q_keras.integer.graph import IntegerProgram
from benchmarks.firmware import ops
from benchmarks.firmware.networks import NETWORKS

FACTORS = {"Resource": 4, "resource_unrolled": 3}
EXACT, OTHERWISE, REFUSED, NOT_RUN, CONVERTED = "exact", "exact*", "refused", "not run", "converted"
DIFFERS, BROKEN = "DIFFERS", "no result"  # either is a fault of ours
MEANINGS = {
    EXACT: "every code of every layer equals the golden run",
    OTHERWISE: "the same, with another strategy or reuse factor than asked for, of which a warning tells",
    REFUSED: "`to_hls` raises an error that names the layer and the alternative; the reasons are below",
    CONVERTED: "not runnable here: the C simulation needs icpx; every type and weight of the finished hls4ml graph was "
    "compared with the program",
    NOT_RUN: "not measured",
}


class Cell(NamedTuple):
    """What became of a program, and why."""

    verdict: str
    reason: str = ""


def configs(only: str) -> Iterator[HlsConfig]:
    """Every way to build that `only` names ("Vitis io_stream": those words)."""
    for backend, traits in BACKENDS.items():
        for io_type in IO_TYPES:
            for strategy in traits.strategies:
                config = HlsConfig(backend, io_type, strategy, FACTORS.get(strategy, 1))
                if set(only.split()) <= set(label(config).split()):
                    yield config


def label(config: HlsConfig) -> str:
    """The name of a way to build."""
    return f"{config.backend} {config.io_type} {config.strategy}"


def programs() -> dict[str, IntegerProgram]:
    """All networks and ops, by name."""
    return {name: make() for name, make in NETWORKS.items()} | {name: ops.program(name) for name in ops.OPS}


def column(config: HlsConfig, known: dict[str, IntegerProgram]) -> dict[str, Cell]:
    """The cells of one way to build."""
    cells = {name: _planned(program, config) for name, program in known.items()}
    if not BACKENDS[config.backend].simulated:
        return {
            name: cell if cell.verdict == REFUSED else _converted(known[name], config) for name, cell in cells.items()
        }
    possible = [name for name, cell in cells.items() if cell.verdict in (EXACT, OTHERWISE)]
    return cells | (_together(config, known, possible, cells) if possible else {})


def _planned(program, config) -> Cell:
    if config.strategy == "distributed_arithmetic" and find_spec("da4ml") is None:
        return Cell(NOT_RUN)
    try:
        notices = plan(program, config).notices
    except A2QError as error:
        return Cell(REFUSED, str(error).split(": ", 1)[1])
    return Cell(OTHERWISE if notices else EXACT)


def _converted(program, config) -> Cell:
    """The verdict where a firmware can be made and looked at, not run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the notices are in the table
        try:
            build(program, config)
        except A2QError as error:
            return Cell(BROKEN, str(error).splitlines()[0])
    return Cell(CONVERTED)


def _together(config, known, names, cells) -> dict[str, Cell]:
    """The verdicts after one build of all; where that gives no result, halves show whose fault it is."""
    try:
        report = _compared(config, [known[name] for name in names])
    except A2QError as error:
        if len(names) == 1:
            return {names[0]: Cell(BROKEN, str(error).splitlines()[0])}
        half = len(names) // 2
        return _together(config, known, names[:half], cells) | _together(config, known, names[half:], cells)
    differing = {mismatch.layer.split("_")[0] for part in report.parts for mismatch in part.mismatches}
    first = str(report.first)
    return {name: Cell(DIFFERS, first) if f"p{i}" in differing else cells[name] for i, name in enumerate(names)}


def _compared(config, chosen):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the notices are in the table
        return cosim(ops.side_by_side(chosen), n_random=100, config=config)


def markdown(columns: dict[str, dict[str, Cell]], known) -> str:
    """The page."""
    names = list(columns)
    head = ["", *(name.replace(" ", "<br>") for name in names)]
    rows = [[row, *(columns[name][row].verdict for name in names)] for row in known]
    reasons = sorted(
        {f"- {row}: {cell.reason}" for name in names for row, cell in columns[name].items() if cell.reason}
    )
    return "\n".join(
        [
            "# What is exact where",
            "",
            "Every network and op, built through hls4ml and run in C simulation; each cell is a measurement. Made by",
            "`python benchmarks/firmware/support.py --output docs/support.md`.",
            "",
            *(f"- **{word}**: {meaning}" for word, meaning in MEANINGS.items()),
            "",
            *(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]),
            "",
            "Reasons:",
            "",
            *reasons,
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", default="", help="words of the ways to build, such as 'Vitis io_stream'")
    arguments = parser.parse_args()
    known, columns = programs(), {}
    for config in configs(arguments.only):
        start = time.perf_counter()
        columns[label(config)] = column(config, known)
        verdicts = [cell.verdict for cell in columns[label(config)].values()]
        counts = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
        print(f"{label(config)}: {counts} ({time.perf_counter() - start:.0f} s)", flush=True)
    page = markdown(columns, known)
    arguments.output.write_text(page) if arguments.output else print(page)
    return int(any(cell.verdict in (DIFFERS, BROKEN) for cells in columns.values() for cell in cells.values()))


if __name__ == "__main__":
    sys.exit(main())
