"""Where the bytes of a file lie, and making two files lie in the same place: the ioctls of <linux/fs.h>.

Btrfs and xfs can share blocks (Linux 4.5 has these calls for every file system), ext4 only tells where blocks are.
All offsets and lengths are bytes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["SHARED", "Extent", "clone", "clone_range", "extents", "share"]

# <linux/fiemap.h>
_FIEMAP = 0xC020660B  # _IOWR('f', 11, struct fiemap)
_FIEMAP_HEAD = struct.Struct("=QQIIII")
_FIEMAP_EXTENT = struct.Struct("=QQQQQIIII")
_EXTENTS_A_CALL = 256
_LAST = 0x0001
SHARED = 0x2000
"""Flag of an extent: another file, or another place in this one, has it too."""

# <linux/fs.h>
_FICLONE = 0x40049409  # _IOW(0x94, 9, int)
_FICLONERANGE = 0x4020940D  # _IOW(0x94, 13, struct file_clone_range)
_FIDEDUPERANGE = 0xC0189436  # _IOWR(0x94, 54, struct file_dedupe_range)
_CLONE_RANGE = struct.Struct("=qQQQ")
_DEDUPE_RANGE = struct.Struct("=QQHHIqQQiI")
_DEDUPE_ANSWER = struct.Struct("=Qi")
_DEDUPE_ANSWER_AT = 40
_DIFFERS = 1


class Extent(NamedTuple):
    """A stretch of a file that has blocks: `physical` is where on the disk."""

    start: int
    stop: int
    physical: int
    flags: int


def extents(fd: int, size: int) -> Iterator[Extent]:
    """The extents of the first `size` bytes, in order; what lies between two of them is a hole.

    Raises:
        OSError: EOPNOTSUPP or ENOTTY where the file system does not tell.
    """
    at = 0
    buffer = bytearray(_FIEMAP_HEAD.size + _EXTENTS_A_CALL * _FIEMAP_EXTENT.size)
    while at < size:
        _FIEMAP_HEAD.pack_into(buffer, 0, at, size - at, 0, 0, _EXTENTS_A_CALL, 0)
        fcntl.ioctl(fd, _FIEMAP, buffer)
        mapped = _FIEMAP_HEAD.unpack_from(buffer)[3]
        for index in range(mapped):
            place = _FIEMAP_HEAD.size + index * _FIEMAP_EXTENT.size
            start, physical, length, _, _, flags, _, _, _ = _FIEMAP_EXTENT.unpack_from(buffer, place)
            at = max(at, start + length)
            yield Extent(start, start + length, physical, flags)
            if flags & _LAST:
                return
        if not mapped:
            return


def clone(source: int, target: int) -> None:
    """Let the target have all of the source's blocks (FICLONE), from its beginning; what it has behind them stays.

    Raises:
        OSError: EOPNOTSUPP, ENOTTY, EXDEV where that cannot be; EINVAL also when the target is longer than a source
            that does not end on a block.
    """
    fcntl.ioctl(target, _FICLONE, source)


def clone_range(source: int, target: int, start: int, length: int) -> None:
    """The same for a range, at the same place in both; both ends on block boundaries, or `length` 0: to the end."""
    fcntl.ioctl(target, _FICLONERANGE, _CLONE_RANGE.pack(source, start, length, start))


def share(giver: int, taker: int, start: int, length: int) -> int:
    """Let the range of `taker` lie in the blocks of `giver`, if both have the same bytes there (FIDEDUPERANGE).

    The kernel compares, and nobody can write meanwhile. No byte and no time of either file changes. `taker` need
    not be open for writing where the caller owns it or may write to it.

    Returns:
        The bytes that are shared now, from `start`; 0 when they differ anywhere in the range.

    Raises:
        OSError: it cannot be done here, whatever the bytes are.
    """
    request = bytearray(_DEDUPE_RANGE.pack(start, length, 1, 0, 0, taker, start, 0, 0, 0))
    fcntl.ioctl(giver, _FIDEDUPERANGE, request)
    done, status = _DEDUPE_ANSWER.unpack_from(request, _DEDUPE_ANSWER_AT)
    if status < 0:
        raise OSError(-status, os.strerror(-status))
    if status == _DIFFERS:
        return 0
    if not done:
        raise OSError(errno.EIO, "the kernel shared nothing and gave no error")
    return int(min(done, length))
