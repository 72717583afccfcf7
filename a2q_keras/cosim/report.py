"""What a co-simulation found, as frozen records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from a2q_keras.cosim.compare import Mismatch
from a2q_keras.resources.usage import ResourceReport


@dataclass(frozen=True)
class Part:
    """One group of input vectors through one engine: how much was compared, and one mismatch per layer that differs."""

    engine: str
    name: str
    vectors: int
    codes: int
    mismatches: tuple[Mismatch, ...]

    @property
    def ok(self) -> bool:
        """Whether every code is equal."""
        return not self.mismatches

    @property
    def differing(self) -> int:
        """How many codes differ, over all layers."""
        return sum(mismatch.differing for mismatch in self.mismatches)

    def __str__(self):
        found = "all equal" if self.ok else f"{self.differing:,} differ"
        return f"  {self.engine:6} {self.name:36} {self.vectors:>8,} vectors {self.codes:>12,} codes  {found}"

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return {
            "engine": self.engine,
            "name": self.name,
            "vectors": self.vectors,
            "codes": self.codes,
            "differing": self.differing,
            "mismatches": [mismatch.to_dict() for mismatch in self.mismatches],
        }


@dataclass(frozen=True)
class LayerTrace:
    """One layer on both sides: its hls4ml types as the program and as the firmware have them, and its first mismatch.

    hardware: the hls4ml layer type, with the strategy where it multiplies; where: engine and group of the mismatch.
    """

    layer: str
    hardware: str
    wanted_types: dict[str, str]
    got_types: dict[str, str]
    mismatch: Mismatch | None = None
    where: str = ""

    def __str__(self):
        types = " ".join(f"{key}={value}" for key, value in self.wanted_types.items())
        changed = {key: value for key, value in self.got_types.items() if value != self.wanted_types.get(key)}
        told = "".join(f"\n      the firmware has {key}={value}" for key, value in changed.items())
        verdict = f"DIFFERS in {self.where}: {self.mismatch}" if self.mismatch else "equal"
        return f"    {self.layer:20} {self.hardware:24} {types}{told}\n      {verdict}"

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self) | {"mismatch": self.mismatch.to_dict() if self.mismatch else None}


@dataclass(frozen=True)
class CosimReport:
    """The comparison of engines with the golden run of the program that has this name and digest.

    layers: every layer in order, where a trace was asked for.  resources: by engine, what a vendor's tool says that the
    network takes.
    """

    program: str
    digest: str
    parts: tuple[Part, ...]
    layers: tuple[LayerTrace, ...] = ()
    resources: dict[str, ResourceReport] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether something was compared and every code is equal."""
        return sum(part.codes for part in self.parts) > 0 and all(part.ok for part in self.parts)

    @property
    def first(self) -> Mismatch | None:
        """The first layer that differs, in the first part in which one does."""
        return next((part.mismatches[0] for part in self.parts if part.mismatches), None)

    def __str__(self):
        head = f"cosim of {self.program!r} ({self.digest[:12]}): {self._verdict()}"
        traced = ["  layer by layer", *map(str, self.layers)] if self.layers else []
        counted = [f"  {engine:6} {report}" for engine, report in self.resources.items()]
        return "\n".join([head, *map(str, self.parts), *counted, *traced])

    def _verdict(self) -> str:
        if self.first:
            part = next(part for part in self.parts if part.mismatches)
            return f"DIFFERS in {part.engine}, {part.name}: {self.first}"
        return "bit for bit equal" if self.ok else "nothing was compared"

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        first = self.first.to_dict() if self.first else None
        parts = [part.to_dict() for part in self.parts]
        layers = [layer.to_dict() for layer in self.layers]
        record = {"program": self.program, "digest": self.digest, "ok": self.ok, "first": first, "parts": parts}
        counted = {engine: report.to_dict() for engine, report in self.resources.items()}
        return record | ({"layers": layers} if layers else {}) | ({"resources": counted} if counted else {})
