"""A directory with one file in it: `rawfuse mount rawfuse.examples.hello:Hello DIR`, then `cat DIR/hello`."""

import errno
import stat

from rawfuse import Filesystem, Reply, wire

ROOT, FILE = 1, 2
TEXT = b"Hello from Python!\n"
ATTRIBUTES = {
    ROOT: wire.fuse_attr(ino=ROOT, mode=stat.S_IFDIR | 0o755, nlink=2),
    FILE: wire.fuse_attr(ino=FILE, mode=stat.S_IFREG | 0o444, nlink=1, size=len(TEXT)),
}


class Hello(Filesystem):
    def lookup(self, request: wire.Lookup) -> Reply:
        if request.name != b"hello":
            raise FileNotFoundError(errno.ENOENT, "there is only hello")
        return wire.fuse_entry_out(nodeid=FILE, entry_valid=60, attr_valid=60, attr=ATTRIBUTES[FILE])

    def getattr(self, request: wire.GetAttr) -> Reply:
        return wire.fuse_attr_out(attr_valid=60, attr=ATTRIBUTES[request.nodeid])

    def readdir(self, request: wire.ReadDir) -> Reply:
        listing = wire.DirentBuffer(request.arg.size)
        if request.arg.offset == 0:
            listing.add(b"hello", FILE, 1, stat.S_IFREG >> 12)
        return listing.data

    def read(self, request: wire.Read) -> Reply:
        return TEXT[request.arg.offset : request.arg.offset + request.arg.size]
