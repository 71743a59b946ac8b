"""GETLK, SETLK, SETLKW: locks that the server keeps, because it asked for them with POSIX_LOCKS or FLOCK_LOCKS."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any, Final

from rawfuse import wire
from rawfuse.wire import constants as c

from ...kernel import ConformKernel, Made
from ...probe import Table, Tier

__all__ = ["TABLE"]

TABLE: Final = Table("locks", "GETLK, SETLK, SETLKW: locks")

_SOURCE: Final = "fuse_kernel.h 7.7; POSIX: fcntl(2)"
_END: Final = (1 << 63) - 1
_POSIX: Final = ("CREATE", "SETLK", "FUSE_POSIX_LOCKS")
_FLOCK: Final = ("CREATE", "FUSE_FLOCK_LOCKS")
_SHORT: Final = 0.2
_READ, _WRITE, _NONE = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK


def _arg(made: Made, owner: int, kind: int, start: int = 0, end: int = _END, flags: int = 0) -> wire.fuse_lk_in:
    return wire.fuse_lk_in(made.fh, owner, wire.fuse_file_lock(start, end, kind, os.getpid() + owner), flags)


def _set(made: Made, owner: int, kind: int, start: int = 0, end: int = _END, flags: int = 0) -> wire.SetLk:
    return wire.SetLk(nodeid=made.nodeid, arg=_arg(made, owner, kind, start, end, flags))


def _get(made: Made, owner: int, kind: int, start: int = 0, end: int = _END) -> wire.GetLk:
    return wire.GetLk(nodeid=made.nodeid, arg=_arg(made, owner, kind, start, end))


def _wait(made: Made, owner: int, kind: int, flags: int = 0) -> wire.SetLkW:
    return wire.SetLkW(nodeid=made.nodeid, arg=_arg(made, owner, kind, flags=flags))


def _opened_twice(k: ConformKernel) -> tuple[Made, Made]:
    """A file and two handles of it: the owner of a flock(2) lock is the open file."""
    made = k.file()
    opened: Any = k.need(wire.Open(nodeid=made.nodeid, arg=wire.fuse_open_in(os.O_RDWR)))
    return made, Made(made.nodeid, made.parent, made.name, made.entry, opened.fh)


@TABLE.probe(
    "free",
    Tier.MUST,
    "GETLK where nothing stands in the way is a success with type F_UNLCK.",
    _SOURCE,
    opcodes=("GETLK",),
    needs=("GETLK", *_POSIX),
)
def free(k: ConformKernel) -> None:
    k.equal(_NONE, k.success(_get(k.file(), 1, _WRITE)).lk.type, "type")


@TABLE.probe(
    "reported",
    Tier.MUST,
    "GETLK tells of a lock of another owner that stands in the way: its type, range and pid.",
    _SOURCE,
    opcodes=("GETLK",),
    needs=("GETLK", *_POSIX),
    depends=("locks.ranges",),
)
def reported(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, 1, _WRITE, 10, 19))
    lock = k.success(_get(made, 2, _READ)).lk
    k.equal((_WRITE, 10, 19), (lock.type, lock.start, lock.end), "type, start, end")


@TABLE.probe(
    "same_owner",
    Tier.MUST,
    "An owner's own locks are not in its way.",
    _SOURCE,
    opcodes=("GETLK", "SETLK"),
    needs=("GETLK", *_POSIX),
    depends=("locks.free",),
)
def same_owner(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, 1, _WRITE))
    k.equal(_NONE, k.success(_get(made, 1, _WRITE)).lk.type, "type")
    k.success(_set(made, 1, _READ))


@TABLE.probe(
    "conflict",
    Tier.MUST,
    "SETLK of what another owner has locked is EAGAIN (or EACCES), at once.",
    _SOURCE,
    opcodes=("SETLK",),
    needs=_POSIX,
)
def conflict(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, 1, _WRITE))
    k.refused(_set(made, 2, _WRITE), errno.EAGAIN, errno.EACCES)


@TABLE.probe(
    "shared",
    Tier.MUST,
    "Read locks of several owners go together; a write lock among them does not.",
    _SOURCE,
    opcodes=("SETLK",),
    needs=_POSIX,
    depends=("locks.conflict",),
)
def shared(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, 1, _READ))
    k.success(_set(made, 2, _READ))
    k.refused(_set(made, 3, _WRITE), errno.EAGAIN, errno.EACCES)


@TABLE.probe(
    "ranges",
    Tier.MUST,
    "Locks are of ranges, first byte to last, both included: what lies beside is free.",
    _SOURCE,
    opcodes=("SETLK",),
    needs=_POSIX,
    depends=("locks.conflict",),
)
def ranges(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, 1, _WRITE, 10, 19))
    k.success(_set(made, 2, _WRITE, 0, 9))
    k.success(_set(made, 2, _WRITE, 20, 29))
    k.refused(_set(made, 2, _WRITE, 19, 20), errno.EAGAIN, errno.EACCES)


@TABLE.probe(
    "split",
    Tier.MUST,
    "Unlocking the middle of a range leaves both its ends locked.",
    _SOURCE,
    opcodes=("SETLK",),
    needs=_POSIX,
    depends=("locks.conflict",),
)
def split(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, 1, _WRITE, 0, 29))
    k.success(_set(made, 1, _NONE, 10, 19))
    k.success(_set(made, 2, _WRITE, 10, 19))
    for start, end in ((0, 9), (20, 29)):
        k.refused(_set(made, 3, _WRITE, start, end), errno.EAGAIN, errno.EACCES)


@TABLE.probe(
    "waited_for",
    Tier.MUST,
    "SETLKW waits, unanswered, until the lock is free, while other requests are answered; then it succeeds.",
    _SOURCE,
    opcodes=("SETLKW", "SETLK"),
    needs=("SETLKW", *_POSIX),
)
def waited_for(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, 1, _WRITE))
    waiting = k.send(_wait(made, 2, _WRITE))
    early = k.wait_within(waiting, _SHORT)
    k.expect(early is None, "no reply while the lock is held", early)
    k.serves()
    k.success(_set(made, 1, _NONE))
    answer = k.wait(waiting, "SETLKW")
    k.expect(not answer.errno, "success once it is free", answer)


@TABLE.probe(
    "flush_releases",
    Tier.MUST,
    "FLUSH drops all POSIX locks of its lock_owner: they go with the first close(2) of the file.",
    "POSIX: close(2); fuse_kernel.h 7.45: fuse_flush_in.lock_owner",
    opcodes=("FLUSH", "SETLK"),
    needs=("FLUSH", *_POSIX),
)
def flush_releases(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, 1, _WRITE))
    k.success(wire.Flush(nodeid=made.nodeid, arg=wire.fuse_flush_in(made.fh, 1)))
    k.success(_set(made, 2, _WRITE))


@TABLE.probe(
    "flush_of_another",
    Tier.MUST,
    "FLUSH of another owner leaves a lock where it is.",
    "fuse_kernel.h 7.45: fuse_flush_in.lock_owner",
    opcodes=("FLUSH", "SETLK"),
    needs=("FLUSH", *_POSIX),
    depends=("locks.conflict",),
)
def flush_of_another(k: ConformKernel) -> None:
    made = k.file()
    k.need(_set(made, 1, _WRITE))
    k.success(wire.Flush(nodeid=made.nodeid, arg=wire.fuse_flush_in(made.fh, 2)))
    k.refused(_set(made, 2, _WRITE), errno.EAGAIN, errno.EACCES)


@TABLE.probe(
    "flock",
    Tier.MUST,
    "With FLOCK_LOCKS agreed on, SETLK with LK_FLOCK is flock(2): for the whole file, by its own owners.",
    "fuse_kernel.h 7.17",
    opcodes=("SETLK",),
    needs=("OPEN", *_FLOCK),
)
def flock(k: ConformKernel) -> None:
    one, other = _opened_twice(k)
    k.success(_set(one, 1, _WRITE, flags=c.FUSE_LK_FLOCK))
    k.refused(_set(other, 2, _WRITE, flags=c.FUSE_LK_FLOCK), errno.EAGAIN)
    k.success(_set(one, 1, _NONE, flags=c.FUSE_LK_FLOCK))
    k.success(_set(other, 2, _WRITE, flags=c.FUSE_LK_FLOCK))


@TABLE.probe(
    "flock_released",
    Tier.MUST,
    "RELEASE with RELEASE_FLOCK_UNLOCK drops the flock(2) of its lock_owner.",
    "fuse_kernel.h 7.17",
    opcodes=("RELEASE", "SETLK"),
    needs=("OPEN", *_FLOCK),
    depends=("locks.flock",),
)
def flock_released(k: ConformKernel) -> None:
    made, other = _opened_twice(k)
    k.need(_set(other, 5, _WRITE, flags=c.FUSE_LK_FLOCK))
    arg = wire.fuse_release_in(other.fh, os.O_RDWR, c.FUSE_RELEASE_FLOCK_UNLOCK, 5)
    k.ask(wire.Release(nodeid=other.nodeid, arg=arg))
    k.success(_set(made, 6, _WRITE, flags=c.FUSE_LK_FLOCK))


@TABLE.probe(
    "flock_beside_posix",
    Tier.SHOULD,
    "A lock of flock(2) and one of fcntl(2) are not in each other's way, as on Linux's own file systems.",
    "flock(2)",
    opcodes=("SETLK",),
    needs=("OPEN", "FUSE_POSIX_LOCKS", *_FLOCK),
    depends=("locks.flock",),
)
def flock_beside_posix(k: ConformKernel) -> None:
    one, other = _opened_twice(k)
    k.need(_set(one, 1, _WRITE, flags=c.FUSE_LK_FLOCK))
    k.success(_set(other, 2, _WRITE))
