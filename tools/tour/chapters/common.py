"""Beats that many steps have."""

from __future__ import annotations

from ..stage import PYTHON, Act
from ..story import KERNEL, Beat

__all__ = ["attributes", "closed", "command", "looked_up", "python", "released", "root", "shell"]


def command(line: str) -> Act:
    """A command of plain words."""
    return Act(tuple(line.split()), line)


def shell(line: str) -> Act:
    """A line for the shell."""
    return Act(("sh", "-c", line), line)


def python(program: str) -> Act:
    """A program for Python, started with as little as it can do with."""
    return Act((PYTHON, "-I", "-S", "-c", program), program)


def root() -> Beat:
    """The first GETATTR of a mount."""
    return Beat(
        "GETATTR",
        "/",
        "The mount is new, and the kernel knows nothing of its root. It needs type, owner and mode, to see whether the "
        "program may go in.",
        least=0,
        anytime=True,
    )


def attributes(path: str, why: str = "", *, least: int = 0, by: str | None = None) -> Beat:
    """GETATTR, because what the kernel knows has become old."""
    return Beat(
        "GETATTR",
        path,
        why
        or "What the kernel knows of {path} has become old, and it asks before it believes it again. The server had "
        "given it a day, but some things make the kernel doubt by itself: reading moves the access time, and names "
        "that come and go change the directory.",
        by=by,
        least=least,
        most=3,
        anytime=True,
    )


def looked_up(path: str, why: str, *, least: int = 1, most: int = 1, absent: bool = False) -> Beat:
    """LOOKUP of a name that is there, or not."""
    return Beat("LOOKUP", path, why, reply="absent" if absent else "nodeid", least=least, most=most)


def closed(path: str, why: str = "", *, most: int = 1, by: str | None = None, anytime: bool = False) -> Beat:
    """FLUSH."""
    return Beat(
        "FLUSH",
        path,
        why or "close(2). What the kernel still had to write it has written; now the server may report an error.",
        most=most,
        by=by,
        anytime=anytime,
    )


def released(path: str, why: str = "", *, most: int = 1, directory: bool = False) -> Beat:
    """RELEASE or RELEASEDIR."""
    what = "listing" if directory else "file"
    return Beat(
        "RELEASEDIR" if directory else "RELEASE",
        path,
        why
        or f"Nobody uses this open {what} any more: the server may drop what it keeps for fh. The kernel sends it in "
        "the background, in nobody's name (pid 0), and nobody waits for the answer.",
        by=KERNEL,
        most=most,
        anytime=True,
    )
