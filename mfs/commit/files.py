"""The files of a commit: leaves and nodes, from what changed in each since the one before."""

from __future__ import annotations

from collections.abc import Callable

import trio

from mfs.commit.roots import Canopy, Roots
from mfs.file.content import Snapshot
from mfs.file.hashing import hash_leaf
from mfs.file.leaf import Leaf
from mfs.file.medium import StoreMedium
from mfs.pace import Pace
from mfs.unixfs.cid import CID
from mfs.unixfs.layout import Link, build_file, leaf_count, leaf_length, zero_leaf
from mfs.unixfs.metadata import Stamp

__all__ = ["FileBuilder"]

_SMALL = 64 << 10
"""A leaf of at most so many bytes is hashed on the spot (40 us)."""
_EMPTY = Leaf((), 0)


class FileBuilder:
    """Builds files in slices as `pace` has them."""

    def __init__(self, medium: StoreMedium, pace: Pace) -> None:
        self._medium = medium
        self._store = medium.store
        self._profile = medium.profile
        self._roots = Roots(medium)
        self._pace = pace

    async def file(self, content: Snapshot, mode: int, mtime: int) -> tuple[Link, bool]:
        """The file of these bytes, and whether they, and their layout, are those of the commit before.

        Raises OSError from the disk, and what malformed blocks raise.
        """
        profile, size = self._profile, content.size
        stamp = profile.stored(mode, mtime)
        if not content.leaves and content.base is not None and size == content.base_size:
            if content.base_leaves == -(-size // profile.chunk_size):
                link = Link(content.base, size, content.base_tsize)
                return (await self._roots.again(link, stamp) if profile.stores_metadata else link), True
        return await self._changed(content, stamp), False

    async def _changed(self, content: Snapshot, stamp: Stamp) -> Link:
        profile, size = self._profile, content.size
        if not profile.stores_metadata:
            return await self._content(content, content.base, self._store.get, self._store.put)
        count = leaf_count(profile, size)
        if count == 1:
            leaf = content.leaves.get(0) or self._of_base(content, 0)
            pieces = leaf.pieces if leaf.pieces is not None else self._medium.leaf_pieces(leaf)
            return await self._roots.only(pieces, size, stamp)
        canopy = Canopy(self._store, profile)
        base = content.base
        if base is not None and content.base_leaves and not content.foreign:
            if content.base_size > profile.chunk_size:
                base = canopy.bare(base, content, count)
            elif 0 not in content.leaves:
                # The root is the only leaf, with its stamp: what the bytes are without is not stored.
                content.leaves[0], base = self._of_base(content, 0), None
        return canopy.stamped(await self._content(content, base, canopy.get, canopy.put), stamp)

    async def _content(
        self, content: Snapshot, base: CID | None, get: Callable[[CID], bytes], put: Callable[[CID, bytes], object]
    ) -> Link:
        """The tree of the bytes alone, from what `base` has of it."""
        profile, size = self._profile, content.size
        count = leaf_count(profile, size)
        leaves = content.leaves
        if count == 1 and not (content.base_leaves and 0 not in leaves):
            return await self._leaf(leaves.get(0, _EMPTY), size)
        if content.foreign and content.base_leaves:
            return await self._cut_anew(content, get, put)
        base_leaves = -(-content.base_size // profile.chunk_size)
        hashed: dict[int, Link] = {}
        changed = sorted(leaves)
        for index in changed:
            hashed[index] = await self._leaf(leaves[index], leaf_length(profile, size, index))
            if self._pace.due:
                await self._pace.rest()
        return await self._pace.run(
            build_file(
                profile,
                size,
                changed,
                hashed.__getitem__,
                base if content.base_leaves else None,
                base_leaves if content.base_leaves and base is not None else 0,
                get,
                put,
                self._zeros,
                base_valid=content.base_leaves,
            )
        )

    async def _cut_anew(
        self, content: Snapshot, get: Callable[[CID], bytes], put: Callable[[CID, bytes], object]
    ) -> Link:
        """A changed file over a base of another layout: all leaves are made, of pieces of the blocks that it has."""
        profile, size = self._profile, content.size
        count = leaf_count(profile, size)
        ahead: dict[int, Link] = {}
        made = 0
        steps = build_file(profile, size, range(count), ahead.pop, None, 0, get, put, self._zeros)
        while True:
            # As many as a node has: no more of them are asked for in one step.
            while made < count and len(ahead) < profile.max_links:
                leaf = content.leaves.get(made) or self._of_base(content, made)
                ahead[made] = await self._leaf(leaf, leaf_length(profile, size, made))
                made += 1
                if self._pace.due:
                    await self._pace.rest()
            try:
                next(steps)
            except StopIteration as stop:
                link: Link = stop.value
                return link

    def _of_base(self, content: Snapshot, index: int) -> Leaf:
        if index >= content.base_leaves or content.base is None:
            return _EMPTY
        start = index * self._profile.chunk_size
        stop = min(start + self._profile.chunk_size, content.base_size)
        return Leaf(self._medium.placed_pieces(content.base, start, stop), stop - start)

    async def _leaf(self, leaf: Leaf, length: int) -> Link:
        if leaf.pieces is None and leaf.link is not None and leaf.link.size == length:
            return leaf.link
        if leaf.pieces is None:
            leaf = Leaf(self._medium.leaf_pieces(leaf), leaf.length)
        segments = self._store.segments
        if leaf.length <= _SMALL or (leaf.link is not None and leaf.link.size == length):
            link = hash_leaf(segments, self._profile, leaf, length)
        else:
            link = await trio.to_thread.run_sync(hash_leaf, segments, self._profile, leaf, length)
        self._keep(link, leaf, length)
        return link

    def _keep(self, link: Link, leaf: Leaf, length: int) -> None:
        pieces = leaf.pieces or ()
        if length > leaf.length:
            pieces = (*pieces, (0, 0, length - leaf.length))
        self._store.put_leaf(link.cid, pieces, not self._profile.raw_leaves)

    def _zeros(self, length: int) -> Link:
        link, _ = zero_leaf(self._profile, length)
        self._store.put_leaf(link.cid, ((0, 0, length),) if length else (), not self._profile.raw_leaves)
        return link
