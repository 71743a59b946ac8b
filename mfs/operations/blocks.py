"""Blocks as they are: taken in after a look at their hash, given out in order, walked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import trio

from mfs.blocks.store import EmbeddedStore
from mfs.file.bytes import read_pieces
from mfs.unixfs.cid import CID, DAG_PB, RAW, cid_str, codec_of, identity_data, multihash_of, verify_block
from mfs.unixfs.dagpb import decode_node
from mfs.unixfs.errors import MalformedBlock, UnixFSError, UnsupportedHash
from mfs.unixfs.layout import leaf_wrapping
from mfs.unixfs.nodes import leaf_data
from mfs.unixfs.profile import Profile

__all__ = ["BadBlock", "Walk", "fetch_block", "keep_block", "links_of", "verified"]

_SMALL = 512
"""A block of fewer bytes is no leaf worth a place of its own in a segment, unless it is raw."""


class BadBlock(ValueError):
    """A block is not what its CID says."""


def links_of(cid: CID, block: bytes) -> list[CID]:
    """The CIDs that a block links to, in order.  None of other codecs than dag-pb are known.  MalformedBlock."""
    if codec_of(cid) != DAG_PB:
        return []
    try:
        return [link.hash for link in decode_node(block).links]
    except MalformedBlock as error:
        raise MalformedBlock(error.why, cid) from None


def check(blocks: Iterable[tuple[CID, bytes]]) -> None:
    """BadBlock: one of these is not what its CID says.  In a worker thread: it hashes."""
    for cid, block in blocks:
        try:
            if not verify_block(cid, block):
                raise BadBlock(f"{cid_str(cid)}: its {len(block)} bytes have another hash")
        except UnsupportedHash as error:
            raise BadBlock(str(error)) from None


async def verified(blocks: Sequence[tuple[CID, bytes]]) -> None:
    """The same, in a worker thread."""
    await trio.to_thread.run_sync(check, blocks)


def keep_block(store: EmbeddedStore, profile: Profile, cid: CID, block: bytes) -> bool:
    """Keep a block that was verified; says whether it is new.

    The bytes of a file's leaf get a place in a segment, from which they are read without a copy.
    """
    if store.has(cid):
        return False
    if codec_of(cid) == RAW and block:
        return store.put_leaf(cid, (store.segments.shared.append(block),), False)
    if codec_of(cid) == DAG_PB and len(block) > _SMALL and not profile.raw_leaves:
        data = _wrapped(profile, cid, block)
        if data:
            return store.put_leaf(cid, (store.segments.shared.append(data),), True)
    store.put(cid, block)
    return True


def _wrapped(profile: Profile, cid: CID, block: bytes) -> bytes | None:
    """The data of a leaf whose block is these between what the profile puts around them; else None."""
    try:
        if decode_node(block).links:
            return None
        data = leaf_data(cid, block)
    except UnixFSError:
        return None
    before, after = leaf_wrapping(profile, len(data))
    return data if len(before) + len(data) + len(after) == len(block) and block.startswith(before) else None


async def fetch_block(store: EmbeddedStore, profile: Profile, cid: CID) -> bytes:
    """A block, read by a worker thread where it is not in the page cache.  BlockNotFound."""
    data = identity_data(cid)
    if data is not None:
        return data
    _, pieces = store.places(cid)
    if not pieces:
        return store.get(cid)
    leaf = store.leaf_pieces(cid)
    if leaf is not None:
        data = await read_pieces(store.segments, leaf)
        if codec_of(cid) == RAW:
            return data
        before, after = leaf_wrapping(profile, len(data))
        return before + data + after
    await read_pieces(store.segments, pieces)
    return store.get(cid)


class Walk:
    """Everything below some roots, each block once, parents first and in the order of their links.

    The caller gives the links of every CID that it got::

        walk = Walk(roots)
        for cid in walk:
            walk.below(links_of(cid, block_of(cid)))

    It remembers what it gave: some 100 bytes a block.
    """

    def __init__(self, roots: Sequence[CID]) -> None:
        self._seen: set[bytes] = set()
        self._waiting = [iter(roots)]

    def __iter__(self) -> Iterator[CID]:
        while self._waiting:
            cid = next(self._waiting[-1], None)
            if cid is None:
                self._waiting.pop()
                continue
            key = multihash_of(cid)
            if key not in self._seen:
                self._seen.add(key)
                yield cid

    def below(self, links: Sequence[CID]) -> None:
        """What the block given last links to."""
        if links:
            self._waiting.append(iter(links))
