"""One leaf of a file: where its bytes lie, and its CID once it is hashed.

A leaf never changes: writing makes another one.  So a copy of a file holds the very leaves of its source, hashing one
serves both, and what a commit took down at its point in time stays what it was.
"""

from __future__ import annotations

from typing import TypeAlias

from mfs.blocks.pieces import Piece
from mfs.unixfs.layout import Link

Pieces: TypeAlias = tuple[Piece, ...]


class Leaf:
    """`length` bytes lying in `pieces`; bytes of the file behind them, up to the leaf's end, are zeros.

    `link` is the leaf's CID, once known.  A leaf that came by a copy may know its link alone: `pieces` is None then,
    and the store is asked for them when they are needed.
    """

    __slots__ = ("length", "link", "pieces")

    def __init__(self, pieces: Pieces | None, length: int, link: Link | None = None) -> None:
        self.pieces = pieces
        self.length = length
        self.link = link

    def __repr__(self) -> str:
        return f"Leaf({self.pieces!r}, {self.length}, {self.link!r})"


def join(left: Pieces, right: Pieces) -> Pieces:
    """`left` and `right` behind one another, as one piece where the bytes touch."""
    if not left or not right:
        return left or right
    segment, offset, length = left[-1]
    other, start, more = right[0]
    if segment == other and (not segment or offset + length == start):
        return (*left[:-1], (segment, offset, length + more), *right[1:])
    return left + right
