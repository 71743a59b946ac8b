"""Answers to the exercises of the tour: right ones, and mistakes as people make them, with what the tour must say.

Each is what a learner writes in place of the skeleton's own: a class `Mine` on top of it, beside a copy of the skeleton
that is called `skeleton`.
"""

from __future__ import annotations

__all__ = ["HANGS", "HEAD", "MISTAKES", "SOLUTIONS"]

HEAD = """\
import time
import trio
from skeleton import *
from rawfuse import wire
from rawfuse.wire import constants
"""

SOLUTIONS = {
    1: """
class Mine(Limits):
    max_write = 64 << 10
    max_readahead = 32 << 10
    time_gran = 1_000_000_000
""",
    2: """
class Mine(Stars):
    def readdir(self, request):
        listing = wire.DirentBuffer(request.arg.size)
        for number in range(request.arg.offset, len(STARS)):
            if not listing.add(STARS[number], 2 + number, number + 1, FILE >> 12):
                break
        return listing.data
""",
    3: """
class Mine(Numbers):
    def read(self, request):
        first, skip = divmod(request.arg.offset, WIDTH)
        last = min(LINES, (request.arg.offset + request.arg.size) // WIDTH + 1)
        return b"".join(map(line, range(first, last)))[skip : skip + request.arg.size]
""",
    4: """
class Mine(Note):
    def write(self, request):
        at = request.arg.offset
        self.text.extend(bytes(max(0, at - len(self.text))))
        self.text[at : at + len(request.data)] = request.data
        return wire.fuse_write_out(len(request.data))

    def setattr(self, request):
        if request.arg.valid & constants.FATTR_SIZE:
            size = request.arg.size
            del self.text[size:]
            self.text.extend(bytes(size - len(self.text)))
        return self.answer(request.nodeid)
""",
    5: """
class Mine(Copier):
    def copy(self, source, target, arg):
        data = source.data.copy(arg.off_in, arg.len)
        target.data.write(arg.off_out, data)
        self.changed(target)
        return len(data)
""",
    6: """
class Mine(Lifetimes):
    def forget(self, nodeid, nlookup):
        node = self.nodes.get(nodeid)
        if node is not None:
            node.nlookup -= nlookup
            self.collect(node)

    def collect(self, node):
        if node.nlink == 0 and node.nlookup == 0:
            self.nodes.pop(node.ino, None)
""",
    7: """
class Mine(Board):
    async def turning(self):
        self.season += 1
        await self.server.notify.inval_inode(BOARD)
        return b""
""",
    8: """
class Mine(Bell):
    def __init__(self):
        self.rung = trio.Event()

    async def waiting(self):
        await self.rung.wait()
        return b"ding\\n"

    def write(self, request):
        self.rung.set()
        self.rung = trio.Event()
        return wire.fuse_write_out(len(request.data))
""",
}

