"""Chapter 8: Ctrl-C, and the end of the mount."""

from __future__ import annotations

from ..servers import Slow
from ..stage import Act
from ..story import KERNEL, Beat, Chapter, Scene, Step
from .common import attributes, closed, command, looked_up, released, root

__all__ = ["CHAPTER"]

CHAPTER = Chapter(
    8,
    "Ctrl-C and umount: how things end",
    "INTERRUPT and EINTR, what goes on meanwhile, umount and what it does not send",
    """\
A request may take as long as the server likes, and the program that waits for it sleeps in the kernel. A signal
does not simply take it out of there, for the server may already be at work. So the kernel asks the server to hurry:
INTERRUPT.""",
    (
        Scene(
            Slow,
            "a server whose file `hello` takes ten minutes to read, without a page cache (FOPEN_DIRECT_IO)",
            (
                Step(
                    "Ctrl-C",
                    Act(("cat", "mnt/hello"), "cat mnt/hello      # Ctrl-C while it waits", ctrl_c="READ"),
                    (
                        root(),
                        attributes("/"),
                        looked_up("/hello", "As ever."),
                        Beat(
                            "OPEN",
                            "/hello",
                            "FOPEN_DIRECT_IO: no page cache. Every read(2) is a READ, and the program itself waits "
                            "for it.",
                            reply="FOPEN_DIRECT_IO",
                        ),
                        attributes("/hello"),
                        Beat(
                            "READ",
                            "/hello",
                            "Here cat waits. The server has begun a task for this request, and cancels it when "
                            "INTERRUPT comes. The answer EINTR frees the program. Without any answer it would wait "
                            "for ever: even SIGKILL does not end it.",
                            error="EINTR",
                        ),
                        Beat(
                            "INTERRUPT",
                            "",
                            "Ctrl-C. The message names the request by its unique, {unique}. It overtakes all others "
                            "in the queue, needs no answer, and is a wish: the request counts as pending until it is "
                            "answered itself.",
                            by=KERNEL,
                            source="fuse_kernel.h 7.45, struct fuse_interrupt_in; measured on Linux 6.18",
                        ),
                        closed("/hello", "The program ends, and the kernel closes what it had open."),
                        Beat(
                            "INTERRUPT",
                            "",
                            "The signal is still pending while the dying program waits for its FLUSH, so that one is "
                            "interrupted too. The server has answered it already; such an INTERRUPT comes to nothing.",
                            by=KERNEL,
                            least=0,
                            most=3,
                            anytime=True,
                        ),
                        released("/hello"),
                    ),
                    status=-2,
                ),
                Step(
                    "The others",
                    command("cat mnt/docs/one"),
                    (
                        attributes("/"),
                        looked_up("/docs", "Two names, two LOOKUPs: first the directory..."),
                        attributes("/docs"),
                        looked_up("/docs/one", "...then the file in it."),
                        Beat("OPEN", "/docs/one", "An ordinary file, with a page cache."),
                        attributes("/docs/one"),
                        Beat("READ", "/docs/one", "Answered at once."),
                        closed("/docs/one"),
                        released("/docs/one"),
                    ),
                    before="The server is as well as before: it had only given up a task.",
                    output="1",
                ),
                Step(
                    "The end",
                    Act((), "umount mnt"),
                    (
                        Beat(
                            "DESTROY",
                            "",
                            "Only mounts of a block device (fuseblk) say goodbye, and wait for the answer.",
                            by=KERNEL,
                            least=0,
                        ),
                    ),
                    before="Nobody uses the mount any more.",
                    after="Not one message, not even FORGET. The kernel drops all its references in silence; the "
                    "server's next read(2) of the device says ENODEV, and that is how it knows. What is dirty was "
                    "written before: umount(2) waits for that. A server with something to lose must not count on "
                    "hearing of its end.",
                ),
            ),
        ),
    ),
)
