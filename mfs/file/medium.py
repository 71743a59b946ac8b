"""Where the bytes of files lie, as the files of one volume see it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator

import trio

from mfs.blocks.pieces import Piece, slice_pieces, total_length
from mfs.blocks.store import EmbeddedStore
from mfs.file.content import Content
from mfs.file.hashing import hash_leaf
from mfs.file.leaf import Leaf, Pieces
from mfs.unixfs.cid import CID
from mfs.unixfs.layout import zero_subtrees
from mfs.unixfs.nodes import NodeCache
from mfs.unixfs.profile import Profile
from mfs.unixfs.reader import file_size, leaves

logger = logging.getLogger("mfs")

_HASHED_AT_ONCE = 8
"""Leaves hashed by one visit to the worker thread."""
_CACHED_LINKS = 1 << 17
"""Links of file nodes that are kept decoded."""


class StoreMedium:
    """Files of `profile` in an embedded store (:class:`mfs.file.content.Medium`).

    Leaves that fill while a file is written are hashed by :meth:`hash_full_leaves` in a worker thread, so that the
    commit finds their CIDs.
    """

    def __init__(self, store: EmbeddedStore, profile: Profile) -> None:
        self.store = store
        self.profile = profile
        self.chunk = profile.chunk_size
        self.cache = NodeCache(store.get, _CACHED_LINKS, self._leaf_size)
        self._full: deque[tuple[Content, int, Leaf]] = deque()
        self._wake = trio.Event()

    def base_pieces(self, base: CID, start: int, stop: int) -> Pieces:
        only = self.store.leaf_pieces(base)
        if only is not None:
            return slice_pieces(only, start, stop)
        found: list[Piece] = []
        for leaf in leaves(base, start, stop, self.cache):
            found += slice_pieces(self._stored(leaf.cid), leaf.skip, leaf.skip + leaf.length)
        return tuple(found)

    def base_data(self, base: CID, start: int, stop: int) -> Iterator[tuple[int, int]]:
        only = self.store.leaf_pieces(base)
        if only is not None:
            yield from _data(slice_pieces(only, start, stop), start)
            return
        holes = zero_subtrees(self.profile, file_size(base, self.cache))
        for leaf in leaves(base, start, stop, self.cache, holes):
            pieces = slice_pieces(self._stored(leaf.cid), leaf.skip, leaf.skip + leaf.length)
            yield from _data(pieces, leaf.offset)

    def leaf_pieces(self, leaf: Leaf) -> Pieces:
        if leaf.link is None:
            raise ValueError("a leaf without pieces and without a CID")
        return self._stored(leaf.link.cid)

    def filled(self, content: Content, index: int) -> None:
        self._full.append((content, index, content.leaves[index]))
        self._wake.set()

    async def hash_full_leaves(self) -> None:
        """Hash full leaves as they come, for ever."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._full:
                batch: list[Leaf] = []
                while self._full and len(batch) < _HASHED_AT_ONCE:
                    content, index, leaf = self._full.popleft()
                    # One that was overwritten or cut off since costs no hash.
                    if content.leaves.get(index) is leaf:
                        batch.append(leaf)
                if batch:
                    await trio.to_thread.run_sync(self._hash, batch)

    def _hash(self, batch: list[Leaf]) -> None:
        segments = self.store.segments
        for leaf in batch:
            for piece in leaf.pieces or ():
                # So that an fsync, or a commit, at the end of a large file finds most of it written out.
                segments.start_writeback(piece)
            if leaf.link is None:
                try:
                    hash_leaf(segments, self.profile, leaf, leaf.length)
                except OSError as error:
                    # Its bytes may have been given back meanwhile; if not, the commit will say what is wrong with them.
                    logger.debug("a leaf could not be hashed ahead: %s", error)

    def _leaf_size(self, cid: CID) -> int | None:
        pieces = self.store.leaf_pieces(cid)
        return None if pieces is None else total_length(pieces)

    def _stored(self, cid: CID) -> Pieces:
        pieces = self.store.leaf_pieces(cid)
        if pieces is None:
            # A leaf that came from elsewhere as a small block: its bytes get a place of their own.
            data = self.store.leaf_bytes(cid)
            pieces = (self.store.segments.shared.append(data),) if data else ()
        return pieces


def _data(pieces: Pieces, at: int) -> Iterator[tuple[int, int]]:
    """The ranges that are not zeros, of pieces that begin at the offset `at`."""
    for segment, _, length in pieces:
        if segment:
            yield at, at + length
        at += length
