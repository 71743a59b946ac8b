"""Names become nodeids here, and every nodeid is a reference that the kernel gives back."""

from __future__ import annotations

import errno
import stat
from typing import Any, Final

from rawfuse import wire

from ...kernel import ROOT, ConformKernel, Made
from ...probe import Table, Tier, Unready

__all__ = ["TABLE"]

TABLE: Final = Table("lookup", "LOOKUP: from names to nodeids")

_MEASURED: Final = "measured on Linux 6.18"
_TYPES: Final = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
)
_SECOND: Final = 1_000_000_000
_LLONG_MAX: Final = (1 << 63) - 1


def _told(k: ConformKernel, made: Made) -> Any:
    """The entry, believed or not."""
    answer = k.heard(wire.Lookup(nodeid=made.parent, name=made.name))
    k.expect(not answer.errno, "an entry", answer)
    return answer.value


def _found(k: ConformKernel, made: Made) -> Any:
    return k.success(wire.Lookup(nodeid=made.parent, name=made.name), "an entry")


@TABLE.probe(
    "found",
    Tier.MUST,
    "A name that is there is an entry whose nodeid is neither 0 (which means that it is absent) nor 1 (the root's).",
    _MEASURED,
    opcodes=("LOOKUP",),
)
def found(k: ConformKernel) -> None:
    entry = _told(k, k.any_file())
    k.expect(entry.nodeid not in (0, ROOT), "a nodeid that is neither 0 nor 1", f"nodeid {entry.nodeid}")


@TABLE.probe(
    "absent",
    Tier.MUST,
    "A name that is not there is ENOENT, or an entry with nodeid 0, which the kernel may remember for entry_valid.",
    f"fuse_kernel.h 7.45; {_MEASURED}",
    opcodes=("LOOKUP",),
)
def absent(k: ConformKernel) -> None:
    k.absent(ROOT, k.name("absent"))


@TABLE.probe(
    "type",
    Tier.MUST,
    "An entry's mode says the type of the inode; without one of the seven types Linux gives the caller EIO.",
    _MEASURED,
    opcodes=("LOOKUP",),
)
def type_of_mode(k: ConformKernel) -> None:
    mode = _told(k, k.any_file()).attr.mode
    k.expect(stat.S_IFMT(mode) in _TYPES, "a mode with a type", f"mode {mode:#o}")


@TABLE.probe(
    "size",
    Tier.MUST,
    "An entry's size is at most 2^63 - 1; Linux gives the caller EIO for more.",
    _MEASURED,
    opcodes=("LOOKUP",),
)
def size(k: ConformKernel) -> None:
    attr = _told(k, k.any_file()).attr
    k.expect(attr.size <= _LLONG_MAX, f"at most {_LLONG_MAX}", f"{attr.size}")


@TABLE.probe(
    "same",
    Tier.MUST,
    "The same name looked up again, while the kernel holds a reference, is the same nodeid and generation.",
    "Linux keeps one inode for each nodeid: another nodeid is another file to every program that has it open",
    opcodes=("LOOKUP",),
    depends=("lookup.found",),
)
def same(k: ConformKernel) -> None:
    made = k.any_file()
    first: Any = k.need(wire.Lookup(nodeid=made.parent, name=made.name))
    again = _found(k, made)
    k.equal((first.nodeid, first.generation), (again.nodeid, again.generation), "nodeid and generation")


@TABLE.probe(
    "distinct",
    Tier.MUST,
    "Two files have two nodeids: by the nodeid alone the kernel tells them apart.",
    "Linux keeps one inode for each nodeid",
    opcodes=("LOOKUP",),
    needs=("CREATE",),
    depends=("lookup.found",),
)
def distinct(k: ConformKernel) -> None:
    entries = [_found(k, made) for made in (k.file(), k.file())]
    seen = [entry.nodeid for entry in entries]
    k.expect(seen[0] != seen[1], "two nodeids", f"{seen}")


@TABLE.probe(
    "root_parent",
    Tier.MUST,
    "Names in a directory that is not the root are looked up by its nodeid.",
    "fuse_kernel.h 7.45: nodeid is the parent's",
    opcodes=("LOOKUP",),
    needs=("MKDIR", "CREATE"),
)
def root_parent(k: ConformKernel) -> None:
    inside = k.file(parent=k.directory().nodeid)
    entry = _found(k, inside)
    k.equal(inside.nodeid, entry.nodeid, "nodeid")
    k.absent(ROOT, inside.name, "nothing of that name in the root")


