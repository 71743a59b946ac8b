"""How an inode and a directory entry are kept in the metadata map.

UnixFS holds names, bytes and (by choice) a mode and an mtime; a POSIX tree has more.  The rest is an ordered map
(:mod:`mfs.meta`) beside the UnixFS tree, keyed by inode number:

====================================  ==============================================================
key                                   value
====================================  ==============================================================
``ino`` (8 bytes, big-endian) 00      the inode: attributes, content, references (below)
``ino`` 01 ``cookie`` (8 bytes)       the entries of directory ``ino`` whose names hash to ``cookie``
``ino`` 02 ``name`` (1 to 255 bytes)  00 and the value of the extended attribute ``name``
====================================  ==============================================================

An inode is, little-endian:

1. attributes, 52 bytes: mode, uid, gid, rdev, nlink (u32 each); atime, mtime, ctime, btime (i64, nanoseconds).  The
   highest bit of the mode says that there are extended attributes;
2. content, 41 bytes and a CID: size, cumulative DAG size ("Tsize"); for a directory the number of its entries, the
   number of those that UnixFS holds, and the bytes these count for in the choice of its form
   (:class:`mfs.unixfs.directory.DirStats`), all u64; the length of the CID (u8); the binary CID.  For a file the
   first of the three is 1 where it may be laid out in another way than the profile's;
3. references: their number (u32), each the parent's ino (u64), the length of the name (u8), the name;
4. the target of a symbolic link, to the end.

An entry is the child's ino (u64), its ``DT_`` type (u8), the length of the name (u8), the name.  Nearly always there is
one under a key; two names with the same cookie share it.

The cookie of a name is also its directory offset.  It depends on the name alone, so offsets hold while entries come
and go and across mounts.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import NamedTuple

from mfs.unixfs.cid import CID
from mfs.unixfs.directory import DirStats

ROOT_INO = 1
FIRST_INO = 16
"""The first number given to a new inode; those below are the root's and kept for later use."""

FIRST_COOKIE = 16
"""Directory offsets below are for ``.``, ``..`` and the start."""

_ATTRIBUTES = struct.Struct("<IIIIIqqqq")
_CONTENT = struct.Struct("<QQQQQB")
_COUNT = struct.Struct("<I")
_REFERENCE = struct.Struct("<QB")
_ENTRY = struct.Struct("<QBB")
_KEY = struct.Struct(">QB")
_HAS_XATTRS = 1 << 31
_ENTRY_KEY = struct.Struct(">QBQ")

NO_STATS = DirStats(0, 0)


class DamagedRecord(Exception):
    """A value of the metadata map does not have the shape that this module writes."""


class Entry(NamedTuple):
    """One directory entry: the child's inode number, its ``DT_`` type, the name's cookie."""

    ino: int
    dtype: int
    cookie: int


class Inode(NamedTuple):
    """One decoded inode; see the module's docstring for the fields."""

    mode: int
    uid: int
    gid: int
    rdev: int
    nlink: int
    atime: int
    mtime: int
    ctime: int
    btime: int
    size: int
    tsize: int
    entries: int
    stats: DirStats
    cid: CID | None
    references: tuple[tuple[int, bytes], ...]
    target: bytes
    has_xattrs: bool = False


def cookie_of(name: bytes) -> int:
    """The directory offset of `name`: 62 bits of its BLAKE2b, never below :data:`FIRST_COOKIE`."""
    return (int.from_bytes(blake2b(name, digest_size=8).digest(), "big") >> 2) | FIRST_COOKIE


def inode_key(ino: int) -> bytes:
    """The key of an inode, 9 bytes."""
    return _KEY.pack(ino, 0)


def entry_key(ino: int, cookie: int) -> bytes:
    """The key of the entries of directory `ino` at `cookie`, 17 bytes."""
    return _ENTRY_KEY.pack(ino, 1, cookie)


def xattr_key(ino: int, name: bytes = b"") -> bytes:
    """The key of an extended attribute of `ino`; without `name`, where they begin."""
    return _KEY.pack(ino, 2) + name


