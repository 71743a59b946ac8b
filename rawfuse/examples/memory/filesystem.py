"""MemoryFS: all of it, and the operations on attributes."""

from __future__ import annotations

import errno
import os
import stat
from time import time_ns
from typing import ClassVar, Final

from rawfuse import DEFAULT_WANTS, Reply, wire
from rawfuse.examples.memory.files import Files, without_privileges
from rawfuse.examples.memory.nodes import NAME_MAX, SECOND, VALID, Directory, error
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

__all__ = ["MemoryFS"]

BLOCK_SIZE: Final = 4096
STATX_BASIC_AND_BTIME: Final = 0xFFF
XATTR_CREATE: Final = 1
XATTR_REPLACE: Final = 2
_MAX_SIZE: Final = (1 << 63) - 1


class MemoryFS(Files):
    """Files in memory, gone with the server. Mount it with `default_permissions`, as `rawfuse mount` does: the kernel
    then checks who may do what, and it knows all groups of a caller, which no request carries.

    FUSE_ATOMIC_O_TRUNC is not wanted: the kernel finds out behind such an OPEN that the file is a program that runs,
    and open(2) fails with ETXTBSY when all of it is gone already.
    """

    wants: ClassVar[InitFlags] = (
        DEFAULT_WANTS & ~InitFlags.FUSE_AUTO_INVAL_DATA  # nobody changes the files behind the kernel's back
        | InitFlags.FUSE_HANDLE_KILLPRIV_V2
        | InitFlags.FUSE_POSIX_LOCKS
        | InitFlags.FUSE_FLOCK_LOCKS
        | InitFlags.FUSE_EXPORT_SUPPORT
    )

    def getattr(self, request: wire.GetAttr) -> Reply:
        return self.node(request.nodeid).attr()

    def setattr(self, request: wire.SetAttr) -> Reply:
        node, arg, valid = self.node(request.nodeid), request.arg, request.arg.valid
        if valid & c.FATTR_SIZE:
            if arg.size > _MAX_SIZE:
                raise error(errno.EFBIG)
            file = self.file(request.nodeid)
            file.data.truncate(arg.size)
            self.changed(file)
        if valid & c.FATTR_KILL_SUIDGID:
            node.mode = without_privileges(node.mode)
        if valid & c.FATTR_MODE:
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(arg.mode)
        if valid & c.FATTR_UID:
            node.uid = arg.uid
        if valid & c.FATTR_GID:
            node.gid = arg.gid
        if valid & c.FATTR_ATIME:
            node.atime = time_ns() if valid & c.FATTR_ATIME_NOW else _nanoseconds(arg.atime, arg.atimensec)
        if valid & c.FATTR_MTIME:
            node.mtime = time_ns() if valid & c.FATTR_MTIME_NOW else _nanoseconds(arg.mtime, arg.mtimensec)
        node.touch()
        return node.attr()

    def statx(self, request: wire.Statx) -> Reply:
        """GETATTR and the time of birth, which is why the kernel asks."""
        node = self.node(request.nodeid)
        atime, mtime, ctime, btime = (
            wire.fuse_sx_time(*divmod(moment, SECOND)) for moment in (node.atime, node.mtime, node.ctime, node.btime)
        )
        found = wire.fuse_statx(
            mask=STATX_BASIC_AND_BTIME,
            blksize=BLOCK_SIZE,
            nlink=node.nlink,
            uid=node.uid,
            gid=node.gid,
            mode=node.mode,
            ino=node.ino,
            size=node.size,
            blocks=node.attributes().blocks,
            atime=atime,
            btime=btime,
            ctime=ctime,
            mtime=mtime,
            rdev_major=os.major(node.rdev),
            rdev_minor=os.minor(node.rdev),
        )
        return wire.fuse_statx_out(attr_valid=VALID, stat=found)

    def access(self, request: wire.Access) -> Reply:
        """Asked only without `default_permissions`; of the caller's groups the server knows but one then."""
        node, mask = self.node(request.nodeid), request.arg.mask
        if request.uid == 0:
            may_run = isinstance(node, Directory) or node.mode & 0o111
            granted = os.R_OK | os.W_OK | (os.X_OK if may_run else 0)
        else:
            shift = 6 if request.uid == node.uid else 3 if request.gid == node.gid else 0
            granted = node.mode >> shift & 7
        if mask & ~granted:
            raise error(errno.EACCES)
        return None

    def statfs(self, request: wire.StatFs) -> Reply:
        blocks, free = self.memory.capacity // BLOCK_SIZE, self.memory.free // BLOCK_SIZE
        used = len(self.nodes)
        return wire.fuse_statfs_out(
            wire.fuse_kstatfs(blocks, free, free, used + free, free, BLOCK_SIZE, NAME_MAX, BLOCK_SIZE)
        )

    def syncfs(self, request: wire.SyncFs) -> Reply:
        return None

    def getxattr(self, request: wire.GetXAttr) -> Reply:
        value = self.node(request.nodeid).xattrs.get(request.name)
        if value is None:
            raise error(_absence(request.name))
        return _sized(value, request.arg.size)

    def listxattr(self, request: wire.ListXAttr) -> Reply:
        names = self.node(request.nodeid).xattrs
        return _sized(b"".join(name + b"\0" for name in names), request.arg.size)

    def setxattr(self, request: wire.SetXAttr) -> Reply:
        node = self.node(request.nodeid)
        if _absence(request.name) == errno.EOPNOTSUPP:
            raise error(errno.EOPNOTSUPP)
        there = request.name in node.xattrs
        if request.arg.flags & XATTR_CREATE and there:
            raise error(errno.EEXIST)
        if request.arg.flags & XATTR_REPLACE and not there:
            raise error(errno.ENODATA)
        node.xattrs[request.name] = bytes(request.value)
        node.touch()
        return None

    def removexattr(self, request: wire.RemoveXAttr) -> Reply:
        node = self.node(request.nodeid)
        if node.xattrs.pop(request.name, None) is None:
            raise error(_absence(request.name))
        node.touch()
        return None


def _nanoseconds(seconds: int, rest: int) -> int:
    """Times before 1970 come as two's complement."""
    return (seconds - (1 << 64) if seconds >> 63 else seconds) * SECOND + rest


def _absence(name: bytes) -> int:
    """ACLs are the kernel's affair, and it was not asked to take it up (POSIX_ACL): there are none here."""
    return errno.EOPNOTSUPP if name.startswith(b"system.") else errno.ENODATA


def _sized(value: bytes, size: int) -> Reply:
    """How long the value is where nothing else was asked, else the value."""
    if size == 0:
        return wire.fuse_getxattr_out(len(value))
    if len(value) > size:
        raise error(errno.ERANGE)
    return value
