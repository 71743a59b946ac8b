"""fallocate(2): room, zeros and holes."""

from __future__ import annotations

import errno
import os

import trio

from mfs.file.holes import punch
from mfs.fuse.base import SIGNED, Base, changing
from mfs.fuse.inodes import kill_unless_privileged
from mfs.tree.node import File
from rawfuse import wire
from rawfuse.filesystem import Answer, Reply

KEEP_SIZE = 0x01
PUNCH_HOLE = 0x02
ZERO_RANGE = 0x10
_MODES = frozenset((0, KEEP_SIZE, KEEP_SIZE | PUNCH_HOLE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE))

_AT_ONCE = 256
"""Leaves that are cleared before others may run (a millisecond)."""
_MANY_LEAVES = 32_768
"""Changed leaves of one file that are committed before more are cleared: so memory stays bounded."""


class Allocation(Base):
    """FALLOCATE.

    Bytes are never overwritten in place, so room cannot be set aside for them: a plain fallocate says ENOSPC where the
    disk lacks what the file grows by, and otherwise makes it longer.  Zeroed and punched ranges are holes.
    """

    @changing
    def fallocate(self, request: wire.Fallocate) -> Reply:
        arg, tree = request.arg, self._tree
        mode, start, stop = arg.mode, arg.offset, arg.offset + arg.length
        if mode not in _MODES:
            raise OSError(errno.EOPNOTSUPP, f"fallocate mode {mode:#x}")
        if stop >= SIGNED:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        file = tree.file(request.nodeid)
        content = file.content
        if mode & (PUNCH_HOLE | ZERO_RANGE):
            done = punch(content, start, min(stop, content.size), _AT_ONCE)
        else:
            self._room(stop - max(start, content.size))
            done = stop
        if not mode & KEEP_SIZE and stop > content.size:
            content.truncate(stop)
        file.mtime = file.ctime = tree.clock()
        kill_unless_privileged(file, request.pid)
        tree.touched(file)
        if done < min(stop, content.size):
            return self._punch_rest(file, done, stop)
        return None

    async def _punch_rest(self, file: File, start: int, stop: int) -> Answer:
        while start < min(stop, file.content.size):
            await trio.lowlevel.checkpoint()
            if len(file.content.leaves) > _MANY_LEAVES:
                await self._volume.commit()
            start = punch(file.content, start, min(stop, file.content.size), _AT_ONCE)
            self._tree.touched(file)
        return None

    def _room(self, length: int) -> None:
        """ENOSPC where the disk has less than `length` bytes."""
        on = os.statvfs(self._volume.path)
        if length > on.f_bavail * on.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
