"""Unsigned LEB128 numbers, as protobuf and multiformats write them."""

from __future__ import annotations

from mfs.unixfs.errors import InvalidCID, MalformedBlock

__all__ = ["encode_uvarint", "read_strict_uvarint", "read_uvarint"]

_ONE_BYTE = tuple(bytes((n,)) for n in range(128))
_UINT64_MAX = (1 << 64) - 1
# The multiformats specification stops at nine bytes, protobuf at ten.
_STRICT_BYTES = 9
_PROTOBUF_BYTES = 10


def encode_uvarint(value: int) -> bytes:
    """The shortest encoding of ``value``, which must be from 0 to 2**64 - 1."""
    if 0 <= value < 128:
        return _ONE_BYTE[value]
    if not 0 <= value <= _UINT64_MAX:
        raise ValueError(f"{value} does not fit an unsigned 64-bit varint")
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_uvarint(buf: bytes, offset: int) -> tuple[int, int]:
    """The protobuf number at ``offset`` and the offset behind it; longer than needful is accepted, as protobuf does.

    Raises:
        MalformedBlock: the buffer ends inside it, or it exceeds 64 bits.
    """
    value = shift = 0
    for position in range(offset, min(offset + _PROTOBUF_BYTES, len(buf))):
        byte = buf[position]
        value |= (byte & 127) << shift
        if byte < 128:
            if value > _UINT64_MAX:
                raise MalformedBlock(f"number at byte {offset} exceeds 64 bits")
            return value, position + 1
        shift += 7
    raise MalformedBlock(f"number at byte {offset} has no end")


def read_strict_uvarint(buf: bytes, offset: int) -> tuple[int, int]:
    """The multiformats number at ``offset`` and the offset behind it: shortest form only, at most nine bytes.

    Raises:
        InvalidCID: anything else.
    """
    value = shift = 0
    for position in range(offset, min(offset + _STRICT_BYTES, len(buf))):
        byte = buf[position]
        value |= (byte & 127) << shift
        if byte < 128:
            if byte == 0 and shift:
                raise InvalidCID(f"number at byte {offset} is not in its shortest form")
            return value, position + 1
        shift += 7
    raise InvalidCID(f"number at byte {offset} has no end")
