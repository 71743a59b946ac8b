"""Descriptors of the device, of the real one and of ours, with the same methods."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import struct
import threading

from rawfuse.mount import open_device, set_sync_init
from rawfuse.session.device import Asleep, Descriptor

__all__ = ["Descriptor", "FakeDescriptor", "RealDescriptor", "unmounted"]

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE = 0x8004E500
_A_WHILE = 0.1
"""Seconds after which a read(2) that has not returned is asleep."""


class RealDescriptor:
    """/dev/fuse as `Descriptor` is; a read that sleeps goes on in a thread, whose result `woken` gives."""

    def __init__(self, *, blocking: bool = False, sync_init: bool = False) -> None:
        self.fd = open_device()
        os.set_blocking(self.fd, blocking)
        self._sleeps = blocking or sync_init
        self._results: list[bytes | OSError] = []
        self._reader: threading.Thread | None = None
        if sync_init:
            set_sync_init(self.fd)

    def read(self, size: int) -> bytes:
        if not self._sleeps:
            return os.read(self.fd, size)
        self._reader = threading.Thread(target=self._read, args=(size,), daemon=True)
        self._reader.start()
        return self._result(_A_WHILE)

    def woken(self, size: int) -> bytes:
        """What the read that slept came to."""
        return self._result(5)

    def signal(self) -> None:
        """The sleeping reader gets one."""
        assert self._reader is not None
        signal.pthread_kill(self._reader.ident or 0, signal.SIGUSR1)

    def _read(self, size: int) -> None:
        # os.read would read again after a signal (PEP 475).
        buffer = ctypes.create_string_buffer(size)
        length = _libc.read(self.fd, buffer, size)
        number = ctypes.get_errno()
        self._results.append(buffer.raw[:length] if length >= 0 else OSError(number, os.strerror(number)))

    def _result(self, patience: float) -> bytes:
        assert self._reader is not None
        self._reader.join(patience)
        if self._reader.is_alive():
            raise Asleep
        result = self._results.pop()
        if isinstance(result, OSError):
            raise result
        return result

    def write(self, message: bytes) -> None:
        os.write(self.fd, message)

    def poll(self) -> int:
        poll = select.poll()
        poll.register(self.fd, select.POLLIN | select.POLLOUT)
        return next(iter(poll.poll(0)), (self.fd, 0))[1]

    def clone(self, of: RealDescriptor) -> None:
        fcntl.ioctl(self.fd, _CLONE, struct.pack("=I", of.fd))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class FakeDescriptor(Descriptor):
    """A read that slept is done once more."""

    _signalled = False

    def signal(self) -> None:
        self._signalled = True

    def woken(self, size: int) -> bytes:
        return self.read(size, signalled=self._signalled)


def unmounted(kind: str, **options: bool) -> RealDescriptor | FakeDescriptor:
    return RealDescriptor(**options) if kind == "real" else FakeDescriptor(**options)
