"""Chapter 6: mv and rm, and how long a nodeid lives."""

from __future__ import annotations

from ..servers import Plain
from ..story import KERNEL, Beat, Chapter, OneOf, Scene, Step
from .common import attributes, closed, command, looked_up, python, released, root

__all__ = ["CHAPTER"]

_UNLINKED = """\
import os
fd = os.open("mnt/hello", os.O_RDONLY)
os.unlink("mnt/hello")
print(os.read(fd, 100))
os.close(fd)
"""


def _forgotten(path: str, why: str) -> Beat:
    return Beat("FORGET|BATCH_FORGET", path, why, by=KERNEL, anytime=True)


CHAPTER = Chapter(
    6,
    "mv and rm: names come and go, inodes stay",
    "RENAME2 and RENAME, UNLINK, a file that is open and has no name, FORGET and the count of lookups",
    """\
Names and inodes are two things. UNLINK and RENAME are about names: a directory's nodeid and a name in it. An inode
lives on as long as it has a name, or is open, or the kernel refers to it. Of the last the server keeps a count: one
more with every LOOKUP, CREATE, MKDIR and entry of READDIRPLUS, and less by as much as FORGET says.""",
    (
        Scene(
            Plain,
            "the same file system in memory",
            (
                Step(
                    "Into another directory",
                    command("mv mnt/hello mnt/docs/hi"),
                    (
                        root(),
                        attributes("/"),
                        attributes("/docs"),
                        looked_up("/docs", "mv looks where it is to go."),
                        looked_up("/hello", "And what it is to move."),
                        looked_up("/docs/hi", "Is there something of that name?", absent=True, least=0, most=2),
                        attributes("/hello"),
                        Beat("STATX", "", "Some versions of mv ask for more.", least=0, most=None, anytime=True),
                        OneOf(
                            (
                                (
                                    Beat(
                                        "RENAME2",
                                        "/hello",
                                        "GNU mv asks for a rename that fails where the name is taken, "
                                        "RENAME_NOREPLACE, so this is RENAME2. newdir={newdir} is the nodeid of the "
                                        "other directory. The nodeid of the file stays what it was.",
                                        newpath="/docs/hi",
                                        given=(("flags", "RENAME_NOREPLACE"),),
                                        source="RENAME2 since 7.23; measured with GNU mv 9.1",
                                    ),
                                ),
                                (
                                    Beat(
                                        "RENAME",
                                        "/hello",
                                        "A rename without flags. newdir={newdir} is the nodeid of the other directory. "
                                        "The nodeid of the file stays what it was.",
                                        newpath="/docs/hi",
                                    ),
                                ),
                            )
                        ),
                    ),
                ),
                Step(
                    "Over another file",
                    command("mv -f mnt/docs/hi mnt/docs/one"),
                    (
                        attributes("/"),
                        attributes("/docs"),
                        attributes("/docs/hi"),
                        attributes("/docs/one"),
                        looked_up(
                            "/docs/one",
                            "There is something of that name. mv looks, and so does the kernel, under its own lock.",
                            most=3,
                        ),
                        Beat("STATX", "", "Some versions of mv ask for more.", least=0, most=None, anytime=True),
                        Beat(
                            "RENAME2", "/docs/hi", "Without replacing first, which must fail.", error="EEXIST", least=0
                        ),
                        Beat(
                            "RENAME",
                            "/docs/hi",
                            "One step: at no time is there no docs/one. Who has the old file open goes on reading it.",
                            newpath="/docs/one",
                        ),
                        _forgotten(
                            "/docs/one",
                            "The file that was there before has no name any more, and nobody has it open. The kernel "
                            "gives back all {nlookup} references at once, those of its LOOKUPs. Now the server may "
                            "drop the inode, and no earlier.",
                        ),
                    ),
                ),
                Step(
                    "Removing",
                    command("rm mnt/docs/two"),
                    (
                        attributes("/"),
                        attributes("/docs"),
                        looked_up("/docs/two", "What is it? A directory rm would not remove.", most=2),
                        attributes("/docs/two"),
                        Beat("STATX", "", "Some versions of rm ask for more.", least=0, most=None, anytime=True),
                        Beat("UNLINK", "/docs/two", "The name goes. (A directory's would go with RMDIR.)"),
                        _forgotten("/docs/two", "And as nobody uses the inode, its references ({nlookup}) follow."),
                    ),
                ),
            ),
        ),
        Scene(
            Plain,
            "the same server, mounted anew",
            (
                Step(
                    "A file without a name",
                    python(_UNLINKED),
                    (
                        root(),
                        attributes("/"),
                        looked_up("/hello", "One reference."),
                        Beat("OPEN", "/hello", "The program holds it open."),
                        attributes("/hello"),
                        Beat("UNLINK", "/hello", "The name goes, while the file is open."),
                        attributes("/hello"),
                        Beat(
                            "READ",
                            "/hello",
                            "And is still read. The server is asked by nodeid and fh, no name is needed. A server that "
                            "deletes at UNLINK would fail here.",
                            reply="19 bytes",
                        ),
                        closed("/hello"),
                        released("/hello", "The last user is gone. Still the kernel holds its reference..."),
                        _forgotten("/hello", "...and only now the inode is nobody's: nlookup={nlookup}."),
                    ),
                    before="A program opens a file, removes it, and reads on. Unix programs do this with their "
                    "temporary files.",
                    output="Hello from Python!",
                ),
            ),
        ),
    ),
)
