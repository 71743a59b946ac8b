"""Holes in files: finding them, and making them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from mfs.blocks._syscalls import punch_hole
from mfs.disk import write_all

__all__ = ["Stretch", "data_from", "is_sparse", "make_hole", "stretches"]

_ZEROS = bytes(1 << 20)


class Stretch(NamedTuple):
    """A part of a file that is all data, or all hole."""

    start: int
    stop: int
    hole: bool


def is_sparse(status: os.stat_result) -> bool:
    """Whether a file has fewer blocks than bytes: then it is worth looking for holes."""
    return status.st_blocks * 512 < status.st_size


def data_from(fd: int, start: int, stop: int) -> int:
    """Where data begins, from `start`; `stop` when there is none before that, `start` where nobody can tell."""
    try:
        return min(os.lseek(fd, start, os.SEEK_DATA), stop)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return stop
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return start
        raise


def stretches(fd: int, start: int, stop: int) -> Iterator[Stretch]:
    """Data and holes of the bytes from `start` to `stop`, in order; moves the descriptor's position.

    A file that shrinks meanwhile ends in a hole.
    """
    while start < stop:
        data = data_from(fd, start, stop)
        if data > start:
            yield Stretch(start, data, True)
        if data < stop:
            end = _hole_from(fd, data, stop)
            yield Stretch(data, end, False)
            data = end
        start = data


def _hole_from(fd: int, start: int, stop: int) -> int:
    try:
        found = os.lseek(fd, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EINVAL, errno.EOPNOTSUPP):
            return stop
        raise
    # At `start` itself only when somebody has just made a hole there.
    return min(found, stop) if found > start else stop


def make_hole(fd: int, start: int, stop: int, size: int) -> None:
    """Let the bytes from `start` to `stop` of a file of `size` bytes read as zeros, without blocks where that can be.

    What lies behind `size` is nobody's yet and is left alone.
    """
    stop = min(stop, size)
    if start >= stop or punch_hole(fd, start, stop - start):
        return
    while start < stop:
        count = min(stop - start, len(_ZEROS))
        write_all(fd, memoryview(_ZEROS)[:count], start)
        start += count
