"""The items of a log record, as bytes and back.

A record says what things *are*, not what was done: so playing one twice, or onto a commit that holds part of it
already, changes nothing.  It is a sequence of items, each a letter and little-endian fields:

====  ==========================================================================================================
`n`   u64: the next inode number to be given out
`i`   u64 ino, u32 length, an inode as :mod:`mfs.tree.record` packs it (its content part counts for nothing)
`x`   u64 ino: this inode is gone
`e`   u64 directory, u64 ino or 0 for "absent", u8 ``DT_`` type, u8 length, name
`a`   u64 ino, u8 1 where it is there and 0 where it is not, u8 length, u32 length, the name of an extended attribute,
      its value
`c`   the content of a file: see :class:`ContentItem`
`b`   u64 segment, u64 offset, u32 length, the bytes that belong there: small ones are put into the record, so that
      one sync makes both durable
====  ==========================================================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from mfs.file.leaf import Leaf, Pieces
from mfs.unixfs.cid import CID

_NEXT = struct.Struct("<cQ")
_INODE = struct.Struct("<cQI")
_GONE = struct.Struct("<cQ")
_NAME = struct.Struct("<cQQBB")
_CONTENT = struct.Struct("<cQBQQQQQBI")
_LEAF = struct.Struct("<QII")
_PIECE = struct.Struct("<QQI")
_XATTR = struct.Struct("<cQBBI")
_BYTES = struct.Struct("<cQQI")

_RESET = 1
_FOREIGN = 2


class DamagedLog(Exception):
    """A log record passed its checksum and yet is not what this module writes."""


class NextItem(NamedTuple):
    """The next inode number."""

    ino: int


class InodeItem(NamedTuple):
    """An inode's attributes, packed."""

    ino: int
    inode: bytes


class GoneItem(NamedTuple):
    """An inode that is no more."""

    ino: int


class NameItem(NamedTuple):
    """What a name refers to; `ino` 0: nothing."""

    directory: int
    ino: int
    dtype: int
    name: bytes


class XattrItem(NamedTuple):
    """An extended attribute; `value` None: it is gone."""

    ino: int
    name: bytes
    value: bytes | None


class ContentItem(NamedTuple):
    """What changed in the bytes of a file since the record before.

    With `reset` the file is first made `base` (its first `base_leaves` leaves, of `base_size` bytes and `base_tsize`
    bytes of DAG); else it is first cut to `cut` bytes where it is longer.  Then `leaves` are put in by index, and the
    file made `size` bytes long.  `foreign`: the base may be laid out in another way than the profile's.
    """

    ino: int
    reset: bool
    size: int
    cut: int
    base: CID | None
    base_size: int
    base_tsize: int
    base_leaves: int
    leaves: list[tuple[int, Leaf]]
    foreign: bool = False


class BytesItem(NamedTuple):
    """Bytes of a segment."""

    segment: int
    offset: int
    data: bytes


Item: TypeAlias = NextItem | InodeItem | GoneItem | NameItem | XattrItem | ContentItem | BytesItem


def pack_item(item: Item) -> bytes:
    """One item as bytes.  The leaves of a :class:`ContentItem` must know their pieces."""
    match item:
        case NextItem(ino):
            return _NEXT.pack(b"n", ino)
        case InodeItem(ino, inode):
            return _INODE.pack(b"i", ino, len(inode)) + inode
        case GoneItem(ino):
            return _GONE.pack(b"x", ino)
        case NameItem(directory, ino, dtype, name):
            return _NAME.pack(b"e", directory, ino, dtype, len(name)) + name
        case XattrItem(ino, name, value):
            held = value or b""
            return _XATTR.pack(b"a", ino, value is not None, len(name), len(held)) + name + held
        case BytesItem(segment, offset, data):
            return _BYTES.pack(b"b", segment, offset, len(data)) + data
        case ContentItem():
            return _pack_content(item)


def _pack_content(item: ContentItem) -> bytes:
    base = item.base or b""
    parts = [
        _CONTENT.pack(
            b"c",
            item.ino,
            (_RESET if item.reset else 0) | (_FOREIGN if item.foreign else 0),
            item.size,
            item.cut,
            item.base_size,
            item.base_tsize,
            item.base_leaves,
            len(base),
            len(item.leaves),
        ),
        base,
    ]
    for index, leaf in item.leaves:
        pieces = leaf.pieces or ()
        parts.append(_LEAF.pack(index, leaf.length, len(pieces)))
        parts += [_PIECE.pack(*piece) for piece in pieces]
    return b"".join(parts)


class _Reader:
    """A cursor over one record that cannot leave it."""

    def __init__(self, record: bytes) -> None:
        self.record = record
        self.at = 0

    def fields(self, shape: struct.Struct) -> tuple[int, ...]:
        """The fields of `shape`, without the letter in front."""
        if self.at + shape.size > len(self.record):
            raise DamagedLog(f"an item at byte {self.at} of {len(self.record)} ends too early")
        found = shape.unpack_from(self.record, self.at)
        self.at += shape.size
        return found[1:] if isinstance(found[0], bytes) else found

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        end = self.at + length
        if end > len(self.record):
            raise DamagedLog(f"{length} bytes wanted at byte {self.at} of {len(self.record)}")
        taken = self.record[self.at : end]
        self.at = end
        return taken


def unpack_items(record: bytes) -> Iterator[Item]:
    """The items of one record, in order.  Raises :class:`DamagedLog`."""
    reader = _Reader(record)
    while reader.at < len(record):
        letter = record[reader.at : reader.at + 1]
        if letter == b"n":
            yield NextItem(*reader.fields(_NEXT))
        elif letter == b"i":
            ino, length = reader.fields(_INODE)
            yield InodeItem(ino, reader.take(length))
        elif letter == b"x":
            yield GoneItem(*reader.fields(_GONE))
        elif letter == b"e":
            directory, ino, dtype, length = reader.fields(_NAME)
            yield NameItem(directory, ino, dtype, reader.take(length))
        elif letter == b"a":
            ino, there, length, more = reader.fields(_XATTR)
            name, value = reader.take(length), reader.take(more)
            yield XattrItem(ino, name, value if there else None)
        elif letter == b"b":
            segment, offset, length = reader.fields(_BYTES)
            yield BytesItem(segment, offset, reader.take(length))
        elif letter == b"c":
            yield _content(reader)
        else:
            raise DamagedLog(f"an unknown item {letter!r} at byte {reader.at}")


def _content(reader: _Reader) -> ContentItem:
    ino, flags, size, cut, base_size, base_tsize, base_leaves, length, count = reader.fields(_CONTENT)
    base = CID(reader.take(length)) if length else None
    leaves = []
    for _ in range(count):
        index, held, number = reader.fields(_LEAF)
        pieces: Pieces = tuple(_piece(reader) for _ in range(number))
        if sum(piece[2] for piece in pieces) != held:
            raise DamagedLog(f"leaf {index} of inode {ino} says {held} bytes and has others")
        leaves.append((index, Leaf(pieces, held)))
    reset, foreign = bool(flags & _RESET), bool(flags & _FOREIGN)
    return ContentItem(ino, reset, size, cut, base, base_size, base_tsize, base_leaves, leaves, foreign)


def _piece(reader: _Reader) -> tuple[int, int, int]:
    segment, offset, length = reader.fields(_PIECE)
    return segment, offset, length
