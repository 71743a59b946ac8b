"""Copying one file onto another.

The order, which is what keeps sharing and what makes the usual case cheap:

1. Both are opened, the target without O_TRUNC: nothing is lost before the source is known.
2. One and the same file: nothing to do.
3. Same file system, same size, and the target shares its blocks with somebody: the kernel compares extent by extent
   (FIDEDUPERANGE), which costs two reads and no write. It ends at the first difference.
4. What is left is copied: by pointers (FICLONE), by copy_file_range(2), or through memory; holes stay holes.
5. Last of all a longer target loses its tail.

The usual case, a new target or one of another size, takes at most one system call more than an open with O_TRUNC and a
loop around copy_file_range(2).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from mfs.copying.content import Blocks, copy_all, read_all
from mfs.copying.matching import match_shared
from mfs.copying.outcome import Outcome, Tally

__all__ = ["NotRegular", "copy"]

# A pipe or a terminal that somebody names by mistake neither blocks us nor becomes ours.
_OPEN = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_SET_IDS = stat.S_ISUID | stat.S_ISGID

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class NotRegular(OSError):
    """What was to be copied, or to be copied to, is no regular file (EINVAL); `filename` says which."""


def copy(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    blocks: Blocks | None = None,
    tally: Tally | None = None,
) -> Outcome:
    """Copy a file onto another, which is made where there is none; see the module for how. Symbolic links are followed.

    The target gets the source's permissions, set-user-ID and set-group-ID too, and keeps its owner, its times and its
    inode number; its mtime is a new one only where bytes changed. A target that is a device is written to.

    A source that changes meanwhile is copied as far as it went when it was opened, each byte as it is when it is read;
    one that gets shorter makes a shorter target. When something fails in the middle, the target has some bytes of
    each: for a target that is one or the other after a crash too, copy beside it and rename.

    `blocks`: an object to give to many copies, so that file systems without shared blocks are asked once.
    `tally`: a new one, in which another thread can see how far the copy has come.

    Raises:
        OSError: of the class that its errno has, with the path that could not be opened or with both of them:
            FileNotFoundError, PermissionError, IsADirectoryError, ENOSPC, ETXTBSY and so on.
        NotRegular: the source is a device, a pipe or a socket, or the target a pipe or a socket.
    """
    names = os.fspath(source), os.fspath(target)
    with _opened(names[0], os.O_RDONLY, 0) as reading:
        status = os.fstat(reading)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(status, names[0])
        mode = stat.S_IMODE(status.st_mode)
        with _opened_target(names[1], mode) as writing:
            there = os.fstat(writing)
            if os.path.samestat(status, there):
                return Outcome(status.st_size, skipped=status.st_size, changed=False)
            try:
                if not stat.S_ISREG(there.st_mode):
                    return _to_device(reading, writing, there, names[1], tally or Tally())
                if stat.S_IMODE(there.st_mode) != mode:
                    os.fchmod(writing, mode & ~_SET_IDS)
                outcome = _copy(reading, writing, status, there, blocks or Blocks(), tally or Tally())
                if mode & _SET_IDS and (outcome.changed or stat.S_IMODE(there.st_mode) != mode):
                    os.fchmod(writing, mode)  # a write takes these away
                return outcome
            except NotRegular:
                raise
            except OSError as error:
                raise OSError(error.errno, error.strerror, names[0], None, names[1]) from error


def _copy(
    reading: int, writing: int, status: os.stat_result, there: os.stat_result, blocks: Blocks, tally: Tally
) -> Outcome:
    size = status.st_size
    at = 0
    if size and size == there.st_size and status.st_dev == there.st_dev:
        at = match_shared(reading, writing, size, tally)
        if at == size:
            return tally.outcome(changed=False)
    # An empty source may be one that does not know: files in /proc have bytes and no size.
    end = copy_all(reading, writing, status, there, at, tally, blocks) if size else read_all(reading, writing, tally)
    if there.st_size > end:
        os.ftruncate(writing, end)
    return tally.outcome(changed=tally.total > tally.skipped or there.st_size != end)


def _to_device(reading: int, writing: int, there: os.stat_result, name: str, tally: Tally) -> Outcome:
    if not stat.S_ISCHR(there.st_mode) and not stat.S_ISBLK(there.st_mode):
        raise _not_regular(there, name)
    os.set_blocking(writing, True)
    read_all(reading, writing, tally, seekable=False)
    return tally.outcome(changed=True)


def _not_regular(status: os.stat_result, name: str) -> OSError:
    if stat.S_ISDIR(status.st_mode):
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
    return NotRegular(errno.EINVAL, f"is {kind}, not a file", name)


@contextmanager
def _opened(name: str, flags: int, mode: int) -> Iterator[int]:
    fd = os.open(name, flags | _OPEN, mode)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _opened_target(name: str, mode: int) -> Iterator[int]:
    """Open for reading too where that is allowed: some file systems compare only then."""
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | _OPEN, mode)
    except PermissionError as error:
        if error.errno != errno.EACCES:
            raise
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | _OPEN, mode)
    try:
        yield fd
    finally:
        os.close(fd)
