"""Exercise 4: a note that can be changed.

The one file here, `note`, is kept in `self.text`. Write

* `write`: the bytes `request.data` belong at `request.arg.offset`. What stands there is overwritten; behind the end the
  note grows, with zeros in a gap. The answer is a fuse_write_out with the number of bytes that were taken.
* in `setattr`: where FATTR_SIZE is in `request.arg.valid`, the note gets the length `request.arg.size`: it is cut, or
  goes on with zeros. This server has not taken ATOMIC_O_TRUNC, so `>` of a shell comes as such a SETATTR.
"""

from __future__ import annotations

import errno
import stat

from rawfuse import Filesystem, Reply, wire

ROOT, NOTE = 1, 2


class Note(Filesystem):
    max_write = 1 << 17

    def __init__(self) -> None:
        self.text = bytearray(b"nothing yet\n")

    def write(self, request: wire.Write) -> Reply:
        raise OSError(errno.EROFS, "not written yet")  # TODO

    def setattr(self, request: wire.SetAttr) -> Reply:
        # TODO: wire.constants.FATTR_SIZE
        return self.answer(request.nodeid)

    def read(self, request: wire.Read) -> Reply:
        return bytes(self.text[request.arg.offset : request.arg.offset + request.arg.size])

    def getattr(self, request: wire.GetAttr) -> Reply:
        return self.answer(request.nodeid)

    def lookup(self, request: wire.Lookup) -> Reply:
        if request.name != b"note":
            raise FileNotFoundError(errno.ENOENT, "there is only a note")
        return wire.fuse_entry_out(nodeid=NOTE, entry_valid=60, attr_valid=60, attr=self.attributes(NOTE))

    def answer(self, nodeid: int) -> Reply:
        return wire.fuse_attr_out(attr_valid=60, attr=self.attributes(nodeid))

    def attributes(self, nodeid: int) -> wire.fuse_attr:
        if nodeid == ROOT:
            return wire.fuse_attr(ino=ROOT, mode=stat.S_IFDIR | 0o777, nlink=2)
        return wire.fuse_attr(ino=NOTE, mode=stat.S_IFREG | 0o666, nlink=1, size=len(self.text))
