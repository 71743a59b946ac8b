"""The servers of the tour: the example file system in memory, with something in it, and with something left out."""

from __future__ import annotations

import stat
from typing import ClassVar, Final

import trio

from rawfuse import Answer, Filesystem, Reply, wire
from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.memory.nodes import Directory, File
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

__all__ = [
    "BIG",
    "HELLO",
    "KeptListings",
    "Plain",
    "Slow",
    "WithoutCopy",
    "WithoutCopy64",
    "WithoutPlus",
    "Writeback",
]

HELLO: Final = b"Hello from Python!\n"
BIG: Final = 1 << 20
"""Bytes of the file `big`, whose lines of 8 bytes are numbered."""


class Plain(MemoryFS):
    """The root directory has the files `hello` and `big` and the directory `docs` with two files."""

    getxattr = Filesystem.getxattr
    setxattr = Filesystem.setxattr
    listxattr = Filesystem.listxattr
    removexattr = Filesystem.removexattr

    # Fits into the socket that the messages of a user without rights go through, and is what the kernel reads ahead.
    max_write: ClassVar[int] = 1 << 17

    def __init__(self) -> None:
        super().__init__(1 << 28)
        self.put(self.root, b"hello", HELLO)
        self.put(self.root, b"big", b"".join(b"%07d\n" % line for line in range(BIG // 8)))
        docs = Directory(self.next_ino(), 0o755, self.root.uid, self.root.gid, self.root)
        self.root.nlink += 1
        self.add(self.root, b"docs", docs)
        self.put(docs, b"one", b"1\n")
        self.put(docs, b"two", b"2\n")

    def put(self, parent: Directory, name: bytes, data: bytes) -> File:
        """Makes a file."""
        node = File(self.next_ino(), stat.S_IFREG | 0o644, parent.uid, parent.gid, self.memory)
        node.data.write(0, data)
        self.add(parent, name, node)
        return node


class WithoutPlus(Plain):
    """Lists names alone: READDIRPLUS is absent."""

    readdirplus = Filesystem.readdirplus


class WithoutCopy64(Plain):
    """As servers written before Linux 6.18 are: opcode 53 is absent."""

    copy_file_range_64 = Filesystem.copy_file_range_64


class WithoutCopy(WithoutCopy64):
    """Opcode 47 is absent, too."""

    copy_file_range = Filesystem.copy_file_range


class KeptListings(Plain):
    """Lets the kernel keep listings of directories."""

    def opendir(self, request: wire.OpenDir) -> Reply:
        self.directory(request.nodeid)
        return wire.fuse_open_out(open_flags=c.FOPEN_CACHE_DIR | c.FOPEN_KEEP_CACHE)


class Writeback(Plain):
    """Lets the kernel keep what is written, and write it later."""

    wants: ClassVar[InitFlags] = Plain.wants | InitFlags.FUSE_WRITEBACK_CACHE


class Slow(Plain):
    """Reading `hello` takes ten minutes; anything else goes on meanwhile."""

    def open(self, request: wire.Open) -> Reply:
        if self.file(request.nodeid).size != len(HELLO):
            return super().open(request)
        self.last_handle += 1
        return wire.fuse_open_out(fh=self.last_handle, open_flags=c.FOPEN_DIRECT_IO)

    def read(self, request: wire.Read) -> Reply:
        if self.file(request.nodeid).size != len(HELLO):
            return super().read(request)
        return self._slowly()

    async def _slowly(self) -> Answer:
        await trio.sleep(600)
        return HELLO
