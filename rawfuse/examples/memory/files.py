"""Operations on open files: reading, writing, holes, copies, locks, poll and ioctl."""

from __future__ import annotations

import errno
import os
import select
import stat
import struct
from typing import Final

import trio

from rawfuse import Answer, Reply, wire
from rawfuse.examples.memory.data import CHUNK
from rawfuse.examples.memory.locks import Locks
from rawfuse.examples.memory.names import Names
from rawfuse.examples.memory.nodes import File, error
from rawfuse.wire import constants as c

__all__ = ["Files", "without_privileges"]

FALLOC_FL_KEEP_SIZE: Final = 1
FALLOC_FL_PUNCH_HOLE: Final = 2
FALLOC_FL_ZERO_RANGE: Final = 16
FS_IOC_GETFLAGS: Final = 0x80086601
FS_IOC_SETFLAGS: Final = 0x40086602
FS_IOC_FSGETXATTR: Final = 0x801C581F
FS_NODUMP: Final = 0x40
FS_XFLAG_NODUMP: Final = 0x80
_FLAGS: Final = struct.Struct("=I")
_FSXATTR: Final = struct.Struct("=I24x")

_OPENED: Final = wire.fuse_open_out.pack_flat
_WRITTEN: Final = wire.fuse_write_out.pack_flat


def without_privileges(mode: int) -> int:
    """What writing, truncating and changing the owner leave of a mode: no set-uid, and no set-gid of what a group may
    execute (without that bit it means something else)."""
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode


