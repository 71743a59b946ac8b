"""ENOSYS: what the caller gets for it, and what the kernel never asks again (each opcode tried twice on Linux 6.18)."""

from __future__ import annotations

import errno
from typing import Final

from rawfuse.wire import constants as c
from rawfuse.wire.opcodes import OPERATIONS

__all__ = ["INSTEAD", "REMEMBERED", "SEEN"]

REMEMBERED: Final[frozenset[int]] = frozenset(op.opcode for op in OPERATIONS if op.enosys.remembered)
"""Opcodes that are not asked again on the connection."""

_SUCCESS: Final = (
    c.FUSE_ACCESS,
    c.FUSE_FLUSH,
    c.FUSE_FSYNC,
    c.FUSE_FSYNCDIR,
    c.FUSE_OPEN,
    c.FUSE_OPENDIR,
    c.FUSE_POLL,
    c.FUSE_SYNCFS,
    c.FUSE_BMAP,
    c.FUSE_RELEASE,
    c.FUSE_RELEASEDIR,
)
_EOPNOTSUPP: Final = (
    c.FUSE_SETXATTR,
    c.FUSE_GETXATTR,
    c.FUSE_LISTXATTR,
    c.FUSE_REMOVEXATTR,
    c.FUSE_FALLOCATE,
    c.FUSE_TMPFILE,
)

SEEN: Final[dict[int, int]] = {
    **dict.fromkeys(_SUCCESS, 0),
    **dict.fromkeys(_EOPNOTSUPP, errno.EOPNOTSUPP),
    c.FUSE_LINK: errno.EPERM,
    c.FUSE_RENAME2: errno.EINVAL,
    c.FUSE_IOCTL: errno.ENOTTY,
    c.FUSE_INIT: errno.ECONNREFUSED,
}
"""Opcode to what the caller sees: 0 for success, or an errno. Any other opcode passes ENOSYS on, or is in INSTEAD."""

INSTEAD: Final[dict[int, tuple[int, ...]]] = {
    c.FUSE_CREATE: (c.FUSE_LOOKUP, c.FUSE_MKNOD, c.FUSE_OPEN),
    c.FUSE_STATX: (c.FUSE_GETATTR,),
    c.FUSE_LSEEK: (c.FUSE_GETATTR,),
    c.FUSE_COPY_FILE_RANGE_64: (c.FUSE_COPY_FILE_RANGE,),
    c.FUSE_COPY_FILE_RANGE: (c.FUSE_READ, c.FUSE_WRITE),
}
"""Opcode to the requests that the kernel sends in its place, within the same call."""
