"""The nodes of the tree that are in memory: attributes of any inode, and what each type has besides.

Times are nanoseconds since the epoch.  A node whose attributes changed is told so by :meth:`Tree.touched`; until then
``packed`` holds the attributes as the kernel wants them, so that an unchanged node is packed once.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import NamedTuple

from mfs.file.content import Content, Medium
from mfs.tree.record import NO_STATS, Entry, Inode, pack_attributes
from mfs.unixfs.cid import CID
from mfs.unixfs.directory import DirStats

BARE: dict[bytes, bytes | None] = {}
"""The extended attributes of a node that has none; shared, and never changed."""


class Node:
    """One inode: what :manpage:`inode(7)` lists, and where it is referred to.

    ``references`` are the (parent's inode number, name) pairs that name it; none for the root and for a file that was
    unlinked and is still open.  ``cid`` and ``tsize`` (bytes of the whole DAG) are those of the last commit; None for a
    node that is in no commit yet.
    """

    __slots__ = (
        "atime",
        "btime",
        "cid",
        "ctime",
        "gid",
        "ino",
        "mode",
        "mtime",
        "nlink",
        "packed",
        "rdev",
        "references",
        "tsize",
        "uid",
        "unsaved_xattrs",
        "xattrs",
    )

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, rdev: int = 0) -> None:
        self.ino = ino
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.rdev = rdev
        self.nlink = 1
        self.atime = self.mtime = self.ctime = self.btime = now
        self.references: tuple[tuple[int, bytes], ...] = ()
        self.cid: CID | None = None
        self.tsize = 0
        self.packed: bytes | None = None
        self.xattrs: dict[bytes, bytes | None] | None = BARE
        """Extended attributes: a value, or None where the metadata map has it; None altogether where it was not asked
        yet which there are.  See :mod:`mfs.tree.xattrs`."""
        self.unsaved_xattrs: dict[bytes, bytes | None] | None = None
        """Those that changed since the last commit; None: removed."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.ino} {stat.filemode(self.mode)} {self.references}>"

    def attributes(self) -> bytes:
        """The first part of its record in the metadata map."""
        return pack_attributes(
            self.mode,
            self.uid,
            self.gid,
            self.rdev,
            self.nlink,
            self.atime,
            self.mtime,
            self.ctime,
            self.btime,
            self.xattrs is None or bool(self.xattrs),
        )

    @property
    def dtype(self) -> int:
        """The ``DT_`` type of its directory entries."""
        return self.mode >> 12

    @property
    def size(self) -> int:
        """``st_size``."""
        return 0

    @property
    def target(self) -> bytes:
        """The target, of a symbolic link."""
        return b""


class File(Node):
    """A regular file."""

    __slots__ = ("appender", "carried", "content")

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, medium: Medium) -> None:
        super().__init__(ino, mode, uid, gid, now)
        self.content = Content(medium)
        self.appender: object | None = None
        """The segment of its own that a large file is written to."""
        self.carried = False
        """Renamed over another file since it was logged: its bytes go into the log with its name."""

    @property
    def size(self) -> int:
        return self.content.size


class Symlink(Node):
    """A symbolic link; its target never changes."""

    __slots__ = ("_target",)

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int, target: bytes) -> None:
        super().__init__(ino, mode, uid, gid, now)
        self._target = target

    @property
    def size(self) -> int:
        return len(self._target)

    @property
    def target(self) -> bytes:
        return self._target


class Special(Node):
    """A FIFO, a socket or a device node.  UnixFS has no such thing: it is in the metadata map alone."""

    __slots__ = ()


class Directory(Node):
    """A directory: the names that are known, and those that changed since the last commit.

    ``names`` maps a name to its entry, or to None where it is known to be absent.  Where ``complete``, a name that is
    not there is absent; else the metadata map is asked.  ``entries`` counts the names there are.
    """

    __slots__ = ("changed", "complete", "entries", "names", "stats")

    def __init__(self, ino: int, mode: int, uid: int, gid: int, now: int) -> None:
        super().__init__(ino, mode, uid, gid, now)
        self.nlink = 2
        self.names: dict[bytes, Entry | None] = {}
        self.changed: dict[bytes, Entry | None] = {}
        self.complete = True
        self.entries = 0
        self.stats = NO_STATS

    def present(self) -> Iterator[tuple[bytes, Entry]]:
        """The names in memory that are not marked absent, in no order."""
        for name, entry in self.names.items():
            if entry is not None:
                yield name, entry


class Graft(NamedTuple):
    """The directory that a new one was made of, name for name: kept byte for byte where nothing is different."""

    cid: CID
    tsize: int
    stats: DirStats


def from_inode(ino: int, kept: Inode, medium: Medium) -> Node:
    """The node of a record of the metadata map."""
    node: Node
    kind = stat.S_IFMT(kept.mode)
    if kind == stat.S_IFREG:
        node = file = File(ino, kept.mode, kept.uid, kept.gid, 0, medium)
        file.content = Content(medium, kept.cid, kept.size, kept.tsize, foreign=bool(kept.entries))
    elif kind == stat.S_IFDIR:
        node = directory = Directory(ino, kept.mode, kept.uid, kept.gid, 0)
        directory.entries = kept.entries
        directory.stats = kept.stats
        directory.complete = not kept.entries
    elif kind == stat.S_IFLNK:
        node = Symlink(ino, kept.mode, kept.uid, kept.gid, 0, kept.target)
    else:
        node = Special(ino, kept.mode, kept.uid, kept.gid, 0, kept.rdev)
    node.nlink = kept.nlink
    node.atime, node.mtime, node.ctime, node.btime = kept.atime, kept.mtime, kept.ctime, kept.btime
    node.references = kept.references
    node.cid = kept.cid
    node.tsize = kept.tsize
    if kept.has_xattrs:
        node.xattrs = None
    return node
