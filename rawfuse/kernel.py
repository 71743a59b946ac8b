"""A kernel to drive a server with: `KernelSession` over a channel, under trio. No mount, no privileges."""

from __future__ import annotations

import errno
import sys
from collections import deque
from types import TracebackType
from typing import Final

import trio

from rawfuse.channel.base import Channel, ChannelClosed
from rawfuse.session.kernel_session import Answered, KernelSession, Refused, failure, label
from rawfuse.wire import Interrupt, Notification, Request, fuse_init_out
from rawfuse.wire.constants import FUSE_UNIQUE_RESEND
from rawfuse.wire.replies import ReplyValue

__all__ = ["KEPT", "Kernel"]

KEPT: Final = 1024
"""How many notifications, and how many refusals, a kernel remembers of a server that may send them without end."""

_BUFFER: Final = (1 << 20) + 8192


class Kernel:
    """Sends requests over `channel` (an AF_UNIX SOCK_SEQPACKET socket to the server) and waits for their replies.

    An asynchronous context manager: inside, replies are read by a task of its own.

    Attributes:
        notifications: what the server sent unasked, in order, the last KEPT of it.
        refused: replies that Linux would have refused, the last KEPT of them.
    """

    def __init__(self, channel: Channel, session: KernelSession | None = None) -> None:
        self.channel = channel
        self.session = session or KernelSession()
        self.notifications: deque[Notification] = deque(maxlen=KEPT)
        self.refused: deque[Exception] = deque(maxlen=KEPT)
        self._waiting: dict[int, tuple[trio.Event, list[Answered | Exception]]] = {}
        self._manager = trio.open_nursery()
        self._closed = False

    async def __aenter__(self) -> Kernel:
        nursery = await self._manager.__aenter__()
        nursery.start_soon(self._read)
        self._nursery = nursery
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._nursery.cancel_scope.cancel()
        try:
            return await self._manager.__aexit__(kind, error, traceback)
        finally:
            self._end("this kernel was stopped")
            self.channel.close()

    async def init(self) -> fuse_init_out:
        """INIT and its answer. Raises OSError where the server refused."""
        value = await self._exchange(self.session.init())
        if not isinstance(value, fuse_init_out):
            raise TypeError(f"INIT was answered with {value!r}")
        return value

    async def call(self, request: Request) -> ReplyValue:
        """Sends `request` and returns its decoded reply.

        Raises OSError for an error reply (the server's errno, whatever Linux makes of it; EIO for content that Linux
        does not believe), RemoteProtocolError for one that Linux refuses, ChannelClosed. When cancelled it sends an
        INTERRUPT and goes on waiting no longer.
        """
        return await self._exchange(self.session.request(request))

    async def interrupt(self, target: int) -> None:
        """Tells the server that the caller of request `target` got a signal."""
        self.channel.send_bytes(self.session.interrupt(target))
        await trio.lowlevel.checkpoint()

    def post(self, request: Request) -> None:
        """Sends a request that takes no reply: FORGET, BATCH_FORGET."""
        self.channel.send_bytes(self.session.request(request))

    async def _exchange(self, message: bytes) -> ReplyValue:
        unique = int.from_bytes(message[8:16], sys.byteorder)
        waiting = self._waiting[unique] = (trio.Event(), [])
        try:
            if self._closed:
                raise ChannelClosed("the server has closed the channel")
            self.channel.send_bytes(message)
            await waiting[0].wait()
        except trio.Cancelled:
            if not self._closed and Interrupt.opcode not in self.session.absent:
                self.channel.send_bytes(self.session.interrupt(unique))
            raise
        finally:
            del self._waiting[unique]
        answer = waiting[1][0]
        if isinstance(answer, Exception):
            raise answer
        if answer.errno:
            raise failure(answer)
        if answer.seen:
            raise OSError(answer.seen, f"{label(answer.request)}: {errno.errorcode[answer.seen]}, not believed")
        return answer.value

    async def _read(self) -> None:
        buffer = bytearray(_BUFFER)
        try:
            while True:
                length = self.channel.receive_nowait(buffer)
                if length is None:
                    await self.channel.wait()
                else:
                    self._take(bytes(memoryview(buffer)[:length]))
        except (ChannelClosed, trio.ClosedResourceError) as end:
            self._end(str(end))

    def _end(self, why: str) -> None:
        self._closed = True
        for event, answers in self._waiting.values():
            answers.append(ChannelClosed(why))
            event.set()

    def _take(self, message: bytes) -> None:
        try:
            what = self.session.receive(message)
        except Refused as error:
            self.refused.append(error)
            if error.unique is not None and error.consumed:
                self._hand(error.unique, error)
            return
        for _, resent in self.session.take_outgoing():
            self.channel.send_bytes(resent)
        if isinstance(what, Answered):
            self._hand(what.request.unique, what)
        elif what is not None:
            self.notifications.append(what)

    def _hand(self, unique: int, answer: Answered | Exception) -> None:
        waiting = self._waiting.get(unique & ~FUSE_UNIQUE_RESEND)
        if waiting is not None:
            waiting[1].append(answer)
            waiting[0].set()
