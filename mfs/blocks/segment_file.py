"""One open segment file, and how far it is durable."""

from __future__ import annotations

import os
import threading

from mfs.blocks.errors import SegmentLost
from mfs.disk import fsync_directory

__all__ = ["SegmentFile"]


class SegmentFile:
    """The open file of one segment; closed when the last user lets go of it.

    A cache can therefore forget a file while a worker thread still reads or syncs it.

    Attributes:
        written: bytes appended so far; changed by the thread that appends.
        synced: bytes that are durable, directory entry included; changed under `lock`.
        sealed: nothing will be appended any more.
        error: errno of the first failed sync, else 0; see `SegmentLost`.
        used: looked at since the cache last made room.
    """

    __slots__ = ("_entry_synced", "error", "fd", "lock", "number", "path", "sealed", "synced", "used", "written")

    def __init__(self, number: int, path: str, fd: int, size: int, *, entry_synced: bool, sealed: bool) -> None:
        self.number = number
        self.path = path
        self.fd = fd
        self.written = size
        self.synced = size
        self.sealed = sealed
        self.error = 0
        self.used = True
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
                raise SegmentLost(self.number, self.path, self.error, self.synced)
            try:
                os.fdatasync(self.fd)
                if not self._entry_synced:
                    shard = os.path.dirname(self.path)
                    fsync_directory(shard)
                    fsync_directory(os.path.dirname(shard))
                    self._entry_synced = True
            except OSError as error:
                self.error = error.errno or 5
                raise SegmentLost(self.number, self.path, self.error, self.synced) from error
            self.synced = written

    def cut(self, size: int) -> None:
        """Shorten a sealed segment to `size` bytes."""
        with self.lock:
            os.ftruncate(self.fd, size)
            self.written = min(self.written, size)
            self.synced = min(self.synced, size)
