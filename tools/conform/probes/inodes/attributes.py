"""GETATTR, STATX, ACCESS, STATFS: what is known of an inode, and of the whole."""

from __future__ import annotations

import os
import stat
from typing import Any, Final

from rawfuse import wire
from rawfuse.wire import constants as c

from ...kernel import ROOT, ConformKernel
from ...probe import Table, Tier

__all__ = ["TABLE"]

TABLE: Final = Table("attributes", "GETATTR, STATX, ACCESS, STATFS: attributes")

_HEADER: Final = "fuse_kernel.h 7.45"
_MEASURED: Final = "measured on Linux 6.18"
_SECOND: Final = 1_000_000_000
_BASIC: Final = 0x7FF
_TYPE_AND_SIZE: Final = 0x1 | 0x2 | 0x200


def _getattr(nodeid: int, flags: int = 0, fh: int = 0) -> wire.GetAttr:
    return wire.GetAttr(nodeid=nodeid, arg=wire.fuse_getattr_in(flags, fh))


@TABLE.probe(
    "root",
    Tier.MUST,
    "Nodeid 1 is the root, a directory, known without a LOOKUP and never forgotten.",
    f"{_HEADER}: FUSE_ROOT_ID; {_MEASURED}",
    opcodes=("GETATTR",),
)
def root(k: ConformKernel) -> None:
    answer = k.heard(_getattr(ROOT))
    value: Any = answer.value
    k.expect(not answer.errno and stat.S_ISDIR(value.attr.mode), "attributes of a directory", answer)


@TABLE.probe(
    "type",
    Tier.MUST,
    "The type of an inode never changes; Linux gives the caller EIO and takes the inode for bad.",
    _MEASURED,
    opcodes=("GETATTR",),
)
def type_stays(k: ConformKernel) -> None:
    made = k.any_file()
    answer = k.heard(_getattr(made.nodeid))
    value: Any = answer.value
    kept = not answer.errno and stat.S_IFMT(value.attr.mode) == stat.S_IFMT(made.entry.attr.mode)
    k.expect(kept, f"type {stat.S_IFMT(made.entry.attr.mode):#o}", answer)


@TABLE.probe(
    "size",
    Tier.MUST,
    "The size is what was written: the kernel reads no further than that.",
    f"{_HEADER}; {_MEASURED}",
    opcodes=("GETATTR",),
    needs=("CREATE", "WRITE"),
)
def size(k: ConformKernel) -> None:
    made = k.file(b"x" * 5000)
    k.equal(5000, k.success(_getattr(made.nodeid), "attributes").attr.size, "size")


@TABLE.probe(
    "by_handle",
    Tier.MUST,
    "With GETATTR_FH the inode is meant that is open as fh: fstat(2).",
    f"{_HEADER}: since 7.9",
    opcodes=("GETATTR",),
)
def by_handle(k: ConformKernel) -> None:
    made = k.any_file()
    attr = k.success(_getattr(made.nodeid, c.FUSE_GETATTR_FH, made.fh), "attributes").attr
    k.equal(k.attributes(made.nodeid).size, attr.size, "size")


@TABLE.probe(
    "nsec",
    Tier.SHOULD,
    "Nanoseconds of a time are less than a second; Linux cuts off what is more.",
    "Linux fs/fuse/inode.c",
    opcodes=("GETATTR",),
)
def nsec(k: ConformKernel) -> None:
    attr = k.success(_getattr(ROOT), "attributes").attr
    parts = (attr.atimensec, attr.mtimensec, attr.ctimensec)
    k.expect(max(parts) < _SECOND, f"less than {_SECOND}", f"{parts}")


@TABLE.probe(
    "ino",
    Tier.SHOULD,
    "An inode keeps its number: tar, find and rsync tell hard links by it.",
    "POSIX: st_ino",
    opcodes=("GETATTR", "LOOKUP"),
    depends=("lookup.ino",),
)
def ino(k: ConformKernel) -> None:
    made = k.any_file()
    entry: Any = k.need(wire.Lookup(nodeid=made.parent, name=made.name))
    k.equal(entry.attr.ino, k.success(_getattr(made.nodeid), "attributes").attr.ino, "ino")


@TABLE.probe(
    "nlink",
    Tier.SHOULD,
    "What has a name has at least one link.",
    "POSIX: st_nlink",
    opcodes=("GETATTR",),
)
def nlink(k: ConformKernel) -> None:
    attr = k.success(_getattr(k.any_file().nodeid), "attributes").attr
    k.expect(attr.nlink >= 1, "1 or more", f"{attr.nlink}")


