"""C synthesis reports of Vitis HLS and Vivado HLS (`TOP_csynth.xml`): estimates, made before logic is optimised."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET

from a2q_keras.errors import FileError
from a2q_keras.resources.usage import ResourceReport, Timing, Usage

METHOD = "C synthesis estimate"
KIND = "C synthesis report"
RESOURCES = "AreaEstimates/Resources"
LATENCY = "PerformanceEstimates/SummaryOfOverallLatency"
TIMING = {
    "target_ns": ("UserAssignments/TargetClockPeriod", float),
    "estimated_ns": ("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod", float),
    "latency_min": (f"{LATENCY}/Best-caseLatency", int),
    "latency_max": (f"{LATENCY}/Worst-caseLatency", int),
    "interval_min": (f"{LATENCY}/Interval-min", int),
    "interval_max": (f"{LATENCY}/Interval-max", int),
}
OPEN = ("undef", "-", "?", "")  # what stands where a latency depends on data


def parse(text: str, path) -> ResourceReport:
    """The report in an XML text; path: the file, for messages.  FileError where it is cut off, altered or another."""
    root = _root(text, path)
    # the multipliers' tag tells the two tools apart, whose version numbers overlap
    vitis = root.find(f"{RESOURCES}/DSP") is not None
    tool = f"{'Vitis' if vitis else 'Vivado'} HLS {_text(root, 'ReportVersion/Version', path)}"
    name, part = (_text(root, f"UserAssignments/{entry}", path) for entry in ("TopModelName", "Part"))
    total = Usage(
        luts=_count(root, "LUT", path),
        ffs=_count(root, "FF", path),
        carries=None,
        dsps=_count(root, "DSP" if vitis else "DSP48E", path),
        brams=_count(root, "BRAM_18K", path),
        # older versions have no such line for families without this memory
        urams=0 if root.find(f"{RESOURCES}/URAM") is None else _count(root, "URAM", path),
    )
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ResourceReport(name, digest, tool, part, True, METHOD, total, timing=_timing(root, path))


def _root(text: str, path) -> ET.Element:
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise FileError(f"{path} is no whole {KIND}: {error}; run the C synthesis again") from error
    if root.tag != "profile" or root.find(RESOURCES) is None:
        raise FileError(
            f"{path} is no {KIND}: it is XML with <{root.tag}> at the top, without <profile> or {RESOURCES}; "
            "give solution1/syn/report/TOP_csynth.xml"
        )
    return root


def _text(root, entry: str, path) -> str:
    found = (root.findtext(entry) or "").strip()
    if not found:
        raise FileError(f"{path} is no whole {KIND}: it has no {entry}; run the C synthesis again")
    return found


def _count(root, entry: str, path) -> int:
    text = _text(root, f"{RESOURCES}/{entry}", path)
    if not (text.isascii() and text.isdigit()):
        raise FileError(f"{path}: {entry} is {text!r}, which is no count; run the C synthesis again")
    return int(text)


def _timing(root, path) -> Timing:
    found = {}
    for name, (entry, number) in TIMING.items():
        text = (root.findtext(entry) or "").strip()
        try:
            found[name] = None if text in OPEN else number(text)
        except ValueError as error:
            raise FileError(f"{path}: {entry} is {text!r}, which is no number; run the C synthesis again") from error
    return Timing(**found)
