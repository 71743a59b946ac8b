"""MKDIR, SYMLINK, MKNOD, LINK: names are made."""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import Any, Final

from rawfuse import wire

from ...kernel import ROOT, ConformKernel
from ...probe import Table, Tier, Unready

__all__ = ["TABLE"]

TABLE: Final = Table("making", "MKDIR, SYMLINK, READLINK, MKNOD, LINK: making")

_POSIX: Final = "POSIX"
_NODE: Final = "Linux keeps one inode for each nodeid"


def _mkdir(parent: int, name: bytes, mode: int = 0o755) -> wire.MkDir:
    return wire.MkDir(nodeid=parent, arg=wire.fuse_mkdir_in(mode, 0o022), name=name)


@TABLE.probe(
    "mkdir",
    Tier.MUST,
    "MKDIR makes an empty directory with the mode that is asked for, found under its name.",
    "fuse_kernel.h 7.45; mkdir(2)",
    opcodes=("MKDIR",),
    needs=("MKDIR",),
)
def mkdir(k: ConformKernel) -> None:
    parent, name = k.place(), k.name()
    k.created(parent, name, directory=True)
    entry = k.success(_mkdir(parent, name, 0o750), "an entry")
    k.equal(oct(stat.S_IFDIR | 0o750), oct(entry.attr.mode & ~0o2000), "mode")
    k.equal(entry.nodeid, k.entry(parent, name).nodeid, "nodeid")
    left = [one for one in k.listed(entry.nodeid) if one not in (b".", b"..")]
    k.expect(not left, "no names in it", f"{left}")


@TABLE.probe(
    "mkdir_exists",
    Tier.SHOULD,
    "MKDIR of a name that is there is EEXIST: mkdir -p and locks made of directories rest on it.",
    f"{_POSIX}: mkdir(2)",
    opcodes=("MKDIR",),
    needs=("MKDIR",),
)
def mkdir_exists(k: ConformKernel) -> None:
    made = k.directory()
    k.refused(_mkdir(made.parent, made.name), errno.EEXIST)


@TABLE.probe(
    "mkdir_links",
    Tier.MAY,
    "A directory's link count is 2 and one for each subdirectory, or 1 for not counted: find goes by it.",
    "ext4, tmpfs; find(1)",
    opcodes=("MKDIR",),
    needs=("MKDIR",),
)
def mkdir_links(k: ConformKernel) -> None:
    outer = k.directory()
    before = k.attributes(outer.nodeid).nlink
    k.directory(outer.nodeid)
    after = k.attributes(outer.nodeid).nlink
    k.expect((before, after) in ((2, 3), (1, 1)), "2, then 3", f"{before}, then {after}")


@TABLE.probe(
    "symlink",
    Tier.MUST,
    "READLINK gives the bytes that SYMLINK was given, whatever they are.",
    "fuse_kernel.h 7.45; symlink(2)",
    opcodes=("SYMLINK", "READLINK"),
    needs=("SYMLINK", "READLINK"),
)
def symlink(k: ConformKernel) -> None:
    for target in (b"../else/where", b"/", b"\xff no text \n", b"x" * 1000):
        made = k.symlink(target)
        k.equal(target, k.success(wire.ReadLink(nodeid=made.nodeid)).rstrip(b"\0"), "target")


@TABLE.probe(
    "symlink_type",
    Tier.MUST,
    "The entry in SYMLINK's reply is a symbolic link; Linux gives the caller EIO for another type.",
    "measured on Linux 6.18",
    opcodes=("SYMLINK",),
    needs=("SYMLINK",),
)
def symlink_type(k: ConformKernel) -> None:
    parent, name = k.place(), k.name()
    k.created(parent, name)
    entry = k.success(wire.Symlink(nodeid=parent, name=name, target=b"target"), "an entry")
    k.expect(stat.S_ISLNK(entry.attr.mode), "a symbolic link", f"mode {entry.attr.mode:#o}")


@TABLE.probe(
    "symlink_size",
    Tier.SHOULD,
    "A symbolic link's size is the length of its target: programs make the buffer for readlink(2) by it.",
    f"{_POSIX}: lstat(2)",
    opcodes=("SYMLINK",),
    needs=("SYMLINK",),
)
def symlink_size(k: ConformKernel) -> None:
    made = k.symlink(b"thirteen-long")
    k.equal(13, k.attributes(made.nodeid).size, "size")


@TABLE.probe(
    "readlink_file",
    Tier.SHOULD,
    "READLINK of what is no symbolic link is EINVAL.",
    f"{_POSIX}: readlink(2); Linux knows the type and does not ask",
    opcodes=("READLINK",),
    needs=("READLINK",),
)
def readlink_file(k: ConformKernel) -> None:
    k.refused(wire.ReadLink(nodeid=k.any_file().nodeid))


@TABLE.probe(
    "mknod_types",
    Tier.MUST,
    "MKNOD makes a FIFO or a socket of the type that the mode says, or refuses.",
    "mknod(2); Linux gives the caller EIO for another type",
    opcodes=("MKNOD",),
    needs=("MKNOD",),
)
def mknod_types(k: ConformKernel) -> None:
    for kind in (stat.S_IFIFO, stat.S_IFSOCK):
        parent, name = k.place(), k.name()
        answer = k.ask(wire.MkNod(nodeid=parent, arg=wire.fuse_mknod_in(kind | 0o644, 0, 0o022), name=name))
        value: Any = answer.value
        if not answer.errno:
            k.created(parent, name)
        kept = answer.errno or stat.S_IFMT(value.attr.mode) == kind
        k.expect(kept, f"type {kind:#o}, or an errno", answer)


