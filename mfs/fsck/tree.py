"""One commit held against itself: its metadata map, the UnixFS tree beside it, and the blocks of both.

Every record is decoded, every name leads to an inode that knows of it and back, links and entries are counted, every
directory block says what the map says, and every file can be read to its end.  Memory is proportional to the damage.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mfs.blocks.errors import BlockNotFound
from mfs.fsck.files import lost_ranges
from mfs.fsck.report import Finding, Report
from mfs.fsck.sound import MAPPED, Sound
from mfs.history.past import NAMES_INO, Past
from mfs.meta.btree import BTree
from mfs.meta.cache import NodeCache as MapCache
from mfs.meta.node import Far, MalformedNode, decode_node
from mfs.tree.record import ROOT_INO, DamagedRecord, Entry, Inode, unpack_entries, unpack_inode, unpack_xattr
from mfs.unixfs.cid import CID, RAW, codec_of
from mfs.unixfs.dagpb import decode_link
from mfs.unixfs.directory import entries as unixfs_entries
from mfs.unixfs.errors import UnixFSError
from mfs.unixfs.nodes import NodeCache, ShardNode, SymlinkNode, decode_block

if TYPE_CHECKING:
    from mfs.commit.record import Commit

__all__ = ["Damage", "MapReader", "TreeCheck", "broken_in", "reach_shards"]

_INODE, _ENTRIES, _XATTR = 0, 1, 2
_DTYPE_DIRECTORY = 4


@dataclass
class Damage:
    """What is to be mended of one commit.

    Attributes:
        lost: ranges of keys of the map that cannot be read (from, up to; None: the end).
        links: whether names, inodes and counts do not fit together, or a record is broken.
        files: by inode the bytes that are lost.
        directories: inodes of directories (and symbolic links) whose UnixFS blocks are lost or say something else.
    """

    lost: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    links: bool = False
    files: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    directories: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.lost or self.links or self.files or self.directories)


class MapReader:
    """Reads the metadata map at `root` as far as it can be read; ``lost`` are the ranges of keys that cannot.

    Without `known`, what was read of another map is passed over.
    """

    def __init__(self, sound: Sound, root: CID | None, *, known: bool = True) -> None:
        self._sound = sound
        self._root = root
        self._known = known
        self.lost: list[tuple[bytes, bytes | None]] = []
        self.broken: list[str] = []

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """The entries in the order of their keys."""
        waiting: list[tuple[CID, int | None, bytes, bytes | None]] = []
        if self._root is not None:
            waiting.append((self._root, None, b"", None))
        while waiting:
            cid, level, low, high = waiting.pop()
            if self._sound.reached(cid, MAPPED) & MAPPED and not self._known:
                continue
            try:
                node = decode_node(cid, self._sound.get(cid))
                if level is not None and node.level != level:
                    raise MalformedNode(cid, f"level {node.level}, its parent is of level {level + 1}")
            except (BlockNotFound, MalformedNode) as error:
                self.lost.append((low, high))
                self.broken.append(str(error))
                continue
            if node.level:
                lows = [low, *node.keys[1:]]
                below = list(zip(node.values, lows, [*lows[1:], high], strict=True))
                waiting += [(CID(child), node.level - 1, first, last) for child, first, last in reversed(below)]
                continue
            for key, value in zip(node.keys, node.values, strict=True):
                if type(value) is Far:
                    self._sound.reached(CID(bytes(value)))
                    try:
                        value = self._sound.get(CID(bytes(value)))
                    except BlockNotFound as error:
                        self.lost.append((key, key + b"\0"))
                        self.broken.append(str(error))
                        continue
                yield key, value


def broken_in(sound: Sound, commit: Commit) -> Iterator[str]:
    """What cannot be read of an older commit, as far as nothing newer has it: nothing of a sound one."""
    reader = MapReader(sound, commit.meta, known=False)
    for key, value in reader.items():
        if key[8:9] != b"\0":
            continue
        try:
            inode = unpack_inode(value)
        except DamagedRecord as error:
            yield str(error)
            continue
        if inode.cid is None:
            continue
        if stat.S_ISREG(inode.mode):
            if lost_ranges(sound, inode.cid, inode.size):
                yield f"bytes of {inode.references[0][1]!r} are lost" if inode.references else "bytes are lost"
        else:
            try:
                reach_shards(sound, inode.cid)
            except (BlockNotFound, UnixFSError) as error:
                yield str(error)
    yield from reader.broken


def reach_shards(sound: Sound, root: CID) -> None:
    """Every block of a directory, or a link, is there.  BlockNotFound, MalformedBlock, WrongKind."""
    waiting = [root]
    while waiting:
        cid = waiting.pop()
        sound.reached(cid)
        node = decode_block(cid, sound.get(cid))
        if isinstance(node, ShardNode):
            for frame in node.frames.values():
                link = decode_link(frame)
                if len(link.name) == node.prefix:
                    waiting.append(link.hash)


def _nothing(cid: CID, block: bytes) -> None:
    raise TypeError("a check changes nothing")


class TreeCheck:
    """A check of one commit.  `name` is that of the snapshot, None for the present."""

    def __init__(self, sound: Sound, commit: Commit, report: Report, name: str | None = None) -> None:
        self._sound = sound
        self._commit = commit
        self._report = report
        self._name = name
        self._past = Past(BTree(sound.get, _nothing, commit.meta, cache=MapCache(16 << 20)))
        self._nodes = NodeCache(sound.get)
        self.damage = Damage()

    def run(self) -> Iterator[None]:
        """Check everything; gives way from time to time."""
        self._report.commits += 1
        reader = MapReader(self._sound, self._commit.meta)
        inode: tuple[int, Inode] | None = None
        names = directories = 0
        for number, (key, value) in enumerate(reader.items()):
            try:
                ino, kind = int.from_bytes(key[:8], "big"), key[8]
                if kind == _INODE:
                    if ino >= self._commit.next_ino and self._commit.next_ino:
                        self._links(f"inode {ino} was never given out: {self._commit.next_ino} is the next", None)
                    self._counted(inode, names, directories, bool(reader.lost))
                    inode, names, directories = (ino, unpack_inode(value)), 0, 0
                    self._report.inodes += self._name is None
                    self._one(*inode)
                elif kind == _ENTRIES:
                    if inode is None or inode[0] != ino:
                        self._links(f"entries of inode {ino}, which is not there", None)
                    for name, entry in unpack_entries(value, int.from_bytes(key[9:], "big")).items():
                        names += 1
                        directories += entry.dtype == _DTYPE_DIRECTORY
                        self._entry(ino, name, entry)
                elif kind == _XATTR:
                    unpack_xattr(value)
                else:
                    self._links(f"a key of the unknown kind {kind} of inode {ino}", None)
            except (DamagedRecord, IndexError) as error:
                self._links(f"the record under the key {key.hex()}: {error}", None)
            if not number & 63:
                yield
        self._counted(inode, names, directories, bool(reader.lost))
        self.damage.lost = reader.lost
        for broken in reader.broken:
            self._find("map", f"a node of the metadata map cannot be read: {broken}")
        if self._past_inode(ROOT_INO) is None:
            self._links("the root directory has no inode", b"")
        elif self._commit.root is not None and not self._is_root():
            self._find("commit", "its root is not the root directory's CID")
            self.damage.directories.add(ROOT_INO)

    def _is_root(self) -> bool:
        inode = self._past_inode(ROOT_INO)
        return inode is not None and inode.cid == self._commit.root

    # -- one inode ------------------------------------------------------------------------------------------------

    def _one(self, ino: int, inode: Inode) -> None:
        for parent, name in inode.references:
            entry = self._past_entry(parent, name)
            if entry is not None and entry.ino != ino:
                self._links(
                    f"inode {ino} says it is {name!r} in directory {parent}, which says inode {entry.ino}", None
                )
            elif entry is None and not self._unreadable(parent):
                self._links(f"inode {ino} says it is {name!r} in directory {parent}, which has no such name", None)
        kind = stat.S_IFMT(inode.mode)
        if kind != stat.S_IFDIR and inode.nlink != len(inode.references):
            self._links(f"{inode.nlink} links counted, there are {len(inode.references)}", self._path(ino, inode))
        if kind == stat.S_IFREG:
            self._file(ino, inode)
        elif kind == stat.S_IFDIR:
            self._directory(ino, inode)
        elif kind == stat.S_IFLNK:
            self._symlink(ino, inode)

    def _file(self, ino: int, inode: Inode) -> None:
        if inode.cid is None:
            self._links(f"file {ino} has no CID", self._path(ino, inode))
            return
        lost = lost_ranges(self._sound, inode.cid, inode.size)
        if lost or (not inode.size and not self._is_here(inode.cid)):
            self.damage.files[ino] = lost
            count = sum(stop - start for start, stop in lost)
            self._find(
                "file",
                f"{count} of {inode.size} bytes are lost",
                self._path(ino, inode),
                list(lost),
                [self._path_of(*reference) for reference in inode.references[1:]],
            )

    def _is_here(self, cid: CID) -> bool:
        if codec_of(cid) == RAW:
            return self._sound.length(cid) is not None
        try:
            self._sound.get(cid)
        except BlockNotFound:
            return False
        return True

    def _symlink(self, ino: int, inode: Inode) -> None:
        if inode.cid is None:
            self._links(f"symbolic link {ino} has no CID", self._path(ino, inode))
            return
        self._sound.reached(inode.cid)
        try:
            node = decode_block(inode.cid, self._sound.get(inode.cid))
            if isinstance(node, SymlinkNode) and node.target == inode.target:
                return
            why = "its block has another target than the metadata map"
        except (BlockNotFound, UnixFSError) as error:
            why = str(error)
        self.damage.directories.add(ino)
        self._find("directory", f"symbolic link: {why}", self._path(ino, inode))

    def _directory(self, ino: int, inode: Inode) -> None:
        if ino == NAMES_INO:
            return
        if inode.cid is None:
            self._links(f"directory {ino} has no CID", self._path(ino, inode))
            return
        count, wrong = 0, None
        try:
            reach_shards(self._sound, inode.cid)
            for name, link in unixfs_entries(inode.cid, self._nodes):
                count += 1
                entry = self._past_entry(ino, name)
                child = self._past_inode(entry.ino) if entry is not None else None
                if child is None and not self.damage.lost and not self._unreadable(ino):
                    wrong = f"its block names {name!r}, the metadata map does not"
                elif child is not None and child.cid != link.hash:
                    wrong = f"{name!r} has another CID in its block than in the metadata map"
        except (BlockNotFound, UnixFSError) as error:
            wrong = str(error)
        if wrong is None and count != inode.stats.count:
            wrong = f"{count} names in its block, {inode.stats.count} counted"
        if wrong is not None:
            self.damage.directories.add(ino)
            self._find("directory", wrong, self._path(ino, inode))

    # -- one name -------------------------------------------------------------------------------------------------

    def _entry(self, directory: int, name: bytes, entry: Entry) -> None:
        child = self._past_inode(entry.ino)
        if child is None:
            if not self._unreadable(entry.ino):
                self._links(f"{name!r} in directory {directory} leads to inode {entry.ino}, which is not there", None)
        elif (directory, name) not in child.references:
            self._links(f"inode {entry.ino} does not know that it is {name!r} in directory {directory}", None)
        elif child.mode >> 12 != entry.dtype:
            self._links(f"{name!r} in directory {directory} is of another type than its inode", None)

    def _counted(self, inode: tuple[int, Inode] | None, names: int, directories: int, torn: bool) -> None:
        """What was counted of the inode that ends here."""
        if inode is None or not stat.S_ISDIR(inode[1].mode) or torn:
            return
        ino, held = inode
        if held.entries != names:
            self._links(f"{held.entries} names counted, there are {names}", self._path(ino, held))
        if held.nlink != 2 + directories and ino != NAMES_INO:
            self._links(f"{held.nlink} links counted, there are {2 + directories}", self._path(ino, held))

    # -- helpers --------------------------------------------------------------------------------------------------

    def _past_inode(self, ino: int) -> Inode | None:
        try:
            return self._past.inode(ino)
        except (BlockNotFound, MalformedNode, DamagedRecord):
            return None

    def _past_entry(self, directory: int, name: bytes) -> Entry | None:
        try:
            return self._past.entry(directory, name)
        except (BlockNotFound, MalformedNode, DamagedRecord):
            return None

    def _unreadable(self, ino: int) -> bool:
        """Whether what the map says of the inode cannot be read, so that its absence says nothing."""
        try:
            for _ in self._past.meta.items(ino.to_bytes(8, "big"), (ino + 1).to_bytes(8, "big")):
                pass
        except (BlockNotFound, MalformedNode):
            return True
        return False

    def _path(self, ino: int, inode: Inode) -> bytes | None:
        if inode.references:
            return self._path_of(*inode.references[0])
        try:
            return self._past.path(ino)
        except (BlockNotFound, MalformedNode, DamagedRecord):
            return None

    def _path_of(self, directory: int, name: bytes) -> bytes:
        try:
            return self._past.path(directory, name)
        except (BlockNotFound, MalformedNode, DamagedRecord):
            return name

    def _links(self, what: str, path: bytes | None) -> None:
        self.damage.links = True
        self._find("inode", what, path)

    def _find(
        self,
        kind: str,
        what: str,
        path: bytes | None = None,
        ranges: list[tuple[int, int]] | None = None,
        links: list[bytes] | None = None,
    ) -> None:
        self._report.findings.append(Finding(kind, what, path, self._name, ranges or [], None, links or []))
