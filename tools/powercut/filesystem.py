"""A file system in memory that writes down what a power cut could take, and fails where it is told to.

The kernel keeps no writes back (no WRITEBACK_CACHE): a write is here when write(2) returns. What a program writes
through a shared mapping comes when the kernel writes its pages back, or with msync. sync(2), and syncfs(2) before it is
sent to file systems such as this one, are not seen: they count as never called. sync_file_range(2) makes nothing
durable, as its manual says.

Programs can talk to it by extended attributes of the top directory:

    setxattr user.powercut.mark    adds its value to the recording: what has been promised, say
    setxattr user.powercut.fault   a `Fault` in JSON, or nothing for none
    setxattr user.powercut.space   how many bytes there is still room for, as a number
    getxattr user.powercut.counts  JSON: calls by kind, and `refused`; what came so far is in the recording then
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from typing import IO, ClassVar

from rawfuse import Reply, wire
from rawfuse.examples.memory.files import FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE
from rawfuse.examples.memory.filesystem import MemoryFS
from rawfuse.examples.memory.nodes import Directory, Node, Symlink, error
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

from .events import ROOT, Event, Inode, Mark, Names, Resize, Sync, SyncFailed, Write, Zero, write_event
from .faults import Fault, Faults

__all__ = ["COUNTS", "FAULT", "MARK", "SPACE", "Recorder"]

MARK = b"user.powercut.mark"
FAULT = b"user.powercut.fault"
SPACE = b"user.powercut.space"
COUNTS = b"user.powercut.counts"


class Recorder(MemoryFS):
    """Writes to `log` every event of the files in it. `capacity`: bytes that they may take, as for `MemoryFS`."""

    # Locks are left to the kernel: they are gone after a cut.
    wants: ClassVar[InitFlags] = MemoryFS.wants & ~(InitFlags.FUSE_POSIX_LOCKS | InitFlags.FUSE_FLOCK_LOCKS)

    def __init__(self, log: IO[bytes], capacity: int | None = None) -> None:
        super().__init__(capacity)
        self.faults = Faults()
        self._log = log
        self._names: dict[int, set[str]] = {ROOT: {""}}
        """What each inode is or was called."""

    def record(self, event: Event) -> None:
        """Add an event to the recording."""
        write_event(self._log, event)

    def _meet(self, kind: str, ino: int) -> None:
        self.faults.meet(kind, self._names.get(ino, set()))

    def _named(self, edits: tuple[tuple[int, bytes, int], ...]) -> None:
        for _, name, ino in edits:
            if ino:
                self._names.setdefault(ino, set()).add(os.fsdecode(name))
        self.record(Names(edits))

    def _born(self, node: Node) -> None:
        self.record(Inode(node.ino, node.mode, node.target if isinstance(node, Symlink) else b""))

    # Names

    def _make(self, make: Callable[[], Reply], parent: int, name: bytes) -> Reply:
        self._meet("create", parent)
        reply = make()
        node = self.directory(parent).children[name]
        self._born(node)
        self._named(((parent, name, node.ino),))
        return reply

    def create(self, request: wire.Create) -> Reply:
        return self._make(lambda: super(Recorder, self).create(request), request.nodeid, request.name)

    def mknod(self, request: wire.MkNod) -> Reply:
        return self._make(lambda: super(Recorder, self).mknod(request), request.nodeid, request.name)

    def mkdir(self, request: wire.MkDir) -> Reply:
        return self._make(lambda: super(Recorder, self).mkdir(request), request.nodeid, request.name)

    def symlink(self, request: wire.Symlink) -> Reply:
        return self._make(lambda: super(Recorder, self).symlink(request), request.nodeid, request.name)

    def tmpfile(self, request: wire.TmpFile) -> Reply:
        self._meet("create", request.nodeid)
        reply = super().tmpfile(request)
        self._born(self.nodes[self.last_ino])
        return reply

    def link(self, request: wire.Link) -> Reply:
        self._meet("names", request.nodeid)
        reply = super().link(request)
        self._named(((request.nodeid, request.name, request.arg.oldnodeid),))
        return reply

    def unlink(self, request: wire.Unlink) -> Reply:
        self._meet("names", request.nodeid)
        reply = super().unlink(request)
        self._named(((request.nodeid, request.name, 0),))
        return reply

    def rmdir(self, request: wire.RmDir) -> Reply:
        self._meet("names", request.nodeid)
        reply = super().rmdir(request)
        self._named(((request.nodeid, request.name, 0),))
        return reply

    def _rename(self, nodeid: int, name: bytes, newdir: int, newname: bytes, flags: int) -> Directory:
        self._meet("names", newdir)
        old = super()._rename(nodeid, name, newdir, newname, flags)
        edits = []
        for where, what in ((nodeid, name), (newdir, newname)):
            node = self.directory(where).children.get(what)
            edits.append((where, what, node.ino if node is not None else 0))
        self._named(tuple(edits))
        return old

    def rename2(self, request: wire.Rename2) -> Reply:
        reply = super().rename2(request)
        there = self.directory(request.nodeid).children.get(request.name)
        if there is not None and there.ino not in self._names:
            # A whiteout has taken its place.
            self._born(there)
            self._named(((request.nodeid, request.name, there.ino),))
        return reply

    # Bytes

    def read(self, request: wire.Read) -> Reply:
        self._meet("read", request.nodeid)
        return super().read(request)

    def write(self, request: wire.Write) -> Reply:
        self._meet("write", request.nodeid)
        offset, size = request.arg.offset, len(request.data)
        try:
            reply = super().write(request)
        except OSError:
            # No more room: what fitted is written all the same.
            data = self.file(request.nodeid).data.copy(offset, size)
            if data:
                self.record(Write(request.nodeid, offset, data))
            raise
        self.record(Write(request.nodeid, offset, bytes(request.data)))
        return reply

    def setattr(self, request: wire.SetAttr) -> Reply:
        arg = request.arg
        if arg.valid & c.FATTR_SIZE:
            self._meet("resize", request.nodeid)
        reply = super().setattr(request)
        if arg.valid & c.FATTR_SIZE:
            self.record(Resize(request.nodeid, arg.size))
        if arg.valid & c.FATTR_MODE:
            self._born(self.node(request.nodeid))
        return reply

    def fallocate(self, request: wire.Fallocate) -> Reply:
        arg, file = request.arg, self.file(request.nodeid)
        hole = arg.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)
        self._meet("zero" if hole else "resize", request.nodeid)
        before = file.size
        reply = super().fallocate(request)
        if file.size != before:
            self.record(Resize(request.nodeid, file.size))
        if hole:
            self.record(Zero(request.nodeid, arg.offset, arg.length))
        return reply

    def copy_file_range(self, request: wire.CopyFileRange) -> Reply:
        """Refused: the kernel then reads and writes, which is recorded."""
        raise error(errno.EOPNOTSUPP)

    def copy_file_range_64(self, request: wire.CopyFileRange64) -> Reply:
        raise error(errno.EOPNOTSUPP)

    # Syncs

    def _sync(self, nodeid: int, flags: int) -> Reply:
        try:
            self._meet("sync", nodeid)
        except OSError:
            self.record(SyncFailed(nodeid))
            raise
        self.record(Sync(nodeid, bool(flags & c.FUSE_FSYNC_FDATASYNC)))
        return None

    def fsync(self, request: wire.FSync) -> Reply:
        return self._sync(request.nodeid, request.arg.fsync_flags)

    def fsyncdir(self, request: wire.FSyncDir) -> Reply:
        return self._sync(request.nodeid, request.arg.fsync_flags)

    def syncfs(self, request: wire.SyncFs) -> Reply:
        for ino in self.nodes:
            self._sync(ino, 0)
        return None

    # What the program says

    def setxattr(self, request: wire.SetXAttr) -> Reply:
        value = bytes(request.value)
        if request.nodeid != ROOT or not request.name.startswith(b"user.powercut."):
            return super().setxattr(request)
        if request.name == MARK:
            self.record(Mark(value.decode("utf-8", "replace")))
            return None
        try:
            if request.name == FAULT:
                self.faults.use(Fault.decode(value) if value else None)
            elif request.name == SPACE:
                self.memory.free = max(0, int(value))
            else:
                raise ValueError(f"there is no {request.name!r}")
        except ValueError as wrong:
            raise OSError(errno.EINVAL, str(wrong)) from None
        return None

    def getxattr(self, request: wire.GetXAttr) -> Reply:
        if request.nodeid == ROOT and request.name == COUNTS:
            self._log.flush()
            counts = {**self.faults.counts, "refused": self.faults.refused}
            self.root.xattrs[COUNTS] = json.dumps(counts).encode()
        return super().getxattr(request)
