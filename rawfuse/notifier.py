"""Notifications: what a server tells the kernel without being asked."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Final

import trio

from rawfuse.channel.base import Channel, ChannelClosed
from rawfuse.channel.outlet import Outlet
from rawfuse.errors import LocalProtocolError
from rawfuse.session.negotiation import Negotiated
from rawfuse.session.replies import Bytes
from rawfuse.trace.recorder import Recorder
from rawfuse.wire import (
    Notification,
    NotifyDelete,
    NotifyIncEpoch,
    NotifyInvalEntry,
    NotifyInvalInode,
    NotifyPoll,
    NotifyPrune,
    NotifyReply,
    NotifyResend,
    NotifyRetrieve,
    NotifyStore,
    fuse_notify_delete_out,
    fuse_notify_inval_entry_out,
    fuse_notify_inval_inode_out,
    fuse_notify_poll_wakeup_out,
    fuse_notify_prune_out,
    fuse_notify_retrieve_out,
    fuse_notify_store_out,
)
from rawfuse.wire.flags import InitFlags, InvalEntryFlags
from rawfuse.wire.requests import encode_notification

__all__ = ["Notifier"]

_log = logging.getLogger("rawfuse.notify")
_SINCE: Final[dict[type, int]] = {NotifyIncEpoch: 44, NotifyPrune: 45}
"""The minor that must have been negotiated; all others are older than any kernel that is served."""


class Notifier:
    """Writes notifications from a thread of their own, in their order.

    The kernel holds a notification's write(2) back until requests on the same inode or name are answered (measured on
    Linux 6.18: INVAL_ENTRY against a MKDIR in flight, INVAL_INODE against a READ), which on the event loop's thread
    nobody could do any more. For the same reason a handler must not await a notification about the inode or directory
    that its own request is about: it uses `soon`. Those about other inodes overtake one that is held; cancelling who
    awaits a held one, the end of serving, and the program's death let nobody hang (`rawfuse.channel.apart`).

    Every method raises OSError as the kernel judged: ENOENT for an inode or name that it does not know, which is
    success for an invalidation and is therefore not raised there; LocalProtocolError for what the negotiated minor
    or flags do not have, and before INIT; ChannelClosed.
    """

    def __init__(self, channel: Channel, negotiated: Callable[[], Negotiated]) -> None:
        self.recorders: tuple[Recorder, ...] = ()
        """Who is given what is sent; see `rawfuse.Server.record`."""
        self._outlet = Outlet(channel)
        self._negotiated = negotiated
        self._uniques = itertools.count(1)
        self._retrieving: dict[int, tuple[trio.Event, list[tuple[int, bytes]]]] = {}
        self._nursery: trio.Nursery | None = None

    @property
    def retrieving(self) -> int:
        """How many `retrieve` wait for their bytes."""
        return len(self._retrieving)

    def attach(self, nursery: trio.Nursery) -> None:
        """The nursery in which `soon` starts its tasks; the server's own."""
        self._nursery = nursery
        self._outlet.attach(nursery)

    def soon(self, notify: Callable[..., object], *arguments: object) -> None:
        """Sends from a task of its own, e.g. `soon(notify.inval_inode, nodeid)`; errors are logged."""
        if self._nursery is None:
            raise LocalProtocolError("notifications are sent while the server serves")
        self._nursery.start_soon(self._logged, notify, arguments)

    async def _logged(self, notify: Callable[..., object], arguments: tuple[object, ...]) -> None:
        try:
            await notify(*arguments)  # type: ignore[misc]
        except ChannelClosed:
            return
        except OSError as error:
            _log.warning("%s%r: %s", getattr(notify, "__name__", notify), arguments, error)

    async def inval_inode(self, nodeid: int, offset: int = 0, length: int = 0) -> bool:
        """Forget an inode's attributes, and `length` bytes of its pages from `offset` (0: all from there on; a
        negative offset: none). False where the kernel does not know the inode."""
        return await self._inval(nodeid, NotifyInvalInode(fuse_notify_inval_inode_out(nodeid, offset, length)))

    async def inval_entry(self, parent: int, name: bytes, *, expire_only: bool = False) -> bool:
        """Forget a name, present or absent, or with `expire_only` (7.38) only look it up again on its next use.
        False where the kernel does not know it."""
        flags = 0
        if expire_only:
            self._need(InitFlags.FUSE_HAS_EXPIRE_ONLY)
            flags = InvalEntryFlags.FUSE_EXPIRE_ONLY
        arg = fuse_notify_inval_entry_out(parent, len(name), flags)
        return await self._inval(parent, NotifyInvalEntry(arg, name))

    async def delete(self, parent: int, child: int, name: bytes) -> bool:
        """A name was removed behind the kernel's back; tells inotify too. False where the kernel does not know it."""
        return await self._inval(parent, NotifyDelete(fuse_notify_delete_out(parent, child, len(name)), name))

    async def store(self, nodeid: int, offset: int, data: Bytes) -> None:
        """Puts bytes into a file's page cache, beyond its size too; whole pages become up to date."""
        await self._send(nodeid, NotifyStore(fuse_notify_store_out(nodeid, offset, len(data)), data))

    async def retrieve(self, nodeid: int, offset: int, size: int) -> bytes:
        """Bytes of a file that the kernel has in its page cache, from `offset` on, up to the first page it lacks."""
        unique = next(self._uniques)
        event, answer = self._retrieving[unique] = (trio.Event(), [])
        try:
            await self._send(nodeid, NotifyRetrieve(fuse_notify_retrieve_out(unique, nodeid, offset, size)))
            await event.wait()
        finally:
            del self._retrieving[unique]
        if not answer:
            raise ChannelClosed("the connection ended before the bytes came")
        return answer[0][1]

    def end(self) -> None:
        """Serving is over: who waits gets ChannelClosed."""
        self._nursery = None
        self._outlet.end()
        for event, _ in self._retrieving.values():
            event.set()

    def retrieved(self, reply: NotifyReply) -> None:
        """Takes the NOTIFY_REPLY that answers `retrieve`."""
        waiting = self._retrieving.get(reply.unique)
        if waiting is None:
            _log.warning("NOTIFY_REPLY %d, which nobody asked for", reply.unique)
            return
        event, answer = waiting
        answer.append((reply.arg.offset, bytes(reply.data)))
        event.set()

    async def poll(self, kh: int) -> None:
        """Wakes who polls `kh`, a POLL's handle that asked for it."""
        await self._send(None, NotifyPoll(fuse_notify_poll_wakeup_out(kh)))

    async def resend(self) -> None:
        """Has every request in flight read again, under a new unique with bit 63 set (7.40)."""
        self._need(InitFlags.FUSE_HAS_RESEND)
        await self._send(None, NotifyResend())

    async def inc_epoch(self) -> None:
        """Makes the kernel look up every name again on its next use (7.44)."""
        self._need_minor(NotifyIncEpoch)
        await self._send(None, NotifyIncEpoch())

    async def prune(self, nodeids: list[int]) -> None:
        """Asks the kernel to forget inodes that nobody uses (7.45)."""
        self._need_minor(NotifyPrune)
        await self._send(None, NotifyPrune(fuse_notify_prune_out(len(nodeids)), nodeids))

    def _need(self, flag: InitFlags) -> None:
        if not self._negotiated().flags & flag:
            raise LocalProtocolError(f"{flag.name} was not agreed on at INIT")

    def _need_minor(self, kind: type) -> None:
        minor, since = self._negotiated().minor, _SINCE[kind]
        if minor < since:
            raise LocalProtocolError(f"{kind.__name__} came with 7.{since}; this connection speaks 7.{minor}")

    async def _inval(self, about: int, message: Notification) -> bool:
        try:
            await self._send(about, message)
        except FileNotFoundError:
            return False
        return True

    async def _send(self, about: int | None, message: Notification) -> None:
        data = encode_notification(message, self._negotiated().minor)
        for recorder in self.recorders:
            recorder.reply((data,))
        await self._outlet.write(about, data)
