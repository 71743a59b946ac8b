"""OPENDIR, READDIR, RELEASEDIR: listings, in pieces, while names come and go."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, Final, cast

from rawfuse import wire

from ....decode.values import errno_text, label
from ...kernel import PAGE, ROOT, ConformKernel, dirents
from ...probe import Table, Tier, Unready
from .listings import DOTS, SOURCE, full, names_of, once_each

__all__ = ["TABLE"]

TABLE: Final = Table("directories", "OPENDIR, READDIR, RELEASEDIR: listings")

_MEASURED: Final = "measured on Linux 6.18"
_MANY: Final = 200
_HEAD: Final = {wire.ReadDir: 24, wire.ReadDirPlus: 152}
"""Bytes before the name in an entry; the last 24 are fuse_dirent."""
_LISTED: Final = "READDIR|READDIRPLUS"
_MADE: Final = ("CREATE", _LISTED)


@TABLE.probe(
    "all",
    Tier.MUST,
    "A listing has each name once.",
    "POSIX: readdir(3)",
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
)
def every_name(k: ConformKernel) -> None:
    parent, names = full(k, 9)
    once_each(k, names, names_of(k.entries(k.opened_directory(parent))))


@TABLE.probe(
    "many",
    Tier.MUST,
    "A listing longer than a buffer goes on with the cookie of the last entry, and still has each name once.",
    SOURCE,
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
    depends=("directories.all",),
)
def many(k: ConformKernel) -> None:
    parent, names = full(k, _MANY)
    once_each(k, names, names_of(k.entries(k.opened_directory(parent), PAGE)))


@TABLE.probe(
    "small_buffer",
    Tier.MUST,
    "Whatever the size of the buffer, what fits is given whole, what does not comes next, and each name once.",
    SOURCE,
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
    depends=("directories.all", "directories.many"),
)
def small_buffer(k: ConformKernel) -> None:
    parent, names = full(k, 20)
    for size in (128, 184, 301, 1000):
        once_each(k, names, names_of(k.entries(k.opened_directory(parent), size)))


@TABLE.probe(
    "resumed",
    Tier.MUST,
    "From the cookie of any entry, used on the same handle at any time, the listing goes on with the entry behind it.",
    "POSIX: telldir(3), seekdir(3); NFS resumes so",
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
    depends=("directories.all",),
)
def resumed(k: ConformKernel) -> None:
    parent, _ = full(k, 12)
    made = k.opened_directory(parent)
    whole = k.entries(made, 512)
    for at in (7, 2, len(whole) - 1, 0):
        rest = k.entries(made, 200, whole[at].off)
        k.equal(names_of(whole[at + 1 :]), names_of(rest), f"behind entry {at}:")


@TABLE.probe(
    "rewound",
    Tier.MUST,
    "Cookie 0 is the beginning, also after the end was reached.",
    "POSIX: rewinddir(3)",
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
    depends=("directories.all",),
)
def rewound(k: ConformKernel) -> None:
    parent, names = full(k, 9)
    made = k.opened_directory(parent)
    k.entries(made)
    once_each(k, names, names_of(k.entries(made)))


@TABLE.probe(
    "end",
    Tier.MUST,
    "The end of a listing is an empty reply, as often as it is asked for.",
    _MEASURED,
    opcodes=("READDIR",),
    needs=(_LISTED,),
)
def end(k: ConformKernel) -> None:
    made = k.opened_directory(k.place())
    whole = k.entries(made)
    offset = whole[-1].off if whole else 0
    for _ in range(2):
        answer = k.ask(k.listing(made, offset, PAGE))
        k.expect(not answer.errno and not answer.body, "no bytes", answer)


@TABLE.probe(
    "whole_entries",
    Tier.MUST,
    "Entries lie at multiples of 8 bytes, zeros behind the name; one that is cut off at the end of a reply is lost.",
    f"{_MEASURED}: what is not whole is passed over",
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
)
def whole_entries(k: ConformKernel) -> None:
    parent, _ = full(k, 20)
    made = k.opened_directory(parent)
    request = k.listing(made, 0, 512)
    answer = k.ask(request)
    if answer.errno:
        raise Unready(f"{label(request)} before it: {errno_text(answer.errno)}")
    entries = dirents(cast(Any, answer.value))
    length = sum(_HEAD[type(request)] + len(entry.name) + 7 & ~7 for entry in entries)
    k.expect(len(answer.body) == length, f"{length} bytes for {len(entries)} entries", f"{len(answer.body)} bytes")


@TABLE.probe(
    "names",
    Tier.MUST,
    "A name in a listing has no slash and no NUL, and is not empty; Linux gives the caller EIO, or cuts it off.",
    _MEASURED,
    opcodes=("READDIR",),
    needs=(_LISTED,),
)
def names_are_sound(k: ConformKernel) -> None:
    made = k.opened_directory(k.place())
    request = k.listing(made, 0, PAGE)
    body, head, at = k.ask(request).body, _HEAD[type(request)], 0
    while at + head <= len(body):
        length = wire.fuse_dirent.unpack_from(body, at + head - wire.fuse_dirent.SIZE).namelen
        name = body[at + head : at + head + length]
        sound = 0 < length <= 4095 and b"/" not in name and b"\0" not in name
        k.expect(sound, "names without / and NUL", f"{name!r}, {length} bytes")
        at += head + length + 7 & ~7


@TABLE.probe(
    "cookies",
    Tier.MUST,
    "The cookies of a listing are not 0, which is the beginning, and differ from one another.",
    SOURCE,
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
)
def cookies(k: ConformKernel) -> None:
    parent, _ = full(k, 12)
    listed = [entry.off for entry in k.entries(k.opened_directory(parent))]
    k.expect(0 not in listed and len(set(listed)) == len(listed), "each its own, none 0", f"{listed}")


@TABLE.probe(
    "types",
    Tier.MUST,
    "The type in an entry is that of the inode, or 0 for unknown: find and ls go by it without a stat(2).",
    "readdir(3): d_type",
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
)
def types(k: ConformKernel) -> None:
    parent = k.directory().nodeid
    made = {k.file(parent=parent).name: stat.S_IFREG, k.directory(parent).name: stat.S_IFDIR}
    for entry in k.entries(k.opened_directory(parent)):
        wanted = made.get(entry.name, stat.S_IFDIR)
        seen = f"{entry.name!r} of type {entry.type}"
        k.expect(entry.type in (0, wanted >> 12), f"{entry.name!r} of type {wanted >> 12}, or 0", seen)


@TABLE.probe(
    "ino",
    Tier.MAY,
    "The inode number in an entry is that of stat(2): getcwd, find and tar compare them.",
    "POSIX: d_ino",
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
    depends=("attributes.ino",),
)
def ino(k: ConformKernel) -> None:
    parent = k.directory().nodeid
    made = k.file(parent=parent)
    wanted = k.attributes(made.nodeid).ino
    found = [entry.ino for entry in k.entries(k.opened_directory(parent)) if entry.name == made.name]
    k.equal([wanted], found, "ino")


@TABLE.probe(
    "dots",
    Tier.MAY,
    'A listing has "." and "..", as programs are used to.',
    "POSIX leaves it open",
    opcodes=("READDIR",),
    needs=(_LISTED,),
)
def dots(k: ConformKernel) -> None:
    listed = names_of(k.entries(k.opened_directory(k.place())))
    k.expect(set(DOTS) <= set(listed), '"." and ".."', f"{listed[:6]}")


@TABLE.probe(
    "new_name_after_rewind",
    Tier.SHOULD,
    "After going back to the beginning a listing shows what was made since OPENDIR.",
    "POSIX: rewinddir(3)",
    opcodes=("READDIR",),
    needs=("MKDIR", *_MADE),
    depends=("directories.rewound",),
)
def new_name_after_rewind(k: ConformKernel) -> None:
    parent, names = full(k, 3)
    made = k.opened_directory(parent)
    k.entries(made)
    new = k.file(parent=parent)
    once_each(k, [*names, new.name], names_of(k.entries(made)))


@TABLE.probe(
    "removed_meanwhile",
    Tier.SHOULD,
    "Names removed while a directory is listed do not move others out of the listing: rm -r goes this way.",
    "POSIX: readdir(3): entries not touched are returned once",
    opcodes=("READDIR",),
    needs=("MKDIR", "UNLINK", *_MADE),
    depends=("directories.many",),
)
def removed_meanwhile(k: ConformKernel) -> None:
    parent, names = full(k, 40)
    made = k.opened_directory(parent)
    listed: list[bytes] = []
    offset = 0
    while part := dirents(k.need(k.listing(made, offset, 512))):
        offset = part[-1].off
        for name in names_of(part):
            if name not in DOTS:
                listed.append(name)
                k.need(wire.Unlink(nodeid=parent, name=name))
    once_each(k, names, listed)


@TABLE.probe(
    "two_handles",
    Tier.MUST,
    "Two openings of one directory are listed independently of each other.",
    "POSIX: opendir(3)",
    opcodes=("OPENDIR", "READDIR"),
    needs=("MKDIR", *_MADE),
    depends=("directories.many",),
)
def two_handles(k: ConformKernel) -> None:
    parent, names = full(k, 20)
    one, other = k.opened_directory(parent), k.opened_directory(parent)
    first = dirents(k.need(k.listing(one, 0, 256)))
    once_each(k, names, names_of(k.entries(other, 256)))
    k.close(other)
    once_each(k, names, names_of(first) + names_of(k.entries(one, 256, first[-1].off)))


@TABLE.probe(
    "not_a_directory",
    Tier.SHOULD,
    "OPENDIR of what is no directory is ENOTDIR.",
    "POSIX; Linux knows the type and does not ask",
    opcodes=("OPENDIR",),
    needs=("OPENDIR",),
)
def not_a_directory(k: ConformKernel) -> None:
    made = k.any_file()
    k.refused(wire.OpenDir(nodeid=made.nodeid, arg=wire.fuse_open_in(os.O_RDONLY | os.O_DIRECTORY)), errno.ENOTDIR)


@TABLE.probe(
    "no_room",
    Tier.SHOULD,
    "Where not even one entry fits, the reply has no bytes, or is EINVAL: never more than was asked for.",
    "getdents(2): EINVAL where the buffer is too small",
    opcodes=("READDIR",),
    needs=(_LISTED,),
)
def no_room(k: ConformKernel) -> None:
    answer = k.ask(k.listing(k.opened_directory(), 0, 8))
    k.expect(answer.errno or not answer.body, "EINVAL, or no bytes", answer)


@TABLE.probe(
    "releasedir",
    Tier.MUST,
    "RELEASEDIR ends one handle and no other.",
    SOURCE,
    opcodes=("RELEASEDIR",),
    needs=("OPENDIR", "RELEASEDIR", _LISTED),
)
def releasedir(k: ConformKernel) -> None:
    one, other = k.opened_directory(), k.opened_directory()
    k.success(wire.ReleaseDir(nodeid=ROOT, arg=wire.fuse_release_in(one.fh)))
    k.success(k.listing(other, 0, PAGE))


@TABLE.probe(
    "removed_open",
    Tier.SHOULD,
    "A directory that is removed while it is open is listed without an error, or is ENOENT.",
    "POSIX: rmdir(2)",
    opcodes=("READDIR",),
    needs=("MKDIR", "RMDIR", _LISTED),
    depends=("directories.releasedir",),
)
def removed_open(k: ConformKernel) -> None:
    made = k.directory()
    opened = k.opened_directory(made.nodeid)
    k.need(wire.RmDir(nodeid=made.parent, name=made.name))
    answer = k.ask(k.listing(opened, 0, PAGE))
    left = [entry.name for entry in dirents(cast(Any, answer.value) or []) if entry.name not in DOTS]
    k.expect(answer.errno in (0, errno.ENOENT, errno.ESTALE) and not left, "no names, or ENOENT", answer)
