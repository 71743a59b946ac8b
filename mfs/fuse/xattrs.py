"""Extended attributes."""

from __future__ import annotations

import errno
import os

from mfs.fuse.base import Base
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.unixfs.cid import CID, cid_str
from rawfuse import wire
from rawfuse.filesystem import Answer, Reply

XATTR_CID = b"ipfs.cid"
"""The extended attribute that holds a node's CID, as kubo names it."""


class Xattrs(Base):
    """GETXATTR and LISTXATTR."""

    def getxattr(self, request: wire.GetXAttr) -> Reply:
        if request.name != XATTR_CID:
            # Without FUSE_POSIX_ACL the kernel asks for them as for any attribute, and ENODATA would promise support.
            code = errno.EOPNOTSUPP if request.name.startswith(b"system.posix_acl_") else errno.ENODATA
            raise OSError(code, os.strerror(code))
        node = self._tree.node(request.nodeid)
        if isinstance(node, File) and node.content.clean and node.content.base is not None:
            return _sized(cid_str(node.content.base).encode(), request.arg.size)
        if node.cid is not None and (
            isinstance(node, Symlink) or (isinstance(node, Directory) and self._volume.settled)
        ):
            return _sized(cid_str(node.cid).encode(), request.arg.size)
        return self._committed_cid(node, request.arg.size)

    async def _committed_cid(self, node: Node, size: int) -> Answer:
        await self._volume.commit()
        if node.cid is None:
            raise OSError(errno.ENODATA, "it has no CID")
        return _sized(cid_str(CID(node.cid)).encode(), size)

    def listxattr(self, request: wire.ListXAttr) -> Reply:
        node = self._tree.node(request.nodeid)
        names = XATTR_CID + b"\0" if isinstance(node, File | Directory | Symlink) else b""
        return _sized(names, request.arg.size)


def _sized(value: bytes, size: int) -> Answer:
    """The reply to GETXATTR and LISTXATTR: how long it is where `size` is 0, else the value.  ERANGE."""
    if not size:
        return wire.fuse_getxattr_out(len(value))
    if len(value) > size:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return value
