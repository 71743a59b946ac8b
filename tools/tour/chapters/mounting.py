"""Chapter 1: the mount, and what both sides agree on."""

from __future__ import annotations

from ..servers import HELLO, Plain
from ..story import KERNEL, Beat, Chapter, OneOf, Scene, Step
from .common import attributes, command, looked_up

__all__ = ["CHAPTER"]

_INIT = Beat(
    "INIT",
    "",
    "The first message on every connection. The kernel says which protocol it speaks (7.{minor}) and offers its "
    "features as flags. The server answers with the smaller minor, the flags that it takes, and its limits. What was "
    "agreed here holds until the unmount: Linux never asks a second time.",
    by=KERNEL,
    reply="max_write=131072",
    given=(("major", "7"),),
    source="fuse_kernel.h 7.45, struct fuse_init_in and fuse_init_out; measured on Linux 6.18",
)

_STATX = (
    Beat(
        "STATX",
        "/hello",
        "stat wants the time of birth too, which GETATTR cannot carry. From Linux 6.6 on the kernel has a request for "
        "that.",
        least=1,
        source="FUSE_STATX, since 7.39",
    ),
)
_NO_STATX = (
    Beat(
        "GETATTR",
        "/hello",
        "The time of birth is asked for with STATX from Linux 6.6 on. This kernel does not know that, or stat did not "
        "ask: the attributes that came with LOOKUP may do, else GETATTR brings them.",
        least=0,
        most=2,
    ),
)

_FIGURE = """\
 cat                    kernel                             server
  |                       |                                  |
  | open("mnt/hello")     |                                  |
  |---------------------->| LOOKUP nodeid=1 name=hello       |
  |                       |--------------------------------->|
  |                       |        nodeid=2, attributes      |
  |                       |<---------------------------------|
  |                       | OPEN nodeid=2                    |
  |                       |--------------------------------->|
  |        a descriptor   |        fh=1                      |
  |<----------------------|<---------------------------------|
"""

CHAPTER = Chapter(
    1,
    "Mount: the kernel introduces itself",
    "INIT, the first look at the root, a name and its absence, room on the disk",
    """\
A FUSE file system is a program. It opens /dev/fuse, and mount(2) ties that open file to a directory. From then on the
kernel turns what programs do below that directory into messages. The server reads a message from the device, and
writes the answer back.

Every message begins with a header of 40 bytes: its length, an opcode, a number called unique, a nodeid, and who asks
(uid, gid, pid). An answer begins with 16 bytes: its length, an error or 0, and the same unique. A nodeid is the name
of an inode between the kernel and the server; 1 is the root, the server chooses the others.

In this tour a line shows one request with its answer: the program that made the kernel ask, the opcode, the path
(which the tour has worked out from the nodeids), what the request says, and behind the = what the answer says.
Where it says `kernel`, no program has asked: such requests carry no pid.""",
    (
        Scene(
            Plain,
            "a file system in memory (rawfuse.examples.memory) with two files and a directory",
            (
                Step(
                    "What the mount itself causes",
                    None,
                    (_INIT,),
                    before="Nobody has touched the directory yet. There has been one message all the same.",
                    after="max_write is the largest WRITE that this server wants, and with max_pages it bounds READ "
                    "as well. max_readahead is how far the kernel may read ahead. You will meet some of the features "
                    "again: DO_READDIRPLUS in chapter 2, ASYNC_READ in chapter 3, WRITEBACK_CACHE in "
                    "chapter 4. What one side does not mention keeps its old meaning, so that servers and kernels of "
                    "different years work together.",
                ),
                Step(
                    "The first look",
                    command("test -d mnt"),
                    (
                        attributes(
                            "/",
                            "INIT said nothing about the root, and the kernel needs its type, its owner and its mode "
                            "before it can let anybody in. The answer also says for how long it may be believed "
                            "(attr_valid, here a day).",
                            least=1,
                        ),
                    ),
                    before="stat(2) of the mount point.",
                ),
                Step(
                    "A second look",
                    command("test -d mnt"),
                    (),
                    before="The same again.",
                    after="Not one message. What the kernel may still believe it does not ask. The fastest request is "
                    "the one that is never sent; the server decides about that with the times in its answers.",
                ),
                Step(
                    "A name",
                    command("stat mnt/hello"),
                    (
                        attributes("/"),
                        looked_up(
                            "/hello",
                            "The kernel has a name and needs an inode. LOOKUP asks for one name in one directory, "
                            "never for a whole path. The answer is a nodeid with all attributes. It also hands the "
                            "kernel a reference: the server must know this nodeid until FORGET takes the reference "
                            "back.",
                        ),
                        OneOf((_STATX, _NO_STATX)),
                    ),
                    output=f"Size: {len(HELLO)}",
                ),
                Step(
                    "A name that is not there",
                    command("cat mnt/nothing"),
                    (
                        attributes("/"),
                        looked_up(
                            "/nothing",
                            "There is no such name. A server can answer ENOENT, and is asked again next time. This one "
                            "answers with nodeid 0 and a time: the kernel may believe in the absence for so long.",
                            absent=True,
                        ),
                    ),
                    status=1,
                    output="No such file",
                ),
                Step(
                    "Still not there",
                    command("cat mnt/nothing"),
                    (attributes("/"),),
                    before="The kernel remembers that the name is absent.",
                    after="A compiler that looks for a header in twenty directories is glad of this.",
                    status=1,
                    output="No such file",
                ),
                Step(
                    "Room on the disk",
                    command("stat -f mnt"),
                    (
                        attributes("/"),
                        Beat(
                            "STATFS",
                            "/",
                            "df and stat -f ask how large the file system is and what is free. The kernel keeps none "
                            "of this: every statfs(2) is a message.",
                            most=2,
                        ),
                    ),
                    output="Namelen: 255",
                ),
            ),
        ),
    ),
    figure=_FIGURE,
)
