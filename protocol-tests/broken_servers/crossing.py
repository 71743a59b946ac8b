"""Every probe on every broken server: which find it out, and which fail without being declared to depend on it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from broken_servers import BROKEN, launched
from tools.conform.probe import Probe
from tools.conform.probes import PROBES
from tools.conform.runner import Runner

__all__ = ["Crossing", "crossed", "dependents"]

PATIENCE = 1.0
"""Seconds; a server in this process has no reason to take longer."""
MORE_PATIENCE = 15.0
"""Seconds, for another look at what is not as declared: a busy machine may have kept a server from answering."""


@dataclass(frozen=True)
class Crossing:
    """What came of one broken server.

    Attributes:
        found: its own probe went wrong.
        besides: others that went wrong and are not declared to depend on it.
        details: of these and of the probe's own verdict.
    """

    name: str
    found: bool
    besides: tuple[str, ...]
    details: tuple[str, ...]

    @property
    def as_declared(self) -> bool:
        """Its own probe finds it out, and no other."""
        return self.found and not self.besides


@functools.cache
def dependents(name: str) -> frozenset[str]:
    """The probe, those that depend on it, and those that depend on these."""
    found = {name}
    while more := {probe.name for probe in PROBES if probe.name not in found and found & {*probe.all_depends}}:
        found |= more
    return frozenset(found)


def crossed(name: str, probes: Iterable[Probe]) -> Crossing:
    """Tries `probes` on the server that is broken for the probe of that name."""
    probes = [*probes]
    crossing = _crossed(name, probes, PATIENCE)
    return crossing if crossing.as_declared else _crossed(name, probes, MORE_PATIENCE)


def _crossed(name: str, probes: Iterable[Probe], patience: float) -> Crossing:
    declared = dependents(name)
    results = list(Runner(launched(BROKEN[name]), patience=patience).run(probes))
    wrong = {result.probe.name: result for result in results if result.bad}
    besides = tuple(sorted({*wrong} - declared - {*BROKEN[name].also}))
    details = [f"{one}: {wrong[one].expected}, seen {wrong[one].seen}" for one in besides]
    if name not in wrong:
        details += [f"{name}: {result.verdict} {result.reason}" for result in results if result.probe.name == name]
    return Crossing(name, name in wrong, besides, tuple(details))
