"""Attributes of inodes, and of the file system as a whole."""

from __future__ import annotations

import errno
import os
import stat

from mfs.fuse.attributes import attr_out, statx_out
from mfs.fuse.base import SIGNED, Base, changing
from mfs.fuse.caller import CAP_FSETID, has_capability
from mfs.tree.acl import mode_changed
from mfs.tree.node import Node
from mfs.tree.tree import NAME_MAX
from rawfuse import wire
from rawfuse.filesystem import Reply
from rawfuse.wire import constants as c

_SECOND = 1_000_000_000


class Inodes(Base):
    """GETATTR, SETATTR, STATFS."""

    def getattr(self, request: wire.GetAttr) -> Reply:
        node = self._tree.nodes.get(request.nodeid) or self._views.node(request.nodeid)
        return attr_out(node, self._chunk)

    def statx(self, request: wire.Statx) -> Reply:
        node = self._tree.nodes.get(request.nodeid) or self._views.node(request.nodeid)
        return statx_out(node, self._chunk)

    @changing
    def setattr(self, request: wire.SetAttr) -> Reply:
        tree, arg = self._tree, request.arg
        valid = arg.valid
        node = tree.node(request.nodeid)
        now = tree.clock()
        if valid & c.FATTR_SIZE:
            file = tree.file(request.nodeid)
            if arg.size >= SIGNED:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            if arg.size != file.content.size:
                file.content.truncate(arg.size)
            file.mtime = now
        if valid & c.FATTR_KILL_SUIDGID:
            kill_suidgid(node)
        if valid & c.FATTR_MODE:
            node.mode = stat.S_IFMT(node.mode) | arg.mode & 0o7777
            mode_changed(tree, node)
        if valid & c.FATTR_UID:
            node.uid = arg.uid
        if valid & c.FATTR_GID:
            node.gid = arg.gid
        if valid & c.FATTR_ATIME:
            node.atime = now if valid & c.FATTR_ATIME_NOW else _nanoseconds(arg.atime, arg.atimensec)
        if valid & c.FATTR_MTIME:
            node.mtime = now if valid & c.FATTR_MTIME_NOW else _nanoseconds(arg.mtime, arg.mtimensec)
        node.ctime = now
        tree.touched(node)
        return attr_out(node, self._chunk)

    def statfs(self, request: wire.StatFs) -> Reply:
        on = os.statvfs(self._volume.path)
        return wire.fuse_statfs_out(
            wire.fuse_kstatfs(
                on.f_blocks,
                on.f_bfree,
                on.f_bavail,
                on.f_files,
                on.f_ffree,
                on.f_bsize,
                NAME_MAX,
                on.f_frsize,
            )
        )


def kill_unless_privileged(node: Node, pid: int) -> None:
    """The same for requests in which the kernel does not say whether to (FUSE_HANDLE_KILLPRIV_V2)."""
    if node.mode & (stat.S_ISUID | stat.S_ISGID) and not has_capability(pid, CAP_FSETID):
        kill_suidgid(node)


def kill_suidgid(node: Node) -> None:
    """What a write by somebody else does: no set-user-ID, and no set-group-ID where it means that."""
    if node.mode & stat.S_ISUID:
        node.mode &= ~stat.S_ISUID
    if node.mode & stat.S_ISGID and node.mode & stat.S_IXGRP:
        node.mode &= ~stat.S_ISGID


def _nanoseconds(seconds: int, nanoseconds: int) -> int:
    """The time, from 1677 to 2262 in 64 bits; what lies beyond becomes the nearest of these, as Linux has it."""
    if seconds >= SIGNED:
        seconds -= 2 * SIGNED
    return max(-SIGNED, min(seconds * _SECOND + nanoseconds, SIGNED - 1))
