"""What goes to the kernel's device: replies, and notifications by a thread of their own.

The kernel keeps the writer of INVAL_ENTRY waiting until a MKDIR in that directory was answered, and that of INVAL_INODE
until a READ of that inode was (measured on Linux 6.18). The relay's thread has to bring those very answers.
"""

from __future__ import annotations

import errno
import os
import queue
import threading
from typing import Final

from rawfuse.channel.holder import ENDS
from rawfuse.wire import fuse_out_header

from .pending import Pending, Watcher

__all__ = ["Notices", "Replies", "error_reply"]

_BROKEN: Final = frozenset({errno.EINVAL, errno.ENOENT, errno.EFAULT, errno.ENAMETOOLONG})
"""What the kernel says to messages that are not as they should be."""
_SHOWN: Final = 256
"""Bytes of such a message that are told."""
_MOMENT: Final = 0.002
"""Seconds that the relay waits for one to be written: nearly always it is, and then all stays in the server's order."""
_MOST: Final = 64 << 20
"""Bytes that wait to be written."""


def error_reply(unique: int, number: int) -> bytes:
    """A reply in the server's place."""
    return fuse_out_header.pack_flat(fuse_out_header.SIZE, -number, unique)


class Replies:
    """Replies to `device`; `watcher` is told of those that the kernel refuses."""

    def __init__(self, device: int, watcher: Watcher) -> None:
        self._device = device
        self._watcher = watcher

    def write(self, unique: int, message: bytes | memoryview, request: bytes | None) -> None:
        """Passes one on, to the request that begins with `request` if there is one."""
        try:
            os.write(self._device, message)
        except OSError as error:
            self.refused(error, unique, message, request)

    def refused(self, error: OSError, unique: int, message: bytes | memoryview, request: bytes | None) -> None:
        """The kernel did not take it; raises `error` where that says nothing about the reply."""
        if error.errno in ENDS:
            return
        if error.errno not in _BROKEN:
            raise error
        if request is None and error.errno == errno.ENOENT and unique & 1:
            # An answer to an INTERRUPT whose request was answered meanwhile.
            return
        self._watcher.broken(bytes(message[:_SHOWN]), error, None if request is None else Pending(request))
        if request is not None:
            # Some refused replies use the request up, after others it waits on: its caller must not.
            self._answer(unique)

    def _answer(self, unique: int) -> None:
        """With an error; of no effect where the kernel no longer waits."""
        try:
            os.write(self._device, error_reply(unique, errno.EIO))
        except OSError as error:
            if error.errno not in ENDS | _BROKEN:
                raise


class Notices:
    """Writes notifications to `device` in their order; `watcher` is told of those that the kernel refuses."""

    def __init__(self, device: int, watcher: Watcher) -> None:
        self._device = device
        self._watcher = watcher
        self._queue: queue.SimpleQueue[tuple[bytes, threading.Event]] = queue.SimpleQueue()
        self._given = self._taken = 0
        """Bytes: of all notifications, counted by the relay's thread; of those that were written, by the writer's."""
        self._thread: threading.Thread | None = None
        self._closed = False

    def send(self, message: bytes) -> None:
        """Passes one on, at once or a little later.

        Never waits for the writer to get on: what it waits for may be an answer that comes behind. What is too much to
        keep until then is lost, and told with ENOBUFS.
        """
        if self._thread is None:
            # A daemon: what waits in the kernel is let go when the connection ends, not when we do.
            self._thread = threading.Thread(target=self._write, daemon=True, name="notifications")
            self._thread.start()
        waiting = self._given - self._taken
        if waiting + len(message) > _MOST:
            self._watcher.broken(message[:_SHOWN], OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS)), None)
            return
        written = threading.Event()
        self._given += len(message)
        self._queue.put((message, written))
        if not waiting:
            written.wait(_MOMENT)

    def close(self) -> None:
        """Before `device` is, whose number may soon be another's: what still waits is not written."""
        self._closed = True
        self._queue.put((b"", threading.Event()))

    def _write(self) -> None:
        while True:
            message, written = self._queue.get()
            if self._closed:
                return
            try:
                os.write(self._device, message)
            except OSError as error:
                if error.errno not in ENDS:
                    self._watcher.broken(message[:_SHOWN], error, None)
            self._taken += len(message)
            written.set()
