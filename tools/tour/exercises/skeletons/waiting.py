"""Exercise 8: waiting, and being called off.

Who reads `bell` waits until somebody writes to it, and then gets the line `ding`. The waiting below is wrong: while one
reader waits, the server does nothing else, and Ctrl-C does not help. Write `waiting` so that

* others are served meanwhile,
* Ctrl-C frees the reader (rawfuse turns INTERRUPT into the cancellation of your coroutine, and answers EINTR),
* a write wakes everybody who waits.

A handler that must wait is an `async def`, and waits with trio. `trio.Event` can be waited for, and set once.
"""

from __future__ import annotations

import errno
import stat
import time

from rawfuse import Answer, Filesystem, Reply, wire
from rawfuse.wire import constants

ROOT, BELL = 1, 2
ATTRIBUTES = {
    ROOT: wire.fuse_attr(ino=ROOT, mode=stat.S_IFDIR | 0o755, nlink=2),
    BELL: wire.fuse_attr(ino=BELL, mode=stat.S_IFREG | 0o666, nlink=1),
}


class Bell(Filesystem):
    def __init__(self) -> None:
        self.rung = False

    async def waiting(self) -> Answer:
        while not self.rung:  # TODO
            time.sleep(0.01)  # noqa: ASYNC251 - that is the mistake
        return b"ding\n"

    def write(self, request: wire.Write) -> Reply:
        self.rung = True  # TODO
        return wire.fuse_write_out(len(request.data))

    def read(self, request: wire.Read) -> Reply:
        return b"" if request.arg.offset else self.waiting()

    def open(self, request: wire.Open) -> Reply:
        return wire.fuse_open_out(open_flags=constants.FOPEN_DIRECT_IO)

    def getattr(self, request: wire.GetAttr) -> Reply:
        return wire.fuse_attr_out(attr_valid=60, attr=ATTRIBUTES[request.nodeid])

    def lookup(self, request: wire.Lookup) -> Reply:
        if request.name != b"bell":
            raise FileNotFoundError(errno.ENOENT, "there is only a bell")
        return wire.fuse_entry_out(nodeid=BELL, entry_valid=60, attr_valid=60, attr=ATTRIBUTES[BELL])
