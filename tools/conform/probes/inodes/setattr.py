"""SETATTR: attributes are changed."""

from __future__ import annotations

import errno
import stat
from typing import Any, Final

from rawfuse import wire
from rawfuse.wire import constants as c

from ...kernel import ConformKernel, Made
from ...probe import Table, Tier, Unready

__all__ = ["TABLE"]

TABLE: Final = Table("setattr", "SETATTR: attributes are changed")

_HEADER: Final = "fuse_kernel.h 7.45"
_U64: Final = (1 << 64) - 1


def _getattr(nodeid: int, flags: int = 0, fh: int = 0) -> wire.GetAttr:
    return wire.GetAttr(nodeid=nodeid, arg=wire.fuse_getattr_in(flags, fh))


def _set(k: ConformKernel, made: Made, valid: int, **members: int) -> wire.fuse_attr:
    answer = k.ask(wire.SetAttr(nodeid=made.nodeid, arg=wire.fuse_setattr_in(valid, **members)))
    if answer.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
        raise Unready(f"SETATTR of that is {errno.errorcode[answer.errno]}")
    k.expect(not answer.errno, "success", answer)
    value: Any = answer.value
    attr: wire.fuse_attr = value.attr
    return attr


@TABLE.probe(
    "chmod",
    Tier.MUST,
    "SETATTR with FATTR_MODE sets the permissions, and its reply has the new attributes.",
    _HEADER,
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR"),
)
def chmod(k: ConformKernel) -> None:
    made = k.file()
    attr = _set(k, made, c.FATTR_MODE, mode=stat.S_IFREG | 0o640)
    k.equal(oct(stat.S_IFREG | 0o640), oct(attr.mode), "mode")
    k.equal(oct(stat.S_IFREG | 0o640), oct(k.attributes(made.nodeid).mode), "mode of GETATTR after it,")


@TABLE.probe(
    "truncate",
    Tier.MUST,
    "FATTR_SIZE cuts a file off, and what is written behind the end later has zeros before it.",
    "POSIX: truncate(2)",
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR", "WRITE"),
)
def truncate(k: ConformKernel) -> None:
    made = k.file(b"0123456789")
    k.equal(4, _set(k, made, c.FATTR_SIZE, size=4).size, "size")
    k.equal(8, _set(k, made, c.FATTR_SIZE, size=8).size, "size")
    k.equal(b"0123\0\0\0\0", k.content(made), "content")


@TABLE.probe(
    "truncate_by_handle",
    Tier.MUST,
    "With FATTR_FH it is the open file that is cut off: ftruncate(2), also of one that may not be opened any more.",
    _HEADER,
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR", "WRITE"),
)
def truncate_by_handle(k: ConformKernel) -> None:
    made = k.file(b"0123456789")
    attr = _set(k, made, c.FATTR_SIZE | c.FATTR_FH | c.FATTR_LOCKOWNER, size=3, fh=made.fh, lock_owner=7)
    k.equal((3, b"012"), (attr.size, k.content(made)), "size and content")


@TABLE.probe(
    "truncate_far",
    Tier.SHOULD,
    "A file made 2^49 bytes long takes no memory for it: it is sparse, or EFBIG, or ENOSPC.",
    "POSIX suites truncate to 999999999999999; memory file systems died of it",
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR"),
)
def truncate_far(k: ConformKernel) -> None:
    made = k.file(b"begin")
    answer = k.ask(wire.SetAttr(nodeid=made.nodeid, arg=wire.fuse_setattr_in(c.FATTR_SIZE, size=1 << 49)))
    value: Any = answer.value
    kept = answer.errno in (errno.EFBIG, errno.ENOSPC, errno.EINVAL) or (
        not answer.errno and value.attr.size == 1 << 49
    )
    k.expect(kept, f"size {1 << 49}, EFBIG or ENOSPC", answer)
    k.alive()


@TABLE.probe(
    "times",
    Tier.MUST,
    "FATTR_ATIME and FATTR_MTIME set the times that are given: utimensat(2), as tar and rsync use it.",
    "POSIX",
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR"),
)
def times(k: ConformKernel) -> None:
    made = k.file()
    attr = _set(k, made, c.FATTR_ATIME | c.FATTR_MTIME, atime=1_000_000_001, mtime=1_000_000_002)
    k.equal((1_000_000_001, 1_000_000_002), (attr.atime, attr.mtime), "atime and mtime")


