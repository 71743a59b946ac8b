"""The two Linux system calls for segment files that Python's `os` does not have."""

from __future__ import annotations

import ctypes
import errno
import os

__all__ = ["punch_hole", "start_writeback"]

# <linux/falloc.h>, <linux/fs.h>
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
_SYNC_FILE_RANGE_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate64 if hasattr(_libc, "fallocate64") else _libc.fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_sync_file_range = _libc.sync_file_range
_sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


def punch_hole(fd: int, offset: int, length: int) -> bool:
    """Give `length` bytes at `offset` back to the file system; they read as zeros. False where it cannot do that."""
    while _fallocate(fd, _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE, offset, length) != 0:
        code = ctypes.get_errno()
        if code == errno.EINTR:
            continue
        if code in (errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        raise OSError(code, os.strerror(code))
    return True


def start_writeback(fd: int, offset: int = 0, length: int = 0) -> None:
    """Ask the kernel to begin writing dirty pages out (`length` 0: to the end).

    A hint: what fails is seen at fdatasync.
    """
    _sync_file_range(fd, offset, length, _SYNC_FILE_RANGE_WRITE)
