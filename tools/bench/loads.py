"""Rows of one fsync in large files, in large directories, and beside a program that writes gigabytes."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

from .ground import Ground, Measure, Samples
from .machine import GIB, Unavailable
from .streams import write_file

PAGE = 4096
SYNCS = 200
PAUSE = 0.05
TIB = 1 << 40
ENTRIES = 1_000_000
PARTS = 10  # each by a command of its own, which must not take too long

# Writes files of 512 MiB of ever new bytes, four of them at a time, until it is ended.
_WRITER = """
import os, sys
block = bytearray(os.urandom(1 << 20))
number = 0
while True:
    with open(os.path.join(sys.argv[1], f"load-{number % 4}"), "wb", buffering=0) as file:
        for piece in range(512):
            block[:16] = number.to_bytes(8, "little") + piece.to_bytes(8, "little")
            file.write(block)
    number += 1
"""


def in_file(size: int, peer: str | None = None, *, sparse: bool = False) -> Measure:
    """Overwrite 4 KiB anywhere in a file of `size` bytes (a hole, where `sparse`) and fsync it."""

    def prepare(ground: Ground, top: Path) -> Path:
        path = top / f"synced-{size}"
        if not path.exists():
            if sparse:
                path.touch()
                os.truncate(path, size)
            else:
                write_file(path, ground.settings.size(size))
        return path

    return _measure(prepare, peer)


def under_load(peer: str | None = None) -> Measure:
    """The same in a file of 4 KiB while another program writes to the same file system as fast as it can."""

    def prepare(ground: Ground, top: Path) -> Path:
        path = top / "loaded"
        if not path.exists():
            write_file(path, PAGE)
        return path

    return _measure(prepare, peer, loaded=True)


def in_directory(peer: str | None = None) -> Measure:
    """Create a file of 4 KiB in a directory of a million entries, and fsync it."""

    def measure(ground: Ground) -> Samples:
        count = ground.settings.count(SYNCS)
        tops, note = _tops(ground, peer)
        places = [_crowded(ground, top) for top in tops]
        other = ground.disk / "appended"
        samples = Samples([], note=note)
        with ground.one_cpu():
            for _ in ground.settings.times(5):
                prefix = ground.caller.fresh_prefix()
                ours: list[float] = []
                reference: list[float] = []
                for number in range(count):
                    name = f"{prefix}{number}"
                    ours.append(_new_file(places[0] / name))
                    if peer is None:
                        reference.append(_appended(other))
                    elif not note:
                        reference.append(_new_file(places[1] / name))
                samples.ours.append(statistics.median(ours))
                samples.reference.extend([statistics.median(reference)] if reference else [])
        return samples

    return measure


def _measure(prepare: Callable[[Ground, Path], Path], peer: str | None, *, loaded: bool = False) -> Measure:
    """Microseconds; beside append + fdatasync, sync by sync in turns, or beside the same in a peer's mount, run by run.
    Under load the first two are measured beside the same writer, the peer's beside one of its own.
    """

    def measure(ground: Ground) -> Samples:
        tops, note = _tops(ground, peer)
        paths = [prepare(ground, top) for top in tops]
        ground.ours.settle()
        other = ground.disk / "appended"
        samples = Samples([], note=note)
        count = ground.settings.count(SYNCS)
        span = os.stat(paths[0]).st_size
        for _ in ground.settings.times(3 if loaded else 5):
            taken = []
            for top, path in zip(tops, paths, strict=True):
                if loaded:
                    with _writing(top):
                        taken.append(_spaced(path, other, count // 4))
                else:
                    with ground.one_cpu():
                        taken.append(ground.caller.sync(path, other, count, span))
            samples.ours.append(taken[0][0])
            if peer is None:
                samples.reference.append(taken[0][1])
            elif not note:
                samples.reference.append(taken[1][0])
        return samples

    return measure


def _tops(ground: Ground, peer: str | None) -> tuple[list[Path], str]:
    """Ours and the peer's mount, or the reason why there is no peer."""
    if peer is None:
        return [ground.ours.mount], ""
    try:
        return [ground.ours.mount, ground.peer(peer).mount], ""
    except Unavailable as problem:
        return [ground.ours.mount], str(problem)


def _spaced(path: Path, other: Path, count: int) -> tuple[float, float]:
    """Medians of both, some time between any two: one right after another would find the disk's queue just emptied."""
    ours: list[float] = []
    reference: list[float] = []
    target = os.open(path, os.O_WRONLY)
    try:
        for _ in range(max(1, count)):
            sleep(PAUSE)
            data = os.urandom(PAGE)
            start = perf_counter()
            os.pwrite(target, data, 0)
            os.fsync(target)
            ours.append((perf_counter() - start) * 1e6)
            sleep(PAUSE)
            reference.append(_appended(other))
    finally:
        os.close(target)
    return statistics.median(ours), statistics.median(reference)


@contextmanager
def _writing(top: Path) -> Iterator[None]:
    """A writer that has been at it for a second. Raises Unavailable when it ended by itself."""
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(top)], stderr=subprocess.PIPE, text=True)
    try:
        sleep(1)
        yield
        if writer.poll() is not None:
            said = writer.stderr.read().strip().splitlines() if writer.stderr is not None else []
            raise Unavailable(f"the writer beside it ended: {said[-1] if said else writer.returncode}")
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        for number in range(4):
            (top / f"load-{number}").unlink(missing_ok=True)


def _crowded(ground: Ground, top: Path) -> Path:
    """A directory with a million empty files."""
    directory = top / "crowded"
    if not directory.exists():
        directory.mkdir()
        for part in range(PARTS):
            ground.caller.create(directory, f"entry-{part}-", ground.settings.count(ENTRIES) // PARTS, 0)
    return directory


def _new_file(path: Path) -> float:
    data = os.urandom(PAGE)
    start = perf_counter()
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.write(fd, data)
    os.fsync(fd)
    took = perf_counter() - start
    os.close(fd)
    return took * 1e6


def _appended(path: Path) -> float:
    data = os.urandom(PAGE)
    fd = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    start = perf_counter()
    os.write(fd, data)
    os.fdatasync(fd)
    took = perf_counter() - start
    os.close(fd)
    return took * 1e6


FILES: tuple[tuple[str, str, int, bool], ...] = (
    ("4k", "a file of 4 KiB", PAGE, False),
    ("1g", "a file of 1 GiB", GIB, False),
    ("1t", "a file of 1 TiB, all of it a hole at first", TIB, True),
)
"""Name, what it is, bytes, whether it is sparse."""
