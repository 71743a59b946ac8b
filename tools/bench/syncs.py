"""Rows of durability: fsync of little, and many files with a closing sync."""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter

from .ground import Ground, Samples, in_turns
from .machine import GIB, run
from .streams import write_file

PAGE = 4096
SYNCS = 200
DIRECTORIES = 10
FILES_EACH = 10_000


def fsync_small(ground: Ground) -> Samples:
    return _fsync(ground, PAGE)


def fsync_large(ground: Ground) -> Samples:
    return _fsync(ground, 4 * GIB)


def _fsync(ground: Ground, full: int) -> Samples:
    """Microseconds; the reference is taken in turns with it, sync by sync, so that both meet the same load."""
    size = ground.settings.size(full)
    path = ground.ours.mount / f"synced-{full}"
    write_file(path, size)
    ground.ours.settle()
    other = ground.disk / "appended"
    samples = Samples([])
    with ground.one_cpu():
        for _ in ground.settings.times(5):
            ours, reference = ground.caller.sync(path, other, ground.settings.count(SYNCS), size)
            samples.ours.append(ours)
            samples.reference.append(reference)
    return samples


def many_files(ground: Ground) -> Samples:
    """Files a second for 100 000 of 4 KiB in ten directories, all of them durable; beside the disk itself."""
    each = ground.settings.count(FILES_EACH)

    def fill(top: Path) -> None:
        directory = top / ground.caller.fresh_prefix()
        directory.mkdir()
        for number in range(DIRECTORIES):
            where = directory / str(number)
            where.mkdir()
            ground.caller.create(where, "file-", each, PAGE)

    def ours() -> float:
        start = perf_counter()
        fill(ground.ours.mount)
        ground.ours.settle()
        return DIRECTORIES * each / (perf_counter() - start)

    def reference() -> float:
        os.sync()  # what others left behind is not part of it
        start = perf_counter()
        fill(ground.disk)
        run("sync", "-f", ground.disk)
        return DIRECTORIES * each / (perf_counter() - start)

    return in_turns(ground.settings.times(1), ours, reference)
