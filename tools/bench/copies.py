"""Rows about `cp` within the mount, and what a copy costs the server and the disk. Client and server on one CPU."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from .ground import Ground, Samples, in_turns
from .machine import GIB, MIB, Unavailable, disk_bytes, seconds_of
from .streams import write_file

TIB = 1 << 40
SCATTERED = 1024  # pieces of 1 MiB in the sparse file
FICLONE = 0x40049409  # linux/fs.h: make this file share the other's blocks


def cp(size: int) -> Callable[[Ground], Samples]:
    """A row: `cp` of a file of this size, in ms, beside `cp --reflink=always` on xfs."""

    def measure(ground: Ground) -> Samples:
        return _cp_beside_xfs(ground, lambda directory: _plain(ground, directory, size))

    return measure


def cp_sparse(ground: Ground) -> Samples:
    """1 TiB with 1 GiB of data in it; `scale` takes away pieces, not the emptiness."""
    return _cp_beside_xfs(ground, lambda directory: _sparse(ground, directory))


def cp_growth(ground: Ground) -> Samples:
    """4 GiB beside 4 KiB, both ours."""
    large = _plain(ground, ground.ours.mount, 4 * GIB)
    small = _plain(ground, ground.ours.mount, 4096)
    ground.ours.settle()
    with ground.one_cpu():
        return in_turns(ground.settings.times(15), lambda: _cp(large), lambda: _cp(small))


def copy_call(ground: Ground) -> Samples:
    """copy_file_range(2) of 4 GiB in ms: everything the server does for the copy is inside. Beside FICLONE on xfs."""
    source = _plain(ground, ground.ours.mount, 4 * GIB)
    ground.ours.settle()

    def ours() -> float:
        return _with_open_pair(source, _copy_range)

    def reference() -> float:
        return _with_open_pair(_plain(ground, ground.xfs(), 4 * GIB), _clone)

    _prepare(ground, lambda directory: _plain(ground, directory, 4 * GIB))
    with ground.one_cpu():
        return in_turns(ground.settings.times(15), ours, reference)


def copy_stored(ground: Ground) -> Samples:
    """MiB that the repo grows by, commit included, when 4 GiB are copied."""
    source = _plain(ground, ground.ours.mount, 4 * GIB)
    ground.ours.settle()
    grown = []
    for number in ground.settings.times(3):
        before = disk_bytes(ground.ours.repo)
        seconds_of("cp", source, source.with_name(f"stored-{number}"))
        ground.ours.settle()
        grown.append((disk_bytes(ground.ours.repo) - before) / MIB)
    return Samples(grown)


def _cp_beside_xfs(ground: Ground, source: Callable[[Path], Path]) -> Samples:
    ours = source(ground.ours.mount)
    ground.ours.settle()
    _prepare(ground, source)
    with ground.one_cpu():
        return in_turns(
            ground.settings.times(15), lambda: _cp(ours), lambda: _cp(source(ground.xfs()), "--reflink=always")
        )


def _prepare(ground: Ground, source: Callable[[Path], Path]) -> None:
    """The reference's source, written and on disk before the clock runs."""
    with suppress(Unavailable):  # noted when it is measured
        source(ground.xfs())
    os.sync()


def _cp(source: Path, *options: str) -> float:
    target = source.with_name(source.name + ".copy")
    target.unlink(missing_ok=True)
    elapsed = seconds_of("cp", *options, source, target)
    if target.stat().st_size != source.stat().st_size:
        raise Unavailable(f"{target}: {target.stat().st_size} bytes, its source has {source.stat().st_size}")
    return elapsed * 1000


def _plain(ground: Ground, directory: Path, full: int) -> Path:
    size = ground.settings.size(full)
    path = directory / f"plain-{full}"
    if not path.exists():
        write_file(path, size)
    return path


def _sparse(ground: Ground, directory: Path) -> Path:
    path = directory / "sparse"
    if not path.exists():
        pieces = ground.settings.count(SCATTERED)
        with open(path, "wb", buffering=0) as file:
            file.truncate(TIB)
            for number in range(pieces):
                file.seek(number * (TIB // pieces))
                file.write(os.urandom(MIB))
            os.fsync(file.fileno())
    return path


def _with_open_pair(source: Path, copy: Callable[[int, int, int], None]) -> float:
    target = source.with_name(source.name + ".range")
    target.unlink(missing_ok=True)
    with open(source, "rb", buffering=0) as reader, open(target, "wb", buffering=0) as writer:
        size = os.fstat(reader.fileno()).st_size
        start = perf_counter()
        copy(reader.fileno(), writer.fileno(), size)
        return (perf_counter() - start) * 1000


def _copy_range(reader: int, writer: int, size: int) -> None:
    while size > 0:
        copied = os.copy_file_range(reader, writer, size)
        if copied == 0:
            raise Unavailable(f"copy_file_range came to an end {size} bytes too early")
        size -= copied


def _clone(reader: int, writer: int, size: int) -> None:
    fcntl.ioctl(writer, FICLONE, reader)
