"""Writing CARv1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mfs.unixfs.varint import encode_uvarint

if TYPE_CHECKING:
    from mfs.unixfs.cid import CID

__all__ = ["encode_header", "encode_section"]

_ARRAY, _BYTES = 0x80, 0x40


def encode_header(roots: Sequence[CID]) -> bytes:
    """What stands in front of the sections: DAG-CBOR ``{"roots": [...], "version": 1}`` and its length."""
    links = b"".join(b"\xd8\x2a" + _head(_BYTES, len(cid) + 1) + b"\0" + cid for cid in roots)
    header = b"\xa2\x65roots" + _head(_ARRAY, len(roots)) + links + b"\x67version\x01"
    return encode_uvarint(len(header)) + header


def encode_section(cid: CID, block: bytes) -> bytes:
    """One block."""
    return b"".join((encode_uvarint(len(cid) + len(block)), cid, block))


def _head(major: int, count: int) -> bytes:
    """The head of a CBOR item, in its shortest form."""
    if count < 24:
        return bytes((major | count,))
    size = 1 if count < 1 << 8 else 2 if count < 1 << 16 else 4
    return bytes((major | {1: 24, 2: 25, 4: 26}[size],)) + count.to_bytes(size, "big")
