"""Rows of whole files in the examples: one in memory, one where the kernel reads by itself. Nothing is pinned."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .ground import Ground, Measure, Samples, in_turns
from .machine import GIB, MIB, Unavailable
from .servers import Server
from .streams import read_file, write_file

SIZE = 256 * MIB


def write(beside: str) -> Measure:
    """MB/s into a file that is new each time."""

    def once(path: Path, size: int) -> float:
        speed = size / write_file(path, size) / 1e6
        path.unlink()
        return speed

    return _both(beside, once)


def read(beside: str) -> Measure:
    """MB/s of a file that the server has in memory and the kernel has not."""

    def once(path: Path, size: int) -> float:
        if not path.exists():
            write_file(path, size)
        forget_pages(path)
        return size / read_file(path) / 1e6

    return _both(beside, once)


def passed_through(ground: Ground) -> Samples:
    """MB/s by way of the mount and without it. The pages are the disk's both times, and there already: what is
    measured is what the mount adds to each read."""
    size = ground.settings.size(GIB)
    name = "file"
    plain = ground.ours.source / name
    write_file(plain, size)
    read_file(plain)
    samples = in_turns(
        ground.settings.times(5),
        lambda: size / read_file(ground.ours.mount / name) / 1e6,
        lambda: size / read_file(plain) / 1e6,
    )
    plain.unlink()
    return samples


def forget_pages(path: Path) -> None:
    """Lets the kernel drop what it has of a file; what is not written yet is written first."""
    with open(path, "rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _both(beside: str, once: Callable[[Path, int], float]) -> Measure:
    def measure(ground: Ground) -> Samples:
        size = ground.settings.size(SIZE)

        def on(server: Server) -> float:
            return once(server.mount / "whole", size)

        on(ground.ours)  # the first one pays for memory that nobody has touched yet
        with suppress(Unavailable):  # noted when it is measured
            on(ground.peer(beside))
        samples = in_turns(ground.settings.times(5), lambda: on(ground.ours), lambda: on(ground.peer(beside)))
        for server in (ground.ours, *([ground.peer(beside)] if samples.reference else [])):
            (server.mount / "whole").unlink(missing_ok=True)
        return samples

    return measure
