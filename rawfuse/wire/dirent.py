"""Directory entries in the replies to READDIR and READDIRPLUS.

An entry is ``fuse_dirent`` (24 bytes; behind ``fuse_entry_out`` in ``fuse_direntplus``, together 152), the name, and
zeros up to a multiple of 8. What Linux 6.18 makes of bad ones (measured): a name of 0 or more than 4095 bytes or with a
slash is EIO when it is the first, else ends the listing before it; a last entry cut off or without its padding is
ignored; a NUL ends a name; any type is accepted; ``off`` is an opaque cookie that the next READDIR brings back.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from rawfuse.errors import RemoteProtocolError
from rawfuse.wire._generated import fuse_dirent, fuse_direntplus, fuse_entry_out
from rawfuse.wire.base import Buffer

__all__ = ["Dirent", "DirentBuffer", "DirentPlus", "DirentPlusBuffer", "unpack_dirents", "unpack_direntplus"]

_HEAD = fuse_dirent.SIZE
_PLUS_HEAD = fuse_direntplus.SIZE
_ENTRY = fuse_entry_out.SIZE
_head = Struct(fuse_dirent.FORMAT)


class Dirent(NamedTuple):
    """One entry. ``off``: the cookie to go on after it. ``type``: DT_* of readdir(3), which is ``mode >> 12``."""

    name: bytes
    ino: int
    off: int
    type: int


class DirentPlus(NamedTuple):
    """One entry with what a LOOKUP would have said; ``entry.nodeid`` 0 means no attributes and no reference."""

    dirent: Dirent
    entry: fuse_entry_out


class DirentBuffer:
    """Collects entries for one READDIR reply of at most ``size`` bytes (``arg.size`` of the request)."""

    __slots__ = ("_buffer", "_end", "_size")

    def __init__(self, size: int) -> None:
        self._buffer = bytearray()
        self._size = size
        self._end = 0

    def __len__(self) -> int:
        return self._end

    def add(self, name: bytes, ino: int, off: int, type: int) -> bool:
        """Append an entry. False, with nothing appended, when it no longer fits."""
        length = len(name)
        end = self._end + ((_HEAD + 7 + length) & ~7)
        if end > self._size:
            return False
        self._buffer += _head.pack(ino, off, length, type) + name + b"\0" * (-length & 7)
        self._end = end
        return True

    @property
    def data(self) -> bytearray:
        """The reply so far; it goes out as it is."""
        return self._buffer


class DirentPlusBuffer:
    """Collects entries for one READDIRPLUS reply of at most ``size`` bytes."""

    __slots__ = ("_buffer", "_end", "_size")

    def __init__(self, size: int) -> None:
        self._buffer = bytearray()
        self._size = size
        self._end = 0

    def __len__(self) -> int:
        return self._end

    def add(self, name: bytes, ino: int, off: int, type: int, entry: bytes) -> bool:
        """Append an entry with its packed ``fuse_entry_out`` (128 bytes, as every minor since 7.9 has it).

        False, with nothing appended, when it no longer fits: then no reference was given for it either.
        """
        length = len(name)
        end = self._end + ((_PLUS_HEAD + 7 + length) & ~7)
        if end > self._size:
            return False
        if len(entry) != _ENTRY:
            raise ValueError(f"entry has {len(entry)} bytes, fuse_entry_out has {_ENTRY}")
        self._buffer += entry + _head.pack(ino, off, length, type) + name + b"\0" * (-length & 7)
        self._end = end
        return True

    @property
    def data(self) -> bytearray:
        """The reply so far; it goes out as it is."""
        return self._buffer


def _name(data: memoryview, offset: int, length: int) -> bytes:
    name = bytes(data[offset : offset + length])
    if len(name) != length:
        raise RemoteProtocolError(f"directory entry: a name of {length} bytes, {len(name)} are left")
    if not name or b"/" in name or 0 in name:
        raise RemoteProtocolError(f"directory entry: {name!r} is no name")
    return name


def unpack_dirents(buffer: Buffer) -> list[Dirent]:
    """All entries of a READDIR reply. Raises RemoteProtocolError for one that is cut off or has no proper name."""
    data = memoryview(buffer)
    found = []
    offset = 0
    while offset < len(data):
        if offset + _HEAD > len(data):
            raise RemoteProtocolError(f"directory entry: {len(data) - offset} bytes left, its head has {_HEAD}")
        ino, off, length, kind = _head.unpack_from(data, offset)
        found.append(Dirent(_name(data, offset + _HEAD, length), ino, off, kind))
        offset += (_HEAD + 7 + length) & ~7
    return found


def unpack_direntplus(buffer: Buffer) -> list[DirentPlus]:
    """All entries of a READDIRPLUS reply. Raises RemoteProtocolError as :func:`unpack_dirents` does."""
    data = memoryview(buffer)
    found = []
    offset = 0
    while offset < len(data):
        if offset + _PLUS_HEAD > len(data):
            raise RemoteProtocolError(f"directory entry: {len(data) - offset} bytes left, its head has {_PLUS_HEAD}")
        entry = fuse_entry_out.unpack_from(data, offset)
        ino, off, length, kind = _head.unpack_from(data, offset + _ENTRY)
        found.append(DirentPlus(Dirent(_name(data, offset + _PLUS_HEAD, length), ino, off, kind), entry))
        offset += (_PLUS_HEAD + 7 + length) & ~7
    return found
