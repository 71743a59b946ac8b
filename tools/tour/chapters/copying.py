"""Chapter 5: cp, with opcode 53, with 47, and with neither."""

from __future__ import annotations

from ..served import Make
from ..servers import Plain, WithoutCopy, WithoutCopy64
from ..story import Beat, Chapter, OneOf, Scene, Step, Story
from .common import attributes, closed, command, looked_up, released, root

__all__ = ["CHAPTER"]

_SIZE = "1048576"
_SOURCE = "copy_file_range(2); measured on Linux 6.18 with GNU cp 9.1"

_NEW = Beat(
    "COPY_FILE_RANGE_64",
    "/big",
    "The copy: {len} bytes from fh_in={fh_in} to the file nodeid_out={nodeid_out}. Not one byte of the file passes "
    "between kernel and server. How it copies is the server's affair; one that keeps blocks may just point to them.",
    newpath="",
    given=(("len", _SIZE),),
    reply=f"bytes_copied={_SIZE}",
    source=_SOURCE,
)
_OLD = Beat(
    "COPY_FILE_RANGE",
    "/big",
    "Opcode 47 asks the same with an answer that has only 32 bits for the count. So a piece is at most 0xFFFFF000 "
    "bytes (4 GiB less a page), and a file of 5 GiB takes two.",
    given=(("len", _SIZE),),
    reply=f"size={_SIZE}",
    source=_SOURCE,
)
_NEW_ABSENT = Beat(
    "COPY_FILE_RANGE_64",
    "/big",
    "Opcode 53 came with Linux 6.18, and a server that does not know it answers ENOSYS. The kernel remembers that for "
    "the whole mount, and tries 47 for this very copy.",
    error="ENOSYS",
    source=_SOURCE,
)
_OLD_ABSENT = Beat(
    "COPY_FILE_RANGE",
    "/big",
    "ENOSYS to 47 as well: from now on the kernel never asks for a copy on this mount. (EOPNOTSUPP or EXDEV would "
    "mean: not these ranges, ask again next time.)",
    error="ENOSYS",
    source=_SOURCE,
)
_MOVED = (
    Beat(
        "READ",
        "/big",
        "Now the kernel copies by itself, through its page cache: {size} bytes at {offset} come up.",
        least=0,
        most=None,
        anytime=True,
    ),
    Beat(
        "WRITE",
        "",
        "And {size} bytes at {offset} go down again. Every byte has crossed the border twice. The pieces are those "
        "of a pipe, for inside the kernel this is splice(2).",
        least=8,
        most=None,
        anytime=True,
    ),
)


def _copy(to: str, *heart: Beat | OneOf) -> Story:
    path = f"/{to}"
    return (
        root(),
        attributes("/"),
        looked_up(path, "cp looks whether there is such a file, or a directory of this name.", absent=True),
        looked_up("/big", "And what the source is.", least=0),
        attributes("/big"),
        Beat("STATX", "", "Some versions of cp ask for more than GETATTR carries.", least=0, most=None, anytime=True),
        Beat("OPEN", "/big", "The source is opened."),
        looked_up(path, "open(2) with O_EXCL does not trust a remembered absence.", absent=True, least=0),
        Beat(
            "CREATE",
            path,
            "The destination is made and opened. Then cp tries ioctl(FICLONE), which the kernel refuses without asking "
            "the server, and calls copy_file_range(2).",
        ),
        Beat(
            "GETXATTR",
            path,
            "security.capability, before the first change: see chapter 4.",
            error="ENOSYS",
            least=0,
            anytime=True,
        ),
        *heart,
        closed(path),
        released(path),
        closed("/big"),
        released("/big"),
    )


def _scene(make: Make, about: str, first: Step, second: Step) -> Scene:
    return Scene(make, about, (first, second))


CHAPTER = Chapter(
    5,
    "cp: the same copy three times",
    "COPY_FILE_RANGE_64 (53), COPY_FILE_RANGE (47), and neither: READ and WRITE",
    """\
cp asks the kernel to copy with copy_file_range(2), and within one mount the kernel passes the question on. What then
happens hangs on one answer of the server. The command is the same each time: cp of a file of 1 MiB.

The kernel sees to it that len does not reach beyond the source, and that ranges in one file do not overlap. It believes
the count in the answer: the destination grows to that, so a server must never claim more than it has copied.""",
    (
        _scene(
            Plain,
            "a server that has opcode 53",
            Step(
                "With opcode 53",
                command("cp mnt/big mnt/copy"),
                _copy("copy", OneOf(((_NEW,), (_OLD,)))),
                before="Linux 6.18 and later ask with 53; older kernels ask with 47 at once.",
                after="One message for the bytes.",
            ),
            Step(
                "And once more",
                command("cp mnt/big mnt/again"),
                _copy("again", OneOf(((_NEW,), (_OLD,)))),
            ),
        ),
        _scene(
            WithoutCopy64,
            "the same server without opcode 53, as one that was written before Linux 6.18",
            Step(
                "With opcode 47",
                command("cp mnt/big mnt/copy"),
                _copy("copy", OneOf(((_NEW_ABSENT, _OLD), (_OLD,)))),
                after="Two messages, and nobody has noticed.",
            ),
            Step(
                "And once more",
                command("cp mnt/big mnt/again"),
                _copy("again", _OLD),
                after="53 is not tried again: ENOSYS is remembered as long as the mount stands. So a server must "
                "never say ENOSYS because of one odd file.",
            ),
        ),
        _scene(
            WithoutCopy,
            "the same server without either",
            Step(
                "With neither",
                command("cp mnt/big mnt/copy"),
                _copy("copy", OneOf(((_NEW_ABSENT, _OLD_ABSENT), (_OLD_ABSENT,))), *_MOVED),
                after="The copy is right this time, too; it was only dearer. A file of 5 GiB would be some hundred "
                "thousand messages in place of one.",
            ),
            Step(
                "And once more",
                command("cp mnt/big mnt/again"),
                _copy("again", *_MOVED),
                before="Nobody asks for a copy any more.",
                after="The source is read from the page cache now, but every byte still goes down to the server.",
            ),
        ),
    ),
)
