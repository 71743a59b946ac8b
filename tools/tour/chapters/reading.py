"""Chapter 3: cat, and the page cache."""

from __future__ import annotations

from ..servers import HELLO, Plain
from ..story import Beat, Chapter, Scene, Step
from .common import attributes, closed, command, looked_up, python, released, root

__all__ = ["CHAPTER"]

_OPEN = Beat(
    "OPEN",
    "/hello",
    "open(2). The server gives fh, its own number for this open file. With FOPEN_KEEP_CACHE it says: the bytes that "
    "you have of this file are still right.",
    reply="FOPEN_KEEP_CACHE",
)
_SEEK = """\
import os
fd = os.open("mnt/big", os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
print(os.pread(fd, 7, 500_000))
"""

CHAPTER = Chapter(
    3,
    "cat: opening, reading ahead, closing",
    "OPEN, READ with readahead, the page cache, FLUSH and RELEASE",
    """\
read(2) does not become READ. The kernel has a page cache between the two: READ fills it, in whole pages and ahead of
what the program has asked for, and read(2) takes from it. So a program that reads byte by byte costs the server no more
than one that reads megabytes.""",
    (
        Scene(
            Plain,
            "the same file system in memory; `big` has 1 MiB",
            (
                Step(
                    "A small file",
                    command("cat mnt/hello"),
                    (
                        root(),
                        attributes("/"),
                        looked_up("/hello", "From the name to the nodeid, as in chapter 1."),
                        _OPEN,
                        Beat(
                            "READ",
                            "/hello",
                            "The kernel fills one page, so it asks for {size} bytes although the file has fewer. A "
                            "short answer is the end of the file. A longer one than asked would be an error (EIO).",
                            given=(("size", "4096"),),
                            reply=f"{len(HELLO)} bytes",
                        ),
                        closed("/hello"),
                        released("/hello"),
                    ),
                    output="Hello from Python!",
                ),
                Step(
                    "The same file again",
                    command("cat mnt/hello"),
                    (_OPEN, attributes("/hello"), closed("/hello"), released("/hello")),
                    before="Name, nodeid and bytes are known now.",
                    after="No LOOKUP and no READ. OPEN is sent all the same, so that the server can refuse or say that "
                    "the bytes are old. A server that answers OPEN with ENOSYS once is not even asked that.",
                    output="Hello from Python!",
                ),
                Step(
                    "A large file",
                    command("cat mnt/big"),
                    (
                        attributes("/"),
                        looked_up("/big", "The size comes with the attributes: the kernel knows where to stop."),
                        Beat("OPEN", "/big", "open(2)."),
                        attributes("/big"),
                        Beat(
                            "READ",
                            "/big",
                            "{size} bytes at {offset}. A program that reads one piece after another makes the kernel "
                            "read ahead, up to max_readahead (128 KiB here), and several READs may be on their way "
                            "at once (ASYNC_READ). They need not be answered in order.",
                            least=8,
                            most=None,
                        ),
                        closed("/big"),
                        released("/big"),
                    ),
                    before="A MiB, read by cat with whatever size of read(2) it likes.",
                    output="0000000",
                ),
                Step(
                    "One page in the middle",
                    python(_SEEK),
                    (
                        attributes("/"),
                        Beat("OPEN", "/big", "open(2)."),
                        attributes("/big"),
                        Beat(
                            "READ",
                            "/big",
                            "The program has thrown the cached pages away and said that it will read here and there. "
                            "So there is no readahead: the kernel asks for the page that the seven bytes lie in, "
                            "{size} bytes at {offset}. READs always begin and end at pages.",
                            given=(("size", "4096"), ("offset", "499712")),
                        ),
                        closed("/big"),
                        released("/big"),
                    ),
                    output="0062500",
                ),
            ),
        ),
    ),
)
