"""The blocks of a store that are what their CIDs say: every one read and hashed, and from then on only those given."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from mfs.blocks.errors import BlockNotFound
from mfs.blocks.index import EXTENTS, INLINE, WRAPPED
from mfs.blocks.pieces import total_length, unpack_pieces
from mfs.gc.marks import Marks
from mfs.unixfs.cid import CID, identity_data, multihash_of, verify_block
from mfs.unixfs.errors import UnixFSError

if TYPE_CHECKING:
    from mfs.blocks.pieces import Piece
    from mfs.blocks.store import EmbeddedStore

__all__ = ["CLEAN", "MAPPED", "PINNED", "REACHED", "Sound"]

REACHED, CLEAN, MAPPED, PINNED = 1, 2, 4, 8
"""Marks: something leads to the block; everything below it (as a file) is sound; it was walked as a map's node, or as
what a pin keeps."""

_STEP = 256
_WORKERS = 2
_AHEAD = 8
"""Groups that wait for a worker."""
_READ = 1 << 20
_LONGEST = 64 << 20
"""Bytes; no block is longer, whatever an entry says."""
_RAW = b"\x01\x55"
_SHA2_256 = b"\x12\x20"


class _Block(NamedTuple):
    """A block whose bytes lie in segments."""

    multihash: bytes
    kind: int
    where: bytes
    pieces: tuple[Piece, ...]


class _Group(NamedTuple):
    """Blocks that a worker thread hashes: what is wrong with each is the result."""

    blocks: list[_Block]
    wrong: Future[list[str | None]]


class Sound:
    """The sound blocks of `store`.  ``bad`` are the multihashes of the others, with what is wrong.

    `wrap` gives what stands before and after the data of a wrapped leaf.
    """

    def __init__(
        self, store: EmbeddedStore, wrap: Callable[[int], tuple[bytes, bytes]], directory: str | os.PathLike[str]
    ) -> None:
        self.store = store
        self.bad: dict[bytes, str] = {}
        self.dead: set[CID] = set()
        """Nodes of files of which not a byte can be read."""
        self.ends: dict[int, int] = {}
        """For each segment, the end of the highest piece of a sound block."""
        self._entries: dict[bytes, tuple[int, bytes]] = {}
        self.blocks = 0
        self.bytes = 0
        self._wrap = wrap
        snapshot = store.snapshot()
        try:
            self.marks = Marks(directory, snapshot.count)
            for _ in self.marks.fill(snapshot.multihashes()):
                pass
        finally:
            snapshot.close()

    def close(self) -> None:
        """Let go of the marks."""
        self.marks.close()

    # -- verifying ------------------------------------------------------------------------------------------------

    def verify(self) -> Iterator[int]:
        """Read and hash every block; gives from time to time how many were.  OSError: the index cannot be read."""
        waiting: deque[_Group] = deque()
        with ThreadPoolExecutor(_WORKERS) as pool:
            last = b""
            while entries := self.store.entries_behind(last, _STEP):
                for blocks in self._grouped(entries):
                    waiting.append(_Group(blocks, pool.submit(self._hashed, blocks)))
                    # What is being hashed is not proportional to the store.
                    while len(waiting) > _AHEAD:
                        self._settle(waiting.popleft())
                last = entries[-1][0]
                yield self.blocks
            while waiting:
                self._settle(waiting.popleft())
        yield self.blocks

    def _grouped(self, entries: Iterable[tuple[bytes, int, bytes]]) -> Iterator[list[_Block]]:
        """The blocks in segments, in groups that are some work; those in the index are held against their CIDs here."""
        group: list[_Block] = []
        size = 0
        for multihash, kind, where in entries:
            self.blocks += 1
            if kind == INLINE:
                block = self.store.get(CID(_RAW + multihash))
                self.bytes += len(block)
                self._note(multihash, _against(multihash, block), kind, where)
                continue
            try:
                pieces = unpack_pieces(where)
                length = total_length(pieces)
                if length > _LONGEST:
                    raise ValueError(f"its entry says {length} bytes, no block is so long")
            except ValueError as error:
                self._note(multihash, str(error), kind, where)
                continue
            self.bytes += length
            size += length
            group.append(_Block(multihash, kind, where, pieces))
            if size >= _READ:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _hashed(self, blocks: list[_Block]) -> list[str | None]:
        return [self._extents(multihash, kind, pieces) for multihash, kind, _, pieces in blocks]

    def _settle(self, group: _Group) -> None:
        for (multihash, kind, where, pieces), wrong in zip(group.blocks, group.wrong.result(), strict=True):
            self._note(multihash, wrong, kind, where)
            if wrong is None:
                for number, offset, length in pieces:
                    if number and self.ends.get(number, 0) < offset + length:
                        self.ends[number] = offset + length

    def _note(self, multihash: bytes, wrong: str | None, kind: int, where: bytes) -> None:
        if wrong is not None:
            self.bad[multihash] = wrong
            self._entries[multihash] = kind, where

    def read_anyway(self, multihash: bytes) -> Iterator[tuple[int, bytes]]:
        """What can be read of a bad block: parts of it, each with where it begins."""
        kind, where = self._entries[multihash]
        if kind == INLINE:
            yield 0, self.store.get(CID(_RAW + multihash))
            return
        try:
            pieces = unpack_pieces(where)
        except ValueError:
            return
        at = 0
        for piece in pieces:
            for start in range(0, min(piece[2], _LONGEST), _READ):
                try:
                    yield at + start, self.store.segments.read((piece,), start, min(start + _READ, piece[2]))
                except OSError:
                    # The end of a segment, or nothing of it, is there.
                    break
            at += piece[2]

    def _extents(self, multihash: bytes, kind: int, pieces: tuple[Piece, ...]) -> str | None:
        if kind not in (EXTENTS, WRAPPED):
            return f"its entry is of the unknown kind {kind}"
        length = total_length(pieces)
        before, after = self._wrap(length) if kind == WRAPPED else (b"", b"")
        read = self.store.segments.read
        try:
            if multihash.startswith(_SHA2_256):
                digest = hashlib.sha256(before)
                for start in range(0, length, _READ):
                    digest.update(read(pieces, start, min(start + _READ, length)))
                digest.update(after)
                return None if digest.digest() == multihash[2:] else _WRONG
            return _against(multihash, before + read(pieces) + after)
        except OSError as error:
            return str(error)

    # -- what is sound --------------------------------------------------------------------------------------------

    def get(self, cid: CID) -> bytes:
        """The block.  BlockNotFound where it is absent or bad."""
        if multihash_of(cid) in self.bad:
            raise BlockNotFound(cid)
        return self.store.get(cid)

    def leaf_pieces(self, cid: CID) -> tuple[Piece, ...] | None:
        """As `EmbeddedStore.leaf_pieces`.  BlockNotFound where it is absent or bad."""
        if multihash_of(cid) in self.bad:
            raise BlockNotFound(cid)
        return self.store.leaf_pieces(cid)

    def length(self, cid: CID) -> int | None:
        """The length of a raw block, None where it is absent or bad."""
        if multihash_of(cid) in self.bad:
            return None
        try:
            inline, pieces = self.store.places(cid)
        except BlockNotFound:
            return None
        held = identity_data(cid)
        return len(held) if held is not None else inline + total_length(pieces)

    def reached(self, cid: CID, flags: int = REACHED) -> int:
        """Something leads to the block; gives the marks it had."""
        return self.marks.add(multihash_of(cid), flags | REACHED) or 0

    def garbage(self) -> int:
        """How many blocks nothing led to."""
        count, last = 0, b""
        while entries := self.store.entries_behind(last, _STEP):
            for multihash, _, _ in entries:
                count += self.marks.get(multihash) == 0
            last = entries[-1][0]
        return count


_WRONG = "its bytes are not those that its CID names"


def _against(multihash: bytes, block: bytes) -> str | None:
    try:
        return None if verify_block(CID(_RAW + multihash), block) else _WRONG
    except UnixFSError as error:
        return str(error)
    except (IndexError, ValueError) as error:
        return f"its key is no multihash: {error}"
