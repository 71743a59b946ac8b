"""The bytes of files: reading, writing, copying, holes, and making them durable."""

from __future__ import annotations

import errno
import os

import trio

from mfs.blocks.appender import Appender
from mfs.blocks.pieces import Piece, total_length
from mfs.copy import copy_range
from mfs.file.content import NotInPieces
from mfs.fuse.base import MAX_READ, SIGNED, Base, changing
from mfs.fuse.inodes import kill_suidgid, kill_unless_privileged
from mfs.tree.node import BARE, File
from mfs.tree.numbers import FIRST_VIEW
from mfs.tree.xattrs import drop_capability
from mfs.views import is_view
from mfs.volume import Volume
from rawfuse import wire
from rawfuse.filesystem import Answer, Reply
from rawfuse.wire import constants as c

OWN_SEGMENT = 1 << 20
"""A file that is written beyond this offset gets a segment of its own."""
_APPENDERS = 32

OPENED = wire.fuse_open_out(open_flags=c.FOPEN_KEEP_CACHE | c.FOPEN_NOFLUSH).pack()
_write_out = wire.fuse_write_out.pack_flat


class Files(Base):
    """Open files.

    Closing one has nothing to do, so FLUSH is not asked for (FOPEN_NOFLUSH, 7.35) and answered at once by older
    kernels.
    """

    def __init__(self, volume: Volume, *, read_only: bool = False) -> None:
        super().__init__(volume, read_only=read_only)
        self._appenders: dict[Appender, File] = {}
        self._buffer = memoryview(bytearray(MAX_READ))

    def open(self, request: wire.Open) -> Reply:
        if request.arg.flags & os.O_ACCMODE and is_view(request.nodeid):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        (self._views if request.nodeid >= FIRST_VIEW else self._tree).file(request.nodeid)
        return OPENED

    def flush(self, request: wire.Flush) -> Reply:
        return None

    def release(self, request: wire.Release) -> Reply:
        return None

    def read(self, request: wire.Read) -> Reply:
        arg = request.arg
        nodeid = request.nodeid
        content = (self._views if nodeid >= FIRST_VIEW else self._tree).file(nodeid).content
        offset, size = arg.offset, arg.size
        if size > MAX_READ:
            raise OSError(errno.EINVAL, f"a read of {size} bytes")
        try:
            pieces = content.read(offset, size)
        except NotInPieces:
            return content.read_bytes(offset, size)
        if not pieces:
            return b""
        length = total_length(pieces)
        out = self._buffer[:length]
        try:
            self._segments.read_nowait(pieces, 0, out)
        except BlockingIOError:
            return self._read_cold(pieces, length)
        return out

    async def _read_cold(self, pieces: list[Piece], length: int) -> Answer:
        out = memoryview(bytearray(length))
        self._tree.pinned += 1
        try:
            await trio.to_thread.run_sync(self._segments.read_into, pieces, 0, out)
        finally:
            self._tree.pinned -= 1
        return out

    @changing
    def write(self, request: wire.Write) -> Reply:
        arg = request.arg
        tree = self._tree
        file = tree.file(request.nodeid)
        data = request.data
        size = len(data)
        if not size:
            return _write_out(0)
        offset = arg.offset
        if offset + size >= SIGNED:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if offset + size > OWN_SEGMENT:
            piece = self._appender(file).append(data)
        else:
            piece = self._segments.shared.append(data)
        file.content.write(offset, piece)
        if arg.write_flags & c.FUSE_WRITE_KILL_SUIDGID:
            kill_suidgid(file)
        if file.xattrs is not BARE:
            # A cached write comes after a REMOVEXATTR, a direct one does not.
            drop_capability(tree, file)
        file.mtime = file.ctime = tree.clock()
        tree.touched(file)
        return _write_out(size)

    def _appender(self, file: File) -> Appender:
        appender = file.appender
        if isinstance(appender, Appender):
            return appender
        if len(self._appenders) >= _APPENDERS:
            oldest = next(iter(self._appenders))
            file_of_it = self._appenders.pop(oldest)
            oldest.close()
            if file_of_it.appender is oldest:
                file_of_it.appender = None
        appender = file.appender = self._segments.appender()
        self._appenders[appender] = file
        return appender

    @changing
    def copy_file_range(self, request: wire.CopyFileRange) -> Reply:
        return _write_out(self._copy(request, request.arg, 0xFFFF_F000))

    @changing
    def copy_file_range_64(self, request: wire.CopyFileRange64) -> Reply:
        return wire.fuse_copy_file_range_out(self._copy(request, request.arg, SIGNED))

    def _copy(self, request: wire.Request, arg: wire.fuse_copy_file_range_in, most: int) -> int:
        tree = self._tree
        source, target = self._views.file(request.nodeid), tree.file(arg.nodeid_out)
        length = min(arg.len, most)
        if arg.flags or arg.off_in >= SIGNED or arg.off_out + min(length, source.size) >= SIGNED:
            raise OSError(errno.EINVAL, "a copy with flags or beyond the largest offset")
        copied = copy_range(source.content, arg.off_in, target.content, arg.off_out, length)
        if copied:
            kill_unless_privileged(target, request.pid)
            target.mtime = target.ctime = tree.clock()
            tree.touched(target)
        return copied

    def lseek(self, request: wire.LSeek) -> Reply:
        arg = request.arg
        content = self._views.file(request.nodeid).content
        offset = arg.offset
        if offset >= content.size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        ranges = content.data_from(offset)
        if arg.whence == os.SEEK_DATA:
            for start, _ in ranges:
                return wire.fuse_lseek_out(start)
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        if arg.whence != os.SEEK_HOLE:
            raise OSError(errno.EINVAL, f"whence {arg.whence}")
        for start, stop in ranges:
            if start > offset:
                break
            offset = stop
        return wire.fuse_lseek_out(min(offset, content.size))

    def fsync(self, request: wire.FSync) -> Reply:
        return self._sync(request.nodeid)

    def fsyncdir(self, request: wire.FSyncDir) -> Reply:
        return self._sync(request.nodeid)

    def _sync(self, nodeid: int) -> Reply:
        # What cannot change is as safe as it ever was.
        return None if is_view(nodeid) else self._volume.synced(self._tree.node(nodeid))
