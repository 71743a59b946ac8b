"""RENAME, RENAME2: names are moved."""

from __future__ import annotations

import errno
from typing import Final

from rawfuse import wire

from ...kernel import ConformKernel, Made
from ...probe import Table, Tier, Unready

__all__ = ["TABLE"]

TABLE: Final = Table("moving", "RENAME, RENAME2: moving")

_POSIX: Final = "POSIX"
_NODE: Final = "Linux keeps one inode for each nodeid"
_NOREPLACE, _EXCHANGE = 1, 2
_NOT_EMPTY: Final = (errno.ENOTEMPTY, errno.EEXIST)


def _rename(made: Made, parent: int, name: bytes) -> wire.Rename:
    return wire.Rename(nodeid=made.parent, arg=wire.fuse_rename_in(parent), name=made.name, newname=name)


def _rename2(made: Made, parent: int, name: bytes, flags: int) -> wire.Rename2:
    return wire.Rename2(nodeid=made.parent, arg=wire.fuse_rename2_in(parent, flags), name=made.name, newname=name)


@TABLE.probe(
    "rename",
    Tier.MUST,
    "RENAME moves a name: the old one is gone, the new one is the same inode with the same nodeid.",
    f"rename(2); {_NODE}",
    opcodes=("RENAME",),
    needs=("RENAME", "CREATE"),
)
def rename(k: ConformKernel) -> None:
    made, name = k.file(b"moved"), k.name("moved")
    k.created(made.parent, name)
    k.success(_rename(made, made.parent, name))
    k.absent(made.parent, made.name)
    k.equal(made.nodeid, k.entry(made.parent, name).nodeid, "nodeid")


@TABLE.probe(
    "rename_across",
    Tier.MUST,
    "RENAME moves from one directory, the header's nodeid, into another, newdir.",
    "fuse_kernel.h 7.45; rename(2)",
    opcodes=("RENAME",),
    needs=("RENAME", "CREATE", "MKDIR"),
    depends=("lookup.distinct",),
)
def rename_across(k: ConformKernel) -> None:
    made, target = k.file(), k.directory()
    k.success(_rename(made, target.nodeid, made.name))
    k.created(target.nodeid, made.name)
    k.equal(made.nodeid, k.entry(target.nodeid, made.name).nodeid, "nodeid")
    k.absent(made.parent, made.name)


@TABLE.probe(
    "rename_replaces",
    Tier.MUST,
    "RENAME onto a file that is there replaces it; what has that open keeps the old one.",
    f"{_POSIX}: rename(2): programs save files so",
    opcodes=("RENAME",),
    needs=("RENAME", "CREATE", "WRITE"),
)
def rename_replaces(k: ConformKernel) -> None:
    old, new = k.file(b"old content"), k.file(b"new content")
    k.success(_rename(new, old.parent, old.name))
    k.equal(new.nodeid, k.entry(old.parent, old.name).nodeid, "nodeid")
    k.equal((b"old content", b"new content"), (k.content(old), k.content(new)), "contents of both handles")


@TABLE.probe(
    "rename_onto_full",
    Tier.MUST,
    "RENAME of a directory onto one with names in it is ENOTEMPTY, and nothing is lost.",
    f"{_POSIX}: rename(2); Linux leaves it to the server",
    opcodes=("RENAME",),
    needs=("RENAME", "CREATE", "MKDIR"),
)
def rename_onto_full(k: ConformKernel) -> None:
    full, empty = k.directory(), k.directory()
    inside = k.file(parent=full.nodeid)
    k.refused(_rename(empty, full.parent, full.name), *_NOT_EMPTY)
    k.entry(full.nodeid, inside.name)


@TABLE.probe(
    "rename_onto_empty",
    Tier.SHOULD,
    "RENAME of a directory onto an empty one replaces that.",
    f"{_POSIX}: rename(2)",
    opcodes=("RENAME",),
    needs=("RENAME", "MKDIR"),
)
def rename_onto_empty(k: ConformKernel) -> None:
    one, other = k.directory(), k.directory()
    k.success(_rename(one, other.parent, other.name))
    k.equal(one.nodeid, k.entry(other.parent, other.name).nodeid, "nodeid")


@TABLE.probe(
    "rename_kinds",
    Tier.SHOULD,
    "RENAME of a file onto a directory is EISDIR, of a directory onto a file ENOTDIR.",
    f"{_POSIX}: rename(2); Linux knows the types and looks first",
    opcodes=("RENAME",),
    needs=("RENAME", "CREATE", "MKDIR"),
)
def rename_kinds(k: ConformKernel) -> None:
    file, directory = k.file(), k.directory()
    k.refused(_rename(file, directory.parent, directory.name), errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY)
    k.refused(_rename(directory, file.parent, file.name), errno.ENOTDIR, errno.EEXIST)


