"""Which probes are run: all, or those that are named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from .probe import Probe, Tier

__all__ = ["UnknownProbe", "chosen"]


class UnknownProbe(Exception):
    """A pattern that no probe's name fits."""


def chosen(probes: Iterable[Probe], patterns: Sequence[str] = (), tiers: Iterable[Tier] = ()) -> list[Probe]:
    """The probes of these tiers (default: all) whose name fits one of the patterns (default: all), or whose subject
    does: `lookup`, `shape.*`, `*.absent`. Raises UnknownProbe for a pattern that fits none."""
    every = list(probes)
    wanted = set(tiers)
    found: set[str] = set()
    for pattern in patterns:
        fitting = {one.name for one in every if fnmatchcase(one.name, pattern) or one.subject == pattern}
        if not fitting:
            raise UnknownProbe(f"no probe is called {pattern!r}; `rawfuse conform --list` names them all")
        found |= fitting
    return [one for one in every if (not patterns or one.name in found) and (not wanted or one.tier in wanted)]
