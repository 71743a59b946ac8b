"""From a point in time to a root CID: leaves, file nodes, directories, the metadata map.

All of it runs on the server's thread in slices of half a millisecond, so that requests are answered in between and
nothing needs a lock; hashing large leaves, and every wait for the disk, are a worker thread's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mfs.blocks.store import EmbeddedStore
from mfs.commit.files import FileBuilder
from mfs.commit.point import PointInTime, Taken
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
from mfs.unixfs.layout import Link
from mfs.unixfs.metadata import Stamp
from mfs.unixfs.nodes import NodeCache
from mfs.unixfs.symlink import symlink_block

_TOPS = (ROOT_INO, IPNS_INO)
"""The directories that no other directory names."""

_PENDING = 4 << 20
_PENDING_BLOCKS = 20_000
"""Bytes and number of new small blocks held in memory before they are written out."""


class Built:
    """What a commit came to.

    ``links`` has the new CID of every file, directory and symbolic link that has one; ``stats`` what is kept of
    directories besides; ``unchanged`` are the files with the bytes, and the layout, of the commit before.
    """

    def __init__(self) -> None:
        self.links: dict[int, Link] = {}
        self.stats: dict[int, DirStats] = {}
        self.unchanged: set[int] = set()
        self.root: CID | None = None
        self.meta: CID | None = None


class _Writing(Pace):
    """A pace that also writes out the blocks that were put, by `flush`, when they have become many."""

    __slots__ = ("_flush", "_store")

    def __init__(
        self, store: EmbeddedStore, flush: Callable[[], Awaitable[None]], behind: Callable[[], bool] | None
    ) -> None:
        super().__init__(behind)
        self._store = store
        self._flush = flush

    @property
    def due(self) -> bool:
        """Whether the slice is used up, or so much was put that it is to be written."""
        return super().due or self._full

    async def rest(self) -> None:
        """Let others run.  OSError: the disk did not take what was put."""
        if self._full:
            await self._flush()
        await super().rest()

    @property
    def _full(self) -> bool:
        return self._store.pending_bytes > _PENDING or self._store.pending_changes > _PENDING_BLOCKS


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
        self._pace = _Writing(self._store, flush, behind)
        self.built = Built()
        """What it came to so far; after a failure, too."""
        self._inodes: dict[int, Inode] = {}
        self._file_builder = FileBuilder(medium, self._pace)
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
                link, unchanged = await self._file_builder.file(content, taken.mode, taken.mtime)
                if unchanged:
                    self.built.unchanged.add(ino)
                self._link(ino, taken, link)
            elif isinstance(taken.node, Symlink) and (taken.cid is None or self._profile.stores_metadata):
                block = symlink_block(taken.node.target, *self._profile.stored(taken.mode, taken.mtime))
                cid = self._profile.node_cid(block)
                self._store.put(cid, block)
                self._link(ino, taken, Link(cid, 0, len(block)))
            if self._pace.due:
                await self._pace.rest()

    def _link(self, ino: int, taken: Taken, link: Link) -> None:
        self.built.links[ino] = link
        if link.cid != taken.cid:
            for parent, name in taken.references:
                self._relinked.setdefault(parent, {})[name] = ino

    # -- directories ----------------------------------------------------------------------------------------------

    async def _directories(self) -> None:
        """Deepest first, so that a directory's CID is known before the directory that holds it is built."""
        for ino, names in self._point.names.items():
            if ino in self._point.nodes:
                self._relinked.setdefault(ino, {}).update(
                    {name: entry.ino if entry is not None else 0 for name, entry in names.items()}
                )
        for ino, taken in self._point.nodes.items():
            if isinstance(taken.node, Directory) and (taken.cid is None or self._profile.stores_metadata):
                self._relinked.setdefault(ino, {})
        levels: dict[int, set[int]] = {}
        depths: dict[int, int] = {}
        for ino in self._relinked:
            levels.setdefault(self._depth(ino, depths), set()).add(ino)
        for level in range(max(levels, default=0), -1, -1):
            for ino in levels.get(level, ()):
                await self._directory(ino)
                if self._pace.due:
                    await self._pace.rest()
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
            if root is not None and not changes and not self._profile.stores_metadata:
                self.built.links[ino] = Link(root, 0, made_of.tsize)
                self.built.stats[ino] = stats
                return
        cid, tsize, stats = await self._pace.run(
            update_directory(self._profile, root, changes, stats, self._store.get, self._store.put, *self._stamp(ino))
        )
        self.built.links[ino] = Link(cid, 0, tsize)
        self.built.stats[ino] = stats

    def _stamp(self, ino: int) -> Stamp:
        """What the root of a directory is to carry."""
        what: Taken | Inode | None = self._point.nodes.get(ino)
        if not self._profile.stores_metadata:
            return 0, None
        what = what or self._inode(ino)
        return self._profile.stored(what.mode, what.mtime)

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
            await self._pace.rest()
        self.built.meta = await self._pace.run(self._meta.update(edits))

    def _record(self, ino: int, taken: Taken) -> bytes:
        link = self.built.links.get(ino)
        cid, tsize = (link.cid, link.tsize) if link is not None else (taken.cid, taken.tsize)
        stats = self.built.stats.get(ino, taken.stats)
        entries = taken.entries
        if taken.content is not None and ino not in self.built.unchanged:
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
                await self._pace.rest()
        edits += [(entry_key(ino, cookie), pack_entries(slot)) for cookie, slot in slots.items()]
