"""Where the bytes of files lie, as the files of one volume see it."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections import deque
from collections.abc import Iterator

import trio

from mfs.blocks.errors import BlockNotFound
from mfs.blocks.pieces import Piece, coalesce, slice_pieces, total_length
from mfs.blocks.store import EmbeddedStore
from mfs.file.content import Content, NotInPieces
from mfs.file.hashing import hash_leaf
from mfs.file.leaf import Leaf, Pieces
from mfs.unixfs.cid import CID, DAG_PB, RAW, codec_of
from mfs.unixfs.errors import MalformedBlock, UnixFSError
from mfs.unixfs.layout import leaf_wrapping, zero_subtrees
from mfs.unixfs.nodes import FileNode, NodeCache, leaf_span
from mfs.unixfs.profile import Profile
from mfs.unixfs.reader import Leaf as Stretch
from mfs.unixfs.reader import file_size, leaves
from mfs.unixfs.varint import encode_uvarint, read_uvarint

logger = logging.getLogger("mfs")

_HASHED_AT_ONCE = 8
"""Leaves hashed by one visit to the worker thread."""
_KNOWN_SPANS = 4096
"""Leaves in large blocks of another layout whose place within the block is remembered."""
_HEAD = 32
"""Bytes at the beginning of a leaf's block that tell where its data lie."""
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
        self._amid: dict[CID, Pieces] = {}
        self._bare: dict[CID, Pieces] = {}
        self._full: deque[tuple[Content, int, Leaf]] = deque()
        self._wake = trio.Event()

    def base_pieces(self, base: CID, start: int, stop: int) -> Pieces:
        found: list[Piece] = []
        with reading():
            only = self.store.leaf_pieces(base)
            if only is not None:
                return slice_pieces(only, start, stop)
            for leaf in leaves(base, start, stop, self.cache):
                pieces = self._kept(leaf.cid)
                if pieces is None:
                    raise NotInPieces
                found += self._part(leaf, pieces)
        return tuple(found)

    def placed_pieces(self, base: CID, start: int, stop: int) -> Pieces:
        found: list[Piece] = []
        with reading():
            for leaf in leaves(base, start, stop, self.cache):
                pieces = self._kept(leaf.cid)
                if pieces is not None:
                    found += self._part(leaf, pieces)
                else:
                    found.append(self.store.segments.shared.append(self._bytes(leaf)))
        return coalesce(found)

    def base_bytes(self, base: CID, start: int, stop: int) -> bytes:
        with reading():
            parts = []
            for leaf in leaves(base, start, stop, self.cache):
                pieces = self._kept(leaf.cid)
                parts.append(self._bytes(leaf) if pieces is None else self.bytes_in(self._part(leaf, pieces)))
            return b"".join(parts)

    def bytes_in(self, pieces: Pieces) -> bytes:
        return self.store.segments.read(pieces)

    def base_data(self, base: CID, start: int, stop: int) -> Iterator[tuple[int, int]]:
        only = self.store.leaf_pieces(base)
        if only is not None:
            yield from _data(slice_pieces(only, start, stop), start)
            return
        with reading():
            holes = zero_subtrees(self.profile, file_size(base, self.cache))
            for leaf in leaves(base, start, stop, self.cache, holes):
                pieces = self._kept(leaf.cid)
                if pieces is None:
                    yield leaf.offset, leaf.offset + leaf.length
                else:
                    yield from _data(self._part(leaf, pieces), leaf.offset)

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
                    try:
                        await trio.to_thread.run_sync(self._hash, batch)
                    except Exception:
                        # It is done ahead of time only: the commit does it anew, and the mount goes on.
                        logger.exception("leaves could not be hashed ahead")

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

    def dag_size(self, cid: CID, node: FileNode) -> int:
        """The bytes of all blocks of the file `cid`, which is `node`; what its links say is believed."""
        if node.tsize is not None:
            return node.tsize
        if codec_of(cid) == RAW:
            return node.size
        inline, pieces = self.store.places(cid)
        if self.store.leaf_pieces(cid) is not None:
            return node.size + sum(map(len, leaf_wrapping(self.profile, node.size)))
        return inline + total_length(pieces)

    def is_own_leaf(self, cid: CID, node: FileNode) -> bool:
        """Whether the file `cid` is one leaf, and that very leaf is what the profile makes of its bytes."""
        if node.children or not 0 < node.size <= self.chunk:
            return False
        if self.profile.raw_leaves:
            return cid[:4] == b"\x01\x55\x12\x20"
        own = b"\x01\x70\x12\x20" if self.profile.cid_version else b"\x12\x20"
        return cid.startswith(own) and self.store.leaf_pieces(cid) is not None

    def _leaf_size(self, cid: CID) -> int | None:
        pieces = self.store.leaf_pieces(cid)
        if pieces is None and codec_of(cid) == DAG_PB:
            # Not any whose place is known: of others the root may carry a mode and an mtime.
            pieces = self._bare.get(cid) or self._plain(cid)
        return None if pieces is None else total_length(pieces)

    def _plain(self, cid: CID) -> Pieces | None:
        """The pieces that hold the file bytes of a leaf without metadata in a large block, found without reading it."""
        _, block = self.store.places(cid)
        length = total_length(block)
        segments = self.store.segments
        head = segments.read(block, 0, min(_HEAD, length)) if block else b""
        for kind in (b"\x08\x02\x12", b"\x08\x00\x12"):
            at = head.find(kind, 0, 12)
            if at < 0:
                continue
            size, start = read_uvarint(head, at + 3)
            behind = b"\x18" + encode_uvarint(size)
            inside = start - at + size + len(behind)
            if head[:at] == b"\x0a" + encode_uvarint(inside) and length == at + inside:
                if segments.read(block, start + size, length) == behind:
                    return _remembered(self._bare, cid, slice_pieces(block, start, start + size))
        return None

    def _stored(self, cid: CID) -> Pieces:
        pieces = self._kept(cid)
        if pieces is None:
            # A leaf that came from elsewhere as a small block: its bytes get a place of their own.
            data = self.store.leaf_bytes(cid)
            pieces = (self.store.segments.shared.append(data),) if data else ()
        return pieces

    def _kept(self, cid: CID) -> Pieces | None:
        """The pieces that hold the file bytes of a leaf, None where they lie in the index (or in the CID itself)."""
        pieces = self.store.leaf_pieces(cid)
        if pieces is None and codec_of(cid) == DAG_PB:
            # A block of another layout that is too large for the index: the bytes lie amid it.
            pieces = self._bare.get(cid) or self._amid.get(cid) or self._plain(cid)
            if pieces is None:
                _, block = self.store.places(cid)
                if block:
                    span = leaf_span(cid, self.store.get(cid))
                    pieces = _remembered(self._amid, cid, slice_pieces(block, *span))
        return pieces

    def _part(self, leaf: Stretch, pieces: Pieces) -> Pieces:
        part = slice_pieces(pieces, leaf.skip, leaf.skip + leaf.length)
        if total_length(part) != leaf.length:
            raise MalformedBlock("leaf is shorter than its parent says", leaf.cid)
        return part

    def _bytes(self, leaf: Stretch) -> bytes:
        data = self.store.leaf_bytes(leaf.cid)[leaf.skip : leaf.skip + leaf.length]
        if len(data) != leaf.length:
            raise MalformedBlock("leaf is shorter than its parent says", leaf.cid)
        return data


def _remembered(known: dict[CID, Pieces], cid: CID, pieces: Pieces) -> Pieces:
    if len(known) >= _KNOWN_SPANS:
        del known[next(iter(known))]
    known[cid] = pieces
    return pieces


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Blocks that are missing or not what they should be are EIO, with what is wrong as the reason."""
    try:
        yield
    except (BlockNotFound, UnixFSError) as error:
        raise OSError(errno.EIO, str(error)) from error


def _data(pieces: Pieces, at: int) -> Iterator[tuple[int, int]]:
    """The ranges that are not zeros, of pieces that begin at the offset `at`."""
    for segment, _, length in pieces:
        if segment:
            yield at, at + length
        at += length
