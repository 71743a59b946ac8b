"""What every view has."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from mfs.tree.node import Directory, File, Node
from mfs.tree.record import Entry, cookie_of

__all__ = ["FixedListing", "Listed", "Listing", "View", "fits"]

NAME_MAX = 255
_DIRECTORY = stat.S_IFDIR >> 12


class Listed(NamedTuple):
    """One name of a listing: go on after `offset` to see what follows it."""

    offset: int
    name: bytes
    entry: Entry


class Listing(Protocol):
    """An open directory."""

    def after(self, offset: int) -> list[Listed]:
        """Some names behind `offset`, in order; none at the end.  0 is the beginning."""


class FixedListing:
    """A few directories, by name and inode number, in the order of their cookies."""

    def __init__(self, entries: Mapping[bytes, int]) -> None:
        listed = [Listed(cookie_of(name), name, Entry(ino, _DIRECTORY, 0)) for name, ino in entries.items()]
        self._listed = sorted(listed, key=lambda one: one.offset)

    def after(self, offset: int) -> list[Listed]:
        return [one for one in self._listed if one.offset > offset]


class View:
    """The read side of a tree; the base class knows nothing.  Errors are OSErrors for the caller of the system call."""

    def node(self, ino: int) -> Node:
        """The node of inode number `ino`.  ESTALE: there is none."""
        raise OSError(errno.ESTALE, f"inode {ino} is gone")

    def child(self, directory: Directory, name: bytes) -> Node | None:
        """What `name` is in `directory`; None where it is absent and will always be.

        ENOENT where it is absent now; EIO where it cannot be read, EOPNOTSUPP where it is nothing that files are
        made of.
        """
        raise NotImplementedError

    def listing(self, directory: Directory) -> Listing:
        """The names in `directory`."""
        raise NotImplementedError

    def add(self, node: Node) -> None:
        """The kernel is given one more reference to `node`."""

    def forget(self, ino: int, count: int) -> None:
        """The kernel dropped `count` of its references to `ino`."""

    def directory(self, ino: int) -> Directory:
        """The directory of inode number `ino`.  ESTALE, ENOTDIR."""
        node = self.node(ino)
        if not isinstance(node, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return node

    def file(self, ino: int) -> File:
        """The regular file of inode number `ino`.  ESTALE, EISDIR for a directory, EINVAL for anything else."""
        node = self.node(ino)
        if not isinstance(node, File):
            code = errno.EISDIR if isinstance(node, Directory) else errno.EINVAL
            raise OSError(code, os.strerror(code))
        return node


def fits(name: bytes) -> bool:
    """Whether the kernel can show an entry of this name; a directory that somebody else made may hold any."""
    return 0 < len(name) <= NAME_MAX and b"/" not in name and b"\0" not in name and name not in (b".", b"..")
