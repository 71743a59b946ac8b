"""From a point in time to a root CID: leaves, file nodes, directories, the metadata map.

All of it runs on the server's thread in slices of half a millisecond, so that requests are answered in between and
nothing needs a lock; hashing large leaves, and every wait for the disk, are a worker thread's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from mfs.commit.point import PointInTime, Taken
from mfs.file.content import Snapshot
from mfs.file.hashing import hash_leaf
from mfs.file.leaf import Leaf
from mfs.file.medium import StoreMedium
from mfs.meta.btree import BTree
from mfs.pace import Pace
from mfs.tree.node import BARE, Directory, Graft, Symlink
from mfs.tree.numbers import IPNS_INO
from mfs.tree.record import (
    ROOT_INO,
    Entry,
    Inode,
    cookie_of,
    entry_key,
    inode_key,
    pack_attributes,
    pack_content,
    pack_entries,
    pack_references,
    pack_xattr,
    unpack_entries,
    unpack_inode,
    xattr_key,
)
from mfs.unixfs.cid import CID
from mfs.unixfs.directory import DirStats, lookup, update_directory
from mfs.unixfs.layout import Link, build_file, leaf_count, leaf_length, zero_leaf
from mfs.unixfs.nodes import NodeCache
from mfs.unixfs.symlink import symlink_block

_TOPS = (ROOT_INO, IPNS_INO)
"""The directories that no other directory names."""

_SMALL = 64 << 10
"""A leaf of at most so many bytes is hashed on the spot (40 us)."""
_PENDING = 4 << 20
_PENDING_BLOCKS = 20_000
"""Bytes and number of new small blocks held in memory before they are written out."""


class Built:
    """What a commit came to.

    ``links`` has the new CID of every file, directory and symbolic link that has one; ``stats`` what is kept of
    directories besides.
    """

    def __init__(self) -> None:
        self.links: dict[int, Link] = {}
        self.stats: dict[int, DirStats] = {}
        self.root: CID | None = None
        self.meta: CID | None = None


class Builder:
    """One run.  `flush` makes what was put so far durable; it is awaited when much has gathered.

    `behind` says whether so much waits for the next commit already that this one should hurry.
    """

    def __init__(
        self,
        point: PointInTime,
        meta: BTree,
        medium: StoreMedium,
        flush: Callable[[], Awaitable[None]],
        behind: Callable[[], bool] | None = None,
    ) -> None:
        self._point = point
        self._meta = meta
        self._medium = medium
        self._store = medium.store
        self._profile = medium.profile
        self._flush = flush
        self._pace = Pace(behind)
        self.built = Built()
        """What it came to so far; after a failure, too."""
        self._inodes: dict[int, Inode] = {}
        self._relinked: dict[int, dict[bytes, int]] = {}
        """Directory to name to child: entries whose CID is, or may be, another one."""

    async def run(self) -> Built:
        """Build everything.  Raises OSError from the disk, and what malformed blocks raise."""
        await self._files()
        await self._directories()
        await self._metadata()
        return self.built

    # -- files ----------------------------------------------------------------------------------------------------

    async def _files(self) -> None:
        for ino, taken in self._point.nodes.items():
            content = taken.content
            if content is not None:
                self._link(ino, taken, await self._file(content))
            elif isinstance(taken.node, Symlink) and taken.cid is None:
                block = symlink_block(taken.node.target)
                cid = self._profile.node_cid(block)
                self._store.put(cid, block)
                self._link(ino, taken, Link(cid, 0, len(block)))
            if self._pace.due:
                await self._breathe()

    def _link(self, ino: int, taken: Taken, link: Link) -> None:
        self.built.links[ino] = link
        if link.cid != taken.cid:
            for parent, name in taken.references:
                self._relinked.setdefault(parent, {})[name] = ino

    async def _breathe(self) -> None:
        if self._store.pending_bytes > _PENDING or self._store.pending_changes > _PENDING_BLOCKS:
            await self._flush()
        await self._pace.rest()

    async def _file(self, content: Snapshot) -> Link:
        profile, size = self._profile, content.size
        count = leaf_count(profile, size)
        leaves = content.leaves
        if not leaves and content.base is not None and size == content.base_size:
            if content.base_leaves == -(-size // profile.chunk_size):
                return Link(content.base, size, content.base_tsize)
        if count == 1 and not (content.base_leaves and 0 not in leaves):
            return await self._leaf(leaves.get(0, _EMPTY), size)
        if content.foreign and content.base_leaves:
            return await self._cut_anew(content)
        base_leaves = -(-content.base_size // profile.chunk_size)
        hashed: dict[int, Link] = {}
        changed = sorted(leaves)
        for index in changed:
            hashed[index] = await self._leaf(leaves[index], leaf_length(profile, size, index))
            if self._pace.due:
                await self._breathe()
        return await self._pace.run(
            build_file(
                profile,
                size,
                changed,
                hashed.__getitem__,
                content.base if content.base_leaves else None,
                base_leaves if content.base_leaves else 0,
                self._store.get,
                self._store.put,
                self._zeros,
                base_valid=content.base_leaves,
            )
        )

    async def _cut_anew(self, content: Snapshot) -> Link:
        """A changed file over a base of another layout: all leaves are made, of pieces of the blocks that it has."""
        profile, size = self._profile, content.size
        count = leaf_count(profile, size)
        ahead: dict[int, Link] = {}
        made = 0
        get, put = self._store.get, self._store.put
        steps = build_file(profile, size, range(count), ahead.pop, None, 0, get, put, self._zeros)
        while True:
            # As many as a node has: no more of them are asked for in one step.
            while made < count and len(ahead) < profile.max_links:
                leaf = content.leaves.get(made) or self._of_base(content, made)
                ahead[made] = await self._leaf(leaf, leaf_length(profile, size, made))
                made += 1
                if self._pace.due:
                    await self._breathe()
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

    # -- directories ----------------------------------------------------------------------------------------------

    async def _directories(self) -> None:
        """Deepest first, so that a directory's CID is known before the directory that holds it is built."""
        for ino, names in self._point.names.items():
            if ino in self._point.nodes:
                self._relinked.setdefault(ino, {}).update(
                    {name: entry.ino if entry is not None else 0 for name, entry in names.items()}
                )
        for ino, taken in self._point.nodes.items():
            if isinstance(taken.node, Directory) and taken.cid is None:
                self._relinked.setdefault(ino, {})
        levels: dict[int, set[int]] = {}
        depths: dict[int, int] = {}
        for ino in self._relinked:
            levels.setdefault(self._depth(ino, depths), set()).add(ino)
        for level in range(max(levels, default=0), -1, -1):
            for ino in levels.get(level, ()):
                await self._directory(ino)
                if self._pace.due:
                    await self._breathe()
                for parent, name in self._references(ino):
                    if self.built.links[ino].cid != self._committed(ino):
                        self._relinked.setdefault(parent, {})[name] = ino
                        levels.setdefault(level - 1, set()).add(parent)
        root = self.built.links.get(ROOT_INO)
        self.built.root = root.cid if root is not None else self._committed(ROOT_INO)

    def _depth(self, ino: int, depths: dict[int, int]) -> int:
        path = []
        while ino not in _TOPS and ino not in depths:
            path.append(ino)
            ino = self._references(ino)[0][0]
        depth = depths.get(ino, 0)
        for below in reversed(path):
            depth += 1
            depths[below] = depth
        return depth

    async def _directory(self, ino: int) -> None:
        taken = self._point.nodes.get(ino)
        if taken is not None:
            root, stats = taken.cid, taken.stats
        else:
            inode = self._inode(ino)
            root, stats = inode.cid, inode.stats
        changes: dict[bytes, Link | None] = {}
        for name, child in self._relinked[ino].items():
            changes[name] = self._child(child) if child else None
        made_of = self._point.grafted.get(ino)
        if made_of is not None and root is None:
            root, stats, changes = self._kept(made_of, stats, changes)
            if root is not None and not changes:
                self.built.links[ino] = Link(root, 0, made_of.tsize)
                self.built.stats[ino] = stats
                return
        cid, tsize, stats = await self._pace.run(
            update_directory(self._profile, root, changes, stats, self._store.get, self._store.put)
        )
        self.built.links[ino] = Link(cid, 0, tsize)
        self.built.stats[ino] = stats

    def _kept(
        self, made_of: Graft, stats: DirStats, changes: dict[bytes, Link | None]
    ) -> tuple[CID | None, DirStats, dict[bytes, Link | None]]:
        """What a new directory is to be built from that was made of another's: of that, and what is different now.

        Of nothing, where a name of the other has gone.
        """
        nodes = NodeCache(self._store.get)
        different: dict[bytes, Link | None] = {}
        found = 0
        for name, link in changes.items():
            was = lookup(made_of.cid, name, nodes)
            found += was is not None
            if was is None and link is None:
                continue
            if was is None or link is None or was.hash != link.cid:
                different[name] = link
        if found != made_of.stats.count:
            return None, stats, changes
        return made_of.cid, made_of.stats, different

    def _child(self, ino: int) -> Link | None:
        link = self.built.links.get(ino)
        if link is not None:
            return link
        taken = self._point.nodes.get(ino)
        if taken is not None:
            return Link(taken.cid, taken.size, taken.tsize) if taken.cid is not None else None
        inode = self._inode(ino)
        return Link(inode.cid, inode.size, inode.tsize) if inode.cid is not None else None

    # -- what the last commit says of a node that did not change since ----------------------------------------------

    def _inode(self, ino: int) -> Inode:
        inode = self._inodes.get(ino)
        if inode is None:
            kept = self._meta.get(inode_key(ino))
            if kept is None:
                raise ValueError(f"inode {ino} is neither changed nor in the metadata map")
            inode = self._inodes[ino] = unpack_inode(kept)
        return inode

    def _references(self, ino: int) -> tuple[tuple[int, bytes], ...]:
        taken = self._point.nodes.get(ino)
        return taken.references if taken is not None else self._inode(ino).references

    def _committed(self, ino: int) -> CID | None:
        taken = self._point.nodes.get(ino)
        return taken.cid if taken is not None else self._inode(ino).cid

    # -- the metadata map -----------------------------------------------------------------------------------------

    async def _metadata(self) -> None:
        edits: list[tuple[bytes, bytes | None]] = []
        for ino, taken in self._point.nodes.items():
            edits.append((inode_key(ino), self._record(ino, taken)))
            if taken.xattrs is not None:
                edits += [(xattr_key(ino, name), pack_xattr(value)) for name, value in taken.xattrs.items()]
        for ino in self.built.links:
            if ino not in self._point.nodes:
                edits.append((inode_key(ino), self._carried(ino)))
        for node in self._point.gone:
            edits.append((inode_key(node.ino), None))
            if node.xattrs is not BARE:
                edits += [(key, None) for key, _ in self._meta.items(xattr_key(node.ino), inode_key(node.ino + 1))]
        for ino, names in self._point.names.items():
            await self._entries(ino, names, edits)
        edits.sort()
        if self._pace.due:
            await self._breathe()
        self.built.meta = await self._pace.run(self._meta.update(edits))

    def _record(self, ino: int, taken: Taken) -> bytes:
        link = self.built.links.get(ino)
        cid, tsize = (link.cid, link.tsize) if link is not None else (taken.cid, taken.tsize)
        stats = self.built.stats.get(ino, taken.stats)
        entries = taken.entries
        if taken.content is not None and cid != taken.content.base:
            entries = 0
        content = pack_content(taken.size, tsize, entries, stats, cid)
        return taken.attributes + content + taken.tail

    def _carried(self, ino: int) -> bytes:
        """The record of a directory of which only the CID changed."""
        old, link = self._inode(ino), self.built.links[ino]
        return b"".join(
            (
                pack_attributes(*old[:9], old.has_xattrs),
                pack_content(old.size, link.tsize, old.entries, self.built.stats[ino], link.cid),
                pack_references(old.references, old.target),
            )
        )

    async def _entries(
        self, ino: int, names: dict[bytes, Entry | None], edits: list[tuple[bytes, bytes | None]]
    ) -> None:
        taken = self._point.nodes.get(ino)
        known = taken is None or taken.cid is not None
        slots: dict[int, dict[bytes, Entry]] = {}
        for name, entry in names.items():
            cookie = cookie_of(name)
            slot = slots.get(cookie)
            if slot is None:
                kept = self._meta.get(entry_key(ino, cookie)) if known else None
                slot = slots[cookie] = unpack_entries(kept, cookie) if kept is not None else {}
            if entry is not None:
                slot[name] = entry
            else:
                slot.pop(name, None)
            if self._pace.due:
                await self._breathe()
        edits += [(entry_key(ino, cookie), pack_entries(slot)) for cookie, slot in slots.items()]


_EMPTY = Leaf((), 0)
