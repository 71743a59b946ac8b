"""Exercise 3: a file that is nowhere.

The file `numbers` has 100000 lines of 8 bytes: 0000000, 0000001, and so on. Its bytes are kept nowhere; `line`
makes any of the lines. Write `read`, which gives the bytes that are asked for: `request.arg.size` of them from
`request.arg.offset` on, fewer only at the end of the file, never more. Offsets may lie anywhere in a line.
"""

from __future__ import annotations

import errno
import stat

from rawfuse import Filesystem, Reply, wire

ROOT, FILE = 1, 2
LINES = 100_000
WIDTH = 8
ATTRIBUTES = {
    ROOT: wire.fuse_attr(ino=ROOT, mode=stat.S_IFDIR | 0o755, nlink=2),
    FILE: wire.fuse_attr(ino=FILE, mode=stat.S_IFREG | 0o444, nlink=1, size=LINES * WIDTH),
}


def line(number: int) -> bytes:
    return b"%07d\n" % number


class Numbers(Filesystem):
    max_write = 1 << 17

    def getattr(self, request: wire.GetAttr) -> Reply:
        return wire.fuse_attr_out(attr_valid=60, attr=ATTRIBUTES[request.nodeid])

    def lookup(self, request: wire.Lookup) -> Reply:
        if request.name != b"numbers":
            raise FileNotFoundError(errno.ENOENT, "there is only numbers")
        return wire.fuse_entry_out(nodeid=FILE, entry_valid=60, attr_valid=60, attr=ATTRIBUTES[FILE])

    def read(self, request: wire.Read) -> Reply:
        return b""  # TODO
