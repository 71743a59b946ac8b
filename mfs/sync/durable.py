"""syncfs(2), which Python's `os` does not have."""

from __future__ import annotations

import ctypes
import os

__all__ = ["sync_file_system"]

_syncfs = ctypes.CDLL(None, use_errno=True).syncfs
_syncfs.argtypes = [ctypes.c_int]


def sync_file_system(fd: int) -> None:
    """Return when everything that was written to the file system of an open file is on disk.

    Raises:
        OSError: not all of it is (EIO, ENOSPC, EDQUOT).
    """
    if _syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
