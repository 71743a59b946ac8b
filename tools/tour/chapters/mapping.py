"""Chapter 7: mmap."""

from __future__ import annotations

from ..servers import Plain
from ..story import KERNEL, Beat, Chapter, Scene, Step
from .common import attributes, closed, command, looked_up, python, released, root

__all__ = ["CHAPTER"]

_LOOK = """\
import mmap, os
fd = os.open("mnt/big", os.O_RDONLY)
memory = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
print(memory[0:7], memory[600_000:600_007])
"""
_CHANGE = """\
import mmap, os
fd = os.open("mnt/hello", os.O_RDWR)
memory = mmap.mmap(fd, 0)
os.close(fd)
print(memory[:5])
memory[:5] = b"HELLO"
memory.flush()
memory[:5] = b"Howdy"
"""
_PRIVATE = """\
import mmap, os
fd = os.open("mnt/hello", os.O_RDWR)
memory = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE)
memory[:5] = b"Adieu"
print(memory[:])
"""
_TWO_CLOSES = "Python's mmap keeps a descriptor of its own (dup(2)): two descriptors, two close(2), two FLUSHes."


def _written(why: str) -> Beat:
    return Beat("WRITE", "/hello", why, by=KERNEL, given=(("write_flags", "FUSE_WRITE_CACHE"), ("size", "19")))


CHAPTER = Chapter(
    7,
    "mmap: a file as memory",
    "page faults and READ, a shared mapping written back, msync, a private mapping",
    """\
There is no opcode for mmap(2). A mapping is a view of the page cache. When the program touches a page that is not
there, the CPU faults, and the kernel fills the page with READ while the program stands still. When the program has
changed pages of a shared mapping, the kernel writes them later, at a time of its own choosing.""",
    (
        Scene(
            Plain,
            "the same file system in memory",
            (
                Step(
                    "Two touches",
                    python(_LOOK),
                    (
                        root(),
                        attributes("/"),
                        looked_up("/big", "open(2) begins with the name."),
                        Beat("OPEN", "/big", "mmap itself sends nothing: the map is made in the kernel alone."),
                        attributes("/big"),
                        Beat(
                            "READ",
                            "/big",
                            "A page fault. The program touched one byte; the kernel reads {size} bytes around it, at "
                            "{offset}, as neighbours are likely to be wanted.",
                            least=2,
                            most=4,
                        ),
                        closed("/big", _TWO_CLOSES, most=2),
                        released("/big", "The mapping held the file open. It ended with the program."),
                    ),
                    before="A file of 1 MiB is mapped, and touched in two places.",
                    after="The rest of the file has never been asked for.",
                    output="0075000",
                ),
                Step(
                    "A shared mapping",
                    python(_CHANGE),
                    (
                        attributes("/"),
                        looked_up("/hello", "open(2)."),
                        Beat("OPEN", "/hello", "For reading and writing.", given=(("flags", "O_RDWR"),)),
                        attributes("/hello"),
                        Beat(
                            "GETXATTR",
                            "/hello",
                            "security.capability, before the first change: see chapter 4.",
                            error="ENOSYS",
                            least=0,
                            anytime=True,
                        ),
                        closed("/hello", "The program closes its descriptor. The mapping lives on."),
                        Beat("READ", "/hello", "The first touch: a page fault."),
                        _written(
                            "memory.flush() is msync(2): the dirty page must go now. The kernel writes it in its own "
                            "name (FUSE_WRITE_CACHE, pid 0), as far as the file reaches: {size} bytes, though five "
                            "were changed."
                        ),
                        Beat("FSYNC", "/hello", "msync(2) with MS_SYNC promises as much as fsync(2) does."),
                        _written(
                            "The last change: nobody has asked for it to be written. It is when the mapping ends, at "
                            "the latest; without that the kernel takes half a minute or so."
                        ),
                        closed("/hello", "The descriptor that the mapping had."),
                        released("/hello", "Only now: a mapping counts as a user, as a descriptor does."),
                    ),
                    before="A file is mapped shared, changed, synced, changed again.",
                    after="Between the change and the WRITE nobody but the kernel knew. A server that looks at its "
                    "bytes in between sees the old ones.",
                    output="Hello",
                ),
                Step(
                    "What has become of it",
                    command("cat mnt/hello"),
                    (
                        Beat("OPEN", "/hello", "The pages are in the cache, and FOPEN_KEEP_CACHE keeps them."),
                        attributes("/"),
                        attributes("/hello"),
                        closed("/hello"),
                        released("/hello"),
                    ),
                    output="Howdy from Python!",
                ),
                Step(
                    "A private mapping",
                    python(_PRIVATE),
                    (
                        attributes("/"),
                        Beat("OPEN", "/hello", "The same open(2) as before."),
                        attributes("/hello"),
                        closed("/hello", _TWO_CLOSES, most=2),
                        released("/hello"),
                    ),
                    before="MAP_PRIVATE: what the program changes is its own.",
                    after="No WRITE. The changed page was a copy, and it went with the program. Programs and "
                    "libraries are mapped in this way when they are run.",
                    output="Adieu from Python!",
                ),
            ),
        ),
    ),
)