@TABLE.probe(
    "rename_absent",
    Tier.SHOULD,
    "RENAME of a name that is not there is ENOENT.",
    f"{_POSIX}: rename(2)",
    opcodes=("RENAME",),
    needs=("RENAME",),
)
def rename_absent(k: ConformKernel) -> None:
    parent = k.place()
    missing = Made(0, parent, k.name("absent"), wire.fuse_entry_out())
    k.refused(_rename(missing, parent, k.name()), errno.ENOENT)


@TABLE.probe(
    "rename_same",
    Tier.SHOULD,
    "RENAME of one name of an inode onto another of the same does nothing and succeeds.",
    f"{_POSIX}: rename(2)",
    opcodes=("RENAME",),
    needs=("RENAME", "LINK"),
    depends=("lookup.distinct",),
)
def rename_same(k: ConformKernel) -> None:
    made, name = k.file(), k.name("linked")
    k.created(made.parent, name)
    k.need(wire.Link(nodeid=made.parent, arg=wire.fuse_link_in(made.nodeid), name=name))
    k.success(_rename(made, made.parent, name))
    seen = (k.entry(made.parent, made.name).nodeid, k.entry(made.parent, name).nodeid)
    k.equal((made.nodeid, made.nodeid), seen, "nodeids of both names")


@TABLE.probe(
    "rename_subtree",
    Tier.MUST,
    "What is below a directory that is moved goes with it, by the nodeids that it had.",
    "rename(2); Linux goes on with the nodeids that it knows",
    opcodes=("RENAME",),
    needs=("RENAME", "CREATE", "MKDIR", "WRITE"),
)
def rename_subtree(k: ConformKernel) -> None:
    source, target = k.directory(), k.directory()
    inside = k.file(b"carried along", parent=source.nodeid)
    k.success(_rename(source, target.nodeid, b"moved"))
    k.equal(inside.nodeid, k.entry(source.nodeid, inside.name).nodeid, "nodeid")
    k.equal(b"carried along", k.content(inside), "content")
    k.close(inside)  # libfuse's high level keeps the name of a file that is open under another one
    k.ask(wire.Unlink(nodeid=source.nodeid, name=inside.name))
    k.ask(wire.RmDir(nodeid=target.nodeid, name=b"moved"))


@TABLE.probe(
    "noreplace",
    Tier.MUST,
    "RENAME2 with RENAME_NOREPLACE onto a name that is there is EEXIST.",
    "fuse_kernel.h 7.23; renameat2(2)",
    opcodes=("RENAME2",),
    needs=("RENAME2", "CREATE"),
)
def noreplace(k: ConformKernel) -> None:
    one, other = k.file(), k.file()
    k.refused(_rename2(one, other.parent, other.name, _NOREPLACE), errno.EEXIST)
    k.equal(other.nodeid, k.entry(other.parent, other.name).nodeid, "nodeid")


@TABLE.probe(
    "exchange",
    Tier.MUST,
    "RENAME2 with RENAME_EXCHANGE swaps two names; neither inode is lost.",
    "fuse_kernel.h 7.23; renameat2(2)",
    opcodes=("RENAME2",),
    needs=("RENAME2", "CREATE"),
    depends=("lookup.distinct",),
)
def exchange(k: ConformKernel) -> None:
    one, other = k.file(), k.file()
    answer = k.ask(_rename2(one, other.parent, other.name, _EXCHANGE))
    if answer.errno in (errno.EINVAL, errno.ENOSYS):
        raise Unready("RENAME_EXCHANGE is EINVAL")
    k.expect(not answer.errno, "success", answer)
    seen = (k.entry(one.parent, one.name).nodeid, k.entry(other.parent, other.name).nodeid)
    k.equal((other.nodeid, one.nodeid), seen, "nodeids")


@TABLE.probe(
    "rename_unknown_flag",
    Tier.SHOULD,
    "RENAME2 with a flag that is not known is EINVAL, and nothing is moved.",
    "renameat2(2); Linux passes on those that it knows",
    opcodes=("RENAME2",),
    needs=("RENAME2", "CREATE"),
)
def rename_unknown_flag(k: ConformKernel) -> None:
    made, name = k.file(), k.name()
    k.created(made.parent, name)
    k.refused(_rename2(made, made.parent, name, 1 << 20), errno.EINVAL)
    k.equal(made.nodeid, k.entry(made.parent, made.name).nodeid, "nodeid")
