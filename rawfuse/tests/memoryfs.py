"""A small file system in memory, for tests: enough of everything that a test can drive each operation."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import ClassVar

from rawfuse import Filesystem
from rawfuse import wire as w
from rawfuse.filesystem import Reply
from rawfuse.session import DEFAULT_WANTS
from rawfuse.wire.constants import FATTR_MODE, FATTR_SIZE
from rawfuse.wire.dirent import DirentBuffer
from rawfuse.wire.flags import InitFlags

ROOT = 1


@dataclass
class Node:
    nodeid: int
    mode: int
    data: bytearray = field(default_factory=bytearray)
    children: dict[bytes, int] = field(default_factory=dict)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    nlink: int = 1
    nlookup: int = 0

    def attr(self) -> w.fuse_attr:
        size = len(self.data)
        return w.fuse_attr(
            ino=self.nodeid, size=size, blocks=-(-size // 512), mode=self.mode, nlink=self.nlink, blksize=4096
        )


class MemoryFs(Filesystem):
    wants: ClassVar[InitFlags] = DEFAULT_WANTS | InitFlags.FUSE_ATOMIC_O_TRUNC

    def __init__(self) -> None:
        self.nodes = {ROOT: Node(ROOT, stat.S_IFDIR | 0o755)}
        self.last = ROOT
        self.calls: list[str] = []
        self.destroyed = 0

    def destroy(self) -> None:
        self.destroyed += 1

    def node(self, nodeid: int) -> Node:
        try:
            return self.nodes[nodeid]
        except KeyError:
            raise OSError(errno.ESTALE, "no such node") from None

    def child(self, parent: int, name: bytes) -> Node:
        try:
            return self.nodes[self.node(parent).children[name]]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such name") from None

    def add(self, parent: int, name: bytes, mode: int, data: bytes = b"") -> Node:
        if name in self.node(parent).children:
            raise FileExistsError(errno.EEXIST, "exists")
        self.last += 1
        node = self.nodes[self.last] = Node(self.last, mode, bytearray(data))
        self.node(parent).children[name] = node.nodeid
        return node

    def entry(self, node: Node) -> w.fuse_entry_out:
        node.nlookup += 1
        return w.fuse_entry_out(nodeid=node.nodeid, entry_valid=1, attr_valid=1, attr=node.attr())

    def lookup(self, request: w.Lookup) -> Reply:
        return self.entry(self.child(request.nodeid, request.name)).pack()

    def forget(self, nodeid: int, nlookup: int) -> None:
        self.node(nodeid).nlookup -= nlookup

    def getattr(self, request: w.GetAttr) -> Reply:
        return w.fuse_attr_out(attr_valid=1, attr=self.node(request.nodeid).attr())

    def setattr(self, request: w.SetAttr) -> Reply:
        node = self.node(request.nodeid)
        if request.arg.valid & FATTR_SIZE:
            del node.data[request.arg.size :]
            node.data.extend(bytes(request.arg.size - len(node.data)))
        if request.arg.valid & FATTR_MODE:
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(request.arg.mode)
        return w.fuse_attr_out(attr_valid=1, attr=node.attr())

    def mkdir(self, request: w.MkDir) -> Reply:
        return self.entry(self.add(request.nodeid, request.name, stat.S_IFDIR | request.arg.mode))

    def mknod(self, request: w.MkNod) -> Reply:
        return self.entry(self.add(request.nodeid, request.name, request.arg.mode))

    def symlink(self, request: w.Symlink) -> Reply:
        return self.entry(self.add(request.nodeid, request.name, stat.S_IFLNK | 0o777, request.target))

    def readlink(self, request: w.ReadLink) -> Reply:
        return bytes(self.node(request.nodeid).data)

    def link(self, request: w.Link) -> Reply:
        node = self.node(request.arg.oldnodeid)
        self.node(request.nodeid).children[request.name] = node.nodeid
        node.nlink += 1
        return self.entry(node)

    def unlink(self, request: w.Unlink) -> Reply:
        self.child(request.nodeid, request.name).nlink -= 1
        del self.node(request.nodeid).children[request.name]
        return None

    def rmdir(self, request: w.RmDir) -> Reply:
        if self.child(request.nodeid, request.name).children:
            raise OSError(errno.ENOTEMPTY, "not empty")
        del self.node(request.nodeid).children[request.name]
        return None

    def rename(self, request: w.Rename) -> Reply:
        moved = self.node(request.nodeid).children.pop(request.name)
        self.node(request.arg.newdir).children[request.newname] = moved
        return None

    def create(self, request: w.Create) -> Reply:
        node = self.add(request.nodeid, request.name, stat.S_IFREG | request.arg.mode)
        return (self.entry(node), w.fuse_open_out(fh=node.nodeid))

    def open(self, request: w.Open) -> Reply:
        if request.arg.flags & os.O_TRUNC:
            self.node(request.nodeid).data.clear()
        return w.fuse_open_out(fh=request.nodeid)

    def read(self, request: w.Read) -> Reply:
        start = request.arg.offset
        return bytes(self.node(request.nodeid).data[start : start + request.arg.size])

    def write(self, request: w.Write) -> Reply:
        data = self.node(request.nodeid).data
        end = request.arg.offset + len(request.data)
        data.extend(bytes(max(0, request.arg.offset - len(data))))
        data[request.arg.offset : end] = request.data
        return w.fuse_write_out(size=len(request.data))

    def flush(self, request: w.Flush) -> Reply:
        return None

    def release(self, request: w.Release) -> Reply:
        self.calls.append("release")
        return None

    def fsync(self, request: w.FSync) -> Reply:
        self.calls.append("fsync")
        return None

    def statfs(self, request: w.StatFs) -> Reply:
        return w.fuse_statfs_out(w.fuse_kstatfs(blocks=1000, bfree=500, bavail=500, bsize=4096, namelen=255))

    def opendir(self, request: w.OpenDir) -> Reply:
        return w.fuse_open_out()

    def readdir(self, request: w.ReadDir) -> Reply:
        names = [(b".", ROOT), (b"..", ROOT), *self.node(request.nodeid).children.items()]
        buffer = DirentBuffer(request.arg.size)
        for index, (name, nodeid) in enumerate(names[request.arg.offset :], request.arg.offset + 1):
            if not buffer.add(name, nodeid, index, self.nodes[nodeid].mode >> 12):
                break
        return buffer.data

    def releasedir(self, request: w.ReleaseDir) -> Reply:
        return None

    def setxattr(self, request: w.SetXAttr) -> Reply:
        self.node(request.nodeid).xattrs[request.name] = bytes(request.value)
        return None

    def getxattr(self, request: w.GetXAttr) -> Reply:
        value = self.node(request.nodeid).xattrs.get(request.name)
        if value is None:
            raise OSError(errno.ENODATA, "no such attribute")
        return self.sized(value, request.arg.size)

    def listxattr(self, request: w.ListXAttr) -> Reply:
        names = self.node(request.nodeid).xattrs
        return self.sized(b"".join(name + b"\0" for name in names), request.arg.size)

    def removexattr(self, request: w.RemoveXAttr) -> Reply:
        if self.node(request.nodeid).xattrs.pop(request.name, None) is None:
            raise OSError(errno.ENODATA, "no such attribute")
        return None

    @staticmethod
    def sized(value: bytes, size: int) -> Reply:
        if size == 0:
            return w.fuse_getxattr_out(size=len(value))
        if len(value) > size:
            raise OSError(errno.ERANGE, "too long")
        return value
