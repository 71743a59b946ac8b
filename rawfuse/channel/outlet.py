"""Messages that the kernel may hold back, on their way out while everything else goes on."""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import Final

import trio

from rawfuse.channel.apart import ApartThread
from rawfuse.channel.base import Channel, ChannelClosed
from rawfuse.channel.holder import ENDS, MessageFd

__all__ = ["HELD", "MOST_THREADS", "Outlet"]

HELD: Final = 0.05
"""Seconds after which a message that waits for a thread gets one of its own, as that thread's write is held."""

MOST_THREADS: Final = 8
"""How many writes can be held before others, about other inodes, wait with them."""


class _Message:
    __slots__ = ("about", "data", "done", "error")

    def __init__(self, about: int | None, data: bytes) -> None:
        self.about = about
        self.data = data
        self.done = trio.Event()
        self.error = 0


class Outlet:
    """Writes to `channel` from a thread of its own, and from others where that one's write is held.

    Messages about the same inode go out in the order they were given; those about others may overtake them.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._nursery: trio.Nursery | None = None
        self._wake = -1
        self._waiting: deque[_Message] = deque()
        self._writing: dict[ApartThread, _Message | None] = {}

    @property
    def threads(self) -> int:
        return len(self._writing)

    def attach(self, nursery: trio.Nursery) -> None:
        """The nursery to work in; the server's own."""
        self._nursery = nursery

    async def write(self, about: int | None, data: bytes) -> None:
        """Writes one message, about the inode `about`, and returns when the kernel has taken it.

        Cancelled, it returns at once: a message that waited is not written then, one whose write is held still is.
        Raises OSError as the kernel judged, or ChannelClosed.
        """
        if self._nursery is None:
            raise ChannelClosed("notifications are sent while the server serves")
        if not isinstance(self._channel, MessageFd):
            self._channel.send([data])
            return
        message = _Message(about, data)
        self._waiting.append(message)
        if not self._writing:
            self._one_more(self._channel, self._nursery)
        self._hand_out()
        try:
            with trio.move_on_after(HELD):
                await message.done.wait()
            if message in self._waiting and len(self._writing) < MOST_THREADS and not self._busy(about):
                self._one_more(self._channel, self._nursery)
                self._hand_out()
            await message.done.wait()
        finally:
            if message in self._waiting:
                self._waiting.remove(message)
        if message.error in ENDS:
            raise ChannelClosed(f"the connection is over: {os.strerror(message.error)}")
        if message.error:
            raise OSError(message.error, os.strerror(message.error))

    def end(self) -> None:
        """Serving is over: who waits gets ChannelClosed. To be called before the channel is closed; a held write ends
        by that, and its thread with it."""
        self._nursery = None
        for message in (*self._waiting, *self._writing.values()):
            if message is not None:
                message.error = errno.ENODEV
                message.done.set()
        for thread in self._writing:
            thread.jobs.put(None)
        self._waiting.clear()
        self._writing.clear()
        wake, self._wake = self._wake, -1
        if wake >= 0:
            trio.lowlevel.notify_closing(wake)
            os.close(wake)

    def _one_more(self, channel: MessageFd, nursery: trio.Nursery) -> None:
        if channel.fileno() < 0:
            raise ChannelClosed("the channel was closed")
        if self._wake < 0:
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            nursery.start_soon(self._take_results)
        self._writing[ApartThread(channel.fileno(), channel.another, self._wake)] = None

    def _busy(self, about: int | None) -> bool:
        return about is not None and any(m is not None and m.about == about for m in self._writing.values())

    def _hand_out(self) -> None:
        for thread, writing in self._writing.items():
            if writing is None:
                message = next((message for message in self._waiting if not self._busy(message.about)), None)
                if message is None:
                    return
                self._waiting.remove(message)
                self._writing[thread] = message
                thread.jobs.put(message.data)

    async def _take_results(self) -> None:
        while self._wake >= 0:
            await trio.lowlevel.wait_readable(self._wake)
            os.eventfd_read(self._wake)
            for thread, message in self._writing.items():
                if message is not None and not thread.results.empty():
                    message.error = thread.results.get()
                    message.done.set()
                    self._writing[thread] = None
            self._hand_out()