def pack_attributes(
    mode: int,
    uid: int,
    gid: int,
    rdev: int,
    nlink: int,
    atime: int,
    mtime: int,
    ctime: int,
    btime: int,
    has_xattrs: bool = False,
) -> bytes:
    """Part 1 of an inode."""
    if has_xattrs:
        mode |= _HAS_XATTRS
    return _ATTRIBUTES.pack(mode, uid, gid, rdev, nlink, atime, mtime, ctime, btime)


def pack_xattr(value: bytes | None) -> bytes | None:
    """The value of an extended attribute as the map keeps it; None where it is removed."""
    return None if value is None else b"\0" + value


def unpack_xattr(kept: bytes) -> bytes:
    """The inverse.  Raises :class:`DamagedRecord`."""
    if kept[:1] != b"\0":
        raise DamagedRecord(f"an extended attribute begins with {kept[:1]!r}")
    return kept[1:]


def pack_content(size: int, tsize: int, entries: int, stats: DirStats, cid: CID | None) -> bytes:
    """Part 2 of an inode; `cid` None where nothing was committed yet."""
    held = cid or b""
    return _CONTENT.pack(size, tsize, entries, stats.count, stats.entry_bytes, len(held)) + held


def pack_references(references: tuple[tuple[int, bytes], ...], target: bytes) -> bytes:
    """Parts 3 and 4 of an inode."""
    parts = [_COUNT.pack(len(references))]
    for parent, name in references:
        parts.append(_REFERENCE.pack(parent, len(name)))
        parts.append(name)
    parts.append(target)
    return b"".join(parts)


def unpack_inode(value: bytes) -> Inode:
    """The inverse of the three ``pack_`` functions, joined.

    Raises :class:`DamagedRecord`.
    """
    try:
        mode, uid, gid, rdev, nlink, atime, mtime, ctime, btime = _ATTRIBUTES.unpack_from(value)
        at = _ATTRIBUTES.size
        size, tsize, entries, links, link_bytes, length = _CONTENT.unpack_from(value, at)
        at += _CONTENT.size
        cid = CID(value[at : at + length]) if length else None
        at += length
        (count,) = _COUNT.unpack_from(value, at)
        at += _COUNT.size
        references = []
        for _ in range(count):
            parent, length = _REFERENCE.unpack_from(value, at)
            at += _REFERENCE.size
            references.append((parent, value[at : at + length]))
            at += length
    except struct.error as error:
        raise DamagedRecord(f"an inode of {len(value)} bytes ends too early: {error}") from None
    if at > len(value):
        raise DamagedRecord(f"an inode of {len(value)} bytes names a field that ends at {at}")
    return Inode(
        mode & ~_HAS_XATTRS,
        uid,
        gid,
        rdev,
        nlink,
        atime,
        mtime,
        ctime,
        btime,
        size,
        tsize,
        entries,
        DirStats(links, link_bytes),
        cid,
        tuple(references),
        value[at:],
        bool(mode & _HAS_XATTRS),
    )


def pack_entries(entries: dict[bytes, Entry]) -> bytes | None:
    """The value under one cookie; None where no name is left."""
    if not entries:
        return None
    return b"".join(_ENTRY.pack(ino, dtype, len(name)) + name for name, (ino, dtype, _) in sorted(entries.items()))


def unpack_entries(value: bytes, cookie: int) -> dict[bytes, Entry]:
    """The names under one cookie.  Raises :class:`DamagedRecord`."""
    entries = {}
    at = 0
    while at < len(value):
        try:
            ino, dtype, length = _ENTRY.unpack_from(value, at)
        except struct.error:
            raise DamagedRecord(f"a directory entry ends too early at byte {at} of {len(value)}") from None
        at += _ENTRY.size
        if at + length > len(value):
            raise DamagedRecord(f"a name of {length} bytes at byte {at} goes past the {len(value)} bytes there are")
        entries[value[at : at + length]] = Entry(ino, dtype, cookie)
        at += length
    return entries
