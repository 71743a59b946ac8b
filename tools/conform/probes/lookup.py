"""Names become nodeids here, and every nodeid is a reference that the kernel gives back."""

from __future__ import annotations

import errno
import stat
from typing import Any, Final

from rawfuse import wire

from ..kernel import ROOT, ConformKernel
from ..probe import Table, Tier

__all__ = ["TABLE"]

TABLE: Final = Table("lookup", "Names and nodeids")

_TYPES: Final = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
)


@TABLE.probe(
    "absent",
    Tier.MUST,
    "A name that is not there is ENOENT, or an entry with nodeid 0, which the kernel may remember for entry_valid.",
    "fuse_kernel.h 7.45; measured on Linux 6.18",
    opcodes=("LOOKUP",),
)
def absent(k: ConformKernel) -> None:
    answer = k.lookup(ROOT, k.name("absent"))
    value: Any = answer.value
    k.expect(answer.errno == errno.ENOENT or (not answer.errno and value.nodeid == 0), "ENOENT, or nodeid 0", answer)


@TABLE.probe(
    "type",
    Tier.MUST,
    "An entry's mode says the type of the inode; without one of the seven types Linux gives the caller EIO.",
    "measured on Linux 6.18",
    opcodes=("LOOKUP",),
)
def type_of_mode(k: ConformKernel) -> None:
    made = k.any_file()
    answer = k.lookup(made.parent, made.name)
    value: Any = answer.value
    k.expect(not answer.errno and stat.S_IFMT(value.attr.mode) in _TYPES, "an entry whose mode has a type", answer)


@TABLE.probe(
    "same",
    Tier.MUST,
    "The same name looked up again, while the kernel holds a reference, is the same nodeid.",
    "Linux keeps one inode per nodeid: another nodeid is another file to every program that has it open",
    opcodes=("LOOKUP",),
)
def same(k: ConformKernel) -> None:
    made = k.any_file()
    first: Any = k.need(wire.Lookup(nodeid=made.parent, name=made.name))
    answer = k.lookup(made.parent, made.name)
    value: Any = answer.value
    k.expect(not answer.errno and value.nodeid == first.nodeid, f"nodeid {first.nodeid} again", answer)
