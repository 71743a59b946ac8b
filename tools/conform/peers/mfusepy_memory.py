"""Files in memory on mfusepy, whose releases bring no example: `FUSE_LIBRARY_PATH=libfuse3.so.3 python ... MOUNTPOINT`.

For comparing: `rawfuse conform -- ...`. High-level: libfuse knows the nodeids, this knows paths.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from typing import Any

import mfusepy as fuse

OWNER = {"st_uid": os.geteuid(), "st_gid": os.getegid()}


class Node:
    """A file, a directory or a symbolic link."""

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.data = bytearray()
        self.atime = self.mtime = self.ctime = time.time_ns()
        self.uid, self.gid = OWNER.values()
        self.xattrs: dict[str, bytes] = {}


class Memory(fuse.Operations):  # type: ignore[misc, name-defined, unused-ignore]
    """All of it, by path."""

    use_ns = True

    def __init__(self) -> None:
        self.nodes = {"/": Node(stat.S_IFDIR | 0o755)}

    def _node(self, path: str) -> Node:
        if path not in self.nodes:
            raise fuse.FuseOSError(errno.ENOENT)
        return self.nodes[path]

    def _below(self, path: str) -> list[str]:
        head = path.rstrip("/") + "/"
        return [other for other in self.nodes if other.startswith(head) and other != path]

    def _make(self, path: str, mode: int) -> Node:
        if path in self.nodes:
            raise fuse.FuseOSError(errno.EEXIST)
        self.nodes[path] = Node(mode)
        return self.nodes[path]

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        node = self._node(path)
        links = 2 if stat.S_ISDIR(node.mode) else 1
        return {
            "st_mode": node.mode,
            "st_nlink": links,
            "st_size": len(node.data),
            "st_uid": node.uid,
            "st_gid": node.gid,
            "st_atime": node.atime,
            "st_mtime": node.mtime,
            "st_ctime": node.ctime,
            "st_blocks": -(-len(node.data) // 512),
        }

    def readdir(self, path: str, fh: int) -> list[str]:
        at = len(path.rstrip("/")) + 1
        return [".", "..", *(other[at:] for other in self._below(path) if "/" not in other[at:])]

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._make(path, stat.S_IFREG | stat.S_IMODE(mode))
        return 1

    def mknod(self, path: str, mode: int, dev: int) -> None:
        self._make(path, mode)

    def mkdir(self, path: str, mode: int) -> None:
        self._make(path, stat.S_IFDIR | mode)

    def symlink(self, target: str, source: str) -> None:
        self._make(target, stat.S_IFLNK | 0o777).data = bytearray(os.fsencode(source))

    def readlink(self, path: str) -> str:
        return os.fsdecode(bytes(self._node(path).data))

    def open(self, path: str, flags: int) -> int:
        self._node(path)
        return 1

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._node(path).data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        node = self._node(path)
        if offset > len(node.data):
            node.data.extend(bytes(offset - len(node.data)))
        node.data[offset : offset + len(data)] = data
        node.mtime = node.ctime = time.time_ns()
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        data = self._node(path).data
        if length > 1 << 30:
            raise fuse.FuseOSError(errno.EFBIG)
        del data[length:]
        data.extend(bytes(length - len(data)))

    def chmod(self, path: str, mode: int) -> None:
        node = self._node(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        node.ctime = time.time_ns()

    def chown(self, path: str, uid: int, gid: int) -> None:
        node = self._node(path)
        node.uid = node.uid if uid == -1 else uid
        node.gid = node.gid if gid == -1 else gid

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        node = self._node(path)
        node.atime, node.mtime = times or (time.time_ns(),) * 2

    def unlink(self, path: str) -> None:
        del self.nodes[path]

    def rmdir(self, path: str) -> None:
        if self._below(path):
            raise fuse.FuseOSError(errno.ENOTEMPTY)
        del self.nodes[path]

    def rename(self, old: str, new: str) -> None:
        if new != old and new in self.nodes and self._below(new):
            raise fuse.FuseOSError(errno.ENOTEMPTY)
        for path in [old, *self._below(old)]:
            self.nodes[new + path[len(old) :]] = self.nodes.pop(path)

    def statfs(self, path: str) -> dict[str, int]:
        return {
            "f_bsize": 4096,
            "f_frsize": 4096,
            "f_blocks": 1 << 20,
            "f_bfree": 1 << 19,
            "f_bavail": 1 << 19,
            "f_namemax": 255,
        }

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> None:
        self._node(path).xattrs[name] = bytes(value)

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        if name not in self._node(path).xattrs:
            raise fuse.FuseOSError(errno.ENODATA)
        return self._node(path).xattrs[name]

    def listxattr(self, path: str) -> list[str]:
        return [*self._node(path).xattrs]

    def removexattr(self, path: str, name: str) -> None:
        if self._node(path).xattrs.pop(name, None) is None:
            raise fuse.FuseOSError(errno.ENODATA)


if __name__ == "__main__":
    fuse.FUSE(Memory(), sys.argv[1], foreground=True, nothreads=True)