class Files(Names):
    def __init__(self, capacity: int | None = None) -> None:
        super().__init__(capacity)
        self.last_handle = 0
        self.lock_waits: dict[int, int] = {}
        self.polled: dict[int, int] = {}
        """By handle: the version of its file that poll(2) has told of."""

    def _handle(self) -> bytes:
        """fuse_open_out. Nothing else changes files, so the kernel may keep what it has of them from before."""
        self.last_handle += 1
        return _OPENED(self.last_handle, c.FOPEN_KEEP_CACHE, 0)

    def create(self, request: wire.Create) -> Reply:
        parent = self.directory(request.nodeid)
        self.free_name(parent, request.name)
        uid, gid = self.owner(request, parent)
        node = File(self.next_ino(), request.arg.mode, uid, gid, self.memory)
        self.add(parent, request.name, node)
        return self.referred(node) + self._handle()

    def tmpfile(self, request: wire.TmpFile) -> Reply:
        """A file without a name; LINK may give it one, else it goes when it is closed."""
        uid, gid = self.owner(request, self.directory(request.nodeid))
        node = File(self.next_ino(), request.arg.mode, uid, gid, self.memory)
        node.nlink = 0
        self.nodes[node.ino] = node
        return self.referred(node) + self._handle()

    def open(self, request: wire.Open) -> Reply:
        self.file(request.nodeid)
        return self._handle()

    def read(self, request: wire.Read) -> Reply:
        node = self.nodes.get(request.nodeid)
        if node.__class__ is not File:
            node = self.file(request.nodeid)
        if node.atime <= node.mtime:
            node.read_now()
        return node.data.read(request.arg.offset, request.arg.size)

    def write(self, request: wire.Write) -> Reply:
        node = self.file(request.nodeid)
        arg = request.arg
        if arg.write_flags & c.FUSE_WRITE_KILL_SUIDGID:
            node.mode = without_privileges(node.mode)
        node.data.write(arg.offset, request.data)
        self.changed(node)
        return _WRITTEN(len(request.data))

    def changed(self, node: File) -> None:
        """The bytes of a file are others now: who waits for that in poll(2) is woken."""
        node.touch(content=True)
        node.version += 1
        if node.pollers:
            for handle in node.pollers:
                self.server.notify.soon(self.server.notify.poll, handle)
            node.pollers.clear()

    def flush(self, request: wire.Flush) -> Reply:
        """Comes with every close(2), and drops all POSIX locks of that process, as POSIX has it."""
        node = self.nodes.get(request.nodeid)
        if isinstance(node, File) and node.locks is not None:
            node.locks.posix.release(request.arg.lock_owner)
        return b""

    def release(self, request: wire.Release) -> Reply:
        if self.polled:
            self.polled.pop(request.arg.fh, None)
        if request.arg.release_flags & c.FUSE_RELEASE_FLOCK_UNLOCK:
            node = self.file(request.nodeid)
            if node.locks is not None:
                node.locks.flock.release(request.arg.lock_owner)
        return b""

    def fsync(self, request: wire.FSync) -> Reply:
        return None

    def lseek(self, request: wire.LSeek) -> Reply:
        data, arg = self.file(request.nodeid).data, request.arg
        found = None
        if arg.offset < data.size:
            if arg.whence == os.SEEK_DATA:
                found = data.find_data(arg.offset)
            elif arg.whence == os.SEEK_HOLE:
                found = data.find_hole(arg.offset)
            else:
                raise error(errno.EINVAL)
        if found is None:
            raise error(errno.ENXIO)
        return wire.fuse_lseek_out(found)

    def fallocate(self, request: wire.Fallocate) -> Reply:
        node, arg = self.file(request.nodeid), request.arg
        data, end = node.data, arg.offset + arg.length
        if arg.mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE):
            raise error(errno.EOPNOTSUPP)
        before = data.size
        if not arg.mode & FALLOC_FL_KEEP_SIZE and end > data.size:
            data.truncate(end)
        if arg.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE):
            data.punch(arg.offset, arg.length)
        else:
            try:
                data.allocate(arg.offset, arg.length)
            except OSError:
                data.truncate(before)
                raise
        self.changed(node)
        return None

    def copy_file_range(self, request: wire.CopyFileRange) -> Reply:
        return self._copy(request.nodeid, request.arg)

    def copy_file_range_64(self, request: wire.CopyFileRange64) -> Reply:
        return self._copy(request.nodeid, request.arg)

    async def _copy(self, nodeid: int, arg: wire.fuse_copy_file_range_in) -> Answer:
        """In steps, and others are served between them; holes stay holes where the destination has nothing yet."""
        source, target = self.file(nodeid), self.file(arg.nodeid_out)
        done = 0
        while done < arg.len and arg.off_in + done < source.data.size:
            step = min(arg.len - done, CHUNK, source.data.size - arg.off_in - done)
            start = source.data.find_data(arg.off_in + done)
            if start is None or start >= arg.off_in + done + step:
                target.data.truncate(max(target.data.size, arg.off_out + done + step))
                target.data.punch(arg.off_out + done, step)
            else:
                target.data.write(arg.off_out + done, source.data.copy(arg.off_in + done, step))
            done += step
            self.changed(target)
            await trio.lowlevel.checkpoint()
        # Two opcodes, two structs, the same 8 bytes on every machine: the count stands first.
        return wire.fuse_copy_file_range_out(done).pack() if done >> 32 else wire.fuse_write_out(done).pack()

    def getlk(self, request: wire.GetLk) -> Reply:
        return self._locks(request.nodeid).getlk(request.arg)

    def setlk(self, request: wire.SetLk) -> Reply:
        self._locks(request.nodeid).setlk(request.arg)
        return None

    def setlkw(self, request: wire.SetLkW) -> Reply:
        return self._locks(request.nodeid).setlkw(request.arg)

    def _locks(self, nodeid: int) -> Locks:
        node = self.file(nodeid)
        if node.locks is None:
            node.locks = Locks(self.lock_waits)
        return node.locks

    def poll(self, request: wire.Poll) -> Reply:
        """A file can always be read and written. POLLPRI says once, to each open file, that its bytes have changed."""
        node, arg = self.file(request.nodeid), request.arg
        ready = select.POLLIN | select.POLLOUT | select.POLLRDNORM | select.POLLWRNORM
        seen = self.polled.setdefault(arg.fh, node.version)
        if seen != node.version:
            ready |= select.POLLPRI
            self.polled[arg.fh] = node.version
        elif arg.flags & c.FUSE_POLL_SCHEDULE_NOTIFY:
            node.pollers.add(arg.kh)
        return wire.fuse_poll_out(ready & arg.events)

    def ioctl(self, request: wire.Ioctl) -> Reply:
        """What lsattr(1) and chattr(1) ask; the one flag here is `d`, no dump."""
        node, arg = self.node(request.nodeid), request.arg
        if arg.cmd not in (FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR):
            raise error(errno.ENOTTY)
        # A well-formed command says itself how many bytes it moves and whether they go out to the caller.
        size, reading = arg.cmd >> 16 & 0x3FFF, bool(arg.cmd >> 31)
        if arg.flags & c.FUSE_IOCTL_UNRESTRICTED and (arg.out_size if reading else arg.in_size) == 0:
            # Here the kernel goes by no such rule: it is asked to come again with the caller's memory at `arg`.
            come_again = wire.fuse_ioctl_out(flags=c.FUSE_IOCTL_RETRY, in_iovs=not reading, out_iovs=reading)
            return come_again, wire.fuse_ioctl_iovec(arg.arg, size)
        if arg.cmd == FS_IOC_GETFLAGS:
            return wire.fuse_ioctl_out(), _FLAGS.pack(node.flags)
        if arg.cmd == FS_IOC_FSGETXATTR:  # asked before flags are set
            return wire.fuse_ioctl_out(), _FSXATTR.pack(FS_XFLAG_NODUMP if node.flags & FS_NODUMP else 0)
        if len(request.data) < _FLAGS.size:
            raise error(errno.EINVAL)
        (flags,) = _FLAGS.unpack_from(request.data)
        if flags & ~FS_NODUMP:
            raise error(errno.EOPNOTSUPP)
        # The kernel has looked whether the caller may.
        node.flags = flags
        node.touch()
        return wire.fuse_ioctl_out()
