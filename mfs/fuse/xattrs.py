"""Extended attributes, and the access control lists among them.

Kept are the namespaces `user`, `trusted` and `security`, as the kernel lets them through: it refuses `user` on anything
but files and directories, and the other two to those who may not.  ``ipfs.cid`` is what a node's CID is, and nobody
sets it: EOPNOTSUPP, which cp(1) and mv(1) pass over in silence when they copy all attributes there are.
"""

from __future__ import annotations

import errno
import os

from mfs.fuse.base import Base, changing
from mfs.fuse.caller import CAP_SYS_ADMIN, has_capability
from mfs.tree.acl import ACCESS, DEFAULT, set_acl
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.tree.xattrs import KEPT, get_xattr, remove_xattr, set_xattr, xattr_names
from mfs.unixfs.cid import CID, cid_str
from mfs.views import is_view
from rawfuse import wire
from rawfuse.filesystem import Answer, Reply
from rawfuse.wire import constants as c

XATTR_CID = b"ipfs.cid"
XATTR_PROFILE = b"mfs.profile"
"""What decides CIDs here; of every file, and not listed."""
"""The extended attribute that holds a node's CID, as kubo names it."""

_TRUSTED = b"trusted."
_NAMESPACES = (b"user.", _TRUSTED, b"security.")
_ACLS = frozenset((ACCESS, DEFAULT))
_CREATE = 1
_REPLACE = 2


class Xattrs(Base):
    """GETXATTR, LISTXATTR, SETXATTR, REMOVEXATTR."""

    def getxattr(self, request: wire.GetXAttr) -> Reply:
        name = request.name
        tree = self._tree
        if name == XATTR_PROFILE:
            return _sized(self._volume.profile.name.encode(), request.arg.size)
        if is_view(request.nodeid):
            return _sized(self._in_view(request.nodeid, name), request.arg.size)
        node = tree.nodes.get(request.nodeid) or tree.node(request.nodeid)
        if name == XATTR_CID:
            return self._cid(node, request.arg.size)
        if name in _ACLS and not self._acls:
            # Without FUSE_POSIX_ACL the kernel asks for them as for any attribute, and ENODATA would promise support.
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        value = get_xattr(tree, node, name)
        if value is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return _sized(value, request.arg.size)

    def _in_view(self, nodeid: int, name: bytes) -> bytes:
        cid = self._views.node(nodeid).cid
        if name != XATTR_CID or cid is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return cid_str(cid).encode()

    def _cid(self, node: Node, size: int) -> Reply:
        settled = not self._volume.profile.stores_metadata or self._volume.settled
        if isinstance(node, File) and settled and node.content.clean and node.content.base is not None:
            return _sized(cid_str(node.content.base).encode(), size)
        if node.cid is not None and (
            (isinstance(node, Symlink) and settled) or (isinstance(node, Directory) and self._volume.settled)
        ):
            return _sized(cid_str(node.cid).encode(), size)
        return self._committed_cid(node, size)

    async def _committed_cid(self, node: Node, size: int) -> Answer:
        await self._volume.commit()
        if node.cid is None:
            raise OSError(errno.ENODATA, "it has no CID")
        return _sized(cid_str(CID(node.cid)).encode(), size)

    def listxattr(self, request: wire.ListXAttr) -> Reply:
        tree = self._tree
        if is_view(request.nodeid):
            return _sized(XATTR_CID + b"\0" if self._views.node(request.nodeid).cid else b"", request.arg.size)
        node = tree.node(request.nodeid)
        names = [XATTR_CID] if isinstance(node, File | Directory | Symlink) else []
        for name in xattr_names(tree, node):
            if name.startswith(_TRUSTED) and not has_capability(request.pid, CAP_SYS_ADMIN):
                # As on other file systems, only those who may read them are told.
                continue
            if self._acls or name not in _ACLS:
                names.append(name)
        return _sized(b"".join(name + b"\0" for name in names), request.arg.size)

    @changing
    def setxattr(self, request: wire.SetXAttr) -> Reply:
        if self._tree.xattr_bytes > KEPT:
            return self._set_later(request)
        self._set(request)
        return None

    async def _set_later(self, request: wire.SetXAttr) -> Answer:
        # The value is a part of the request, not a view of the buffer that it was read into.
        await self._volume.commit()
        self._set(request)
        return None

    def _set(self, request: wire.SetXAttr) -> None:
        tree, name, arg = self._tree, request.name, request.arg
        node = tree.node(request.nodeid)
        self._may_be_set(name)
        if arg.flags & (_CREATE | _REPLACE):
            there = get_xattr(tree, node, name) is not None
            if arg.flags & _CREATE and there:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
            if arg.flags & _REPLACE and not there:
                raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        if name in _ACLS:
            set_acl(tree, node, name, bytes(request.value))
            if arg.setxattr_flags & c.FUSE_SETXATTR_ACL_KILL_SGID:
                node.mode &= ~0o2000
        else:
            set_xattr(tree, node, name, bytes(request.value))
        node.ctime = tree.clock()
        tree.touched(node)

    @changing
    def removexattr(self, request: wire.RemoveXAttr) -> Reply:
        tree = self._tree
        node = tree.node(request.nodeid)
        self._may_be_set(request.name)
        if not remove_xattr(tree, node, request.name):
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        node.ctime = tree.clock()
        tree.touched(node)
        return None

    def _may_be_set(self, name: bytes) -> None:
        if not name.startswith(_NAMESPACES) and not (name in _ACLS and self._acls):
            raise OSError(errno.EOPNOTSUPP, f"no extended attribute {name!r} can be set here")


def _sized(value: bytes, size: int) -> Answer:
    """The reply to GETXATTR and LISTXATTR: how long it is where `size` is 0, else the value.  ERANGE."""
    if not size:
        return wire.fuse_getxattr_out(len(value))
    if len(value) > size:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return value