@TABLE.probe(
    "link",
    Tier.MUST,
    "LINK gives an inode another name: its reply and a LOOKUP of either name have one nodeid.",
    f"link(2); {_NODE}",
    opcodes=("LINK",),
    needs=("LINK",),
)
def link(k: ConformKernel) -> None:
    made, name = k.file(b"shared"), k.name("linked")
    k.created(made.parent, name)
    entry = k.success(wire.Link(nodeid=made.parent, arg=wire.fuse_link_in(made.nodeid), name=name), "an entry")
    seen = (entry.nodeid, k.entry(made.parent, name).nodeid, k.entry(made.parent, made.name).nodeid)
    k.equal((made.nodeid,) * 3, seen, "nodeids")


@TABLE.probe(
    "link_count",
    Tier.SHOULD,
    "Each name counts in nlink: rsync and tar look for the other names of a file by it.",
    "POSIX: st_nlink",
    opcodes=("LINK", "UNLINK"),
    needs=("LINK", "UNLINK"),
    depends=("attributes.nlink",),
)
def link_count(k: ConformKernel) -> None:
    made, name = k.file(), k.name("linked")
    entry = k.success(wire.Link(nodeid=made.parent, arg=wire.fuse_link_in(made.nodeid), name=name), "an entry")
    k.equal((2, 2), (entry.attr.nlink, k.attributes(made.nodeid).nlink), "nlink in the reply and after it")
    k.success(wire.Unlink(nodeid=made.parent, name=name))
    k.equal(1, k.attributes(made.nodeid).nlink, "nlink")


@TABLE.probe(
    "link_exists",
    Tier.SHOULD,
    "LINK to a name that is there is EEXIST: lock files are made so.",
    "POSIX: link(2)",
    opcodes=("LINK",),
    needs=("LINK",),
)
def link_exists(k: ConformKernel) -> None:
    made, other = k.file(), k.file()
    k.refused(wire.Link(nodeid=made.parent, arg=wire.fuse_link_in(made.nodeid), name=other.name), errno.EEXIST)


@TABLE.probe(
    "longest",
    Tier.SHOULD,
    "A name of as many bytes as statfs says is made, found and removed.",
    "POSIX: NAME_MAX",
    opcodes=("MKDIR", "LOOKUP", "RMDIR"),
    needs=("MKDIR", "RMDIR", "STATFS"),
)
def longest(k: ConformKernel) -> None:
    length = k.need(wire.StatFs(nodeid=ROOT)).st.namelen
    if not 0 < length <= 1024:
        raise Unready(f"f_namelen is {length}")
    parent, name = k.place(), k.name().ljust(length, b"n")[:length]
    k.success(_mkdir(parent, name), "an entry")
    k.entry(parent, name)
    k.success(wire.RmDir(nodeid=parent, name=name))


@TABLE.probe(
    "extensions",
    Tier.MUST,
    "With CREATE_SUPP_GROUP or SECURITY_CTX agreed on, names are followed by extensions, whose length is in the "
    "header's total_extlen, in units of 8 bytes.",
    "fuse_kernel.h 7.38; measured on Linux 6.18",
    opcodes=("MKDIR",),
    needs=("MKDIR", "FUSE_CREATE_SUPP_GROUP"),
)
def extensions(k: ConformKernel) -> None:
    parent, name = k.place(), k.name()
    k.created(parent, name, directory=True)
    body = wire.fuse_mkdir_in(0o755, 0o022).pack() + name + b"\0"
    group = wire.fuse_ext_header(16, 32).pack() + wire.fuse_supp_groups(1).pack() + (54321).to_bytes(4, sys.byteorder)
    answer = k.wait(k.malformed(9, body + group, nodeid=parent, extlen=2), "MKDIR with an extension")
    k.expect(not answer.errno and len(answer.body) == 128, "an entry", answer)
    k.entry(parent, name)


@TABLE.probe(
    "parent_times",
    Tier.SHOULD,
    "A name made in a directory moves the directory's mtime and ctime on.",
    "POSIX: mkdir(2)",
    opcodes=("MKDIR",),
    needs=("MKDIR",),
)
def parent_times(k: ConformKernel) -> None:
    outer = k.directory()
    before = k.attributes(outer.nodeid)
    k.settle(0.03)
    k.directory(outer.nodeid)
    after = k.attributes(outer.nodeid)
    was = (before.mtime, before.mtimensec, before.ctime, before.ctimensec)
    now = (after.mtime, after.mtimensec, after.ctime, after.ctimensec)
    k.expect(now[:2] > was[:2] and now[2:] > was[2:], f"later than {was}", f"{now}")


@TABLE.probe(
    "create_after_directory_removed",
    Tier.SHOULD,
    "In a directory that was removed nothing can be made: ENOENT, though the kernel still refers to it.",
    "POSIX: open(2)",
    opcodes=("CREATE",),
    needs=("MKDIR", "RMDIR", "CREATE"),
    depends=("removing.rmdir",),
)
def create_after_directory_removed(k: ConformKernel) -> None:
    made = k.directory()
    k.need(wire.RmDir(nodeid=made.parent, name=made.name))
    arg = wire.fuse_create_in(os.O_RDWR | os.O_CREAT, stat.S_IFREG | 0o644, 0o022)
    k.refused(wire.Create(nodeid=made.nodeid, arg=arg, name=b"late"))
