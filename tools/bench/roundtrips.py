"""Rows of single operations on names: client and server on one CPU."""

from __future__ import annotations

from contextlib import suppress

from .ground import Ground, Measure, Samples, in_turns
from .machine import Unavailable
from .servers import Recipe, Server

NAMES = 20_000
FILES = 2_000
PAGE = 4096


def lookup(beside: str | Recipe) -> Measure:
    """`beside`: the name of a peer, "bare", or a server of ours."""

    def measure(ground: Ground) -> Samples:
        count = ground.settings.count(NAMES)

        def once(server: Server) -> float:
            return ground.caller.lookup(server.mount, count)

        def reference() -> Server:
            if isinstance(beside, Recipe):
                return ground.other(beside)
            return ground.bare() if beside == "bare" else ground.peer(beside)

        with suppress(Unavailable):  # noted when it is measured; started before the pinning, which takes what runs
            reference()
        with ground.one_cpu():
            once(ground.ours)  # what is done once in a server's life is not the price of a round trip
            return in_turns(ground.settings.times(5), lambda: once(ground.ours), lambda: once(reference()))

    return measure


def create(beside: str) -> Measure:
    return lambda ground: _create_and_unlink(ground, beside)[0]


def unlink(beside: str) -> Measure:
    return lambda ground: _create_and_unlink(ground, beside)[1]


def _create_and_unlink(ground: Ground, beside: str) -> tuple[Samples, Samples]:
    """Unlinking needs files and creating leaves them: so each row does both and keeps its own half."""
    count = ground.settings.count(FILES)
    removals: dict[str, list[float]] = {"ours": [], "reference": []}

    def once(server: Server, side: str) -> float:
        prefix = ground.caller.fresh_prefix()
        made = ground.caller.create(server.mount, prefix, count, PAGE)
        removals[side].append(ground.caller.unlink(server.mount, prefix, count))
        return made

    with suppress(Unavailable):
        ground.peer(beside)
    with ground.one_cpu():
        once(ground.ours, "ours")
        removals["ours"].clear()
        made = in_turns(
            ground.settings.times(5),
            lambda: once(ground.ours, "ours"),
            lambda: once(ground.peer(beside), "reference"),
        )
    return made, Samples(removals["ours"], removals["reference"], made.note)
