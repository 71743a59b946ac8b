"""Two ends that exchange messages: over a socket, or within one process."""

from __future__ import annotations

from typing import Protocol

import trio

from mfs.control.frames import BrokenFrame, FrameReader, Message, encode

__all__ = ["Link", "LinkLost", "MemoryLink", "SocketLink", "memory_pair"]

_READ = 256 << 10
_QUEUE = 4
"""Messages under way between two ends in one process: at most 4 MiB."""


class LinkLost(Exception):
    """The other end is gone."""


class Link(Protocol):
    """One end.  Messages arrive in order; who sends waits while the other end does not receive."""

    async def send(self, message: Message) -> None:
        """Send one message.  LinkLost."""

    async def receive(self) -> Message | None:
        """The next message; None when the other end has closed.  LinkLost, BrokenFrame."""

    async def aclose(self) -> None:
        """Close this end."""


class SocketLink:
    """Messages as frames over a connected stream socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._reader = FrameReader()

    async def send(self, message: Message) -> None:
        try:
            await self._stream.send_all(encode(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkLost("the other end of the control socket is gone") from error

    async def receive(self) -> Message | None:
        while (message := self._reader.next()) is None:
            try:
                received = await self._stream.receive_some(_READ)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise LinkLost("the other end of the control socket is gone") from error
            if not received:
                if not self._reader.empty:
                    raise BrokenFrame("the other end closed in the middle of a frame")
                return None
            self._reader.feed(received)
        return message

    async def aclose(self) -> None:
        await self._stream.aclose()


class MemoryLink:
    """Messages between two tasks, as they are."""

    def __init__(self, out: trio.MemorySendChannel[Message], into: trio.MemoryReceiveChannel[Message]) -> None:
        self._out = out
        self._into = into

    async def send(self, message: Message) -> None:
        try:
            await self._out.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkLost("the other end is gone") from error

    async def receive(self) -> Message | None:
        try:
            return await self._into.receive()
        except trio.EndOfChannel:
            return None
        except trio.ClosedResourceError as error:
            raise LinkLost("the other end is gone") from error

    async def aclose(self) -> None:
        self._out.close()
        self._into.close()


def memory_pair() -> tuple[MemoryLink, MemoryLink]:
    """Two ends in one process."""
    left, right = trio.open_memory_channel[Message](_QUEUE), trio.open_memory_channel[Message](_QUEUE)
    return MemoryLink(left[0], right[1]), MemoryLink(right[0], left[1])