# What each says, or hints at, must be in what the tour says.
MISTAKES = {
    "1 KiB for bytes": (1, "class Mine(Limits):\n    max_write = 64\n", "max_write=4096, not 65536"),
    "1 granularity in seconds": (
        1,
        "class Mine(Limits):\n    max_write = 64 << 10\n    max_readahead = 32 << 10\n    time_gran = 1\n",
        "time_gran=1, not 1000000000",
    ),
    "2 the cookie is not heeded": (
        2,
        """
class Mine(Stars):
    def readdir(self, request):
        listing = wire.DirentBuffer(request.arg.size)
        for number, name in enumerate(STARS):
            if not listing.add(name, 2 + number, number + 1, FILE >> 12):
                break
        return listing.data
""",
        "without an end",
    ),
    "2 the cookie leads to the entry itself": (
        2,
        """
class Mine(Stars):
    def readdir(self, request):
        listing = wire.DirentBuffer(request.arg.size)
        for number in range(request.arg.offset, len(STARS)):
            if not listing.add(STARS[number], 2 + number, max(1, number), FILE >> 12):
                break
        return listing.data if listing.data and request.arg.offset < len(STARS) - 1 else b""
""",
        "Names came twice",
    ),
    "2 what does not fit is left out": (
        2,
        """
class Mine(Stars):
    def readdir(self, request):
        listing = wire.DirentBuffer(request.arg.size)
        if not request.arg.offset:
            for number, name in enumerate(STARS):
                listing.add(name, 2 + number, number + 1, FILE >> 12)
        return listing.data
""",
        "never came, such as star",
    ),
    "3 all of it, whatever was asked": (
        3,
        "class Mine(Numbers):\n    def read(self, request):\n        return b''.join(map(line, range(LINES)))\n",
        "An answer longer than `request.arg.size` cannot be sent",
    ),
    "3 always from the beginning": (
        3,
        """
class Mine(Numbers):
    def read(self, request):
        return b"".join(map(line, range(LINES)))[: request.arg.size]
""",
        "These bytes belong at offset 0",
    ),
    "4 nothing is answered": (
        4,
        """
class Mine(Note):
    def write(self, request):
        at = request.arg.offset
        self.text[at : at + len(request.data)] = request.data
""",
        "A WRITE is answered with a fuse_write_out",
    ),
    "4 always at the end": (
        4,
        SOLUTIONS[4].replace("at = request.arg.offset", "at = len(self.text)"),
        "belongs at `request.arg.offset`",
    ),
    "4 the length is left": (
        4,
        SOLUTIONS[4].replace("& constants.FATTR_SIZE", "& constants.FATTR_MODE"),
        "FATTR_SIZE is among `valid`",
    ),
    "5 offsets are not heeded": (
        5,
        SOLUTIONS[5].replace("arg.off_in, ", "0, ").replace("arg.off_out", "0"),
        "`arg.off_in` is where to begin",
    ),
    "5 nothing is copied": (
        5,
        "class Mine(Copier):\n    def copy(self, source, target, arg):\n        return arg.len\n",
        "The copy is another",
    ),
    "6 one reference a FORGET": (
        6,
        """
class Mine(Lifetimes):
    def collect(self, node):
        if node.nlink == 0 and node.nlookup == 0:
            self.nodes.pop(node.ino, None)
""",
        "its `nlookup` says how many",
    ),
    "7 about another inode": (
        7,
        SOLUTIONS[7].replace("BOARD)", "ROOT)"),
        "`board` has inode 2",
    ),
    "7 attributes alone": (
        7,
        SOLUTIONS[7].replace("BOARD)", "BOARD, -1)"),
        "Is the notification about pages",
    ),
    "8 a coroutine that blocks": (
        8,
        """
class Mine(Bell):
    async def waiting(self):
        await trio.sleep(0)
        time.sleep(60)
        return b"ding\\n"
""",
        "one that blocks stops the server",
    ),
    "8 rings for ever": (
        8,
        SOLUTIONS[8].replace("        self.rung = trio.Event()\n        return", "        return"),
        "stays set; put a new one",
    ),
    "8 wakes one": (
        8,
        """
class Mine(Bell):
    def __init__(self):
        self.rung = trio.Semaphore(0)

    async def waiting(self):
        await self.rung.acquire()
        return b"ding\\n"

    def write(self, request):
        self.rung.release()
        return wire.fuse_write_out(len(request.data))
""",
        "One write wakes everybody",
    ),
    "dies": (
        3,
        "import os\nclass Mine(Numbers):\n    def read(self, request):\n        os.abort()\n",
        "the server ended: SIGABRT",
    ),
    "does not begin": (
        3,
        "class Mine(Numbers):\n    def __init__(self):\n        raise ValueError('no')\n",
        "ValueError: no",
    ),
    "never answers": (
        3,
        "class Mine(Numbers):\n    def __init__(self):\n        time.sleep(60)\n",
        "the server did not answer INIT",
    ),
    "is called otherwise": (3, "class Other(Numbers): pass\n", "has no class Mine; it has "),
    "prints without an end": (
        3,
        """
class Mine(Numbers):
    def read(self, request):
        while True:
            print("x" * 1_000_000)
""",
        "READ of",
    ),
}

HANGS = {"never answers", "8 a coroutine that blocks", "8 wakes one"}
"""Mistakes that nothing but patience shows."""