@TABLE.probe(
    "attributes",
    Tier.MUST,
    "The attributes in an entry are those that GETATTR gives: the kernel keeps either for attr_valid.",
    "fuse_kernel.h 7.45",
    opcodes=("LOOKUP", "GETATTR"),
    depends=("attributes.nlink",),
)
def attributes(k: ConformKernel) -> None:
    made = k.any_file()
    entry = _found(k, made)
    attr = k.attributes(entry.nodeid)
    told, asked = ((one.mode, one.size, one.uid, one.gid, one.nlink) for one in (entry.attr, attr))
    k.equal(asked, told, "mode, size, uid, gid, nlink")


@TABLE.probe(
    "ino",
    Tier.SHOULD,
    "attr.ino, the inode number that stat(2) shows, is not 0 and below 2^63: programs keep it in signed words, and "
    "take 0 for a removed entry.",
    "measured on Linux 6.18: glibc's readdir passes over inode number 0",
    opcodes=("LOOKUP",),
)
def ino(k: ConformKernel) -> None:
    attr = _found(k, k.any_file()).attr
    k.expect(0 < attr.ino < 1 << 63, "from 1 to 2^63 - 1", f"{attr.ino}")


@TABLE.probe(
    "valid_nsec",
    Tier.SHOULD,
    "entry_valid_nsec and attr_valid_nsec are less than a second.",
    "fuse_kernel.h 7.45: the seconds have a member of their own",
    opcodes=("LOOKUP",),
)
def valid_nsec(k: ConformKernel) -> None:
    entry = _found(k, k.any_file())
    seen = f"entry_valid_nsec {entry.entry_valid_nsec}, attr_valid_nsec {entry.attr_valid_nsec}"
    k.expect(max(entry.entry_valid_nsec, entry.attr_valid_nsec) < _SECOND, f"less than {_SECOND}", seen)


@TABLE.probe(
    "in_file",
    Tier.SHOULD,
    "A name below something that is no directory is an errno, ENOTDIR best.",
    "POSIX; Linux knows the type and does not ask",
    opcodes=("LOOKUP",),
)
def in_file(k: ConformKernel) -> None:
    made = k.any_file()
    answer = k.lookup(made.nodeid, b"below")
    value: Any = answer.value
    k.expect(answer.errno or value.nodeid == 0, "an errno", answer)


@TABLE.probe(
    "long_name",
    Tier.SHOULD,
    "A name longer than statfs says (f_namelen) is ENAMETOOLONG: Linux itself stops only at 1024 bytes, or 4095 with "
    "MAX_PAGES.",
    "POSIX; measured on Linux 6.18",
    opcodes=("LOOKUP",),
    needs=("STATFS",),
)
def long_name(k: ConformKernel) -> None:
    longest = k.need(wire.StatFs(nodeid=ROOT)).st.namelen
    if not 0 < longest < k.session.holds.name:
        raise Unready(f"f_namelen is {longest}: Linux sends no longer names")
    k.refused(wire.Lookup(nodeid=ROOT, name=b"x" * (longest + 1)), errno.ENAMETOOLONG)


@TABLE.probe(
    "dots",
    Tier.MUST,
    'With EXPORT_SUPPORT, "." is the directory itself and ".." its parent: Linux asks for them by nodeid to open '
    "a file by its handle (open_by_handle_at(2), NFS).",
    "fuse_kernel.h 7.10",
    opcodes=("LOOKUP",),
    needs=("FUSE_EXPORT_SUPPORT", "MKDIR"),
)
def dots(k: ConformKernel) -> None:
    outer = k.directory()
    inner = k.directory(outer.nodeid)
    itself = k.success(wire.Lookup(nodeid=inner.nodeid, name=b"."), "an entry")
    parent = k.success(wire.Lookup(nodeid=inner.nodeid, name=b".."), "an entry")
    k.equal((inner.nodeid, outer.nodeid), (itself.nodeid, parent.nodeid), "nodeids")


@TABLE.probe(
    "bytes",
    Tier.SHOULD,
    "A name is bytes: what is no text in any encoding is found as it was made.",
    "POSIX: a name is any bytes but / and NUL",
    opcodes=("LOOKUP",),
    needs=("CREATE",),
    depends=("shape.CREATE", "files.create", "lookup.distinct"),
)
def names_are_bytes(k: ConformKernel) -> None:
    name = b"\xff\xfe \n\t\xc3(" + k.name()
    try:
        made = k.file(name=name)
    except Unready as why:
        k.expect(False, "a file of such a name", f"{why}")
        raise
    entry = _found(k, made)
    k.equal(made.nodeid, entry.nodeid, "nodeid")


@TABLE.probe(
    "as_written",
    Tier.SHOULD,
    "Names differ when their bytes do: A is not a.",
    "POSIX",
    opcodes=("LOOKUP",),
    needs=("CREATE",),
)
def as_written(k: ConformKernel) -> None:
    made = k.file(name=k.name("Upper"))
    k.absent(made.parent, made.name.lower())
