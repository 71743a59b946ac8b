"""Exercise 7: what the kernel keeps, and does not know to be old.

Two files: `board` shows a text, and whoever reads `turn` makes the server show another one. The kernel keeps the
pages of `board`: who has read or mapped it goes on seeing the old text. Make `turning` tell the kernel that its
pages of the inode BOARD are old, before `turn` is answered.

`self.server.notify` sends notifications; `await self.server.notify.inval_inode(nodeid)` is the one for pages. It may be
awaited here, because the request in hand is about another inode.
"""

from __future__ import annotations

import errno
import stat

from rawfuse import Answer, Filesystem, Reply, wire
from rawfuse.wire import constants

ROOT, BOARD, TURN = 1, 2, 3
NAMES = {b"board": BOARD, b"turn": TURN}
TEXTS = (b"spring\n", b"summer\n", b"autumn\n", b"winter\n")
ATTRIBUTES = {
    ROOT: wire.fuse_attr(ino=ROOT, mode=stat.S_IFDIR | 0o755, nlink=2),
    BOARD: wire.fuse_attr(ino=BOARD, mode=stat.S_IFREG | 0o444, nlink=1, size=7),
    TURN: wire.fuse_attr(ino=TURN, mode=stat.S_IFREG | 0o444, nlink=1),
}


class Board(Filesystem):
    def __init__(self) -> None:
        self.season = 0

    async def turning(self) -> Answer:
        self.season += 1
        # TODO: the kernel still has the old text
        return b""

    def read(self, request: wire.Read) -> Reply:
        if request.nodeid == TURN:
            return self.turning()
        text = TEXTS[self.season % len(TEXTS)]
        return text[request.arg.offset : request.arg.offset + request.arg.size]

    def open(self, request: wire.Open) -> Reply:
        kept = request.nodeid == BOARD
        return wire.fuse_open_out(open_flags=constants.FOPEN_KEEP_CACHE if kept else constants.FOPEN_DIRECT_IO)

    def getattr(self, request: wire.GetAttr) -> Reply:
        return wire.fuse_attr_out(attr_valid=60, attr=ATTRIBUTES[request.nodeid])

    def lookup(self, request: wire.Lookup) -> Reply:
        nodeid = NAMES.get(request.name)
        if nodeid is None:
            raise FileNotFoundError(errno.ENOENT, "there are only board and turn")
        return wire.fuse_entry_out(nodeid=nodeid, entry_valid=60, attr_valid=60, attr=ATTRIBUTES[nodeid])
