"""Roots of files that carry mode and mtime, where the profile stores them.

The root alone is another block than it would be without.  What is below is shared: the nodes and leaves of a file of
several leaves, and the bytes of one that fits one leaf, which such a root has inline: its block is put together from
the piece of a segment that holds them and two small ones around it.
"""

from __future__ import annotations

import hashlib
import logging

import trio

from mfs.blocks.errors import BlockNotFound
from mfs.blocks.pieces import total_length, zeros
from mfs.blocks.store import EmbeddedStore
from mfs.file.content import NotInPieces, Snapshot
from mfs.file.leaf import Pieces
from mfs.file.medium import StoreMedium
from mfs.unixfs.cid import CID, DAG_PB, RAW, cid_str, cid_v0, cid_v1, codec_of
from mfs.unixfs.errors import UnixFSError
from mfs.unixfs.layout import Link, tree_height
from mfs.unixfs.metadata import Stamp, file_with_metadata, wrapping_with_metadata
from mfs.unixfs.nodes import FileNode, decode_block
from mfs.unixfs.profile import Profile

logger = logging.getLogger("mfs")

_SMALL = 64 << 10
"""Bytes that are hashed on the spot (40 us)."""
_INLINE = 1 << 10
"""A file of so many bytes lies in the index with its root: two pieces around it would take as much."""


class Roots:
    """Makes them in one store."""

    def __init__(self, medium: StoreMedium) -> None:
        self._medium = medium
        self._store = medium.store
        self._profile = medium.profile

    async def again(self, file: Link, stamp: Stamp) -> Link:
        """The root of a file whose bytes did not change: only this one block is new.

        A root that cannot be read stays what it is: neither its bytes nor other files' changes are to wait for it.
        """
        try:
            return await self._again(file, stamp)
        except (BlockNotFound, UnixFSError) as wrong:
            logger.warning("%s keeps the mode and mtime that it has: %s", cid_str(file.cid), wrong)
            return file

    async def _again(self, file: Link, stamp: Stamp) -> Link:
        cid = file.cid
        if codec_of(cid) != RAW and self._store.leaf_pieces(cid) is None:
            node = decode_block(cid, self._store.get(cid))
            if isinstance(node, FileNode) and (node.mode, node.mtime) == stamp:
                return file
            if not isinstance(node, FileNode) or node.children or node.size <= _INLINE:
                return file_with_metadata(self._profile, file, *stamp, self._store.get, self._store.put)
        try:
            pieces = self._medium.base_pieces(cid, 0, file.size)
        except NotInPieces:
            return file_with_metadata(self._profile, file, *stamp, self._store.get, self._store.put)
        return await self.only(pieces, file.size, stamp)

    async def only(self, pieces: Pieces, size: int, stamp: Stamp) -> Link:
        """The root of a file of one leaf, of which `pieces` are the bytes; what they lack of `size` is zeros."""
        pieces = (*pieces, *zeros(size - total_length(pieces)))
        before, after = wrapping_with_metadata(size, *stamp)
        if size <= _SMALL:
            cid = self._hashed(before, pieces, after)
        else:
            cid = await trio.to_thread.run_sync(self._hashed, before, pieces, after)
        if not self._store.has(cid):
            segments = self._store.segments
            if size <= _INLINE:
                self._store.put(cid, before + segments.read(pieces) + after)
            else:
                shared = segments.shared
                self._store.put_leaf(cid, (shared.append(before), *pieces, shared.append(after)), False)
        return Link(cid, size, len(before) + size + len(after))

    def _hashed(self, before: bytes, pieces: Pieces, after: bytes) -> CID:
        digest = hashlib.sha256(before)
        digest.update(self._store.segments.read(pieces))
        digest.update(after)
        return cid_v1(DAG_PB, digest.digest()) if self._profile.cid_version else cid_v0(digest.digest())


class Canopy:
    """The nodes of a file as they are built: the last one that is put, its root, is held back to be given a stamp.

    To be used as the ``get`` and ``put`` of :func:`mfs.unixfs.layout.build_file`.  A base has its stamp taken off, for
    it may become an inner node.
    """

    def __init__(self, store: EmbeddedStore, profile: Profile) -> None:
        self._store = store
        self._profile = profile
        self._held: dict[CID, bytes] = {}
        self._bare: dict[CID, bytes] = {}

    def bare(self, base: CID, content: Snapshot, leaves: int) -> CID:
        """The root of a file of several leaves without its stamp; stored where one of `leaves` leaves is taller."""
        link = Link(base, content.base_size, content.base_tsize)
        found = file_with_metadata(self._profile, link, 0, None, self._store.get, self._bare.__setitem__)
        base_leaves = -(-content.base_size // self._profile.chunk_size)
        if tree_height(self._profile, leaves) > tree_height(self._profile, base_leaves):
            self._store.put(found.cid, self._bare[found.cid])
        return found.cid

    def get(self, cid: CID) -> bytes:
        """A block, stored or not."""
        return self._held.get(cid) or self._bare.get(cid) or self._store.get(cid)

    def put(self, cid: CID, block: bytes) -> None:
        """Keep a block, and store the one before."""
        self._store_held()
        self._held[cid] = block

    def stamped(self, root: Link, stamp: Stamp) -> Link:
        """Store the root that was built, with its stamp."""
        if root.cid not in self._held:
            self._store_held()
        return file_with_metadata(self._profile, root, *stamp, self.get, self._store.put)

    def _store_held(self) -> None:
        for cid, block in self._held.items():
            self._store.put(cid, block)
        self._held.clear()
