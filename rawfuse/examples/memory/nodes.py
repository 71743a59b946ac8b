"""What there is: inodes, the names in directories, and attributes as the kernel wants them."""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from time import time_ns
from typing import Final

from rawfuse import Filesystem, wire
from rawfuse.examples.memory.data import Memory, SparseBytes
from rawfuse.examples.memory.locks import Locks

__all__ = ["ABSENT", "NAME_MAX", "VALID", "Directory", "File", "Node", "Symlink", "Tree", "error"]

VALID: Final = 86_400
"""Seconds for which the kernel may believe what it was told: everything that changes comes through it."""

NAME_MAX: Final = 255
SECOND: Final = 1_000_000_000
BLOCK: Final = 512

ABSENT: Final = wire.fuse_entry_out(nodeid=0, entry_valid=VALID).pack()
_ATTR_HEAD: Final = wire.fuse_attr_out(attr_valid=VALID).pack()[:-88]
_U64: Final = (1 << 64) - 1


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Node:
    """An inode. Times in nanoseconds since 1970; `nlookup` is how many references the kernel holds."""

    __slots__ = (
        "atime", "btime", "ctime", "flags", "gid", "ino", "mode", "mtime", "nlink", "nlookup", "packed", "rdev", "uid",
        "xattrs",
    )  # fmt: skip

    def __init__(self, ino: int, mode: int, uid: int, gid: int, rdev: int = 0) -> None:
        self.ino = ino
        self.mode = mode & 0xFFFF  # as much as the kernel keeps
        self.uid = uid
        self.gid = gid
        self.rdev = rdev
        self.nlink = 1
        self.nlookup = 0
        self.flags = 0
        self.atime = self.mtime = self.ctime = self.btime = time_ns()
        self.xattrs: dict[bytes, bytes] = {}
        self.packed: bytes | None = None

    @property
    def size(self) -> int:
        return 0

    @property
    def allocated(self) -> int:
        """Bytes of memory, for st_blocks."""
        return self.size

    def entry(self) -> bytes:
        """fuse_entry_out, packed once for as long as nothing changes: who changes a node calls `touch`."""
        packed = self.packed
        if packed is None:
            packed = self.packed = wire.fuse_entry_out(self.ino, 0, VALID, VALID, 0, 0, self.attributes()).pack()
        return packed

    def attr(self) -> bytes:
        """fuse_attr_out, which is the same attributes behind another head."""
        return _ATTR_HEAD + self.entry()[-88:]

    def attributes(self) -> wire.fuse_attr:
        atime, atimensec = divmod(self.atime, SECOND)
        mtime, mtimensec = divmod(self.mtime, SECOND)
        ctime, ctimensec = divmod(self.ctime, SECOND)
        return wire.fuse_attr(
            ino=self.ino,
            size=self.size,
            blocks=-(-self.allocated // BLOCK),
            atime=atime & _U64,
            mtime=mtime & _U64,
            ctime=ctime & _U64,
            atimensec=atimensec,
            mtimensec=mtimensec,
            ctimensec=ctimensec,
            mode=self.mode,
            nlink=self.nlink,
            uid=self.uid,
            gid=self.gid,
            rdev=self.rdev,
            blksize=4096,
        )

    def touch(self, *, content: bool = False) -> None:
        """The inode has changed; with `content` what it holds has, too."""
        self.ctime = time_ns()
        if content:
            self.mtime = self.ctime
        self.packed = None

    def read_now(self) -> None:
        """atime, as relatime has it: moved on where it is not after the last change."""
        if self.atime <= self.mtime:
            self.atime = time_ns()
            self.packed = None


class File(Node):
    """`version` counts changes for those who poll; `pollers` are their handles in the kernel, to be woken once."""

    __slots__ = ("data", "locks", "pollers", "version")

    def __init__(self, ino: int, mode: int, uid: int, gid: int, memory: Memory) -> None:
        super().__init__(ino, mode, uid, gid)
        self.data = SparseBytes(memory)
        self.locks: Locks | None = None
        self.pollers: set[int] = set()
        self.version = 0

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def allocated(self) -> int:
        return self.data.allocated


class Symlink(Node):
    __slots__ = ("target",)

    def __init__(self, ino: int, uid: int, gid: int, target: bytes) -> None:
        super().__init__(ino, stat.S_IFLNK | 0o777, uid, gid)
        self.target = target

    @property
    def size(self) -> int:
        return len(self.target)


class Directory(Node):
    """`children` by name. Listing goes by cookies: each name gets the next number when it comes and keeps it, so a
    listing goes on rightly from any cookie, whatever was made and removed meanwhile."""

    __slots__ = ("_cookies", "_next", "_order", "children", "parent")

    def __init__(self, ino: int, mode: int, uid: int, gid: int, parent: Directory | None) -> None:
        super().__init__(ino, stat.S_IFDIR | mode, uid, gid)
        self.nlink = 2
        self.parent = self if parent is None else parent
        self.children: dict[bytes, Node] = {}
        self._cookies: dict[bytes, int] = {}
        self._order: list[tuple[int, bytes]] = []
        self._next = 3  # 1 and 2 are . and ..

    def put(self, name: bytes, node: Node) -> None:
        """Gives `node` a name here, the place of what had it before."""
        if name not in self.children:
            self._cookies[name] = self._next
            self._order.append((self._next, name))
            self._next += 1
        self.children[name] = node

    def take(self, name: bytes) -> Node:
        """Removes a name. Raises KeyError."""
        node = self.children.pop(name)
        del self._cookies[name]
        if len(self._order) > 2 * len(self.children) + 64:
            self._order = [(cookie, name) for cookie, name in self._order if self._cookies.get(name) == cookie]
        return node

    def listed(self, cookie: int) -> Iterator[tuple[int, bytes, Node]]:
        """What comes behind `cookie` (0: all), in the order of cookies."""
        if cookie < 1:
            yield 1, b".", self
        if cookie < 2:
            yield 2, b"..", self.parent
        order, children, cookies = self._order, self.children, self._cookies
        for place in range(bisect_right(order, cookie, key=itemgetter(0)), len(order)):
            number, name = order[place]
            if cookies.get(name) == number:
                yield number, name, children[name]


class Tree(Filesystem):
    """The inodes. One lives as long as it has a name or the kernel a reference, an open file being one."""

    def __init__(self, capacity: int | None = None) -> None:
        """`capacity`: bytes that all files together may take; default half of this machine's memory."""
        if capacity is None:
            capacity = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        self.memory = Memory(capacity)
        self.root = Directory(1, 0o755, os.geteuid(), os.getegid(), None)
        self.nodes: dict[int, Node] = {1: self.root}
        self.last_ino = 1

    def node(self, nodeid: int) -> Node:
        try:
            return self.nodes[nodeid]
        except KeyError:
            raise error(errno.ESTALE) from None

    def file(self, nodeid: int) -> File:
        node = self.node(nodeid)
        if not isinstance(node, File):
            raise error(errno.EISDIR if isinstance(node, Directory) else errno.EINVAL)
        return node

    def directory(self, nodeid: int) -> Directory:
        node = self.node(nodeid)
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR)
        return node

    def next_ino(self) -> int:
        self.last_ino += 1
        return self.last_ino

    def forget(self, nodeid: int, nlookup: int) -> None:
        node = self.nodes.get(nodeid)
        if node is not None:
            node.nlookup -= nlookup
            self.collect(node)

    def collect(self, node: Node) -> None:
        """Lets go of an inode without names once the kernel has let go of it."""
        if node.nlink == 0 and node.nlookup <= 0 and node is not self.root:
            if isinstance(node, File):
                node.data.truncate(0)
            self.nodes.pop(node.ino, None)
