"""The tree in memory: finding nodes, changing them, remembering what a commit and the log have still to say.

Everything runs on one thread and nothing here waits: what is not in memory is in the embedded store, a few
microseconds away.  Errors are :class:`OSError` with the errno that the caller of the system call is to see.

An inode number is a nodeid.  The metadata map resolves it, so a node that is clean may leave memory while the kernel
still refers to it; how often the kernel looked it up is counted here, apart from the node.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable

from mfs.file.content import Medium
from mfs.meta.btree import BTree
from mfs.tree.lookups import Lookups
from mfs.tree.node import Directory, File, Graft, Node, Special, Symlink, from_inode
from mfs.tree.numbers import IPNS_INO, RESERVED_NAME, is_view
from mfs.tree.record import (
    FIRST_INO,
    ROOT_INO,
    Entry,
    cookie_of,
    entry_key,
    inode_key,
    unpack_entries,
    unpack_inode,
    xattr_key,
)

NAME_MAX = 255
TARGET_MAX = 4095
"""Bytes of a symbolic link's target, as many as the kernel takes in a reply."""
LOADED_WHOLE = 4096
"""A directory of at most so many entries is loaded whole when a name is first asked for."""
KEYS_MODE = stat.S_IFDIR | 0o555
"""Mode of the directory of the keys: only the commands for keys change it."""
KEPT_NODES = 16_384
"""After a commit, clean nodes beyond this number leave memory."""
KEPT_NAMES = 16_384
"""After a commit, a directory keeps at most so many names in memory."""

