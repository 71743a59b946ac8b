"""Rows of many files: created, looked at and removed; a tree out of tar and git. Nothing is pinned.

All of them end with the sync that makes everything durable. A reference that passes through to a directory is synced
there: `sync -f` of a FUSE mount does not reach what lies below it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from .ground import Ground, Measure, Samples, in_turns
from .machine import run, seconds_of
from .servers import Server

DIRECTORIES = 10
FILES_EACH = 10_000
PAGE = 4096

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


def _ours(ground: Ground) -> Place:
    return Place(ground.ours.mount, ground.ours)


def _beside(ground: Ground, peer: str | None) -> Place:
    if peer is None:
        return Place(ground.disk, None)
    server = ground.peer(peer)
    return Place(server.mount, server)


def _row(work: Callable[[Ground, Place], float], peer: str | None, runs: int) -> Measure:
    def measure(ground: Ground) -> Samples:
        return in_turns(
            ground.settings.times(runs),
            lambda: work(ground, _ours(ground)),
            lambda: work(ground, _beside(ground, peer)),
        )

    return measure


def create_files(peer: str | None = None) -> Measure:
    """Microseconds for each of 100 000 files of 4 KiB."""
    return _row(_created, peer, 1)


def stat_files(peer: str | None = None) -> Measure:
    """Microseconds for each of 100 000 names that nobody has looked at through this mount."""
    return _row(_looked_at, peer, 1)


def unlink_files(peer: str | None = None) -> Measure:
    """Microseconds for each of 100 000 files."""
    return _row(_unlinked, peer, 1)


def extract(peer: str | None = None) -> Measure:
    """Seconds for `tar x` of the tree."""
    return _row(_extracted, peer, 3)


def clone(peer: str | None = None) -> Measure:
    """Seconds for `git clone` of the tree."""
    return _row(_cloned, peer, 3)


def _filled(ground: Ground, place: Place) -> list[Path]:
    """Ten directories with 10 000 files each, named file-0 and so on."""
    top = place.top / ground.caller.fresh_prefix()
    top.mkdir()
    directories = [top / str(number) for number in range(DIRECTORIES)]
    for directory in directories:
        directory.mkdir()
        ground.caller.create(directory, "file-", _each(ground), PAGE)
    return directories


def _each(ground: Ground) -> int:
    return ground.settings.count(FILES_EACH)


def _removed(ground: Ground, directories: list[Path]) -> None:
    for directory in directories:
        ground.caller.unlink(directory, "file-", _each(ground))
        directory.rmdir()
    directories[0].parent.rmdir()


def _per_file(ground: Ground, start: float) -> float:
    return (perf_counter() - start) * 1e6 / (DIRECTORIES * _each(ground))


def _created(ground: Ground, place: Place) -> float:
    place.settle()  # what others left behind is not part of it
    start = perf_counter()
    directories = _filled(ground, place)
    place.settle()
    took = _per_file(ground, start)
    _removed(ground, directories)
    return took


def _looked_at(ground: Ground, place: Place) -> float:
    directories = _filled(ground, place)
    place.settle()
    place.freshen()
    start = perf_counter()
    for directory in directories:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        for number in range(_each(ground)):
            os.stat(f"file-{number}", dir_fd=opened)
        os.close(opened)
    took = _per_file(ground, start)
    _removed(ground, directories)
    return took


def _unlinked(ground: Ground, place: Place) -> float:
    directories = _filled(ground, place)
    place.settle()
    start = perf_counter()
    _removed(ground, directories)
    place.settle()
    return _per_file(ground, start)


def _extracted(ground: Ground, place: Place) -> float:
    archive = tree(ground) / "tree.tar"
    where = place.top / ground.caller.fresh_prefix()
    where.mkdir()
    place.settle()
    start = perf_counter()
    seconds_of("tar", "-x", "-f", archive, "-C", where)
    place.settle()
    took = perf_counter() - start
    run("rm", "-r", where)
    return took


def _cloned(ground: Ground, place: Place) -> float:
    origin = tree(ground) / "origin.git"
    where = place.top / ground.caller.fresh_prefix()
    place.settle()
    start = perf_counter()
    seconds_of("git", "clone", "-q", "--no-local", origin, where)
    place.settle()
    took = perf_counter() - start
    run("rm", "-r", where)
    return took


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
