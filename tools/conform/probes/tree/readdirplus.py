"""READDIRPLUS: listings that are many LOOKUPs."""

from __future__ import annotations

from typing import Any, Final

from rawfuse import wire
from rawfuse.wire.dirent import DirentPlus

from ...kernel import PAGE, ConformKernel
from ...probe import Table, Tier, Unready
from .listings import SOURCE, full, names_of, once_each

__all__ = ["TABLE"]

TABLE: Final = Table("readdirplus", "READDIRPLUS: listings that are many LOOKUPs")


def _plus(k: ConformKernel, parent: int, size: int = PAGE) -> list[DirentPlus]:
    return k.entries_plus(k.opened_directory(parent), size)


@TABLE.probe(
    "all",
    Tier.MUST,
    "READDIRPLUS lists each name once, as READDIR does, in buffers of any size.",
    SOURCE,
    opcodes=("READDIRPLUS",),
    needs=("MKDIR", "CREATE", "READDIRPLUS"),
)
def plus_all(k: ConformKernel) -> None:
    parent, names = full(k, 30)
    for size in (PAGE, 700):
        once_each(k, names, [one.dirent.name for one in _plus(k, parent, size)])


@TABLE.probe(
    "entries",
    Tier.MUST,
    "An entry of READDIRPLUS says what LOOKUP says of the name, or has nodeid 0: then Linux looks it up itself.",
    SOURCE,
    opcodes=("READDIRPLUS",),
    needs=("MKDIR", "CREATE", "READDIRPLUS"),
)
def plus_entries(k: ConformKernel) -> None:
    parent = k.directory().nodeid
    made = k.file(b"some bytes", parent=parent)
    found = [one.entry for one in _plus(k, parent) if one.dirent.name == made.name]
    if [entry.nodeid for entry in found] == [0]:
        raise Unready("its listings have no nodeids")
    looked: Any = k.need(wire.Lookup(nodeid=parent, name=made.name))
    wanted = [(looked.nodeid, looked.attr.mode, looked.attr.size)]
    k.equal(wanted, [(entry.nodeid, entry.attr.mode, entry.attr.size) for entry in found], "nodeid, mode, size")


@TABLE.probe(
    "and_plain",
    Tier.MUST,
    "READDIR goes on from a cookie of READDIRPLUS, and the other way round: with READDIRPLUS_AUTO Linux mixes them.",
    "fuse_kernel.h 7.21; Linux fs/fuse/readdir.c",
    opcodes=("READDIRPLUS", "READDIR"),
    needs=("MKDIR", "CREATE", "READDIRPLUS", "READDIR"),
    depends=("directories.all", "readdirplus.all"),
)
def plus_and_plain(k: ConformKernel) -> None:
    parent, names = full(k, 12)
    made = k.opened_directory(parent)
    first = k.need(wire.ReadDirPlus(nodeid=parent, arg=wire.fuse_read_in(made.fh, 0, 1024)))
    rest = k.entries(made, 512, first[-1].dirent.off)
    once_each(k, names, [one.dirent.name for one in first] + names_of(rest))
