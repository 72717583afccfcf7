"""What a design takes of an FPGA, as frozen records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from a2q_keras.integer import storage

KIND = "a2q_keras resource report"
VERSION = 1


@dataclass(frozen=True)
class Usage:
    """Counts of primitives: look-up tables (shift registers and small memories made of them included), flip-flops,
    carry chains (CARRY8 or CARRY4), multipliers, and block memories in units of 18 Kbit."""

    luts: int = 0
    ffs: int = 0
    carries: int = 0
    dsps: int = 0
    brams: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(mine + theirs for mine, theirs in zip(asdict(self).values(), asdict(other).values())))


@dataclass(frozen=True)
class ResourceReport:
    """The usage of a design, where the figures come from, and their parts.

    tool: its version, as it says itself.  family, dsp: what was synthesised for, and whether multipliers were allowed.
    method: "whole design", or "layer by layer, added".  parts: usage by module or layer, where asked for; all instances
    of a module together.  estimated_luts: the generator's estimate, None where there is none.
    """

    name: str
    digest: str
    tool: str
    family: str
    dsp: bool
    method: str
    total: Usage
    parts: dict[str, Usage] = field(default_factory=dict)
    estimated_luts: float | None = None

    def __str__(self):
        counts = ", ".join(f"{count:,} {name}" for name, count in asdict(self.total).items())
        return f"{self.name!r} on {self.family} ({self.method}, {self.tool}): {counts}"

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return {"format": KIND, "version": VERSION} | asdict(self)

    @classmethod
    def load(cls, path) -> ResourceReport:
        """The report in a file; FileError where it is none."""
        record = storage.parse(storage.read_text(path, KIND), path, KIND, VERSION)
        with storage.reading(path, KIND):
            parts = {name: Usage(**counts) for name, counts in record["parts"].items()}
            return cls(**record | {"total": Usage(**record["total"]), "parts": parts})

    def save(self, path):
        """Write it as JSON, atomically."""
        storage.write_text(path, storage.to_text(self.to_dict()) + "\n")
