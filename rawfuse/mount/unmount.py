"""Taking mounts away, and telling dead ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rawfuse.mount import _syscalls
from rawfuse.mount.errors import HelperError, UnmountError
from rawfuse.mount.fusermount import fusermount_unmount
from rawfuse.mount.mountinfo import canonical, find_mount

__all__ = ["abort_connection", "clean_dead_mount", "dead_mount", "umount"]

_CONNECTIONS = Path("/sys/fs/fuse/connections")


def dead_mount(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a FUSE mount whose server is gone: every call on it says ENOTCONN.

    It asks the file system, so it must not be asked of a mount that this very thread serves. What is asked is STATFS:
    attributes the kernel may still have from before the server died.
    """
    try:
        os.statvfs(path)
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return True
        if error.errno == errno.ECONNABORTED:
            entry = find_mount(path)
            return entry is not None and entry.is_fuse
    return False


def umount(path: str | os.PathLike[str], *, lazy: bool = False, force: bool = False) -> None:
    """Takes away the topmost mount at `path`, with fusermount3 where this process itself may not.

    Args:
        lazy: take it out of the tree at once and let it end when its last user does; never EBUSY.
        force: fail the requests in flight (ECONNABORTED). The kernel does that even where it then says EBUSY.

    Raises:
        UnmountError: EBUSY while somebody uses it, EINVAL when nothing is mounted there, EPERM.
    """
    flags = _syscalls.UMOUNT_NOFOLLOW
    flags |= _syscalls.MNT_DETACH if lazy else 0
    flags |= _syscalls.MNT_FORCE if force else 0
    name = canonical(path)
    try:
        _syscalls.umount2(os.fsencode(name), flags)
    except OSError as error:
        number = error.errno or errno.EIO
        if number == errno.EPERM:
            try:
                fusermount_unmount(name, lazy=lazy)
            except HelperError as helper:
                message = f"may not unmount, and with the helper: {helper.strerror}"
                raise UnmountError(number, message, name) from helper
            return
        raise UnmountError(number, _advice(number), name) from error


def _advice(number: int) -> str:
    if number == errno.EBUSY:
        return "cannot unmount: it is in use; close what is open or running there, or unmount lazily"
    if number == errno.EINVAL:
        return "cannot unmount: nothing is mounted there"
    return f"cannot unmount: {os.strerror(number)}"


def clean_dead_mount(path: str | os.PathLike[str]) -> int:
    """Takes away every dead FUSE mount stacked on `path`; returns how many there were."""
    count = 0
    while dead_mount(path):
        umount(path, lazy=True)
        count += 1
    return count


def abort_connection(connection: int) -> bool:
    """Fails every request of a FUSE connection, now and later, through fusectl; False when that is not mounted.

    `connection` is :attr:`MountEntry.connection`. The reader of the device sees ENODEV, or ECONNABORTED
    when FUSE_ABORT_ERROR was agreed on.
    """
    try:
        (_CONNECTIONS / str(connection) / "abort").write_text("1")
    except OSError:
        return False
    return True
