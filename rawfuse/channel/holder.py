"""Ownership of one non-blocking descriptor that moves whole messages by read(2) and write(2)."""

from __future__ import annotations

import errno
import os
import select
from io import FileIO
from typing import Final

import trio

from rawfuse.channel.base import ChannelClosed, Parts

__all__ = ["ENDS", "MessageFd"]

ENDS: Final = frozenset({errno.ENODEV, errno.ECONNABORTED, errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET})
"""What reading and writing say when the other side is gone."""

_SEND_SECONDS: Final = 30


class MessageFd:
    """A descriptor, made non-blocking here and closed here.

    It is read through a FileIO rather than os.readv: an empty queue is then None and not an exception, which saves
    1.5 us where it happens for every message (measured, Python 3.11). Interrupted calls are repeated (PEP 475).
    """

    __slots__ = ("_fd", "_poll", "_readinto", "_write")

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        file = FileIO(fd, "rb+", closefd=False)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        self._fd = fd
        self._readinto = file.readinto
        self._write = file.write
        self._poll = poll

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    @staticmethod
    def another(fd: int) -> int:
        """Another descriptor of what `fd` leads to, for writing apart from it."""
        return os.dup(fd)

    def receive_nowait(self, buffer: bytearray | memoryview) -> int | None:
        try:
            length = self._readinto(buffer)
        except OSError as error:
            self._read_failed(error)
            return None
        except ValueError:
            raise ChannelClosed("the channel was closed") from None
        if length == 0:
            raise ChannelClosed("the other side closed the channel")
        return length

    def _read_failed(self, error: OSError) -> None:
        """Returns where reading again is right: ENOENT is a request that was taken back while it was copied."""
        if error.errno in ENDS:
            raise ChannelClosed(f"the connection is over: {error.strerror}") from None
        if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
            return
        if self._fd < 0:
            raise ChannelClosed("the channel was closed") from None
        raise error

    def poll(self, milliseconds: int) -> bool:
        if self._fd < 0:
            raise ChannelClosed("the channel was closed")
        return bool(self._poll.poll(milliseconds))

    async def wait(self) -> None:
        if self._fd < 0:
            raise ChannelClosed("the channel was closed")
        await trio.lowlevel.wait_readable(self._fd)

    def send(self, parts: Parts) -> None:
        if len(parts) == 1:
            self._send_one(parts[0])
            return
        while True:
            if self._fd < 0:
                raise ChannelClosed("the channel was closed")
            try:
                os.writev(self._fd, parts)
                return
            except BlockingIOError:
                self._wait_writable()
            except OSError as error:
                self._send_failed(error)

    def send_bytes(self, message: bytes) -> None:
        self._send_one(message)

    def _send_one(self, message: bytes | bytearray | memoryview) -> None:
        while True:
            try:
                if self._write(message) is not None:
                    return
            except OSError as error:
                self._send_failed(error)
            except ValueError:
                raise ChannelClosed("the channel was closed") from None
            self._wait_writable()

    def _send_failed(self, error: OSError) -> None:
        if error.errno in ENDS or self._fd < 0:
            raise ChannelClosed(f"the connection is over: {error.strerror}") from None
        raise error

    def _wait_writable(self) -> None:
        """A device always takes a reply; a socket's queue can be full, and then its reader is given a while."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        if not poll.poll(_SEND_SECONDS * 1000):
            raise ChannelClosed(f"the other side has not read for {_SEND_SECONDS} s")

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        # After this a late reader or writer fails instead of meeting a stranger's descriptor of the same number.
        self._readinto = self._write = _closed
        try:
            trio.lowlevel.notify_closing(fd)
        except RuntimeError:  # no event loop runs in this thread: nobody of it waits
            pass
        os.close(fd)

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        if fd >= 0:
            os.close(fd)


def _closed(_: object) -> int | None:
    raise ChannelClosed("the channel was closed")
