"""Going back: what a commit says of the whole tree, or of some paths, made the present again.

Pointers are put back, nothing is stored again, and what is present now stays in history, as the commit before.  All of
it becomes durable in one commit: a crash shows the tree before or after.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from mfs.history.past import Past, reader
from mfs.meta.difference import difference
from mfs.pace import Pace
from mfs.tree.node import Directory, File, Node
from mfs.tree.record import ROOT_INO, DamagedRecord, Inode, unpack_xattr
from mfs.tree.xattrs import get_xattr, remove_xattr, set_xattr, xattr_names

if TYPE_CHECKING:
    from mfs.commit.record import Commit
    from mfs.volume import Volume

__all__ = ["Restored", "Watcher", "restore"]

_Steps: TypeAlias = "Generator[_Steps | None, None, None]"
"""Steps of work: None where others may run, or steps to be done first.  (Directories may be nested deeper than Python's
own calls.)"""


class Watcher(Protocol):
    """Told of every change, for whoever keeps names and attributes (the kernel)."""

    def entry(self, directory: Directory, name: bytes) -> None:
        """`name` in `directory` is, or is not, something else than before."""

    def inode(self, node: Node) -> None:
        """Attributes or bytes of `node` are not what they were."""


@dataclass
class Restored:
    """How many inodes came back or were changed, and how many names were taken away."""

    changed: int = 0
    removed: int = 0


async def restore(
    volume: Volume, commit: Commit, paths: Sequence[bytes] = (), *, watcher: Watcher | None = None
) -> Restored:
    """Make the tree, or what is at `paths` (from the root), what it is in `commit`; durable on return.

    Files that are the same are left alone.  One that is there still, under its old name, gets its bytes back in place,
    so programs that have it open see them; anything else that stands in the way is removed.  Missing directories above
    a path come back with it.  Memory: proportional to what changes.

    OSError: ENOENT where a path is not in the commit, ENOTDIR where something else than a directory is above it, and
    what the disk says: then nothing was restored or, where it is the commit that failed, it is to be committed still.
    DamagedRecord, MalformedNode, BlockNotFound: `commit` cannot be read; the present is then as it was.
    """
    past = Past(reader(volume.store, commit.meta))
    wanted = [tuple(name for name in path.split(b"/") if name not in (b"", b".")) for path in paths] or [()]
    for names in wanted:
        if b".." in names:
            raise OSError(errno.EINVAL, "a path to restore has no '..'", os.fsdecode(b"/".join(names)))
        if past.resolve(b"/".join(names)) is None:
            raise OSError(errno.ENOENT, "the commit has no such path", os.fsdecode(b"/".join(names)))
    head = await volume.commit()
    pace = Pace()
    touched = await pace.run(_touched(past, Past(reader(volume.store, head.meta))))
    work = _Work(volume, past, touched, watcher)
    async with volume.at_once():
        for names in wanted:
            await pace.run(_driven(work.restore(names)))
    return work.result


def _touched(past: Past, present: Past) -> Generator[None, None, set[int]]:
    """The inodes that one of the two has otherwise, and every directory above one of them."""
    touched: set[int] = set()
    for one in difference(present.meta, past.meta.root, present.meta.root):
        if one is not None:
            waiting = [int.from_bytes(one.key[:8], "big")]
            while waiting:
                ino = waiting.pop()
                if ino in touched:
                    continue
                touched.add(ino)
                for side in (past, present):
                    inode = side.inode(ino)
                    if inode is not None:
                        waiting += [parent for parent, _ in inode.references]
        yield
    return touched


def _driven(steps: _Steps) -> Generator[None, None, None]:
    stack = [steps]
    while stack:
        try:
            first = next(stack[-1])
        except StopIteration:
            stack.pop()
            continue
        if first is not None:
            stack.append(first)
        else:
            yield


class _Work:
    """One restoring.  `linked` are the inodes put back so far, by their number in the commit: for hard links."""

    def __init__(self, volume: Volume, past: Past, touched: set[int], watcher: Watcher | None) -> None:
        self._tree = volume.tree
        self._past = past
        self._touched = touched
        self._watcher = watcher
        self._linked: dict[int, Node] = {}
        self._changes: set[int] = set()
        self.result = Restored()

    def restore(self, names: Sequence[bytes]) -> _Steps:
        """Bring one path back."""
        ino, parent = ROOT_INO, self._tree.directory(ROOT_INO)
        if not names:
            self._attributes(parent, ROOT_INO, self._inode(ROOT_INO))
            yield self._names(ROOT_INO, parent)
            return
        for name in names[:-1]:
            entry = self._past.entry(ino, name)
            if entry is None:
                raise DamagedRecord(f"directory {ino} lost the name {name!r}")
            ino = entry.ino
            below = self._tree.child(parent, name)
            if below is None:
                below = self._made(parent, name, ino, self._inode(ino))
            if not isinstance(below, Directory):
                path = os.fsdecode(b"/".join(names))
                raise OSError(errno.ENOTDIR, f"{os.fsdecode(name)} is not a directory now", path)
            parent = below
        last = self._past.entry(ino, names[-1])
        if last is None:
            raise DamagedRecord(f"directory {ino} lost the name {names[-1]!r}")
        yield self._name(parent, names[-1], last.ino)

    def _inode(self, ino: int) -> Inode:
        inode = self._past.inode(ino)
        if inode is None:
            raise DamagedRecord(f"a name leads to inode {ino}, which is not there")
        return inode

    def _names(self, ino: int, directory: Directory) -> _Steps:
        """Make the names in `directory` those that directory `ino` of the commit has."""
        wanted = {}
        for name, entry in self._past.entries(ino):
            wanted[name] = entry
            if not len(wanted) & 127:
                yield None
        for name in self._tree.names(directory):
            if name not in wanted:
                yield self._removed(directory, name)
        for name, entry in wanted.items():
            yield self._name(directory, name, entry.ino)

    def _name(self, parent: Directory, name: bytes, ino: int) -> _Steps:
        """Make `name` what inode `ino` of the commit is."""
        present = self._tree.child(parent, name)
        if present is not None and present.ino == ino and ino not in self._touched and ino not in self._tree.dirty:
            self._linked[ino] = present
            return
        inode = self._inode(ino)
        node = self._linked.get(ino)
        if node is not None:
            if node is not present:
                yield self._removed(parent, name)
                self._tree.link(node, parent, name)
                self._told(parent, name)
            return
        if present is not None and not self._may_stay(present, ino, inode):
            yield self._removed(parent, name)
            present = None
        if present is None:
            present = self._made(parent, name, ino, inode)
        else:
            self._attributes(present, ino, inode)
        if not stat.S_ISDIR(inode.mode):
            self._linked[ino] = present
        if isinstance(present, File):
            self._bytes(present, inode)
        elif isinstance(present, Directory):
            mtime, ctime = inode.mtime, present.ctime
            yield self._names(ino, present)
            if present.ctime != ctime:
                present.mtime = mtime
        yield None

    def _may_stay(self, present: Node, ino: int, inode: Inode) -> bool:
        """Whether the node in place can be made what the commit has: otherwise it would take its other names along."""
        if stat.S_IFMT(present.mode) != stat.S_IFMT(inode.mode):
            return False
        if isinstance(present, Directory):
            return True
        if present.ino != ino:
            return False
        return present.target == inode.target and present.rdev == inode.rdev

    def _made(self, parent: Directory, name: bytes, ino: int, inode: Inode) -> Node:
        node = self._tree.create(parent, name, inode.mode, inode.uid, inode.gid, rdev=inode.rdev, target=inode.target)
        self._attributes(node, ino, inode)
        self._told(parent, name)
        return node

    def _attributes(self, node: Node, ino: int, inode: Inode) -> None:
        had = (node.mode, node.uid, node.gid, node.mtime)
        node.mode, node.uid, node.gid = inode.mode, inode.uid, inode.gid
        node.atime, node.mtime, node.btime = inode.atime, inode.mtime, inode.btime
        if self._xattrs(node, ino) or had != (node.mode, node.uid, node.gid, node.mtime):
            self._changed(node)

    def _xattrs(self, node: Node, ino: int) -> bool:
        """Extended attributes; says whether any was another."""
        wanted = {name[1:]: unpack_xattr(kept) for name, kept in self._past.extras(ino).items()}
        held = {name: get_xattr(self._tree, node, name) for name in xattr_names(self._tree, node)}
        for name in held.keys() - wanted.keys():
            remove_xattr(self._tree, node, name)
        for name, value in wanted.items():
            if held.get(name) != value:
                set_xattr(self._tree, node, name, value)
        return held != wanted

    def _bytes(self, file: File, inode: Inode) -> None:
        content = file.content
        if inode.cid is not None and content.clean and (content.base, content.size) == (inode.cid, inode.size):
            return
        content.replace(inode.cid if inode.size else None, inode.size, inode.tsize if inode.size else 0)
        self._changed(file)

    def _changed(self, node: Node) -> None:
        node.ctime = self._tree.clock()
        self._tree.touched(node)
        self._changes.add(node.ino)
        self.result.changed = len(self._changes)
        if self._watcher is not None:
            self._watcher.inode(node)

    def _removed(self, parent: Directory, name: bytes) -> _Steps:
        """Take a name away, and a directory with all that is in it."""
        node = self._tree.child(parent, name)
        if node is None:
            return
        if isinstance(node, Directory):
            for below in self._tree.names(node):
                yield self._removed(node, below)
            self._tree.rmdir(parent, name)
        else:
            self._tree.unlink(parent, name)
        self.result.removed += 1
        self._told(parent, name)
        yield None

    def _told(self, parent: Directory, name: bytes) -> None:
        if self._watcher is not None:
            self._watcher.entry(parent, name)
