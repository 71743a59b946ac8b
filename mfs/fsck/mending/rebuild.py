"""A metadata map made again from what is left: of itself, of older ones, and of the UnixFS tree.

Names and inodes say the same thing twice (a name leads to an inode, which knows its names), and UnixFS says it a third
time, without owners and modes.  So a lost node of the map costs nothing where the other two can be read, but owners,
modes and times of inodes whose records are in no older commit either.

This holds the whole map in memory, some 600 bytes an inode: it is for repositories that are damaged.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfs.blocks.errors import BlockNotFound
from mfs.fsck.mending.newmap import write_map
from mfs.fsck.mending.orphans import MODE, PLACE, free_name
from mfs.fsck.report import Finding, Report
from mfs.fsck.sound import Sound
from mfs.fsck.tree import MapReader
from mfs.history.past import NAMES_INO
from mfs.meta.btree import BTree
from mfs.meta.node import MalformedNode
from mfs.tree.record import (
    FIRST_INO,
    NO_STATS,
    ROOT_INO,
    DamagedRecord,
    Inode,
    inode_key,
    unpack_entries,
    unpack_inode,
    xattr_key,
)
from mfs.unixfs.cid import CID, RAW, codec_of
from mfs.unixfs.dagpb import PBLink
from mfs.unixfs.directory import entries as unixfs_entries
from mfs.unixfs.errors import UnixFSError
from mfs.unixfs.nodes import FileNode, Node, NodeCache, SymlinkNode, decode_block

if TYPE_CHECKING:
    from mfs.commit.record import Commit

__all__ = ["Rebuilt", "rebuild"]

_Names = dict[bytes, int]
_FOREIGN = 1
"""Of a file: it may be laid out in any way, and is looked over before it is changed."""


@dataclass
class Rebuilt:
    """The new map: its root, the first free inode number, and the directories whose blocks have to be made again."""

    meta: CID | None
    next_ino: int
    directories: set[int]


def rebuild(sound: Sound, commit: Commit, older: Iterable[Commit], report: Report) -> Rebuilt:
    """Make the metadata map of `commit` again; `older` commits are asked for what it lost, newest first.

    The blocks of it are put into the store.  What could not be found again is told to `report`.
    """
    work = _Rebuild(sound, commit, report)
    work.read()
    work.recover(older)
    work.name_again()
    work.walk()
    work.tell()
    return Rebuilt(work.written(), work.next_ino, work.directories)


class _Rebuild:
    def __init__(self, sound: Sound, commit: Commit, report: Report) -> None:
        self._sound = sound
        self._commit = commit
        self._report = report
        self._nodes = NodeCache(sound.get)
        self._reader = MapReader(sound, commit.meta)
        self._unread = False
        """Whether a directory's block cannot be read."""
        self._inodes: dict[int, Inode] = {}
        self._names: dict[int, _Names] = {}
        self._extras: dict[bytes, bytes] = {}
        self._stale: set[int] = set()
        """Inodes whose record, or a name of theirs, is an older commit's."""
        self._stale_names: set[tuple[int, bytes]] = set()
        self.next_ino = max(commit.next_ino, FIRST_INO)
        self.directories: set[int] = set()

    # -- what is left -----------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take down what can be read of the map itself."""
        for key, value in self._reader.items():
            self._take(key, value, stale=False)

    def recover(self, older: Iterable[Commit]) -> None:
        """Take down what older maps have where this one cannot be read."""
        missing = self._reader.lost
        for commit in older:
            if not missing or commit.meta is None:
                return
            tree = BTree(self._sound.get, _put_nothing, commit.meta)
            left = []
            for low, high in missing:
                try:
                    found = list(tree.items(low, high))
                except (BlockNotFound, MalformedNode):
                    left.append((low, high))
                    continue
                for key, value in found:
                    self._take(key, value, stale=True)
            missing = left

    def _take(self, key: bytes, value: bytes, *, stale: bool) -> None:
        if len(key) < 9:
            return
        ino, kind = int.from_bytes(key[:8], "big"), key[8]
        try:
            if kind == 0:
                self._inodes[ino] = unpack_inode(value)
                if stale:
                    self._stale.add(ino)
            elif kind == 1:
                for name, entry in unpack_entries(value, int.from_bytes(key[9:], "big")).items():
                    self._names.setdefault(ino, {})[name] = entry.ino
                    self.next_ino = max(self.next_ino, entry.ino + 1)
                    if stale:
                        self._stale_names.add((ino, name))
            else:
                self._extras[key] = value
        except DamagedRecord:
            # It was told when it was found; what can be known of it is found by other ways.
            return
        self.next_ino = max(self.next_ino, ino + 1)

    def name_again(self) -> None:
        """Names that were lost, from the inodes that know of them."""
        for ino, inode in self._inodes.items():
            for parent, name in inode.references:
                names = self._names.setdefault(parent, {})
                if name not in names and ino not in self._stale:
                    names[name] = ino

    def written(self) -> CID | None:
        """Put the map; returns its root."""
        return write_map(self._sound.store, self._inodes, self._names, self._extras)

    # -- against UnixFS ---------------------------------------------------------------------------------------------

    def walk(self) -> None:
        """From the root down: what UnixFS has and the map lost, and the other way round; then count."""
        root = self._inodes.get(ROOT_INO)
        if root is None:
            root = self._inodes[ROOT_INO] = self._made(self._commit.root, stat.S_IFDIR | 0o755, 0, 0)
        if self._commit.root is not None:
            self._inodes[ROOT_INO] = root._replace(cid=self._commit.root)
        references: dict[int, list[tuple[int, bytes]]] = {}
        seen = {ROOT_INO} | ({NAMES_INO} & self._inodes.keys())
        self._follow(list(seen), seen, references)
        self._adopt(seen, references)
        self._inodes = {
            ino: self._named(ino, inode, references.get(ino, [])) for ino, inode in self._inodes.items() if ino in seen
        }

    def _follow(self, waiting: list[int], seen: set[int], references: dict[int, list[tuple[int, bytes]]]) -> None:
        while waiting:
            ino = waiting.pop()
            names = self._names.setdefault(ino, {})
            self._directory(ino, names)
            for name, child in list(names.items()):
                if self._is_directory(child):
                    if child in seen:
                        # A directory has one name.
                        del names[name]
                        continue
                    waiting.append(child)
                seen.add(child)
                references.setdefault(child, []).append((ino, name))
            self._counted(ino, names)

    def _adopt(self, seen: set[int], references: dict[int, list[tuple[int, bytes]]]) -> None:
        """Name those that no name leads to any more in a directory of their own, with all that is below them."""
        # What an older commit knew, and no directory names, was removed since: unless a directory cannot be read.
        ours = self._inodes.keys() if self._unread else self._inodes.keys() - self._stale
        while left := sorted(ours - seen):
            below = {child for ino in left if self._is_directory(ino) for child in self._names.get(ino, {}).values()}
            place, names = self._place(seen, references)
            for ino in [ino for ino in left if ino not in below] or left[:1]:
                known = self._inodes[ino].references
                name = free_name(known[0][1] if known else b"", ino, names)
                names[name] = ino
                seen.add(ino)
                references.setdefault(ino, []).append((place, name))
                self._report.findings.append(
                    Finding("inode", "no name leads to it", self._path(place, name), repair="given this name")
                )
                if self._is_directory(ino):
                    self._follow([ino], seen, references)
            self._counted(place, names)
            self._counted(ROOT_INO, self._names[ROOT_INO])

    def _place(self, seen: set[int], references: dict[int, list[tuple[int, bytes]]]) -> tuple[int, _Names]:
        top = self._names[ROOT_INO]
        name = PLACE
        while (ino := top.get(name)) is not None and not self._is_directory(ino):
            name += b"+"
        if ino is None:
            ino = top[name] = self.next_ino
            self.next_ino += 1
            root = self._inodes[ROOT_INO]
            made = self._made(None, MODE, root.uid, root.gid)
            self._inodes[ino] = made._replace(references=((ROOT_INO, name),))
            seen.add(ino)
            references[ino] = [(ROOT_INO, name)]
        self.directories |= {ino, ROOT_INO}
        return ino, self._names.setdefault(ino, {})

    def tell(self) -> None:
        """Whose extended attributes are lost, or older than they were."""
        for ino, inode in self._inodes.items():
            start, stop = xattr_key(ino), inode_key(ino + 1)
            lost = [low for low, high in self._reader.lost if low < stop and (high is None or high > start)]
            if inode.has_xattrs and lost:
                which = [repr(low[len(start) :])[1:] for low in lost if low.startswith(start) and low != start]
                what = f"extended attributes ({', '.join(which) or 'maybe'}) are lost, or as in an older commit"
                path = self._path(*inode.references[0]) if inode.references else b""
                self._report.findings.append(Finding("inode", what, path, repair="given those that are left"))

    def _is_directory(self, ino: int) -> bool:
        inode = self._inodes.get(ino)
        return inode is not None and stat.S_ISDIR(inode.mode)

    def _counted(self, ino: int, names: _Names) -> None:
        below = sum(self._is_directory(child) for child in names.values())
        inode = self._inodes[ino]._replace(entries=len(names))
        self._inodes[ino] = inode._replace(nlink=2 + below) if ino != NAMES_INO else inode

    def _named(self, ino: int, inode: Inode, references: list[tuple[int, bytes]]) -> Inode:
        nlink = inode.nlink if stat.S_ISDIR(inode.mode) else len(references)
        known = [held for held in inode.references if held in references]
        rest = [held for held in references if held not in known]
        return inode._replace(references=(*known, *rest), nlink=nlink)

    def _directory(self, ino: int, names: _Names) -> None:
        """Bring the names of one directory, and the inodes they lead to, together with what UnixFS says."""
        inode = self._inodes[ino]
        links = self._unixfs(inode.cid) if ino != NAMES_INO else {}
        if links is None:
            self._unread = True
            self.directories.add(ino)
        for name, link in (links or {}).items():
            self._agreed(inode, ino, names, name, link)
        for name, child in list(names.items()):
            known = self._inodes.get(child)
            if known is None:
                del names[name]
                self.directories.add(ino)
                self._lost(ino, name, "nothing is known of it but its name")
            elif links is not None and name not in links and ino != NAMES_INO and _in_unixfs(known):
                if (ino, name) in self._stale_names or child in self._stale:
                    # Removed since the older commit.
                    del names[name]
                else:
                    self.directories.add(ino)

    def _agreed(self, above: Inode, ino: int, names: _Names, name: bytes, link: PBLink) -> None:
        """One name that UnixFS has."""
        child = names.get(name)
        known = self._inodes.get(child) if child is not None else None
        if known is not None and known.cid == link.hash:
            return
        if known is not None and child not in self._stale and (ino, name) not in self._stale_names:
            # Both are readable and disagree: the map is the newer, richer word.
            self.directories.add(ino)
            return
        node = self._node(link.hash)
        if node is None:
            if known is None:
                self.directories.add(ino)
                names.pop(name, None)
                self._lost(ino, name, "neither its inode nor its first block can be read")
            return
        if child is None:
            child = self.next_ino
            self.next_ino += 1
            names[name] = child
        if _kind(node) >> 12 == stat.S_IFDIR >> 12:
            # What is counted of it is older, or lost.
            self.directories.add(child)
        if known is not None and _matches(known, node):
            known = known._replace(cid=link.hash, tsize=link.tsize or 0)
            if isinstance(node, FileNode):
                known = known._replace(size=node.size, entries=_FOREIGN)
            self._inodes[child] = known
            return
        kind = _kind(node)
        if node.mode:
            kind = stat.S_IFMT(kind) | node.mode & 0o7777
        made = self._made(link.hash, kind, above.uid, above.gid)._replace(tsize=link.tsize or 0)
        if node.mtime is not None:
            made = made._replace(mtime=node.mtime.seconds * 1_000_000_000 + node.mtime.nanos)
        if isinstance(node, FileNode):
            made = made._replace(size=node.size, entries=_FOREIGN)
        if isinstance(node, SymlinkNode):
            made = made._replace(target=node.target, size=len(node.target))
        self._inodes[child] = made
        path = self._path(ino, name)
        self._report.findings.append(
            Finding(
                "inode", "its owner, mode and times are lost", path, repair="given those in UnixFS, or of new files"
            )
        )

    def _made(self, cid: CID | None, mode: int, uid: int, gid: int) -> Inode:
        now = self._commit.time
        return Inode(mode, uid, gid, 0, 1, now, now, now, now, 0, 0, 0, NO_STATS, cid, (), b"")

    def _unixfs(self, cid: CID | None) -> dict[bytes, PBLink] | None:
        try:
            return dict(unixfs_entries(cid, self._nodes)) if cid is not None else None
        except (BlockNotFound, UnixFSError):
            return None

    def _node(self, cid: CID) -> Node | None:
        if codec_of(cid) == RAW:
            length = self._sound.length(cid)
            return FileNode(length, (), ()) if length is not None else None
        try:
            return decode_block(cid, self._sound.get(cid))
        except (BlockNotFound, UnixFSError):
            return None

    def _lost(self, ino: int, name: bytes, why: str) -> None:
        self._report.findings.append(Finding("inode", why, self._path(ino, name), repair="removed"))

    def _path(self, ino: int, name: bytes) -> bytes:
        parts = [name]
        passed = set()
        while ino != ROOT_INO and ino not in passed:
            passed.add(ino)
            inode = self._inodes.get(ino)
            if inode is None or not inode.references:
                break
            ino, own = inode.references[0]
            parts.append(own)
        return b"/".join(reversed(parts))


def _in_unixfs(inode: Inode) -> bool:
    return stat.S_ISREG(inode.mode) or stat.S_ISDIR(inode.mode) or stat.S_ISLNK(inode.mode)


def _kind(node: Node) -> int:
    if isinstance(node, FileNode):
        return stat.S_IFREG | 0o644
    if isinstance(node, SymlinkNode):
        return stat.S_IFLNK | 0o777
    return stat.S_IFDIR | 0o755


def _matches(inode: Inode, node: Node) -> bool:
    if stat.S_IFMT(inode.mode) != stat.S_IFMT(_kind(node)):
        return False
    return not isinstance(node, SymlinkNode) or node.target == inode.target


def _put_nothing(cid: CID, block: bytes) -> None:
    raise TypeError("an older map does not change")
