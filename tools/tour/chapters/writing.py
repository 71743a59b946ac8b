"""Chapter 4: writing, changing, making durable."""

from __future__ import annotations

from ..servers import Plain, Writeback
from ..story import KERNEL, Beat, Chapter, Scene, Step
from .common import attributes, closed, command, looked_up, released, root, shell

__all__ = ["CHAPTER"]

_CAPABILITY = Beat(
    "GETXATTR",
    "",
    "Before the first write to a file the kernel asks whether it carries capabilities (security.capability), which "
    "writing must take away. This server answers ENOSYS, no such operation; the kernel remembers it and never asks for "
    "an extended attribute on this mount again.",
    error="ENOSYS",
    least=0,
    source="measured on Linux 6.18",
)
_SHELL_CLOSES = (
    "The shell opens the file, makes it its standard output with dup2(2), and closes the first descriptor. Each \
close(2) is a FLUSH, so one OPEN or CREATE may see several."
)

CHAPTER = Chapter(
    4,
    "Writing: from > to fsync",
    "CREATE, WRITE, O_APPEND and O_TRUNC, SETATTR, FSYNC, and the writeback cache",
    """\
Without the writeback cache write(2) is WRITE, at once: the server has the bytes when the program goes on, and an error
reaches the program that made it. The kernel also keeps the pages, for reading.""",
    (
        Scene(
            Plain,
            "the same file system in memory; max_write is 128 KiB",
            (
                Step(
                    "A new file",
                    shell("echo one > mnt/new"),
                    (
                        root(),
                        attributes("/"),
                        looked_up(
                            "/new", "Is there such a file? open(2) with O_CREAT opens it then.", absent=True, most=2
                        ),
                        Beat(
                            "CREATE",
                            "/new",
                            "There is not. CREATE makes the file and opens it in one message, so that nobody can come "
                            "between. The answer is that of LOOKUP and that of OPEN, one behind the other.",
                            given=(("flags", "O_CREAT"),),
                        ),
                        closed("/new", _SHELL_CLOSES),
                        _CAPABILITY,
                        Beat(
                            "WRITE",
                            "/new",
                            "write(2). {size} bytes for offset 0, through the open file fh={fh}. The answer says how "
                            "many were taken.",
                            given=(("size", "4"),),
                        ),
                        closed("/new"),
                        released("/new"),
                    ),
                ),
                Step(
                    "At its end",
                    shell("echo two >> mnt/new"),
                    (
                        attributes("/"),
                        attributes("/new"),
                        Beat("OPEN", "/new", "O_APPEND is told, too.", given=(("flags", "O_APPEND"),)),
                        closed("/new", _SHELL_CLOSES),
                        Beat(
                            "WRITE",
                            "/new",
                            "But the offset, {offset}, is the kernel's: it knows the size. If somebody else can make "
                            "the file longer behind the kernel's back, this server must look for itself.",
                            given=(("offset", "4"),),
                        ),
                        closed("/new"),
                        released("/new"),
                    ),
                ),
                Step(
                    "Over it",
                    shell("echo three > mnt/new"),
                    (
                        attributes("/"),
                        attributes("/new"),
                        Beat(
                            "OPEN",
                            "/new",
                            "The shell has said O_TRUNC. The kernel keeps that to itself, since this server did not "
                            "take ATOMIC_O_TRUNC at INIT.",
                            given=(("flags", "O_WRONLY"),),
                        ),
                        Beat(
                            "SETATTR",
                            "/new",
                            "Here it is: size 0. With ATOMIC_O_TRUNC the OPEN alone would empty the file, which saves "
                            "a message. But it is behind OPEN that the kernel finds out whether the file is a "
                            "program that runs: open(2) fails with ETXTBSY then, and the program has lost its file.",
                            given=(("valid", "FATTR_SIZE"), ("size", "0")),
                        ),
                        closed("/new", _SHELL_CLOSES),
                        Beat("WRITE", "/new", "From the beginning again."),
                        closed("/new"),
                        released("/new"),
                    ),
                ),
                Step(
                    "Cutting",
                    command("truncate -s 3 mnt/new"),
                    (
                        attributes("/"),
                        Beat("OPEN", "/new", "truncate(1) opens the file."),
                        Beat(
                            "SETATTR",
                            "/new",
                            "chmod, chown, utimens and truncate are one request. valid says which members are meant; "
                            "what is not named must be left alone. The answer is all attributes afterwards.",
                            given=(("valid", "FATTR_SIZE"), ("size", "3")),
                        ),
                        attributes("/new"),
                        closed("/new"),
                        released("/new"),
                    ),
                ),
                Step(
                    "Another mode",
                    command("chmod 600 mnt/new"),
                    (
                        attributes("/"),
                        attributes("/new"),
                        Beat(
                            "SETATTR",
                            "/new",
                            "Here only the mode is valid. Whether the caller may do this the kernel has checked itself "
                            "(default_permissions).",
                            given=(("valid", "FATTR_MODE"),),
                        ),
                    ),
                ),
                Step(
                    "Much, and durable",
                    command("dd if=/dev/zero of=mnt/zeros bs=256K count=1 conv=fsync status=none"),
                    (
                        attributes("/"),
                        looked_up("/zeros", "As above.", absent=True, most=2),
                        Beat("CREATE", "/zeros", "As above."),
                        closed("/zeros", "dd uses dup2(2) as the shell does."),
                        _CAPABILITY,
                        Beat(
                            "WRITE",
                            "/zeros",
                            "One write(2) of 256 KiB is more than max_write. The kernel cuts it into pieces: here "
                            "{size} bytes at {offset}.",
                            given=(("size", "131072"),),
                            least=2,
                            most=2,
                        ),
                        Beat(
                            "FSYNC",
                            "/zeros",
                            "fsync(2). The answer is a promise: the bytes outlive a power cut. A server that answers "
                            "sooner is fast and wrong.",
                        ),
                        closed("/zeros"),
                        released("/zeros"),
                    ),
                ),
            ),
        ),
        Scene(
            Writeback,
            "the same, but it took WRITEBACK_CACHE at INIT: the kernel may keep what is written",
            (
                Step(
                    "A hundred small writes",
                    command("dd if=/dev/zero of=mnt/zeros bs=1K count=100 status=none"),
                    (
                        root(),
                        attributes("/"),
                        looked_up("/zeros", "As above.", absent=True, most=2),
                        Beat("CREATE", "/zeros", "As above."),
                        closed("/zeros", "dup2(2), as above."),
                        _CAPABILITY,
                        Beat(
                            "WRITE",
                            "/zeros",
                            "A hundred write(2) of 1 KiB, and one message of {size} bytes. FUSE_WRITE_CACHE and pid 0 "
                            "say that it is the kernel that writes its pages. Which program they are from nobody knows "
                            "any more, and an error can reach only fsync(2) and close(2).",
                            by=KERNEL,
                            given=(("write_flags", "FUSE_WRITE_CACHE"),),
                            least=1,
                            most=8,
                            anytime=True,
                        ),
                        Beat(
                            "SETATTR",
                            "/zeros",
                            "Now the kernel keeps the size and the times, too. It tells the server when the file was "
                            "last changed.",
                            given=(("valid", "FATTR_MTIME"),),
                            anytime=True,
                        ),
                        closed("/zeros", "close(2): first the dirty pages are written, then comes FLUSH."),
                        released("/zeros"),
                    ),
                    before="dd calls write(2) a hundred times.",
                ),
            ),
        ),
    ),
)
