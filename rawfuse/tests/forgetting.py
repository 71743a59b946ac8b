"""Has the kernel forget what nobody uses of one file system.

/proc/sys/vm/drop_caches would do it to all of them, and to what another test beside this one counts on.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

from rawfuse.mount import _syscalls

__all__ = ["forget_unused"]

_FSPICK: Final = 433 + _syscalls._BASE
_FSPICK_CLOEXEC, _FSPICK_EMPTY_PATH = 1, 8
_FSCONFIG_CMD_RECONFIGURE: Final = 7


def forget_unused(root: int | str | os.PathLike[str]) -> None:
    """Names and inodes that are not in use are dropped, and the server is sent their FORGETs.

    Linux does so whenever a file system is reconfigured (reconfigure_super), here to what it is.

    Args:
        root: the mount's root, by a descriptor or a path.
    """
    fd = root if isinstance(root, int) else os.open(root, os.O_PATH | os.O_CLOEXEC)
    try:
        picked = _syscalls._call(_FSPICK, fd, ctypes.c_char_p(b""), _FSPICK_CLOEXEC | _FSPICK_EMPTY_PATH)
        try:
            _syscalls.fsconfig(picked, _FSCONFIG_CMD_RECONFIGURE)
        finally:
            os.close(picked)
    finally:
        if fd != root:
            os.close(fd)
