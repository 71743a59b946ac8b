"""Rows of copies over what is there already and has the same bytes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from .ground import Ground, Samples, in_turns
from .machine import GIB, run, seconds_of
from .streams import write_file
from .trees import tree

MFS = (sys.executable, "-m", "mfs")


def copy_of_the_same(ground: Ground) -> Samples:
    """Seconds for 1 GiB over a target on xfs that has the bytes and shares them with a snapshot, synced; beside a cp
    that writes. Both are in the page cache.
    """
    where = ground.xfs() / "same"
    where.mkdir(exist_ok=True)
    source, target = where / "source", where / "target"
    size = ground.settings.size(GIB)
    write_file(source, size)

    def prepared() -> None:
        run("cp", "--reflink=never", source, target)
        run("cp", "--reflink=always", target, where / "snapshot")
        run("sync", "-f", where)

    def ours() -> float:
        prepared()
        return seconds_of(*MFS, "cp", "--keep-shared", source, target) + seconds_of("sync", "-f", where)

    def reference() -> float:
        prepared()
        return seconds_of("cp", "--reflink=never", source, target) + seconds_of("sync", "-f", where)

    try:
        return in_turns(ground.settings.times(3), ours, reference)
    finally:
        shutil.rmtree(where)


def sync_of_the_same(ground: Ground) -> Samples:
    """Seconds for a tree of 10 000 files over its copy in the mount, the whole process; beside rsync that compares."""
    source, target = ground.ours.mount / "same-source", ground.ours.mount / "same-target"
    if not source.exists():
        source.mkdir()
        run("tar", "-x", "-f", tree(ground) / "tree.tar", "-C", source)
        run("cp", "-a", source, target)
        ground.ours.settle()
    ground.ours.restart()
    return in_turns(
        ground.settings.times(3),
        lambda: quiet(*MFS, "sync", source, target),
        lambda: seconds_of("rsync", "-a", "--checksum", f"{source}/", f"{target}/"),
    )


def sync_from_elsewhere(ground: Ground) -> Samples:
    """The same with the source on the disk: it is hashed, the mount is not read."""
    source, target = tree(ground) / "unpacked", ground.ours.mount / "same-elsewhere"
    if not source.exists():
        source.mkdir()
        run("tar", "-x", "-f", tree(ground) / "tree.tar", "-C", source)
    if not target.exists():
        run("cp", "-a", source, target)
        ground.ours.settle()
    return in_turns(
        ground.settings.times(3),
        lambda: quiet(*MFS, "sync", source, target),
        lambda: seconds_of("rsync", "-a", "--checksum", f"{source}/", f"{target}/"),
    )


def quiet(*command: str | Path) -> float:
    """How long a process takes whose summary is not ours to show."""
    return seconds_of("sh", "-c", 'exec "$@" >/dev/null', "sh", *command)
