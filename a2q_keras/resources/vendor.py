"""Reports that Vitis HLS, Vivado HLS and Vivado wrote, as the record that synthesis with Yosys gives, too."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from a2q_keras.errors import FileError
from a2q_keras.resources import csynth, utilization
from a2q_keras.resources.usage import ResourceReport

SYNTHESIS = "vivado_synth.rpt"  # hls4ml's name for it
SUFFIXES = (".xml", ".rpt")


def read(path) -> ResourceReport:
    """The report in a file, or the latest step's in the folder of an hls4ml project: Vivado's, else C synthesis'.

    Raises FileError where there is none, where it is cut off, altered or of another kind, and, in a folder, where it
    is older than what it must be about: the firmware's source, or for Vivado's the C synthesis.
    """
    path = Path(path)
    if path.is_dir():
        path = _of_project(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileError(
            f"{path} cannot be read ({error.strerror or error}); check the name, or run synthesis"
        ) from error
    if text.lstrip().startswith("<"):
        return csynth.parse(text, path)
    if utilization.COMMAND in text:
        return utilization.parse(text, path)
    raise FileError(
        f"{path} is neither a {csynth.KIND} (TOP_csynth.xml) nor a {utilization.KIND} of Vivado "
        f"({SYNTHESIS}): give one of these, or the folder of an hls4ml project"
    )


def estimate_of(folder: Path, project: str) -> Path:
    """Where the C synthesis of an hls4ml project leaves its report."""
    return folder / f"{project}_prj" / "solution1" / "syn" / "report" / f"{project}_csynth.xml"


def remove(folder: Path, project: str):
    """Take away the reports of earlier runs, so that what is read after a run is of that run."""
    for report in (estimate_of(folder, project), folder / SYNTHESIS):
        report.unlink(missing_ok=True)


def _of_project(folder: Path) -> Path:
    names = [path.name.removesuffix("_prj") for path in sorted(folder.glob("*_prj"))]
    if len(names) > 1:
        raise FileError(f"{folder} holds several projects ({', '.join(names)}); give the report itself")
    chain = [folder / "firmware" / f"{name}.cpp" for name in names] + [estimate_of(folder, name) for name in names]
    chain = [path for path in (*chain, folder / SYNTHESIS) if path.is_file()]
    if not chain or chain[-1].suffix not in SUFFIXES:
        raise FileError(f"{folder} holds no report of a synthesis; run it there, or give the report itself")
    for older, newer in pairwise(chain):
        if newer.stat().st_mtime < older.stat().st_mtime:
            raise FileError(
                f"{newer} is older than {older.name}, so of another run; run it again, or give the file itself"
            )
    return chain[-1]