@TABLE.probe(
    "blksize",
    Tier.SHOULD,
    "blksize is 0, for Linux's own, or a power of two from 512 on: programs make buffers of that size.",
    "Linux takes its logarithm; one left unset made a client fill up its memory",
    opcodes=("GETATTR",),
)
def blksize(k: ConformKernel) -> None:
    attr = k.success(_getattr(k.any_file().nodeid), "attributes").attr
    possible = attr.blksize == 0 or (attr.blksize >= 512 and attr.blksize & attr.blksize - 1 == 0)
    k.expect(possible, "0, or a power of two from 512 on", f"{attr.blksize}")


@TABLE.probe(
    "blocks",
    Tier.SHOULD,
    "A file without holes has at least as many blocks of 512 bytes as its size needs; coreutils' cp takes one with "
    "fewer for sparse, and does not ask for a copy.",
    _MEASURED,
    opcodes=("GETATTR",),
    needs=("CREATE", "WRITE"),
    depends=("shape.FSYNC",),
)
def blocks(k: ConformKernel) -> None:
    made = k.file(b"x" * 65536)
    k.ask(wire.FSync(nodeid=made.nodeid, arg=wire.fuse_fsync_in(made.fh)))  # it may have put off giving them blocks
    attr = k.success(_getattr(made.nodeid), "attributes").attr
    k.expect(attr.blocks >= 128, "128 or more", f"{attr.blocks}")


@TABLE.probe(
    "statx",
    Tier.MUST,
    "STATX says by its mask which members it has, and they are what GETATTR says.",
    "fuse_kernel.h 7.39",
    opcodes=("STATX",),
    needs=("STATX",),
)
def statx(k: ConformKernel) -> None:
    made = k.any_file()
    attr = k.attributes(made.nodeid)
    found = k.success(wire.Statx(nodeid=made.nodeid, arg=wire.fuse_statx_in(0, 0, 0, _BASIC))).stat
    k.expect(found.mask & _TYPE_AND_SIZE == _TYPE_AND_SIZE, "type, mode and size in the mask", f"mask {found.mask:#x}")
    k.equal((oct(attr.mode), attr.size), (oct(found.mode), found.size), "mode and size")


@TABLE.probe(
    "statx_mask",
    Tier.SHOULD,
    "STATX passes over bits of the mask that it does not know; only what it fills in is in the reply's mask.",
    "statx(2)",
    opcodes=("STATX",),
    needs=("STATX",),
)
def statx_mask(k: ConformKernel) -> None:
    found = k.success(wire.Statx(nodeid=ROOT, arg=wire.fuse_statx_in(0, 0, 0, 0x7FFF_FFFF))).stat
    k.expect(not found.mask & 0x4000_0000, "no bit that nobody has given a meaning", f"mask {found.mask:#x}")


@TABLE.probe(
    "access",
    Tier.MUST,
    "ACCESS of what is there, with mask 0 (F_OK), succeeds.",
    "access(2)",
    opcodes=("ACCESS",),
    needs=("ACCESS",),
)
def access(k: ConformKernel) -> None:
    k.success(wire.Access(nodeid=ROOT, arg=wire.fuse_access_in(os.F_OK)))


@TABLE.probe(
    "statfs_namelen",
    Tier.SHOULD,
    "STATFS says the longest name: programs make room by it, and test suites try names of that length.",
    "statfs(2); POSIX: NAME_MAX is at least 14",
    opcodes=("STATFS",),
    needs=("STATFS",),
)
def statfs_namelen(k: ConformKernel) -> None:
    found = k.success(wire.StatFs(nodeid=ROOT)).st
    k.expect(14 <= found.namelen <= 4095, "from 14 to 4095", f"{found.namelen}")


@TABLE.probe(
    "statfs_bsize",
    Tier.SHOULD,
    "STATFS says the size of its blocks, not 0: df multiplies by it, and programs divide by it.",
    "statvfs(3)",
    opcodes=("STATFS",),
    needs=("STATFS",),
)
def statfs_bsize(k: ConformKernel) -> None:
    found = k.success(wire.StatFs(nodeid=ROOT)).st
    k.expect(found.bsize > 0, "bsize from 1 on", f"bsize {found.bsize}, frsize {found.frsize}")


@TABLE.probe(
    "statfs_free",
    Tier.SHOULD,
    "No more is free than there is, and no more is there for users than is free.",
    "statvfs(3)",
    opcodes=("STATFS",),
    needs=("STATFS",),
)
def statfs_free(k: ConformKernel) -> None:
    found = k.success(wire.StatFs(nodeid=ROOT)).st
    seen = (
        f"blocks {found.blocks}, bfree {found.bfree}, bavail {found.bavail}, files {found.files}, ffree {found.ffree}"
    )
    k.expect(
        found.bavail <= found.bfree <= found.blocks and found.ffree <= found.files, "bavail <= bfree <= blocks", seen
    )
