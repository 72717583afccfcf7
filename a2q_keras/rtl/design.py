"""A finished hardware design as plain data: its files, its ports, and how long it takes.  Nothing is on disk yet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from a2q_keras.errors import ConfigurationError
from a2q_keras.integer import storage
from a2q_keras.numerics.formats import FixedPoint

STYLES = ("parallel", "folded")
SUFFIXES = {"verilog": ".v", "vhdl": ".vhd"}
MANIFEST = "design.json"
KIND = "a2q_keras hardware design"
VERSION = 1


class Place(NamedTuple):
    """Where one value stands on a flat bus: bits low .. low + bits - 1, in two's complement where signed.

    Its code in the format of the port is the number there times 2**shift; with bits = 0 it is always zero.
    """

    low: int
    bits: int
    signed: bool
    shift: int


@dataclass(frozen=True)
class Port:
    """A network input or output in hardware.

    tensor, shape (without batch), format: as in the integer program.  places: of each value on the flat bus `bus`, in
    row-major order (style parallel).  per_beat: how many values, in row-major order, the stream `bus`_data carries at
    a time, the first in the lowest bits, each as wide as the format (style folded).
    """

    bus: str
    tensor: str
    shape: tuple[int, ...]
    format: FixedPoint
    places: tuple[Place, ...] = ()
    per_beat: int = 0


@dataclass(frozen=True, eq=False)
class RtlDesign:
    """Hardware that computes an integer program.

    top: the module to use.  files: text by relative path; constraints and memory contents are among them.
    Style parallel: buses model_inp and model_out, and clk where it is pipelined: a new input every clock cycle.
    Style folded: clk, rst, and valid/ready streams.  latency: clock cycles from an input to its output, 0 for
    combinational logic, None where it is not fixed.  estimated_luts: an estimate by the generator, not synthesis.

    Raises ConfigurationError for an unknown style or language, and for paths that leave the folder.
    """

    name: str
    top: str
    style: str
    files: Mapping[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    latency: int | None
    language: str = "verilog"
    estimated_luts: float | None = None

    def __post_init__(self):
        if self.style not in STYLES or self.language not in SUFFIXES:
            raise ConfigurationError(
                f"style {self.style!r} in {self.language!r} is unknown; there are {', '.join(STYLES)} in "
                f"{', '.join(SUFFIXES)}"
            )
        for path in self.files:
            if Path(path).is_absolute() or ".." in Path(path).parts or path == MANIFEST:
                raise ConfigurationError(f"a design has no file {path!r}; use relative paths other than {MANIFEST}")

    @property
    def sources(self) -> tuple[str, ...]:
        """The paths of the files in the hardware language."""
        return tuple(path for path in self.files if path.endswith(SUFFIXES[self.language]))

    def digest(self) -> str:
        """SHA-256 over files, ports and latency; equal designs have equal digests."""
        return hashlib.sha256(storage.to_text(self._record()).encode()).hexdigest()

    def write(self, folder) -> Path:
        """Write the files and, last, design.json, each atomically; files of an older design there are removed.

        Returns the folder.  Raises FileError where that fails.
        """
        folder = Path(folder)
        old = _files_of(folder)
        for path, text in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            storage.write_text(folder / path, text)
        storage.write_text(folder / MANIFEST, storage.to_text(self._record()) + "\n")
        for path in old - set(self.files):
            (folder / path).unlink(missing_ok=True)
        return folder

    def _record(self) -> dict:
        files = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in self.files.items()}
        ports = {side: [_port(port) for port in getattr(self, side)] for side in ("inputs", "outputs")}
        plain = {key: getattr(self, key) for key in ("name", "top", "style", "language", "latency", "estimated_luts")}
        return {"format": KIND, "version": VERSION} | plain | ports | {"files": files}


def _port(port: Port) -> dict:
    """Plain data; a place is written as [low, bits, signed, shift]."""
    return asdict(port) | {"shape": list(port.shape), "places": [list(place) for place in port.places]}


def _files_of(folder: Path) -> set[str]:
    """The files that the design.json of a folder names, if there is one."""
    if not (folder / MANIFEST).exists():
        return set()
    path = folder / MANIFEST
    with storage.reading(path, KIND):
        files = storage.parse(storage.read_text(path, KIND), path, KIND, VERSION)["files"]
        return {name for name in files if ".." not in Path(name).parts and not Path(name).is_absolute()}
