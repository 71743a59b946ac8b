"""Copying bytes between open files: by pointers where the file system can, else by the kernel, else through memory."""

from __future__ import annotations

import errno
import os

from mfs.copying.extents import clone, clone_range
from mfs.copying.holes import data_from, is_sparse, make_hole, stretches
from mfs.copying.outcome import Tally
from mfs.disk import write_all

__all__ = ["Blocks", "clone_all", "copy_all", "copy_rest", "read_all", "rewrite"]

READ_AT_ONCE = 1 << 20
COMPARED_AT_ONCE = 1 << 18
_BLOCK = 4096

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
    at = clone_all(source, target, status, there, start, tally, blocks)
    return at if at == status.st_size else copy_rest(source, target, status, there, at, tally)


def clone_all(
    source: int, target: int, status: os.stat_result, there: os.stat_result, start: int, tally: Tally, blocks: Blocks
) -> int:
    """Let the target have the source's blocks from `start`; of a longer target, all but a last part of a block.

    Returns:
        How far it has them: `start` where that cannot be.
    """
    size = status.st_size
    length = 0 if there.st_size <= size else (size - start) // there.st_blksize * there.st_blksize
    if not length and there.st_size > size:
        return start
    if not blocks.clone(source, target, start, length, (status.st_dev, there.st_dev)):
        return start
    end = start + length if length else size
    if not length and there.st_size:
        # A target that has bytes already does not tell how many were left in the source.
        end = max(start, min(size, os.fstat(source).st_size))
    tally.shared += end - start
    return end


def copy_rest(source: int, target: int, status: os.stat_result, there: os.stat_result, start: int, tally: Tally) -> int:
    """The same as :func:`copy_all` without sharing blocks."""
    size = status.st_size
    at = start
    offer = True
    if not is_sparse(status):
        at, offer = _offer(source, target, start, size, tally)
        if at == size:
            return size
    # What goes through memory is looked at for holes even so: not every file system counts blocks (mfs does not).
    for stretch in stretches(source, at, size):
        if stretch.hole:
            make_hole(target, stretch.start, stretch.stop, there.st_size)
            tally.holes += stretch.stop - stretch.start
            continue
        at = stretch.start
        if offer:
            at, offer = _offer(source, target, at, stretch.stop, tally)
        at = _through_memory(source, target, at, stretch.stop, tally)
        if at < stretch.stop:
            return at
    return _ended(source, target, size, max(at, there.st_size), tally)


def rewrite(source: int, target: int, status: os.stat_result, there: os.stat_result, tally: Tally) -> int:
    """The same as :func:`copy_all`, reading both and writing only the blocks that differ: what the target shares with
    others of the rest, it goes on sharing. Both must be open for reading.
    """
    size = status.st_size
    at = 0
    for start, stop, hole in stretches(source, 0, size):
        if hole:
            data = min(data_from(target, start, stop), stop)
            tally.skipped += data - start
            make_hole(target, data, stop, there.st_size)
            tally.holes += stop - data
            continue
        at = start
        while at < stop:
            ours = os.pread(source, min(COMPARED_AT_ONCE, stop - at), at)
            if not ours:
                return at
            _write_different(target, at, ours, os.pread(target, len(ours), at), tally)
            at += len(ours)
    return _ended(source, target, size, max(at, there.st_size), tally)


def _write_different(target: int, at: int, ours: bytes, theirs: bytes, tally: Tally) -> None:
    if ours == theirs:
        tally.skipped += len(ours)
        return
    first: int | None = None
    for place in range(0, len(ours), _BLOCK):
        if ours[place : place + _BLOCK] != theirs[place : place + _BLOCK]:
            if first is None:
                first = place
            continue
        tally.skipped += min(_BLOCK, len(ours) - place)
        if first is not None:
            write_all(target, memoryview(ours)[first:place], at + first)
            tally.written += place - first
            first = None
    if first is not None:
        write_all(target, memoryview(ours)[first:], at + first)
        tally.written += len(ours) - first


def _ended(source: int, target: int, size: int, reached: int, tally: Tally) -> int:
    """Where a source with holes ended: where it got shorter, what is gone looked like one."""
    end = min(size, os.fstat(source).st_size)
    tally.holes -= size - end
    if end > reached:
        os.ftruncate(target, end)
    return end


def _offer(source: int, target: int, start: int, stop: int, tally: Tally) -> tuple[int, bool]:
    """Let the kernel copy. Returns where that ended, and whether it is worth asking again."""
    at = start
    try:
        while at < stop:
            done = os.copy_file_range(source, target, stop - at, at, at)
            if not done:
                break  # the source is shorter now, or a file in /proc and the like, which only reading tells apart
            at += done
            tally.offered += done
            tally.written += done
    except OSError as error:
        if error.errno not in _NO_OFFER:
            raise
        return at, False
    return at, True


def _through_memory(source: int, target: int, start: int, stop: int, tally: Tally) -> int:
    """Where the source ended, at most at `stop`."""
    at = start
    while at < stop and (data := os.pread(source, min(READ_AT_ONCE, stop - at), at)):
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
