"""The UnixFS message in a node's Data: what the node is, and how its bytes are spread over its children.

Field numbers (proto2, written in this order; source: the UnixFS specification, and boxo's unixfs.proto):

    1 Type varint     2 Data bytes      3 filesize varint   4 blocksizes repeated varint, not packed
    5 hashType varint 6 fanout varint   7 mode uint32       8 mtime {1 seconds int64; 2 nanoseconds fixed32}
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from mfs.unixfs.errors import MalformedBlock
from mfs.unixfs.varint import encode_uvarint, read_uvarint

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DataType", "Mtime", "UnixFSData", "decode_data", "encode_data"]

NANOS_PER_SECOND = 1_000_000_000
_UINT64 = 1 << 64


class DataType(enum.IntEnum):
    """The kinds of node. Raw is a leaf of a trickle file; Metadata is obsolete."""

    Raw = 0
    Directory = 1
    File = 2
    Metadata = 3
    Symlink = 4
    HAMTShard = 5


_TYPES = {int(kind): kind for kind in DataType}


class Mtime(NamedTuple):
    """A modification time: whole seconds since 1970, negative before it, and nanoseconds (0 to 999999999) after."""

    seconds: int
    nanos: int = 0


class UnixFSData(NamedTuple):
    """The message, decoded. Absent numbers are None, an absent mode is 0 (that is also how 0 is written: not at all).

    ``data`` is a leaf's or an inner node's own file bytes, a symlink's target, or a shard's bitfield; ``blocksizes``
    the file bytes below each link, in order; ``mode`` all 32 bits as stored, of which the low 12 are permissions.
    """

    type: DataType
    data: bytes | None = None
    filesize: int | None = None
    blocksizes: Sequence[int] = ()
    hash_type: int | None = None
    fanout: int | None = None
    mode: int = 0
    mtime: Mtime | None = None


def encode_data(message: UnixFSData) -> bytes:
    """The message's bytes, as boxo writes them: mode 0 and nanoseconds 0 are left out, everything not None is there."""
    kind, data, filesize, blocksizes, hash_type, fanout, mode, mtime = message
    parts = [b"\x08%c" % kind]
    if data is not None:
        parts += (b"\x12", encode_uvarint(len(data)), data)
    if filesize is not None:
        parts += (b"\x18", encode_uvarint(filesize))
    if blocksizes:
        # Nearly all are the same full size: encode each distinct one once.
        encoded = {size: b"\x20" + encode_uvarint(size) for size in set(blocksizes)}
        parts += [encoded[size] for size in blocksizes]
    if hash_type is not None:
        parts += (b"\x28", encode_uvarint(hash_type))
    if fanout is not None:
        parts += (b"\x30", encode_uvarint(fanout))
    if mode:
        if not 0 < mode < 1 << 32:
            raise ValueError(f"mode {mode:#o} does not fit 32 bits")
        parts += (b"\x38", encode_uvarint(mode))
    if mtime is not None:
        time = _encode_mtime(mtime)
        parts += (b"\x42", encode_uvarint(len(time)), time)
    return b"".join(parts)


def _encode_mtime(mtime: Mtime) -> bytes:
    seconds, nanos = mtime
    if not -(1 << 63) <= seconds < 1 << 63:
        raise ValueError(f"mtime of {seconds} s does not fit 64 bits")
    if not 0 <= nanos < NANOS_PER_SECOND:
        raise ValueError(f"mtime has {nanos} ns; a second has {NANOS_PER_SECOND}")
    encoded = b"\x08" + encode_uvarint(seconds % _UINT64)
    if nanos:
        encoded += b"\x15" + nanos.to_bytes(4, "little")
    return encoded


def decode_data(buf: bytes) -> UnixFSData:
    """The message in ``buf``; of a field that is there twice the last counts, unknown fields are passed over.

    Raises:
        MalformedBlock: it is not a UnixFS message.
    """
    kind: int | None = None
    data: bytes | None = None
    numbers: dict[int, int] = {}
    blocksizes: list[int] = []
    mtime: Mtime | None = None
    position, end = 0, len(buf)
    while position < end:
        tag = buf[position]
        position += 1
        if tag == 0x20:
            size, position = _number(buf, position)
            blocksizes.append(size)
        elif tag == 0x08:
            kind, position = _number(buf, position)
        elif tag == 0x12:
            data, position = _bytes(buf, position)
        elif tag in (0x18, 0x28, 0x30, 0x38):
            numbers[tag], position = _number(buf, position)
        elif tag == 0x42:
            time, position = _bytes(buf, position)
            mtime = _decode_mtime(time)
        elif tag == 0x22:
            packed, position = _bytes(buf, position)
            at = 0
            while at < len(packed):
                size, at = _number(packed, at)
                blocksizes.append(size)
        else:
            position = _skip(buf, position - 1)
    if kind is None:
        raise MalformedBlock("UnixFS message without a type")
    known = _TYPES.get(kind)
    if known is None:
        raise MalformedBlock(f"UnixFS type {kind} is not known")
    mode = numbers.get(0x38, 0) & 0xFFFFFFFF
    get = numbers.get
    return UnixFSData(known, data, get(0x18), blocksizes, get(0x28), get(0x30), mode, mtime)


def _decode_mtime(buf: bytes) -> Mtime:
    seconds: int | None = None
    nanos = position = 0
    while position < len(buf):
        tag = buf[position]
        if tag == 0x08:
            seconds, position = read_uvarint(buf, position + 1)
        elif tag == 0x15:
            if position + 5 > len(buf):
                raise MalformedBlock("mtime ends inside its nanoseconds")
            nanos = int.from_bytes(buf[position + 1 : position + 5], "little")
            position += 5
        else:
            position = _skip(buf, position)
    if seconds is None:
        raise MalformedBlock("mtime without seconds")
    if nanos >= NANOS_PER_SECOND:
        raise MalformedBlock(f"mtime has {nanos} ns; a second has {NANOS_PER_SECOND}")
    return Mtime(seconds - _UINT64 if seconds >= 1 << 63 else seconds, nanos)


def _number(buf: bytes, position: int) -> tuple[int, int]:
    if position < len(buf) and buf[position] < 128:
        return buf[position], position + 1
    return read_uvarint(buf, position)


def _bytes(buf: bytes, position: int) -> tuple[bytes, int]:
    length, position = _number(buf, position)
    end = position + length
    if end > len(buf):
        raise MalformedBlock(f"UnixFS field of {length} bytes passes the end of the message")
    return buf[position:end], end


def _skip(buf: bytes, position: int) -> int:
    """The offset behind the unknown field whose tag is at ``position``."""
    tag, position = read_uvarint(buf, position)
    number, wire_type = tag >> 3, tag & 7
    if number == 0 or number <= 8:
        raise MalformedBlock(f"UnixFS field {number} in a form that is not its own (tag 0x{tag:x})")
    if wire_type == 0:
        return read_uvarint(buf, position)[1]
    if wire_type == 2:
        return _bytes(buf, position)[1]
    if wire_type in (1, 5):
        position += 8 if wire_type == 1 else 4
        if position <= len(buf):
            return position
    raise MalformedBlock(f"UnixFS field {number} cannot be passed over (tag 0x{tag:x})")
