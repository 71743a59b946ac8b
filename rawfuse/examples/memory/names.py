"""Operations on names: looking up, listing, making, moving and removing."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from rawfuse import Reply, wire
from rawfuse.examples.memory.nodes import ABSENT, NAME_MAX, Directory, File, Node, Symlink, Tree, error

__all__ = ["Names"]

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
RENAME_WHITEOUT: Final = 4
_NO_ENTRY: Final = bytes(wire.fuse_entry_out.SIZE)


class Names(Tree):
    def lookup(self, request: wire.Lookup) -> Reply:
        parent = self.nodes.get(request.nodeid)
        if parent.__class__ is not Directory:
            raise error(errno.ENOTDIR if parent else errno.ESTALE)
        node = parent.children.get(request.name)
        if node is None:
            return self._unusual(parent, request.name)
        node.nlookup += 1
        return node.packed or node.entry()

    def _unusual(self, parent: Directory, name: bytes) -> Reply:
        """An absence that the kernel may remember; or . and .., which file handles ask for (EXPORT_SUPPORT)."""
        if name in (b".", b".."):
            return self.referred(parent if name == b"." else parent.parent)
        if len(name) > NAME_MAX:
            raise error(errno.ENAMETOOLONG)
        return ABSENT

    def referred(self, node: Node) -> bytes:
        """A reply that gives the kernel a reference."""
        node.nlookup += 1
        return node.entry()

    def readdir(self, request: wire.ReadDir) -> Reply:
        directory = self.directory(request.nodeid)
        directory.read_now()
        listing = wire.DirentBuffer(request.arg.size)
        for cookie, name, node in directory.listed(request.arg.offset):
            if not listing.add(name, node.ino, cookie, node.mode >> 12):
                break
        return listing.data

    def readdirplus(self, request: wire.ReadDirPlus) -> Reply:
        directory = self.directory(request.nodeid)
        directory.read_now()
        listing = wire.DirentPlusBuffer(request.arg.size)
        for cookie, name, node in directory.listed(request.arg.offset):
            # . and .. carry nothing: the kernel takes no reference to them, whatever they say.
            entry = _NO_ENTRY if cookie < 3 else node.entry()
            if not listing.add(name, node.ino, cookie, node.mode >> 12, entry):
                break
            if cookie >= 3:
                node.nlookup += 1
        return listing.data

    def opendir(self, request: wire.OpenDir) -> Reply:
        self.directory(request.nodeid)
        return wire.fuse_open_out()

    def releasedir(self, request: wire.ReleaseDir) -> Reply:
        return None

    def fsyncdir(self, request: wire.FSyncDir) -> Reply:
        return None

    def free_name(self, parent: Directory, name: bytes) -> None:
        """Raises what stands in the way of making `name` there."""
        if name in parent.children or name in (b".", b".."):
            raise error(errno.EEXIST)
        if len(name) > NAME_MAX:
            raise error(errno.ENAMETOOLONG)
        if parent.nlink == 0:
            raise error(errno.ENOENT)

    def add(self, parent: Directory, name: bytes, node: Node) -> None:
        self.nodes[node.ino] = node
        parent.put(name, node)
        parent.touch(content=True)

    def owner(self, request: wire.Request, parent: Directory) -> tuple[int, int]:
        """Whose a new inode is: the caller's, but of the directory's group where that is set-gid."""
        return request.uid, parent.gid if parent.mode & stat.S_ISGID else request.gid

    def mknod(self, request: wire.MkNod) -> Reply:
        parent = self.directory(request.nodeid)
        self.free_name(parent, request.name)
        uid, gid = self.owner(request, parent)
        mode = request.arg.mode
        node = (
            File(self.next_ino(), mode, uid, gid, self.memory)
            if stat.S_ISREG(mode)
            else Node(self.next_ino(), mode, uid, gid, request.arg.rdev)
        )
        self.add(parent, request.name, node)
        return self.referred(node)

    def mkdir(self, request: wire.MkDir) -> Reply:
        parent = self.directory(request.nodeid)
        self.free_name(parent, request.name)
        uid, gid = self.owner(request, parent)
        mode = request.arg.mode & 0o7777 | parent.mode & stat.S_ISGID
        node = Directory(self.next_ino(), mode, uid, gid, parent)
        parent.nlink += 1
        self.add(parent, request.name, node)
        return self.referred(node)

    def symlink(self, request: wire.Symlink) -> Reply:
        parent = self.directory(request.nodeid)
        self.free_name(parent, request.name)
        uid, gid = self.owner(request, parent)
        node = Symlink(self.next_ino(), uid, gid, request.target)
        self.add(parent, request.name, node)
        return self.referred(node)

    def readlink(self, request: wire.ReadLink) -> Reply:
        node = self.node(request.nodeid)
        if not isinstance(node, Symlink):
            raise error(errno.EINVAL)
        node.read_now()
        return node.target

    def link(self, request: wire.Link) -> Reply:
        node, parent = self.node(request.arg.oldnodeid), self.directory(request.nodeid)
        if isinstance(node, Directory):
            raise error(errno.EPERM)
        self.free_name(parent, request.name)
        node.nlink += 1
        node.touch()
        parent.put(request.name, node)
        parent.touch(content=True)
        return self.referred(node)

    def child(self, parent: Directory, name: bytes) -> Node:
        node = parent.children.get(name)
        if node is None:
            raise error(errno.ENOENT if len(name) <= NAME_MAX else errno.ENAMETOOLONG)
        return node

    def unlink(self, request: wire.Unlink) -> Reply:
        parent = self.directory(request.nodeid)
        if isinstance(self.child(parent, request.name), Directory):
            raise error(errno.EISDIR)
        self.dropped(parent, parent.take(request.name))
        parent.touch(content=True)
        return None

    def rmdir(self, request: wire.RmDir) -> Reply:
        parent = self.directory(request.nodeid)
        node = self.child(parent, request.name)
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR)
        if node.children:
            raise error(errno.ENOTEMPTY)
        self.dropped(parent, parent.take(request.name))
        parent.touch(content=True)
        return None

    def dropped(self, parent: Directory, node: Node) -> None:
        """`node` has one name less, in `parent`."""
        if isinstance(node, Directory):
            node.nlink = 0
            parent.nlink -= 1
        else:
            node.nlink -= 1
        node.touch()
        self.collect(node)

    def rename(self, request: wire.Rename) -> Reply:
        self._rename(request.nodeid, request.name, request.arg.newdir, request.newname, 0)
        return None

    def rename2(self, request: wire.Rename2) -> Reply:
        flags = request.arg.flags
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT):
            raise error(errno.EINVAL)
        old = self._rename(request.nodeid, request.name, request.arg.newdir, request.newname, flags)
        if flags & RENAME_WHITEOUT:
            # What overlayfs leaves where a name of the layer below is to be hidden: the device 0, 0.
            node = Node(self.next_ino(), stat.S_IFCHR, request.uid, request.gid, os.makedev(0, 0))
            self.add(old, request.name, node)
        return None

    def _rename(self, nodeid: int, name: bytes, newdir: int, newname: bytes, flags: int) -> Directory:
        old, new = self.directory(nodeid), self.directory(newdir)
        node, there = self.child(old, name), new.children.get(newname)
        if there is None:
            if flags & RENAME_EXCHANGE:
                raise error(errno.ENOENT)
            self.free_name(new, newname)
        elif flags & RENAME_NOREPLACE:
            raise error(errno.EEXIST)
        elif there is node and not flags & RENAME_EXCHANGE:
            return old  # two names of one inode: POSIX has nothing happen
        if flags & RENAME_EXCHANGE and there is not None:
            old.put(name, there)
            self._moved(there, new, old)
        else:
            self._replace(node, new, there)
            old.take(name)
        new.put(newname, node)
        self._moved(node, old, new)
        old.touch(content=True)
        new.touch(content=True)
        return old

    def _replace(self, node: Node, parent: Directory, there: Node | None) -> None:
        """Makes way for `node`: raises, or drops what is there."""
        if there is None:
            return
        if isinstance(there, Directory):
            if not isinstance(node, Directory):
                raise error(errno.EISDIR)
            if there.children:
                raise error(errno.ENOTEMPTY)
        elif isinstance(node, Directory):
            raise error(errno.ENOTDIR)
        self.dropped(parent, there)

    def _moved(self, node: Node, old: Directory, new: Directory) -> None:
        node.touch()
        if isinstance(node, Directory) and old is not new:
            node.parent = new
            old.nlink -= 1
            new.nlink += 1
