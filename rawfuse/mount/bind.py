"""Bind mounts: one tree shown in several places, one of them perhaps read-only (open_tree(2), Linux 5.2 and 5.12)."""

from __future__ import annotations

import errno
import os

from rawfuse.mount import _syscalls as sc
from rawfuse.mount.errors import MountError, MountPermissionError, MountPointError

__all__ = ["bind_mount"]


def bind_mount(
    source: str | os.PathLike[str],
    mountpoint: str | os.PathLike[str],
    *,
    dir_fd: int | None = None,
    read_only: bool = False,
) -> None:
    """Shows `source` (relative to `dir_fd` where given) at `mountpoint` too, in the same superblock.

    Walking to `source` asks the file systems on the way: for a path inside a mount that this process serves, call it
    from a worker thread.

    Raises:
        MountPointError: `source` or `mountpoint` does not exist.
        MountPermissionError: CAP_SYS_ADMIN is missing.
        MountError: anything else.
    """
    name = os.fspath(mountpoint)
    flags = sc.OPEN_TREE_CLONE | sc.OPEN_TREE_CLOEXEC
    flags |= 0 if os.fspath(source) else sc.AT_EMPTY_PATH
    try:
        tree = sc.open_tree(sc.AT_FDCWD if dir_fd is None else dir_fd, os.fsencode(source), flags)
        try:
            if read_only:
                sc.mount_setattr(tree, sc.MOUNT_ATTR_RDONLY)
            sc.move_mount(tree, os.fsencode(name))
        finally:
            os.close(tree)
    except OSError as error:
        number = error.errno or errno.EIO
        message = f"cannot bind {os.fspath(source)!r} here: {os.strerror(number)}"
        if number in (errno.ENOENT, errno.ENOTDIR):
            raise MountPointError(number, message, name) from error
        if number in (errno.EPERM, errno.EACCES):
            raise MountPermissionError(number, message, name) from error
        raise MountError(number, message, name) from error
