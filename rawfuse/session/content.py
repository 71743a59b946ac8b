"""What the kernel thinks of a reply that is well framed and of the right size (fs/fuse, measured on Linux 6.18).

Here write(2) has succeeded already; it is the caller who gets EIO.
"""

from __future__ import annotations

import errno
import fcntl
import stat
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final

from rawfuse.session.known import ROOT, Known
from rawfuse.wire import (
    CopyFileRange64,
    Create,
    GetAttr,
    GetLk,
    Ioctl,
    Link,
    ListXAttr,
    Lookup,
    MkDir,
    MkNod,
    Request,
    SetAttr,
    Statx,
    Symlink,
    TmpFile,
    Write,
    fuse_attr,
    fuse_entry_out,
)
from rawfuse.wire.base import Buffer
from rawfuse.wire.constants import FUSE_IOCTL_RETRY, FUSE_IOCTL_UNRESTRICTED
from rawfuse.wire.dirent import Dirent, DirentPlus

__all__ = ["content_errno", "delivered_dirents", "delivered_direntplus", "references"]

_LLONG_MAX: Final = (1 << 63) - 1
_LONGEST_NAME: Final = 4095
_TYPES: Final = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
)
_STATX_TYPE: Final = 0x1
_STATX_SIZE: Final = 0x200
_head: Final = Struct("=QQII")
_ENTRY: Final = fuse_entry_out.SIZE


def _bad_attr(attr: fuse_attr) -> bool:
    return stat.S_IFMT(attr.mode) not in _TYPES or attr.size > _LLONG_MAX


def _lookup(request: Lookup, value: Any, known: Known) -> bool:
    # The root is nobody's child, but the parent of some, and itself: open_by_handle_at(2) asks for these by nodeid.
    wrong = value.nodeid == ROOT and request.name not in (b".", b"..")
    return bool(value.nodeid) and (_bad_attr(value.attr) or wrong)


def _made(wanted: Callable[[Any, Known], int | None]) -> Callable[[Any, Any, Known], bool]:
    """MKDIR and its like: an inode of the type that was asked for, neither 0 nor the root."""

    def check(request: Any, value: Any, known: Known) -> bool:
        entry = value[0] if isinstance(value, tuple) else value
        wrong = stat.S_IFMT(entry.attr.mode) != (wanted(request, known) or stat.S_IFMT(entry.attr.mode))
        return entry.nodeid in (0, ROOT) or _bad_attr(entry.attr) or wrong

    return check


def _attributes(request: Any, value: Any, known: Known) -> bool:
    before = known.type_of(request.nodeid)
    return _bad_attr(value.attr) or before not in (None, stat.S_IFMT(value.attr.mode))


def _statx(request: Statx, value: Any, known: Known) -> bool:
    found = value.stat
    if found.mask & _STATX_SIZE and found.size > _LLONG_MAX:
        return True
    if not found.mask & _STATX_TYPE:
        return False
    kind = stat.S_IFMT(found.mode)
    return kind not in _TYPES or known.type_of(request.nodeid) not in (None, kind)


def _write(request: Write, value: Any, known: Known) -> bool:
    asked = len(request.data)
    # Nothing written is what write(2) returns where the page cache is bypassed.
    nothing = value.size == 0 and asked > 0 and not known.direct(request.nodeid, request.arg.fh)
    return bool(value.size > asked or nothing)


def _lock(request: GetLk, value: Any, known: Known) -> bool:
    lock = value.lk
    if lock.type == fcntl.F_UNLCK:
        return False
    if lock.type not in (fcntl.F_RDLCK, fcntl.F_WRLCK):
        return True
    return bool(lock.start > _LLONG_MAX or lock.end > _LLONG_MAX or lock.end < lock.start)


def _names(request: ListXAttr, value: Any, known: Known) -> bool:
    return isinstance(value, bytes) and value != b"" and (not value.endswith(b"\0") or b"" in value[:-1].split(b"\0"))


def _retry(request: Ioctl, value: Any, known: Known) -> bool:
    """The command says what it reads and writes, unless the caller is CUSE's: there is nothing to try again."""
    unrestricted = request.arg.flags & FUSE_IOCTL_UNRESTRICTED
    return bool(value.flags & FUSE_IOCTL_RETRY and not unrestricted)


_CHECKS: Final[dict[type[Request], Callable[[Any, Any, Known], bool]]] = {
    Lookup: _lookup,
    MkDir: _made(lambda request, known: stat.S_IFDIR),
    MkNod: _made(lambda request, known: stat.S_IFMT(request.arg.mode)),
    Symlink: _made(lambda request, known: stat.S_IFLNK),
    Link: _made(lambda request, known: known.type_of(request.arg.oldnodeid)),
    Create: _made(lambda request, known: stat.S_IFREG),
    TmpFile: _made(lambda request, known: stat.S_IFREG),
    GetAttr: _attributes,
    SetAttr: _attributes,
    Statx: _statx,
    Write: _write,
    CopyFileRange64: lambda request, value, known: value.bytes_copied > request.arg.len,
    GetLk: _lock,
    Ioctl: _retry,
    ListXAttr: _names,
}


def content_errno(request: Request, value: Any, known: Known) -> int:
    """0, or the errno that the caller gets for the decoded `value`; listings are judged while they are read."""
    check = _CHECKS.get(type(request))
    return errno.EIO if check is not None and check(request, value, known) else 0


def delivered_dirents(body: Buffer) -> tuple[list[Dirent], int]:
    """The entries of a READDIR reply that readdir(3) gets, and the errno where the first is none.

    A name of no bytes or more than 4095, or with a slash, ends the list; so does an entry that is cut off, which is
    no error. A NUL ends the name.
    """
    found: list[Dirent] = []
    number = _walk(memoryview(body), 0, lambda entry, offset: found.append(entry))
    return found, 0 if found else number


def delivered_direntplus(body: Buffer) -> tuple[list[DirentPlus], int]:
    """The same for READDIRPLUS."""
    found: list[DirentPlus] = []
    data = memoryview(body)

    def add(entry: Dirent, offset: int) -> None:
        found.append(DirentPlus(entry, fuse_entry_out.unpack_from(data, offset)))

    number = _walk(data, _ENTRY, add)
    return found, 0 if found else number


def references(entries: Iterable[DirentPlus]) -> tuple[list[DirentPlus], list[int]]:
    """The entries that give the kernel a reference to an inode; and inodes whose reference it gives back at once,
    because of what is said about them. "." and ".." and what has no nodeid do neither."""
    taken: list[DirentPlus] = []
    given_back: list[int] = []
    for plus in entries:
        if plus.entry.nodeid and plus.dirent.name not in (b".", b".."):
            if plus.entry.nodeid == ROOT or _bad_attr(plus.entry.attr):
                given_back.append(plus.entry.nodeid)
            else:
                taken.append(plus)
    return taken, given_back


def _walk(data: memoryview, before: int, add: Callable[[Dirent, int], None]) -> int:
    offset = 0
    head = before + _head.size
    while offset + head <= len(data):
        ino, cookie, length, kind = _head.unpack_from(data, offset + before)
        if not 0 < length <= _LONGEST_NAME:
            return errno.EIO
        end = offset + (head + length + 7 & ~7)
        if end > len(data):
            break
        name = bytes(data[offset + head : offset + head + length])
        if b"/" in name:
            return errno.EIO
        add(Dirent(name.partition(b"\0")[0], ino, cookie, kind), offset)
        offset = end
    return 0
