"""Parts of a mount that are shown in places of their own: /ipfs and /ipns beside /mfs.

They are bind mounts of one file system.  Between two file systems the kernel would copy by reading and writing;
within one it asks for the copy, wherever the two files are seen.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Sequence
from typing import NamedTuple

from rawfuse.mount import MountEntry, MountError, MountPermissionError, UnmountError, bind_mount, mount_entries, umount

__all__ = ["IPFS_ROOT", "IPNS_ROOT", "Bind", "BindRefused", "Binds", "mounts_beside", "unmount_together"]

IPFS_ROOT = "/.mfs/ipfs"
IPNS_ROOT = "/.mfs/ipns"


class Bind(NamedTuple):
    """`root` (as /proc/self/mountinfo has it) of the file system is shown at `directory`."""

    root: str
    directory: str
    read_only: bool


class BindRefused(MountPermissionError):
    """This process may not make bind mounts, for which the helper that mounts FUSE is of no use."""


class Binds:
    """The bind mounts beside the mount at `mountpoint`, made and taken away together.

    Both wait for the file system to answer, so its server calls them in a worker thread.
    """

    def __init__(self, mountpoint: str, binds: Sequence[Bind] = ()) -> None:
        self.mountpoint = mountpoint
        self.binds = tuple(binds)
        self._standing: list[Bind] = []

    def directory_of(self, root: str) -> str | None:
        """Where `root` is shown, None where it is not."""
        return next((bind.directory for bind in self.binds if bind.root == root), None)

    def attach(self) -> None:
        """Make all of them.  MountError: none is there then."""
        try:
            for bind in self.binds:
                bind_mount(self.mountpoint + bind.root, bind.directory, read_only=bind.read_only)
                self._standing.append(bind)
        except BaseException as error:
            self.detach()
            if isinstance(error, MountPermissionError):
                raise BindRefused(error.errno or errno.EPERM, error.strerror or "", error.filename) from error
            raise

    def detach(self) -> None:
        """Take them away, from under whoever uses them."""
        while self._standing:
            # Somebody else may have taken it away.
            with contextlib.suppress(UnmountError):
                umount(self._standing.pop().directory, lazy=True)


def mounts_beside(entry: MountEntry) -> tuple[MountEntry, list[MountEntry]]:
    """Of the mount `entry`, or the one that it belongs to: the main mount, and the bind mounts made beside it.

    Where `entry` is a bind mount that somebody else made, it is the main one, with none beside it.
    """
    same = [other for other in mount_entries() if other.device == entry.device]
    mains = [other for other in same if other.root == "/"]
    beside = [other for other in same if other.root in (IPFS_ROOT, IPNS_ROOT)]
    if not mains or (entry.mount_id != mains[0].mount_id and entry not in beside):
        return entry, []
    return mains[0], beside


def unmount_together(main: MountEntry, beside: Sequence[MountEntry], *, lazy: bool = False) -> None:
    """Take away the mounts `beside` and `main`: all of them or, where one is in use, none.

    UnmountError: `filename` says which is in use.
    """
    gone: list[MountEntry] = []
    try:
        for entry in (*beside, main):
            umount(entry.mountpoint, lazy=lazy)
            gone.append(entry)
    except UnmountError:
        for entry in reversed(gone):
            # That of a dead server cannot be walked into; it is as well that it is gone.
            with contextlib.suppress(MountError):
                bind_mount(main.mountpoint + entry.root, entry.mountpoint, read_only="ro" in entry.options)
        raise
