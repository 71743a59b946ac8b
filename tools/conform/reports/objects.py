"""JSON: {"server": ..., "probes": [{"name", "tier", "rule", "source", "verdict", "detail"}]}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..probe import Result

__all__ = ["report"]


def report(server: str, results: Iterable[Result]) -> dict[str, Any]:
    """What --json prints. `detail` has a line each for what was sent, expected and seen, as the text report."""
    return {
        "server": server,
        "probes": [
            {
                "name": result.probe.name,
                "tier": str(result.probe.tier),
                "rule": result.probe.rule,
                "source": result.probe.source,
                "verdict": str(result.verdict),
                "detail": result.detail,
            }
            for result in results
        ],
    }
