"""Where rows are measured: our server, the references beside it, and the run's settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .caller import Caller
from .machine import GIB, MIB, Unavailable, on_one_cpu, xfs_image
from .servers import BARE, Recipe, Server


@dataclass(frozen=True, slots=True)
class Samples:
    """What a row measured, one number per run; an empty `reference` has its reason in `note`."""

    ours: list[float]
    reference: list[float] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """One call of the bench. `scale` shrinks sizes and counts, for a trial; `runs` overrides every row's own."""

    scratch: Path
    ours: Recipe
    peers: Mapping[str, Recipe]
    caller: Caller
    scale: float = 1.0
    runs: int | None = None

    def times(self, usual: int) -> range:
        return range(self.runs or usual)

    def count(self, full: int) -> int:
        return max(10, int(full * self.scale))

    def size(self, full: int) -> int:
        """A file size: scaled by whole MiB above 1 MiB, so that throughput rows stay in whole blocks."""
        return full if full <= MIB else max(1, int(full * self.scale) // MIB) * MIB


class Ground:
    """One server of ours, started for a group of rows, and what it is compared with, started when first asked for."""

    def __init__(self, settings: Settings, stack: ExitStack, *, mounts: bool = True) -> None:
        self.settings = settings
        self.caller = settings.caller
        self._stack = stack
        self._others: dict[str, Server] = {}
        self._missing: dict[str, Unavailable] = {}
        self._xfs: Path | None = None
        self.disk = settings.scratch / "disk"
        self.disk.mkdir(exist_ok=True)
        self._ours = stack.enter_context(Server(settings.ours, settings.scratch / "ours")) if mounts else None

    @property
    def ours(self) -> Server:
        """Raises Unavailable for rows that said they mount nothing."""
        if self._ours is None:
            raise Unavailable("no server was started for this row")
        return self._ours

    def bare(self) -> Server:
        return self.other(BARE)

    def peer(self, name: str) -> Server:
        """Raises Unavailable when it was not given on the command line, or does not start."""
        if name not in self.settings.peers:
            raise Unavailable(f"no reference: --peer {name}=COMMAND was not given")
        return self.other(self.settings.peers[name])

    def xfs(self) -> Path:
        """A mounted xfs with reflinks. Raises Unavailable."""
        if "xfs" in self._missing:
            raise self._missing["xfs"]
        if self._xfs is None:
            try:
                self._xfs = self._stack.enter_context(
                    xfs_image(self.settings.scratch, int(16 * GIB * self.settings.scale))
                )
            except Unavailable as problem:
                self._missing["xfs"] = Unavailable(f"no reference: {problem}")
                raise self._missing["xfs"] from problem
        return self._xfs

    @contextmanager
    def one_cpu(self) -> Iterator[None]:
        """Client and servers on one CPU, for round trips."""
        pids = [pid for server in (self.ours, *self._others.values()) for pid in server.pids]
        with on_one_cpu(pids):
            yield

    def other(self, recipe: Recipe) -> Server:
        """A reference that is started when it is first asked for. Raises Unavailable."""
        if recipe.name in self._missing:
            raise self._missing[recipe.name]
        if recipe.name not in self._others:
            try:
                self._others[recipe.name] = self._stack.enter_context(
                    Server(recipe, self.settings.scratch / "references")
                )
            except Unavailable as problem:
                self._missing[recipe.name] = problem
                raise
        return self._others[recipe.name]


Measure = Callable[[Ground], Samples]


@contextmanager
def ground(settings: Settings, *, mounts: bool = True) -> Iterator[Ground]:
    """Stops what it started. Raises Unavailable when our server does not start."""
    with ExitStack() as stack:
        yield Ground(settings, stack, mounts=mounts)


def progress(text: str) -> None:
    """One line for the person who waits; the result goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def in_turns(runs: range, ours: Callable[[], float], reference: Callable[[], float]) -> Samples:
    """Ours and the reference one after the other, run by run: whatever slows the machine down meets both.

    A reference that is not available costs its column only.
    """
    samples = Samples([])
    note = ""
    for _ in runs:
        samples.ours.append(ours())
        if not note:
            try:
                samples.reference.append(reference())
            except Unavailable as problem:
                note = str(problem)
    return Samples(samples.ours, [] if note else samples.reference, note)
