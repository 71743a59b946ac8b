"""Rows of many files: created, looked at and removed; a tree out of tar and git. Nothing is pinned.

All of them end with the sync that makes everything durable. A reference that passes through to a directory is synced
there: `sync -f` of a FUSE mount does not reach what lies below it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from weakref import WeakKeyDictionary

from .ground import Ground, Measure, Samples
from .machine import Unavailable, run, seconds_of
from .servers import Server

DIRECTORIES = 10
FILES_EACH = 10_000
PAGE = 4096

PEER = "passthrough_ll"

TREE_FILES = 10_000
TREE_SEED = 20
WORDS = tuple(
    "static const struct return unsigned if else while for int char void sizeof break case default goto".split()
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workload runs: a mount of ours, one of a peer's, or the disk itself."""

    top: Path
    server: Server | None

    def settle(self) -> None:
        """Everything is durable."""
        if self.server is not None:
            self.server.settle()
        run("sync", "-f", self.server.source if self.server is not None else self.top)

    def freshen(self) -> None:
        """The kernel knows no name of a mount; of the disk it may."""
        if self.server is not None:
            self.server.restart()


Work = Callable[[Ground, Place], tuple[float, ...]]
"""Does something at a place and says how long its parts took."""

DISK = "the disk itself"


@dataclass(slots=True)
class Taken:
    """What some work took, run by run, by the name of the reference; `missing` says why one has no figures."""

    ours: list[tuple[float, ...]] = field(default_factory=list)
    others: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


_taken: WeakKeyDictionary[Ground, dict[Work, Taken]] = WeakKeyDictionary()


def create_files(peer: str | None = None) -> Measure:
    """Microseconds for each of 100 000 files of 4 KiB."""
    return _part(_files, 0, peer, 1)


def stat_files(peer: str | None = None) -> Measure:
    """Microseconds for each of 100 000 names that nobody has looked at through this mount."""
    return _part(_files, 1, peer, 1)


def unlink_files(peer: str | None = None) -> Measure:
    """Microseconds for each of 100 000 files."""
    return _part(_files, 2, peer, 1)


def extract(peer: str | None = None) -> Measure:
    """Seconds for `tar x` of the tree."""
    return _part(_extracted, 0, peer, 3)


def clone(peer: str | None = None) -> Measure:
    """Seconds for `git clone` of the tree."""
    return _part(_cloned, 0, peer, 3)


def _part(work: Work, part: int, peer: str | None, runs: int) -> Measure:
    """One figure of some work, beside the disk's or a peer's. The work is done once for all rows of one bench."""

    def measure(ground: Ground) -> Samples:
        known = _taken.setdefault(ground, {})
        if work not in known:
            known[work] = _everywhere(ground, work, runs)
        taken, name = known[work], peer or DISK
        theirs = [figures[part] for figures in taken.others.get(name, ())]
        return Samples([figures[part] for figures in taken.ours], theirs, taken.missing.get(name, ""))

    return measure


def _everywhere(ground: Ground, work: Work, runs: int) -> Taken:
    """Here, on the disk and in the peer's mount, in turns."""
    taken = Taken()
    places = {DISK: Place(ground.disk, None)}
    try:
        server = ground.peer(PEER)
        places[PEER] = Place(server.mount, server)
    except Unavailable as problem:
        taken.missing[PEER] = str(problem)
    for _ in ground.settings.times(runs):
        taken.ours.append(work(ground, Place(ground.ours.mount, ground.ours)))
        for name, place in places.items():
            taken.others.setdefault(name, []).append(work(ground, place))
    return taken


def _files(ground: Ground, place: Place) -> tuple[float, float, float]:
    """Ten directories with 10 000 files each: made, looked at through a new mount, removed."""
    each = ground.settings.count(FILES_EACH)
    top = place.top / ground.caller.fresh_prefix()
    place.settle()  # what others left behind is not part of it
    begun = perf_counter()
    top.mkdir()
    directories = [top / str(number) for number in range(DIRECTORIES)]
    for directory in directories:
        directory.mkdir()
        ground.caller.create(directory, "file-", each, PAGE)
    place.settle()
    created = perf_counter() - begun
    place.freshen()
    begun = perf_counter()
    for directory in directories:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        for number in range(each):
            os.stat(f"file-{number}", dir_fd=opened)
        os.close(opened)
    looked_at = perf_counter() - begun
    begun = perf_counter()
    for directory in directories:
        ground.caller.unlink(directory, "file-", each)
        directory.rmdir()
    top.rmdir()
    place.settle()
    removed = perf_counter() - begun
    one = 1e6 / (DIRECTORIES * each)
    return created * one, looked_at * one, removed * one


def _extracted(ground: Ground, place: Place) -> tuple[float]:
    archive = tree(ground) / "tree.tar"
    where = place.top / ground.caller.fresh_prefix()
    where.mkdir()
    place.settle()
    begun = perf_counter()
    seconds_of("tar", "-x", "-f", archive, "-C", where)
    place.settle()
    took = perf_counter() - begun
    run("rm", "-r", where)
    return (took,)


def _cloned(ground: Ground, place: Place) -> tuple[float]:
    origin = tree(ground) / "origin.git"
    where = place.top / ground.caller.fresh_prefix()
    place.settle()
    begun = perf_counter()
    seconds_of("git", "clone", "-q", "--no-local", origin, where)
    place.settle()
    took = perf_counter() - begun
    run("rm", "-r", where)
    return (took,)


def tree(ground: Ground) -> Path:
    """A directory on the disk with `files`, the same tree on every machine, `tree.tar` and `origin.git` made of it.

    10 000 files in some 800 directories up to five deep, as large as source files are: half of them below 5 KiB, a few
    of hundreds. Raises Unavailable where tar or git are missing.
    """
    home = ground.settings.scratch / "tree"
    if home.exists():
        return home
    files = home / "files"
    files.mkdir(parents=True)
    chance = random.Random(TREE_SEED)
    directories = [files]
    for number in range(ground.settings.count(TREE_FILES)):
        if number % 12 == 0:
            above = chance.choice(directories[-40:])
            depth = len(above.relative_to(files).parts)
            directory = (above if depth < 5 else files) / f"{chance.choice(WORDS)}-{number}"
            directory.mkdir()
            directories.append(directory)
        size = min(int(chance.lognormvariate(8.5, 1.3)), 1 << 19)
        lines = (" ".join(chance.choices(WORDS, k=8)) for _ in range(size // 50 + 1))
        (chance.choice(directories[-40:]) / f"{chance.choice(WORDS)}-{number}.c").write_text("\n".join(lines)[:size])
    run("tar", "-c", "-f", home / "tree.tar", "-C", files, ".")
    author = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    run("git", "init", "-q", files)
    run("git", "-C", files, "add", ".")
    run("git", "-C", files, *author, "commit", "-q", "-m", "All of it")
    run("git", "clone", "-q", "--bare", files, home / "origin.git")
    return home