_TYPES = frozenset(
    (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
)


def _may_be_named(directory: Directory, name: bytes) -> None:
    """ENAMETOOLONG; EINVAL for what no kernel would ask for; EEXIST for the name that is reserved in the root."""
    if name == RESERVED_NAME and directory.ino == ROOT_INO:
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    if len(name) > NAME_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    if b"/" in name or name in _NO_NAMES:
        raise OSError(errno.EINVAL, f"{name!r} cannot be the name of an entry")


def _absent(directory: Directory, name: bytes) -> OSError:
    """Why the entry `name` cannot be removed from `directory`: it is not there, or nobody may."""
    code = errno.EPERM if name == RESERVED_NAME and directory.ino == ROOT_INO else errno.ENOENT
    return OSError(code, os.strerror(code))


_NO_NAMES = (b"", b".", b"..")


class Tree:
    """The nodes of one volume.

    `meta` is the metadata map of the last commit, `medium` the place where file bytes lie, `next_ino` the first inode
    number that was never given out.  ``dirty`` are the nodes that the next commit has to write, ``unlogged``,
    ``unlogged_names`` and ``unlogged_xattrs`` what the log does not know yet.
    """

    def __init__(self, meta: BTree, medium: Medium, next_ino: int, clock: Callable[[], int] = time.time_ns) -> None:
        self.meta = meta
        self.medium = medium
        self.next_ino = next_ino
        self.clock = clock
        self.nodes: dict[int, Node] = {}
        self.lookups = Lookups()
        self.dirty: dict[int, Node] = {}
        self.unlogged: dict[int, Node] = {}
        self.unlogged_names: dict[tuple[int, bytes], None] = {}
        self.unlogged_xattrs: dict[tuple[int, bytes], None] = {}
        self.xattr_bytes = 0
        """Bytes of extended attributes that were set since the last commit; they are in memory."""
        self.unnamed: set[int] = set()
        """Files that never had a name and may still get one."""
        self.pinned = 0
        """Readers that hold pieces of segments while they wait."""
        self.grafted: dict[int, Graft] = {}
        """New directories, by inode number, that were made of others and are in no commit yet."""
        self.sealed = {IPNS_INO}
        """Directories whose names only the commands for keys may change."""
        self.on_change: Callable[[], None] | None = None
        """Called when the first node becomes dirty."""

    # -- finding --------------------------------------------------------------------------------------------------

    def node(self, ino: int) -> Node:
        """The node of inode number `ino`.  ESTALE: there is none."""
        node = self.nodes.get(ino)
        if node is not None:
            return node
        kept = self.meta.get(inode_key(ino))
        if kept is None:
            return self._unkept(ino)
        node = self.nodes[ino] = from_inode(ino, unpack_inode(kept), self.medium)
        return node

    def _unkept(self, ino: int) -> Node:
        """What there is without a record: the directory of the keys, before there is a key."""
        if is_view(ino):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if ino != IPNS_INO:
            raise OSError(errno.ESTALE, f"inode {ino} is gone")
        root = self.node(ROOT_INO)
        node = self.nodes[ino] = Directory(ino, KEYS_MODE, root.uid, root.gid, root.btime)
        return node

    def directory(self, ino: int) -> Directory:
        """The directory of inode number `ino`.  ESTALE, ENOTDIR."""
        node = self.nodes.get(ino) or self.node(ino)
        if not isinstance(node, Directory):
            raise OSError(errno.ENOTDIR, f"inode {ino} is not a directory")
        return node

    def file(self, ino: int) -> File:
        """The regular file of inode number `ino`.  ESTALE, EISDIR for a directory, EINVAL for anything else."""
        node = self.nodes.get(ino) or self.node(ino)
        if not isinstance(node, File):
            code = errno.EISDIR if isinstance(node, Directory) else errno.EINVAL
            raise OSError(code, f"inode {ino} is not a regular file")
        return node

    def entry(self, directory: Directory, name: bytes) -> Entry | None:
        """The entry `name` of `directory`, None where there is none."""
        names = directory.names
        entry = names.get(name)
        if entry is not None or directory.complete or name in names:
            return entry
        if directory.entries <= LOADED_WHOLE:
            self._load_names(directory)
            return names.get(name)
        cookie = cookie_of(name)
        kept = self.meta.get(entry_key(directory.ino, cookie))
        if kept is None:
            return None
        entry = unpack_entries(kept, cookie).get(name)
        if entry is not None:
            names[name] = entry
        return entry

    def child(self, directory: Directory, name: bytes) -> Node | None:
        """The node that `name` refers to in `directory`, None where there is none."""
        entry = self.entry(directory, name)
        if entry is None:
            return None
        return self.nodes.get(entry.ino) or self.node(entry.ino)

    def resolve(self, path: bytes) -> Node:
        """The node at `path` (``/``-separated, from the root; links are not followed).  ENOENT, ENOTDIR."""
        node = self.node(ROOT_INO)
        for name in path.split(b"/"):
            if name in (b"", b"."):
                continue
            if not isinstance(node, Directory):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(path))
            found = self.child(node, name)
            if found is None:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
            node = found
        return node

    def names(self, directory: Directory) -> list[bytes]:
        """All names in `directory`, in no order.  They are all in memory afterwards."""
        if not directory.complete:
            self._load_names(directory)
        return [name for name, _ in directory.present()]

    def _load_names(self, directory: Directory) -> None:
        names = directory.names
        ino = directory.ino
        for key, value in self.meta.items(entry_key(ino, 0), xattr_key(ino)):
            for name, entry in unpack_entries(value, int.from_bytes(key[9:], "big")).items():
                if name not in names:
                    names[name] = entry
        directory.complete = True

    def _may_change(self, directory: Directory) -> None:
        if directory.ino in self.sealed:
            raise OSError(errno.EPERM, "what is there are keys: mfs key makes and removes them")

    # -- changing -------------------------------------------------------------------------------------------------

    def touched(self, node: Node) -> None:
        """Attributes or content of `node` changed: it is to be committed and logged."""
        ino = node.ino
        node.packed = None
        if not self.dirty and self.on_change is not None:
            self.on_change()
        self.dirty[ino] = node
        self.unlogged[ino] = node

    def create(
        self, parent: Directory, name: bytes, mode: int, uid: int, gid: int, *, rdev: int = 0, target: bytes = b""
    ) -> Node:
        """A new node of the type that `mode` names, entered as `name`.

        The group is the parent's where that has its set-group-ID bit, which a new directory inherits too.
        ENAMETOOLONG, EEXIST, ENOENT where the parent is gone, EINVAL for what is no name or no type.
        """
        self._may_change(parent)
        _may_be_named(parent, name)
        if mode & 0o170000 not in _TYPES or mode >> 16:
            raise OSError(errno.EINVAL, f"mode {mode:#o} is of no type")
        if len(target) > TARGET_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        if not parent.nlink:
            raise OSError(errno.ENOENT, "the directory was removed")
        if self.entry(parent, name) is not None:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        if parent.mode & stat.S_ISGID:
            gid = parent.gid
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
        now = self.clock()
        ino = self._number()
        kind = mode & 0o170000
        node: Node
        if kind == stat.S_IFREG or not kind:
            node = File(ino, mode | stat.S_IFREG, uid, gid, now, self.medium)
        elif kind == stat.S_IFDIR:
            node = Directory(ino, mode, uid, gid, now)
            parent.nlink += 1
        elif kind == stat.S_IFLNK:
            node = Symlink(ino, mode, uid, gid, now, target)
        else:
            node = Special(ino, mode, uid, gid, now, rdev)
        node.references = ((parent.ino, name),)
        self.nodes[ino] = node
        self._enter(parent, name, Entry(ino, kind >> 12 or stat.S_IFREG >> 12, cookie_of(name)))
        parent.mtime = parent.ctime = now
        self.touched(node)
        self.touched(parent)
        return node

    def create_unnamed(self, parent: Directory, mode: int, uid: int, gid: int) -> File:
        """A new file that has no name yet (O_TMPFILE); :meth:`link` may give it one.  ENOENT where `parent` is gone.

        Until then neither a commit nor the log has it.
        """
        if not parent.nlink:
            raise OSError(errno.ENOENT, "the directory was removed")
        if parent.mode & stat.S_ISGID:
            gid = parent.gid
        node = File(self._number(), stat.S_IFREG | mode & 0o7777, uid, gid, self.clock(), self.medium)
        node.nlink = 0
        self.nodes[node.ino] = node
        self.unnamed.add(node.ino)
        return node

    def _number(self) -> int:
        ino = self.next_ino
        self.next_ino = ino + 1
        return ino

    def link(self, node: Node, parent: Directory, name: bytes) -> None:
        """One more name for `node`.  EPERM for a directory, ENOENT where it was unlinked, EEXIST; errors of names."""
        if isinstance(node, Directory):
            raise OSError(errno.EPERM, "a directory has one name")
        self._may_change(parent)
        _may_be_named(parent, name)
        if not (node.nlink or node.ino in self.unnamed) or not parent.nlink:
            raise OSError(errno.ENOENT, "it was removed")
        if self.entry(parent, name) is not None:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        now = self.clock()
        if not node.nlink:
            self._named_at_last(node)
        node.nlink += 1
        node.references = (*node.references, (parent.ino, name))
        node.ctime = now
        self._enter(parent, name, Entry(node.ino, node.dtype, cookie_of(name)))
        parent.mtime = parent.ctime = now
        self.touched(node)
        self.touched(parent)

    def unlink(self, parent: Directory, name: bytes) -> None:
        """Remove the name of anything but a directory.  ENOENT, EISDIR."""
        self._may_change(parent)
        node = self.child(parent, name)
        if node is None:
            raise _absent(parent, name)
        if isinstance(node, Directory):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        now = self.clock()
        self._leave(parent, name)
        self._unreferenced(node, parent, name, now)
        parent.mtime = parent.ctime = now
        self.touched(parent)

    def rmdir(self, parent: Directory, name: bytes) -> None:
        """Remove an empty directory.  ENOENT, ENOTDIR, ENOTEMPTY."""
        self._may_change(parent)
        node = self.child(parent, name)
        if node is None:
            raise _absent(parent, name)
        if not isinstance(node, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if node.entries:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        now = self.clock()
        self._leave(parent, name)
        self._unreferenced(node, parent, name, now)
        parent.mtime = parent.ctime = now
        self.touched(parent)

    def rename(self, parent: Directory, name: bytes, into: Directory, newname: bytes, *, replace: bool = True) -> None:
        """Give the node at `name` the name `newname`; what had it is removed, in the same step.

        ENOENT, EEXIST unless `replace`, EISDIR, ENOTDIR, ENOTEMPTY, ENAMETOOLONG, EINVAL for a directory into itself.
        """
        self._may_change(parent)
        self._may_change(into)
        _may_be_named(into, newname)
        node = self.child(parent, name)
        if node is None or not into.nlink:
            raise _absent(parent, name)
        self._stays_a_tree(node, parent, into)
        replaced = self.child(into, newname)
        if replaced is not None:
            if not replace:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
            if replaced is node:
                return
            self._may_replace(node, replaced)
        now = self.clock()
        moves = isinstance(node, Directory)
        if replaced is not None:
            self._leave(into, newname)
            self._unreferenced(replaced, into, newname, now)
            if isinstance(node, File) and node.content.to_log():
                node.carried = True
        self._leave(parent, name)
        self._enter(into, newname, Entry(node.ino, node.dtype, cookie_of(newname)))
        self._moved(node, (parent.ino, name), (into.ino, newname), now)
        if moves and parent is not into:
            parent.nlink -= 1
            into.nlink += 1
        for directory in (parent, into):
            directory.mtime = directory.ctime = now
            self.touched(directory)

    def exchange(self, parent: Directory, name: bytes, other: Directory, othername: bytes) -> None:
        """Let two names change what they refer to.  ENOENT, EINVAL for a directory into itself."""
        self._may_change(parent)
        self._may_change(other)
        node, swapped = self.child(parent, name), self.child(other, othername)
        if node is None or swapped is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if node is swapped:
            return
        self._stays_a_tree(node, parent, other)
        self._stays_a_tree(swapped, other, parent)
        now = self.clock()
        self._leave(parent, name)
        self._leave(other, othername)
        self._enter(parent, name, Entry(swapped.ino, swapped.dtype, cookie_of(name)))
        self._enter(other, othername, Entry(node.ino, node.dtype, cookie_of(othername)))
        self._moved(node, (parent.ino, name), (other.ino, othername), now)
        self._moved(swapped, (other.ino, othername), (parent.ino, name), now)
        for moved in (node, swapped):
            if isinstance(moved, File) and moved.content.to_log():
                moved.carried = True
        change = isinstance(swapped, Directory) - isinstance(node, Directory)
        parent.nlink += change
        other.nlink -= change
        for directory in (parent, other):
            directory.mtime = directory.ctime = now
            self.touched(directory)

    def forget(self, ino: int, count: int) -> None:
        """The kernel dropped `count` of its references to `ino`."""
        if not self.lookups.forget(ino, count):
            return
        node = self.nodes.get(ino)
        if node is not None and not node.nlink:
            self._gone(node)

    def _stays_a_tree(self, node: Node, parent: Directory, into: Directory) -> None:
        """EINVAL where a directory would come to lie below itself.  The kernel sees to that, but it is not trusted."""
        if parent is into or not isinstance(node, Directory):
            return
        above: Node = into
        while above is not node:
            if not above.references or above.ino == ROOT_INO:
                return
            above = self.node(above.references[0][0])
        raise OSError(errno.EINVAL, "a directory cannot move into itself")

    def _may_replace(self, node: Node, replaced: Node) -> None:
        if isinstance(replaced, Directory):
            if not isinstance(node, Directory):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            if replaced.entries:
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        elif isinstance(node, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    def _enter(self, directory: Directory, name: bytes, entry: Entry) -> None:
        directory.names[name] = directory.changed[name] = entry
        directory.entries += 1
        self.unlogged_names[directory.ino, name] = None

    def _leave(self, directory: Directory, name: bytes) -> None:
        directory.changed[name] = None
        if directory.complete:
            directory.names.pop(name, None)
        else:
            directory.names[name] = None
        directory.entries -= 1
        self.unlogged_names[directory.ino, name] = None

    def _moved(self, node: Node, old: tuple[int, bytes], new: tuple[int, bytes], now: int) -> None:
        node.references = tuple(new if held == old else held for held in node.references)
        node.ctime = now
        self.touched(node)

    def _unreferenced(self, node: Node, parent: Directory, name: bytes, now: int) -> None:
        """One name less for `node`; without any it goes when the kernel has forgotten it."""
        if isinstance(node, Directory):
            node.nlink = 0
            parent.nlink -= 1
            node.references = ()
        else:
            node.nlink -= 1
            node.references = tuple(held for held in node.references if held != (parent.ino, name))
        node.ctime = now
        self.touched(node)
        if not node.nlink and not self.lookups[node.ino]:
            self._gone(node)

    def _named_at_last(self, node: Node) -> None:
        """An fsync before it had a name left nothing in the log: all of it goes there with the name."""
        self.unnamed.discard(node.ino)
        if isinstance(node, File):
            node.carried = True
        for name in node.xattrs or ():
            self.unlogged_xattrs[node.ino, name] = None

    def _gone(self, node: Node) -> None:
        """Nobody can reach `node` any more.  It stays among the dirty ones, so that its record goes too."""
        self.unnamed.discard(node.ino)
        self.nodes.pop(node.ino, None)
        if isinstance(node, File):
            node.content.replace(None, 0, 0)
            node.appender = None

    # -- memory ---------------------------------------------------------------------------------------------------

    def trim(self) -> None:
        """Let clean nodes and names go where there are many.  To be called when no commit is under way."""
        for node in list(self.nodes.values()) if len(self.nodes) > KEPT_NODES else ():
            if len(self.nodes) <= KEPT_NODES // 2:
                break
            if node.ino not in self.dirty and node.nlink and node.ino >= FIRST_INO and node.ino not in self.unlogged:
                del self.nodes[node.ino]
        for node in self.nodes.values():
            if isinstance(node, Directory) and len(node.names) > KEPT_NAMES:
                node.names = {name: node.names.get(name) for name in node.changed}
                node.complete = False
