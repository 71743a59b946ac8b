"""Small things about writing to disks that more than one room needs."""

from __future__ import annotations

import errno
import os

__all__ = ["fsync_directory", "write_all"]


def fsync_directory(path: str | os.PathLike[str]) -> None:
    """Make the entries of a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | bytearray | memoryview, at: int) -> None:
    """Write `data` at an offset of a file, all of it.

    A short write means a full disk, a limit or a signal; going on gives the errno.
    """
    rest = memoryview(data)
    while rest:
        done = os.pwrite(fd, rest, at)
        if not done:
            raise OSError(errno.EIO, "the kernel wrote no byte and gave no error")
        rest = rest[done:]
        at += done
