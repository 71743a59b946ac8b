"""Statistics of a trace: per opcode the count, the errors and how long replies took."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any, Final

from rawfuse.trace.exchanges import Exchange

from .lines import name_of
from .values import errno_text

__all__ = ["HEADINGS", "Statistics"]

HEADINGS: Final = ("opcode", "count", "errors", "p50 us", "p99 us", "max us", "errnos")
_SAMPLES: Final = 100_000
"""Latencies kept of one opcode. Beyond that every second one is dropped and one in two kept, and so on."""


class _Opcode:
    def __init__(self) -> None:
        self.count = 0
        self.errors: Counter[str] = Counter()
        self.latencies = array("q")
        self.longest = 0
        self._every = 1

    def add(self, exchange: Exchange) -> None:
        self.count += 1
        if exchange.error:
            self.errors[errno_text(exchange.error)] += 1
        latency = exchange.latency
        if latency is None:
            return
        self.longest = max(self.longest, latency)
        if self.count % self._every:
            return
        self.latencies.append(latency)
        if len(self.latencies) > _SAMPLES:
            self.latencies = self.latencies[::2]
            self._every *= 2

    def percentile(self, part: float) -> float:
        """Microseconds below which `part` of the replies came (nearest rank)."""
        found = sorted(self.latencies)
        return found[min(len(found) - 1, int(part * len(found)))] / 1000 if found else 0.0


class Statistics:
    """Filled with :meth:`add`."""

    def __init__(self) -> None:
        self.problems = 0
        """Messages that could not be decoded."""
        self._opcodes: dict[str, _Opcode] = {}

    def add(self, exchange: Exchange) -> None:
        """Counts one."""
        self.problems += bool(exchange.problem)
        self._opcodes.setdefault(name_of(exchange), _Opcode()).add(exchange)

    def rows(self) -> list[dict[str, Any]]:
        """A record per opcode, the most frequent first."""
        ordered = sorted(self._opcodes.items(), key=lambda item: (-item[1].count, item[0]))
        return [
            {
                "opcode": name,
                "count": one.count,
                "errors": sum(one.errors.values()),
                "p50_us": round(one.percentile(0.5), 1),
                "p99_us": round(one.percentile(0.99), 1),
                "max_us": round(one.longest / 1000, 1),
                "errnos": dict(one.errors.most_common()),
            }
            for name, one in ordered
        ]

    def lines(self, *, aligned: bool) -> list[str]:
        """A table for people, or lines with tabs between the fields for programs."""
        table = [list(HEADINGS)]
        for row in self.rows():
            errnos = ",".join(f"{name}:{count}" for name, count in row["errnos"].items())
            table.append([*(str(value) for key, value in row.items() if key != "errnos"), errnos])
        if not aligned:
            return ["\t".join(cells) for cells in table]
        widths = [max(len(cells[at]) for cells in table) for at in range(len(HEADINGS))]
        return [_aligned(cells, widths) for cells in table]


def _aligned(cells: list[str], widths: list[int]) -> str:
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:-1], widths[1:-1], strict=True)]
    return "  ".join([cells[0].ljust(widths[0]), *numbers, cells[-1]]).rstrip()
