"""Rows of whole files read and written in order, and the server's memory meanwhile. Nothing is pinned."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from .ground import Ground, Samples, in_turns, progress
from .machine import GIB, MIB, PeakMemory, Unavailable, sha256_speed

STAMP_EVERY = 256 * 1024  # no chunk of any profile is smaller: no two chunks are equal


def write_file(path: Path, size: int) -> float:
    """Writes bytes never written before, 1 MiB at a time, and returns the seconds it took with the closing fsync."""
    block = bytearray(os.urandom(min(MIB, size)))
    start = perf_counter()
    with open(path, "wb", buffering=0) as file:
        for at in range(0, size, len(block)):
            for offset in range(0, len(block), STAMP_EVERY):
                block[offset : offset + 8] = (at + offset).to_bytes(8, "little")
            piece = memoryview(block)[: size - at]
            while piece:
                piece = piece[file.write(piece) :]
        os.fsync(file.fileno())
    return perf_counter() - start


def read_file(path: Path) -> float:
    """Reads it all, 1 MiB at a time, and returns the seconds it took. Raises Unavailable when it is too short."""
    block = bytearray(MIB)
    total = 0
    start = perf_counter()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(block):
            total += count
        elapsed = perf_counter() - start
        if total != os.fstat(file.fileno()).st_size:
            raise Unavailable(f"{path}: {total} bytes read, its size is {os.fstat(file.fileno()).st_size}")
    return elapsed


def sequential_write(ground: Ground) -> Samples:
    """MB/s, beside one core's SHA-256."""
    size = ground.settings.size(2 * GIB)

    def ours() -> float:
        path = ground.ours.mount / "written"
        speed = size / write_file(path, size) / 1e6
        path.unlink()
        return speed

    return in_turns(ground.settings.times(3), ours, sha256_speed)


def sequential_read(ground: Ground) -> Samples:
    """MB/s from a mount whose kernel cache is empty, because it is new; the disk below is warm for both."""
    size = ground.settings.size(2 * GIB)
    name = "plain"
    write_file(ground.ours.mount / name, size)
    ground.ours.settle()
    with suppress(Unavailable):  # noted when it is measured
        write_file(ground.peer("passthrough_ll").source / name, size)
    os.sync()

    def ours() -> float:
        ground.ours.restart()
        return size / read_file(ground.ours.mount / name) / 1e6

    def reference() -> float:
        peer = ground.peer("passthrough_ll")
        peer.restart()
        return size / read_file(_passed_through(peer.mount, peer.source / name)) / 1e6

    ours()  # the first one after so much was written pays for the writing
    return in_turns(ground.settings.times(5), ours, reference)


def peak_memory(ground: Ground) -> Samples:
    """Peak anonymous memory in MiB while 10 GiB are written, synced and committed."""
    size = ground.settings.size(10 * GIB)
    peaks = []
    for _ in ground.settings.times(1):
        path = ground.ours.mount / "large"
        with PeakMemory(ground.ours.pids) as peak:
            elapsed = write_file(path, size)
            ground.ours.settle()
        progress(f"  {size / MIB:.0f} MiB in {elapsed:.1f} s")
        path.unlink()
        peaks.append(peak.bytes / MIB)
    return Samples(peaks)


def _passed_through(mount: Path, below: Path) -> Path:
    """Where a passthrough shows a file: some show all of / (and only start at the source), some the source alone."""
    for path in (mount / below.name, mount / below.relative_to("/")):
        if path.exists():
            return path
    raise Unavailable(f"passthrough_ll: {below.name} is not in its mount: give it {{src}}, as in -o source={{src}}")
