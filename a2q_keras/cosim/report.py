"""What a co-simulation found, as frozen records."""

from __future__ import annotations

from dataclasses import dataclass

from a2q_keras.cosim.compare import Mismatch


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
class CosimReport:
    """The comparison of engines with the golden run of the program that has this name and digest."""

    program: str
    digest: str
    parts: tuple[Part, ...]

    @property
    def ok(self) -> bool:
        """Whether something was compared and every code is equal."""
        return sum(part.codes for part in self.parts) > 0 and all(part.ok for part in self.parts)

    @property
    def first(self) -> Mismatch | None:
        """The first layer that differs, in the first part in which one does."""
        return next((part.mismatches[0] for part in self.parts if part.mismatches), None)

    def __str__(self):
        return "\n".join([f"cosim of {self.program!r} ({self.digest[:12]}): {self._verdict()}", *map(str, self.parts)])

    def _verdict(self) -> str:
        if self.first:
            part = next(part for part in self.parts if part.mismatches)
            return f"DIFFERS in {part.engine}, {part.name}: {self.first}"
        return "bit for bit equal" if self.ok else "nothing was compared"

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        first = self.first.to_dict() if self.first else None
        parts = [part.to_dict() for part in self.parts]
        return {"program": self.program, "digest": self.digest, "ok": self.ok, "first": first, "parts": parts}
