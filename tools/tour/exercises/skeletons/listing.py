"""Exercise 2: a long listing.

The directory has two thousand stars, far more than one answer to READDIR holds. Write `readdir` so that `ls` shows each
of them once.

* `request.arg.size` is how long the answer may be. `wire.DirentBuffer` counts for you: its `add` gives False, and adds
  nothing, when an entry does not fit any more.
* Every entry carries a cookie (`off`), which you choose; not 0. The kernel comes back with the cookie of the last entry
  that it took, in `request.arg.offset`, and wants what is behind it. At the beginning it is 0.
* An empty answer is the end.
"""

from __future__ import annotations

import errno
import stat

from rawfuse import Filesystem, Reply, wire

ROOT = 1
STARS = [b"star%04d" % number for number in range(2000)]
FILE = stat.S_IFREG | 0o444


def attributes(nodeid: int) -> wire.fuse_attr:
    if nodeid == ROOT:
        return wire.fuse_attr(ino=ROOT, mode=stat.S_IFDIR | 0o755, nlink=2)
    return wire.fuse_attr(ino=nodeid, mode=FILE, nlink=1)


class Stars(Filesystem):
    def getattr(self, request: wire.GetAttr) -> Reply:
        return wire.fuse_attr_out(attr_valid=60, attr=attributes(request.nodeid))

    def lookup(self, request: wire.Lookup) -> Reply:
        if request.name not in STARS:
            raise FileNotFoundError(errno.ENOENT, "no such star")
        nodeid = 2 + STARS.index(request.name)
        return wire.fuse_entry_out(nodeid=nodeid, entry_valid=60, attr_valid=60, attr=attributes(nodeid))

    def readdir(self, request: wire.ReadDir) -> Reply:
        listing = wire.DirentBuffer(request.arg.size)
        # TODO: listing.add(name, ino, off, FILE >> 12) for what is behind the cookie request.arg.offset
        return listing.data