@TABLE.probe(
    "time_now",
    Tier.SHOULD,
    "With FATTR_MTIME_NOW the time is the server's own, whatever mtime says.",
    f"{_HEADER}: since 7.9",
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR"),
)
def time_now(k: ConformKernel) -> None:
    made = k.file()
    _set(k, made, c.FATTR_MTIME, mtime=1000)
    attr = _set(k, made, c.FATTR_MTIME | c.FATTR_MTIME_NOW, mtime=5)
    k.expect(attr.mtime > 1_000_000_000, "a time of today", f"{attr.mtime}")


@TABLE.probe(
    "times_before_1970",
    Tier.SHOULD,
    "Times are signed, though the struct has them unsigned: -1 is a second before 1970.",
    f"{_HEADER}; Linux casts them",
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR"),
)
def times_before_1970(k: ConformKernel) -> None:
    attr = _set(k, k.file(), c.FATTR_MTIME, mtime=_U64)
    k.expect(attr.mtime == _U64, "-1", f"{attr.mtime if attr.mtime < 1 << 63 else attr.mtime - (1 << 64)}")


@TABLE.probe(
    "owner",
    Tier.SHOULD,
    "FATTR_UID and FATTR_GID set the owner, where the server may: chown(2) leaves the right to the kernel's check.",
    "POSIX",
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR"),
)
def owner(k: ConformKernel) -> None:
    made = k.file()
    arg = wire.fuse_setattr_in(c.FATTR_UID | c.FATTR_GID, uid=12345, gid=54321)
    answer = k.ask(wire.SetAttr(nodeid=made.nodeid, arg=arg))
    if answer.errno in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP):
        raise Unready("the server may not, or does not")
    value: Any = answer.value
    k.expect(not answer.errno and (value.attr.uid, value.attr.gid) == (12345, 54321), "uid 12345, gid 54321", answer)


@TABLE.probe(
    "only_valid",
    Tier.MUST,
    "What valid does not name is not changed, whatever else stands in the message.",
    _HEADER,
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR", "WRITE"),
)
def only_valid(k: ConformKernel) -> None:
    made = k.file(b"0123456789")
    before = k.attributes(made.nodeid)
    attr = _set(k, made, c.FATTR_MODE, mode=stat.S_IFREG | 0o600, size=3, uid=77, gid=77, mtime=5)
    told, kept = ((one.size, one.uid, one.gid) for one in (attr, before))
    k.equal(kept, told, "size, uid, gid")


@TABLE.probe(
    "nothing",
    Tier.SHOULD,
    "SETATTR with valid 0 changes nothing and gives the attributes.",
    _HEADER,
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR"),
)
def nothing(k: ConformKernel) -> None:
    made = k.file(b"abc")
    attr = _set(k, made, 0, mode=0, size=0)
    k.equal((3, oct(made.entry.attr.mode)), (attr.size, oct(attr.mode)), "size and mode")


@TABLE.probe(
    "ctime",
    Tier.SHOULD,
    "A change of the attributes moves ctime on, by which backups see it.",
    "POSIX: chmod(2)",
    opcodes=("SETATTR",),
    needs=("CREATE", "SETATTR"),
)
def ctime(k: ConformKernel) -> None:
    made = k.file()
    before = k.attributes(made.nodeid)
    k.settle(0.03)
    attr = _set(k, made, c.FATTR_MODE, mode=stat.S_IFREG | 0o611)
    told, was = ((one.ctime, one.ctimensec) for one in (attr, before))
    k.expect(told > was, f"later than {was}", f"{told}")


@TABLE.probe(
    "mtime",
    Tier.SHOULD,
    "A WRITE moves mtime on: make and rsync go by it.",
    "POSIX: write(2); without the writeback cache it is the server's affair",
    opcodes=("WRITE", "GETATTR"),
    needs=("CREATE", "WRITE", "SETATTR"),
    depends=("setattr.times",),
)
def mtime(k: ConformKernel) -> None:
    made = k.file(b"abc")
    if k.need(wire.SetAttr(nodeid=made.nodeid, arg=wire.fuse_setattr_in(c.FATTR_MTIME, mtime=1000))).attr.mtime != 1000:
        raise Unready("times are not set as they are given")
    k.fill(made, b"more", 3)
    attr = k.success(_getattr(made.nodeid), "attributes").attr
    k.expect(attr.mtime > 1000, "a later mtime than 1000", f"{attr.mtime}")
