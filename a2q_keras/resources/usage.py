"""What a design takes of an FPGA, as frozen records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from a2q_keras.integer import storage

KIND = "a2q_keras resource report"
VERSION = 1


@dataclass(frozen=True)
class Usage:
    """Counts of primitives: look-up tables (shift registers and small memories made of them included), flip-flops,
    carry chains (CARRY8 or CARRY4; None where the tool does not count them), multipliers, block memories in units of
    18 Kbit, and UltraRAMs."""

    luts: int = 0
    ffs: int = 0
    carries: int | None = 0
    dsps: int = 0
    brams: int = 0
    urams: int = 0

    def __add__(self, other: Usage) -> Usage:
        pairs = zip(asdict(self).values(), asdict(other).values())
        return Usage(*(None if None in pair else sum(pair) for pair in pairs))


@dataclass(frozen=True)
class Timing:
    """What a tool says of speed: clock cycles of a sample and from one sample to the next, and clock periods in ns.

    None is what the tool left open, such as the latency of a loop whose end depends on data.
    """

    target_ns: float | None = None
    estimated_ns: float | None = None
    latency_min: int | None = None
    latency_max: int | None = None
    interval_min: int | None = None
    interval_max: int | None = None

    def __str__(self):
        latency, interval = (_span(*ends) for ends in self._spans())
        return f"latency {latency}, a sample every {interval} cycles, clock {self.estimated_ns} of {self.target_ns} ns"

    def _spans(self):
        return (self.latency_min, self.latency_max), (self.interval_min, self.interval_max)


def _span(least, most) -> str:
    """
    >>> _span(10, 10), _span(10, None)
    ('10', '10 to ?')
    """
    shown = ["?" if end is None else f"{end:,}" for end in (least, most)]
    return shown[0] if least == most else " to ".join(shown)


@dataclass(frozen=True)
class ResourceReport:
    """The usage of a design, where the figures come from, and their parts.

    digest: of the design or program; of the text where a report of a vendor's tool was read.  tool: its version, as it
    says itself.  family, dsp: what was synthesised for (of a vendor's tool the part), and whether multipliers were
    allowed.  method: "whole design", "layer by layer, added", or what a vendor's figures are, such as "C synthesis
    estimate".  parts: usage by module or layer, where asked for; all instances of a module together.  estimated_luts:
    the generator's estimate, None where there is none.  timing: None where the tool says nothing of speed.
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
    timing: Timing | None = None

    def __str__(self):
        counts = ", ".join(f"{count:,} {name}" for name, count in asdict(self.total).items() if count is not None)
        speed = f"; {self.timing}" if self.timing else ""
        return f"{self.name!r} on {self.family} ({self.method}, {self.tool}): {counts}{speed}"

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return {"format": KIND, "version": VERSION} | asdict(self)

    @classmethod
    def load(cls, path) -> ResourceReport:
        """The report in a file; FileError where it is none."""
        record = storage.parse(storage.read_text(path, KIND), path, KIND, VERSION)
        with storage.reading(path, KIND):
            parts = {name: Usage(**counts) for name, counts in record["parts"].items()}
            timing = Timing(**record["timing"]) if record.get("timing") else None
            return cls(**record | {"total": Usage(**record["total"]), "parts": parts, "timing": timing})

    def save(self, path):
        """Write it as JSON, atomically."""
        storage.write_text(path, storage.to_text(self.to_dict()) + "\n")
