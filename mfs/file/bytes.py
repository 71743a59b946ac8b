"""The bytes of a file, from its beginning to its end, for whoever is not the kernel.

What is in the page cache is read on the spot, up to a MiB (0.2 ms); what is not, by a worker thread.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import trio

from mfs.blocks.pieces import Piece, slice_pieces, total_length
from mfs.blocks.segments import Segments
from mfs.blocks.store import EmbeddedStore
from mfs.file.content import NotInPieces
from mfs.tree.node import File
from mfs.tree.tree import Tree
from mfs.unixfs.cid import CID
from mfs.unixfs.nodes import NodeCache
from mfs.unixfs.reader import leaves

__all__ = ["CHUNK", "read_pieces", "stored_bytes", "tree_bytes"]

CHUNK = 1 << 20
"""Bytes that are given at once, at most."""


async def read_pieces(segments: Segments, pieces: Sequence[Piece]) -> bytes:
    """The bytes that lie in `pieces`.  Who asks sees to it that they are not given back meanwhile."""
    out = bytearray(total_length(pieces))
    try:
        segments.read_nowait(pieces, 0, memoryview(out))
    except BlockingIOError:
        await trio.to_thread.run_sync(segments.read_into, pieces, 0, memoryview(out))
    return bytes(out)


async def tree_bytes(tree: Tree, segments: Segments, file: File) -> AsyncGenerator[bytes, None]:
    """The bytes of a file of the tree, as they are when it comes to them.

    The file stays while it is read, though its last name may go.
    """
    offset = 0
    tree.lookups.add(file.ino)
    try:
        while True:
            # Between two of these others may write; the pieces of one are safe while the tree is pinned.
            tree.pinned += 1
            try:
                chunk = await _at(file, segments, offset)
            finally:
                tree.pinned -= 1
            if not chunk:
                return
            offset += len(chunk)
            yield chunk
    finally:
        tree.forget(file.ino, 1)


async def _at(file: File, segments: Segments, offset: int) -> bytes:
    try:
        pieces = file.content.read(offset, CHUNK)
    except NotInPieces:
        return file.content.read_bytes(offset, CHUNK)
    return await read_pieces(segments, pieces)


async def stored_bytes(store: EmbeddedStore, cid: CID, nodes: NodeCache) -> AsyncGenerator[bytes, None]:
    """The bytes of the file that `cid` names, its blocks being in `store`.

    BlockNotFound, MalformedBlock, WrongKind: it is no whole file.
    """
    for leaf in leaves(cid, 0, 1 << 63, nodes):
        for start in range(leaf.skip, leaf.skip + leaf.length, CHUNK):
            stop = min(start + CHUNK, leaf.skip + leaf.length)
            pieces = store.leaf_pieces(leaf.cid)
            if pieces is not None:
                yield await read_pieces(store.segments, slice_pieces(pieces, start, stop))
            else:
                yield store.leaf_bytes(leaf.cid)[start:stop]
