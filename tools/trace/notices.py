"""Notifications of a server, passed on by a thread of their own.

The kernel keeps the writer of INVAL_ENTRY waiting until a MKDIR in that directory was answered, and that of INVAL_INODE
until a READ of that inode was (measured on Linux 6.18). The relay's thread has to bring those very answers.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["Notices"]

_MOMENT: Final = 0.002
"""Seconds that the relay waits for one to be written: nearly always it is, and then all stays in the server's order."""
_MOST: Final = 4096


class Notices:
    """Writes notifications to `device` in their order; `failed` is told what the kernel says to them."""

    def __init__(self, device: int, failed: Callable[[bytes, OSError], None]) -> None:
        self._device = device
        self._failed = failed
        self._queue: queue.Queue[tuple[bytes, threading.Event]] = queue.Queue(_MOST)
        self._thread: threading.Thread | None = None

    def send(self, message: bytes) -> None:
        """Passes one on, at once or a little later."""
        if self._thread is None:
            # A daemon: what waits in the kernel is let go when the connection ends, not when we do.
            self._thread = threading.Thread(target=self._write, daemon=True, name="notifications")
            self._thread.start()
        written = threading.Event()
        self._queue.put((message, written))
        written.wait(_MOMENT)

    def _write(self) -> None:
        while True:
            message, written = self._queue.get()
            try:
                os.write(self._device, message)
            except OSError as error:
                self._failed(message, error)
            written.set()
