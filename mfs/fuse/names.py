"""Names: looking them up, making, linking, moving and removing them."""

from __future__ import annotations

import errno
import os
import stat

from mfs.fuse.attributes import ABSENT, brief_entry_out, entry_out
from mfs.fuse.base import Base, changing
from mfs.fuse.files import OPENED
from mfs.tree.acl import default_acl, inherit
from mfs.tree.node import Directory, Node, Symlink
from mfs.tree.numbers import CONTROL_INO, FIRST_VIEW, IPNS_INO
from mfs.tree.record import ROOT_INO
from mfs.tree.tree import NAME_MAX
from mfs.views import RESERVED_NAME, is_view
from rawfuse import wire
from rawfuse.filesystem import Reply

_TO_IPFS = b"../ipfs/"
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_RENAME_WHITEOUT = 4
_DOTS = frozenset((b".", b".."))


class Names(Base):
    """The requests that name an entry of a directory."""

    def lookup(self, request: wire.Lookup) -> Reply:
        tree = self._tree
        name = request.name
        if len(name) > NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        nodeid = request.nodeid
        if name in _DOTS:
            return self._from_handle(nodeid, name)
        if is_view(nodeid):
            return self._entry_in_view(nodeid, name)
        entry = tree.entry(tree.directory(nodeid), name)
        if entry is None:
            if nodeid == ROOT_INO and name == RESERVED_NAME:
                return self._entry(self._views.node(CONTROL_INO))
            return ABSENT
        return self._entry(tree.nodes.get(entry.ino) or tree.node(entry.ino))

    def _from_handle(self, nodeid: int, name: bytes) -> Reply:
        """A node by its number, or its directory: for who has a file handle (FUSE_EXPORT_SUPPORT).  ESTALE."""
        node = self._views.node(nodeid)
        if name == b"..":
            if not isinstance(node, Directory):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            node = self._views.node(node.references[0][0] if node.references else ROOT_INO)
        if not node.nlink:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        if is_view(node.ino):
            self._views.of(node.ino).add(node)
            return entry_out(node, self._chunk)
        return self._entry(node)

    def _entry_in_view(self, nodeid: int, name: bytes) -> Reply:
        view = self._views.of(nodeid)
        node = view.child(view.directory(nodeid), name)
        if node is None:
            return ABSENT
        if not is_view(node.ino):
            return self._entry(node)
        self._views.of(node.ino).add(node)
        # Names of snapshots come and go, and what is stored under a CID may go.
        return entry_out(node, self._chunk) if nodeid >= FIRST_VIEW else brief_entry_out(node, self._chunk)

    def _make(self, request: wire.Request, name: bytes, mode: int, umask: int, rdev: int = 0) -> Node:
        """A new node: with the default access control list of its directory, or without the umask's permissions."""
        tree = self._tree
        parent = tree.directory(request.nodeid)
        mode, default = self._mode(parent, mode, umask)
        node = tree.create(parent, name, mode, request.uid, request.gid, rdev=rdev)
        if default is not None:
            inherit(tree, node, default)
        return node

    def _mode(self, parent: Directory, mode: int, umask: int) -> tuple[int, bytes | None]:
        """The mode to make a node with, and the default list that it is to inherit."""
        default = default_acl(self._tree, parent) if self._acls else None
        if default is None and self._masks:
            mode &= ~(umask & 0o777)
        return mode, default

    @changing
    def mknod(self, request: wire.MkNod) -> Reply:
        arg = request.arg
        return self._entry(self._make(request, request.name, arg.mode, arg.umask, arg.rdev))

    @changing
    def mkdir(self, request: wire.MkDir) -> Reply:
        arg = request.arg
        return self._entry(self._make(request, request.name, stat.S_IFDIR | arg.mode & 0o7777, arg.umask))

    @changing
    def symlink(self, request: wire.Symlink) -> Reply:
        tree = self._tree
        parent, mode = tree.directory(request.nodeid), stat.S_IFLNK | 0o777
        return self._entry(tree.create(parent, request.name, mode, request.uid, request.gid, target=request.target))

    @changing
    def create(self, request: wire.Create) -> Reply:
        arg = request.arg
        node = self._make(request, request.name, stat.S_IFREG | arg.mode & 0o7777, arg.umask)
        return self._entry(node) + OPENED

    @changing
    def tmpfile(self, request: wire.TmpFile) -> Reply:
        tree, arg = self._tree, request.arg
        parent = tree.directory(request.nodeid)
        mode, default = self._mode(parent, arg.mode, arg.umask)
        node = tree.create_unnamed(parent, mode, request.uid, request.gid)
        if default is not None:
            inherit(tree, node, default)
        return self._entry(node) + OPENED

    @changing
    def link(self, request: wire.Link) -> Reply:
        node = self._tree.node(request.arg.oldnodeid)
        self._tree.link(node, self._tree.directory(request.nodeid), request.name)
        return self._entry(node)

    @changing
    def unlink(self, request: wire.Unlink) -> Reply:
        self._tree.unlink(self._tree.directory(request.nodeid), request.name)
        return None

    @changing
    def rmdir(self, request: wire.RmDir) -> Reply:
        self._tree.rmdir(self._tree.directory(request.nodeid), request.name)
        return None

    @changing
    def rename(self, request: wire.Rename) -> Reply:
        tree = self._tree
        tree.rename(tree.directory(request.nodeid), request.name, tree.directory(request.arg.newdir), request.newname)
        return None

    @changing
    def rename2(self, request: wire.Rename2) -> Reply:
        tree = self._tree
        parent, into = tree.directory(request.nodeid), tree.directory(request.arg.newdir)
        flags = request.arg.flags
        if flags == _RENAME_EXCHANGE:
            tree.exchange(parent, request.name, into, request.newname)
            return None
        if flags & ~(_RENAME_NOREPLACE | _RENAME_WHITEOUT):
            raise OSError(errno.EINVAL, f"rename flags {flags:#x}")
        tree.rename(parent, request.name, into, request.newname, replace=not flags & _RENAME_NOREPLACE)
        if flags & _RENAME_WHITEOUT and tree.entry(parent, request.name) is None:
            # In the same step: nobody sees the name missing, and no log record or commit comes between.
            tree.create(parent, request.name, stat.S_IFCHR, request.uid, request.gid)
        return None

    def readlink(self, request: wire.ReadLink) -> Reply:
        node = self._views.node(request.nodeid)
        if not isinstance(node, Symlink):
            raise OSError(errno.EINVAL, "not a symbolic link")
        target, beside = node.target, self._views.ipfs_directory
        if beside is not None and target.startswith(_TO_IPFS) and _is_name(node):
            # The name of somebody else's key, which leads to a CID.
            return os.fsencode(beside) + target[len(_TO_IPFS) - 1 :]
        return target


def _is_name(node: Node) -> bool:
    """Whether it is in the directory of the keys."""
    return any(parent == IPNS_INO for parent, _ in node.references)
