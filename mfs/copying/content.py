"""Copying bytes between open files: by pointers where the file system can, else by the kernel, else through memory."""

from __future__ import annotations

import errno
import os

from mfs.copying.extents import clone, clone_range
from mfs.copying.holes import is_sparse, make_hole, stretches
from mfs.copying.outcome import Tally
from mfs.disk import write_all

__all__ = ["Blocks", "copy_all", "read_all"]

OFFERED_AT_ONCE = 1 << 30
READ_AT_ONCE = 1 << 20

_NO_CLONES = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.ENOSYS}
_NOT_THIS_FILE = {errno.EINVAL, errno.EPERM, errno.ETXTBSY, errno.EBADF, errno.EISDIR}
_NO_OFFER = _NO_CLONES | _NOT_THIS_FILE
"""What copy_file_range(2) and the clones say when bytes must be copied otherwise; ENOSPC, EDQUOT and EIO are meant."""


class Blocks:
    """What is known of pairs of file systems: those that do not share blocks are asked once."""

    def __init__(self) -> None:
        self._apart: set[tuple[int, int]] = set()

    def clone(self, source: int, target: int, start: int, length: int, pair: tuple[int, int]) -> bool:
        """Let the target have the source's blocks, `length` 0: to the end of the source. Whether that was done."""
        if pair in self._apart:
            return False
        try:
            if start or length:
                clone_range(source, target, start, length)
            else:
                clone(source, target)
        except OSError as error:
            if error.errno in _NO_CLONES:
                self._apart.add(pair)
            elif error.errno not in _NOT_THIS_FILE:
                raise
            return False
        return True


def copy_all(
    source: int, target: int, status: os.stat_result, there: os.stat_result, start: int, tally: Tally, blocks: Blocks
) -> int:
    """Make the bytes of the target from `start` those of the source; `status` and `there` are what both were at first.

    What a longer target has behind them stays. Bytes that the source gained meanwhile are not copied.

    Returns:
        Where the source ended: less than its size where it lost bytes meanwhile.
    """
    size = status.st_size
    pair = status.st_dev, there.st_dev
    length = 0 if there.st_size <= size else (size - start) // there.st_blksize * there.st_blksize
    if (length or there.st_size <= size) and blocks.clone(source, target, start, length, pair):
        if length:
            tally.shared += length
            start += length
        elif there.st_size == 0:
            tally.shared += size - start
            return size
        else:
            # A target that has bytes already does not tell how many were left in the source.
            end = max(start, min(size, os.fstat(source).st_size))
            tally.shared += end - start
            return end
    if not is_sparse(status):
        return _copy(source, target, start, size, tally)
    at = start
    for stretch in stretches(source, start, size):
        if stretch.hole:
            make_hole(target, stretch.start, stretch.stop, there.st_size)
            tally.holes += stretch.stop - stretch.start
        elif (at := _copy(source, target, *stretch[:2], tally)) < stretch.stop:
            return at
    end = min(size, os.fstat(source).st_size)  # where it got shorter, what is gone looked like a hole
    tally.holes -= size - end
    if end > max(at, there.st_size):
        os.ftruncate(target, end)
    return end


def _copy(source: int, target: int, start: int, stop: int, tally: Tally) -> int:
    """Where the source ended, at most at `stop`."""
    at = start
    try:
        while at < stop:
            done = os.copy_file_range(source, target, min(OFFERED_AT_ONCE, stop - at), at, at)
            if not done:
                break  # the source is shorter now, or a file in /proc and the like, which only reading tells apart
            at += done
            tally.offered += done
            tally.written += done
    except OSError as error:
        if error.errno not in _NO_OFFER:
            raise
    while at < stop:
        data = os.pread(source, min(READ_AT_ONCE, stop - at), at)
        if not data:
            break
        write_all(target, data, at)
        at += len(data)
        tally.written += len(data)
    return at


def read_all(source: int, target: int, tally: Tally, *, seekable: bool = True) -> int:
    """Copy until nothing more is read: a source that says it is empty (/proc), a target that is a device.

    Returns:
        The bytes that were copied.
    """
    at = 0
    while data := os.read(source, READ_AT_ONCE):
        if seekable:
            write_all(target, data, at)
        else:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(target, rest) :]
        at += len(data)
        tally.written += len(data)
    return at
