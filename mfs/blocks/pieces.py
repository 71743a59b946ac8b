"""Pieces: where bytes lie.

A piece is ``(segment, offset, length)``: `length` bytes of segment number `segment` beginning at `offset`. Segment 0
does not exist as a file: its bytes are zeros, and its pieces have the offset 0. The bytes of a leaf or of a file are a
sequence of pieces, nearly always one.

Packed (in the index, in the log) a piece is 20 bytes, little-endian: segment u32, offset u64, length u64.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "PACKED_PIECE",
    "Piece",
    "coalesce",
    "pack_pieces",
    "slice_pieces",
    "total_length",
    "unpack_pieces",
    "zeros",
]

Piece: TypeAlias = tuple[int, int, int]

PACKED_PIECE = 20
"""Bytes of one packed piece."""

_PIECE = struct.Struct("<IQQ")


def zeros(length: int) -> tuple[Piece, ...]:
    """`length` zero bytes as pieces: one, or none when `length` is 0."""
    return ((0, 0, length),) if length else ()


def total_length(pieces: Iterable[Piece]) -> int:
    """How many bytes the pieces are together."""
    return sum([piece[2] for piece in pieces])


def slice_pieces(pieces: Sequence[Piece], start: int, stop: int) -> tuple[Piece, ...]:
    """The bytes from `start` (>= 0) up to `stop`; less where the pieces end earlier."""
    found = []
    for segment, offset, length in pieces:
        if stop <= 0:
            break
        if start < length:
            first = max(start, 0)
            last = min(stop, length)
            if last > first:
                found.append((segment, offset + first if segment else 0, last - first))
        start -= length
        stop -= length
    return tuple(found)


def coalesce(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The same bytes in as few pieces as possible: neighbours that touch are one, empty pieces are dropped."""
    found: list[Piece] = []
    for piece in pieces:
        segment, offset, length = piece
        if not length:
            continue
        if found:
            before, at, held = found[-1]
            if before == segment and (segment == 0 or at + held == offset):
                found[-1] = (segment, at, held + length)
                continue
        found.append(piece)
    return tuple(found)


def pack_pieces(pieces: Iterable[Piece]) -> bytes:
    """20 bytes for each piece, one behind the other."""
    return b"".join([_PIECE.pack(*piece) for piece in pieces])


def unpack_pieces(buf: bytes | memoryview, offset: int = 0) -> tuple[Piece, ...]:
    """The pieces packed from `offset` to the end of `buf`.

    Raises:
        ValueError: what is there is no whole number of pieces.
    """
    if len(buf) - offset == PACKED_PIECE:
        return (_PIECE.unpack_from(buf, offset),)
    if (len(buf) - offset) % PACKED_PIECE:
        raise ValueError(f"{len(buf) - offset} bytes are not a whole number of {PACKED_PIECE}-byte pieces")
    return tuple(_PIECE.iter_unpack(memoryview(buf)[offset:]))
