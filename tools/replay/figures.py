"""What a replay took: rates and percentiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .conversation import Outcome

__all__ = ["PERCENTILES", "Figures", "figures"]

PERCENTILES: Final = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one opcode: how often, and in microseconds from the request to its reply; the longest last."""

    name: str
    count: int
    percentiles: tuple[float, ...]
    longest: float
    total: float

    @property
    def row(self) -> dict[str, object]:
        """For JSON, and the cells of a table."""
        at = {f"p{percent}_us": round(value, 1) for percent, value in zip(PERCENTILES, self.percentiles, strict=True)}
        return {"request": self.name, "count": self.count, **at, "max_us": round(self.longest, 1)}


def figures(outcome: Outcome) -> list[Figures]:
    """Of each opcode, the most frequent first."""
    found = []
    for name, latencies in outcome.latencies.items():
        ordered = sorted(latencies)
        at = tuple(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] / 1000 for percent in PERCENTILES)
        found.append(Figures(name, len(ordered), at, ordered[-1] / 1000, sum(ordered) / 1000))
    return sorted(found, key=lambda one: (-one.count, one.name))
