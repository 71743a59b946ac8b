"""What a channel is: whole messages in, whole messages out, and a way to wait for the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

__all__ = ["Channel", "ChannelClosed", "Parts"]

Parts: TypeAlias = Sequence[bytes | bytearray | memoryview]
"""One message, in pieces that are sent one after another without being joined."""


class ChannelClosed(Exception):
    """The other side is gone, or this channel was closed: no message will come or go any more.

    For a device: unmounted, or aborted by fusectl (ENODEV, ECONNABORTED). For a socket: the peer closed it.
    """


class Channel(Protocol):
    """Moves whole messages. One task reads; any thread may send, each message being one system call."""

    def receive_nowait(self, buffer: bytearray | memoryview) -> int | None:
        """Reads the next message into `buffer` and returns its length in bytes, or None when there is none yet.

        The buffer holds at least 8192 bytes, and max_write + 80 after INIT, or the device says EINVAL.
        Raises ChannelClosed at the end; OSError for anything that is not part of normal life.
        """
        ...

    def poll(self, milliseconds: int) -> bool:
        """Blocks this thread until there is something to read, at most so long; whether there may be something."""
        ...

    async def wait(self) -> None:
        """Waits, as a trio task, until there may be something to read, an end included."""
        ...

    def send(self, parts: Parts) -> None:
        """Sends one message. Raises ChannelClosed, or OSError as the other side judged the message.

        On the device ENOENT means that the request is gone (answered, aborted), EINVAL that the kernel refused the
        reply; a well-framed one is consumed by that and must not be sent again.
        """
        ...

    def send_bytes(self, message: bytes) -> None:
        """`send([message])`, at less cost."""
        ...

    def close(self) -> None:
        """Gives the descriptor back. May be called again. Whoever waits is woken with trio.ClosedResourceError."""
        ...
