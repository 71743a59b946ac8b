"""UNLINK, RMDIR: names are removed."""

from __future__ import annotations

import errno
from typing import Final

from rawfuse import wire

from ...kernel import ConformKernel
from ...probe import Table, Tier

__all__ = ["TABLE"]

TABLE: Final = Table("removing", "UNLINK, RMDIR: removing")

_POSIX: Final = "POSIX"
_EISDIR: Final = (errno.EISDIR, errno.EPERM)
_NOT_EMPTY: Final = (errno.ENOTEMPTY, errno.EEXIST)


@TABLE.probe(
    "unlink",
    Tier.MUST,
    "After UNLINK the name is gone, and other names of the inode are not.",
    "unlink(2)",
    opcodes=("UNLINK",),
    needs=("CREATE", "UNLINK"),
)
def unlink(k: ConformKernel) -> None:
    made, other = k.file(), k.file()
    k.close(made)
    k.success(wire.Unlink(nodeid=made.parent, name=made.name))
    k.absent(made.parent, made.name)
    k.entry(other.parent, other.name)


@TABLE.probe(
    "unlink_absent",
    Tier.SHOULD,
    "UNLINK of a name that is not there is ENOENT.",
    f"{_POSIX}: unlink(2)",
    opcodes=("UNLINK",),
    needs=("UNLINK",),
)
def unlink_absent(k: ConformKernel) -> None:
    k.refused(wire.Unlink(nodeid=k.place(), name=k.name("absent")), errno.ENOENT)


@TABLE.probe(
    "unlink_directory",
    Tier.SHOULD,
    "UNLINK of a directory is EISDIR or EPERM.",
    f"{_POSIX}: unlink(2); Linux knows the type and does not ask",
    opcodes=("UNLINK",),
    needs=("UNLINK", "MKDIR"),
)
def unlink_directory(k: ConformKernel) -> None:
    made = k.directory()
    k.refused(wire.Unlink(nodeid=made.parent, name=made.name), *_EISDIR)


@TABLE.probe(
    "rmdir",
    Tier.MUST,
    "After RMDIR the name is gone.",
    "rmdir(2)",
    opcodes=("RMDIR",),
    needs=("MKDIR", "RMDIR"),
)
def rmdir(k: ConformKernel) -> None:
    made = k.directory()
    k.success(wire.RmDir(nodeid=made.parent, name=made.name))
    k.absent(made.parent, made.name)


@TABLE.probe(
    "rmdir_full",
    Tier.MUST,
    "RMDIR of a directory with names in it is ENOTEMPTY, and nothing is lost.",
    f"{_POSIX}: rmdir(2); Linux leaves it to the server",
    opcodes=("RMDIR",),
    needs=("MKDIR", "RMDIR", "CREATE"),
)
def rmdir_full(k: ConformKernel) -> None:
    made = k.directory()
    inside = k.file(parent=made.nodeid)
    k.refused(wire.RmDir(nodeid=made.parent, name=made.name), *_NOT_EMPTY)
    k.entry(made.nodeid, inside.name)


@TABLE.probe(
    "rmdir_file",
    Tier.SHOULD,
    "RMDIR of what is no directory is ENOTDIR.",
    f"{_POSIX}: rmdir(2); Linux knows the type and does not ask",
    opcodes=("RMDIR",),
    needs=("RMDIR", "CREATE"),
)
def rmdir_file(k: ConformKernel) -> None:
    made = k.file()
    k.refused(wire.RmDir(nodeid=made.parent, name=made.name), errno.ENOTDIR)
