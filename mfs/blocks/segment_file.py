"""One open segment file, and how far it is durable."""

from __future__ import annotations

import errno
import os
import threading

from mfs.blocks.errors import SegmentLost
from mfs.disk import fsync_directory, write_all

__all__ = ["NO_NOWAIT", "SegmentFile"]

NO_NOWAIT = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""What a file system says that does not know RWF_NOWAIT."""

_STEP = 1 << 20


class SegmentFile:
    """The open file of one segment; closed when the last user lets go of it.

    A cache can therefore forget a file while a worker thread still reads or syncs it.

    Attributes:
        written: bytes appended so far; changed by the thread that appends.
        synced: bytes that are durable, directory entry included; changed under `lock`.
        sealed: nothing will be appended any more.
        error: errno of a failed sync, until what it lost was written again and is safe; else 0. See `SegmentLost`.
        punched: ranges of what is not durable that were given back.
        used: looked at since the cache last made room.
    """

    __slots__ = (
        "_entry_synced",
        "error",
        "fd",
        "lock",
        "number",
        "path",
        "punched",
        "sealed",
        "synced",
        "used",
        "written",
    )

    def __init__(self, number: int, path: str, fd: int, size: int, *, entry_synced: bool, sealed: bool) -> None:
        self.number = number
        self.path = path
        self.fd = fd
        self.written = size
        self.synced = size
        self.sealed = sealed
        self.error = 0
        self.used = True
        self.punched: list[tuple[int, int]] = []
        self.lock = threading.Lock()
        self._entry_synced = entry_synced

    def __del__(self, close=os.close) -> None:  # type: ignore[no-untyped-def]  # bound early: os may be gone at exit
        close(self.fd)

    def sync(self) -> None:
        """Make everything written before the call durable. Callers on one file wait for each other and share the work.

        Raises:
            SegmentLost: the disk did not take it, now or before.
        """
        with self.lock:
            written = self.written
            if written <= self.synced:
                return
            if self.error:
                self._try_again(written)
                return
            try:
                self._sync()
            except OSError as error:
                self.error = error.errno or errno.EIO
                # At once, as the bytes are in memory now, and maybe not for long.
                self._try_again(written)
            else:
                self._durable(written)

    def _sync(self) -> None:
        os.fdatasync(self.fd)
        if not self._entry_synced:
            shard = os.path.dirname(self.path)
            fsync_directory(shard)
            fsync_directory(os.path.dirname(shard))
            self._entry_synced = True

    def _durable(self, written: int) -> None:
        self.synced = written
        self.error = 0
        self.punched.clear()

    def _try_again(self, written: int) -> None:
        """After a sync that failed. Only what is written again is safe with another one: see `SegmentLost`."""
        try:
            for first, last in self._kept(self.synced, written):
                for start in range(first, last, _STEP):
                    size = min(_STEP, last - start)
                    write_all(self.fd, self._remembered(start, size), start)
            self._sync()
        except OSError as error:
            raise SegmentLost(self.number, self.path, self.error, self.synced) from error
        self._durable(written)

    def _kept(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of a range that were not given back."""
        kept = []
        for start, stop in sorted(self.punched):
            if start > first:
                kept.append((first, min(start, last)))
            first = max(first, stop)
            if first >= last:
                return kept
        kept.append((first, last))
        return kept

    def _remembered(self, start: int, size: int) -> bytes:
        """Bytes that the kernel still has in memory; the disk has others. EIO where it has let go of them."""
        buffer = bytearray(size)
        try:
            done = os.preadv(self.fd, [buffer], start, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno not in NO_NOWAIT:
                raise
            # This file system does not tell what is in memory. So soon after it was written, it is.
            done = os.preadv(self.fd, [buffer], start)
        if done != size:
            raise OSError(errno.EIO, "what the disk did not take is not in memory any more", self.path)
        return bytes(buffer)

    def cut(self, size: int) -> None:
        """Shorten a sealed segment to `size` bytes."""
        with self.lock:
            os.ftruncate(self.fd, size)
            self.written = min(self.written, size)
            self.synced = min(self.synced, size)
