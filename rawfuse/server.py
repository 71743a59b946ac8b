"""The dispatcher: reads requests, calls a file system's methods, sends what they answer.

Two system calls and one call of a method are all that a request needs; everything here is arranged around that. The
loop runs in one trio task. Methods are called in it, not in tasks of their own: a task for every request costs a third
to three quarters of the throughput. Where the queue is empty it first gives the CPU to whoever is about to ask again,
then sleeps in poll(2) for a millisecond if nothing else of this program is ready to run, and only then goes back to
the event loop; coming back from there costs some 15 us.
"""

from __future__ import annotations

import copy
import errno
import logging
import os
from collections.abc import Awaitable
from concurrent.futures import Future
from functools import partial
from time import perf_counter
from typing import Any, Final

import trio

from rawfuse.channel.base import Channel, ChannelClosed, Parts
from rawfuse.channel.device import DeviceChannel
from rawfuse.channel.seqpacket import LINGER, SeqpacketChannel
from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.filesystem import Filesystem
from rawfuse.handlers import absent, handlers_of, preferences_of
from rawfuse.late import LateReplies
from rawfuse.notifier import Notifier
from rawfuse.session.negotiation import Negotiated
from rawfuse.session.replies import Reply
from rawfuse.session.server_session import ServerSession
from rawfuse.trace.recorder import Recorder, TracedChannel
from rawfuse.wire import BatchForget, Forget, Interrupt, NotifyReply, Request
from rawfuse.wire.replies import MAX_ERRNO

__all__ = ["Server"]

_log = logging.getLogger("rawfuse.server")

SLICE: Final = 0.001
"""Seconds that the loop goes on reading before other tasks run."""

BUSY_SLICE: Final = 0.00025
"""The same while handlers wait in tasks of their own."""

SLOW_YIELD: Final = 0.0002
"""Seconds after which giving the CPU away was a mistake: others want it more than our clients do."""

YIELD_PAUSE: Final = 256
"""How many times it is not done after that."""

MOST_LOOKS: Final = 16
"""How often the queue is looked at, some 1.3 us each, before this thread sleeps."""

SPARE_BUFFERS: Final = 8

EARLY_INTERRUPTS: Final = 256
"""How many interrupts are kept for requests that have not come; the oldest are given up first."""

_SILENT: Final = object()
"""What the server's own handlers return for requests that take no reply."""


class Server:
    """Serves `filesystem` over `channel`, which it owns: serving ends by closing it.

    Args:
        max_write: bytes, the largest WRITE; default the file system's own. READs are as large.
        readers: how many tasks read requests, each by a descriptor of its own (`DeviceChannel.clone`), by which it
            answers too. They share one thread, so this makes nothing faster; closing such a descriptor fails those
            requests alone that came by it.

    Attributes:
        notify: sends notifications to the kernel.
        initialized: a trio.Event, set when INIT was answered.
        ended: a trio.Event, set when serving is over.
    """

    def __init__(
        self, filesystem: Filesystem, channel: Channel, *, max_write: int | None = None, readers: int = 1
    ) -> None:
        if readers < 1 or (readers > 1 and not isinstance(channel, DeviceChannel)):
            raise ValueError(f"{readers} readers: at least 1, and more only of a device, which has clones")
        self.filesystem = filesystem
        self.channel = channel
        self.initialized = trio.Event()
        self.ended = trio.Event()
        self.session = ServerSession(preferences_of(filesystem, max_write))
        self.notify = Notifier(channel, self.session.require)
        self._handlers = handlers_of(filesystem)
        self._handlers[Forget.opcode] = self._forget
        self._handlers[BatchForget.opcode] = self._batch_forget
        self._handlers[Interrupt.opcode] = self._interrupt
        self._handlers[NotifyReply.opcode] = self._notify_reply
        self._running: dict[int, trio.CancelScope | Future[Any]] = {}
        self._late = LateReplies()
        self._early: dict[int, None] = {}
        self._buffer_size = max(8192, 80 + (filesystem.max_write if max_write is None else max_write))
        self._buffer = bytearray(self._buffer_size)
        self._spare: list[bytearray] = []
        self._no_yield = 0
        self._looks = 1
        self._socket = channel if isinstance(channel, SeqpacketChannel) and channel.another_process else None
        self._nursery: trio.Nursery | None = None
        self._readers = readers
        self._twins: list[Server] = []
        self._recorders: tuple[Recorder, ...] = ()
        self._via = channel
        """What messages go through: the channel itself, or what records around it."""
        filesystem.server = self

    @property
    def negotiated(self) -> Negotiated:
        """What INIT agreed on. Raises LocalProtocolError before."""
        return self.session.require()

    def record(self, recorder: Recorder) -> None:
        """Gives `recorder` every message from now on, notifications too; what is in flight it sees the replies of.

        Any thread may call it. While nothing is recorded nothing is paid for it.
        """
        self._set_recorders((*self._recorders, recorder))

    def stop_recording(self, recorder: Recorder) -> None:
        """No more for `recorder`. Any thread may call it."""
        self._set_recorders(tuple(one for one in self._recorders if one is not recorder))

    def _set_recorders(self, recorders: tuple[Recorder, ...]) -> None:
        self._recorders = self.notify.recorders = recorders
        for number, reader in enumerate((self, *self._twins)):
            reader._via = _recorded(reader.channel, recorders, number)

    async def serve(self, *, task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves until the file system is unmounted, the peer is gone, or it is cancelled; closes the channel.

        `task_status` is told as soon as requests are read; `initialized` says when INIT was answered. Handlers that
        still wait at the end are cancelled.

        Raises:
            KernelTooOld: the kernel's protocol is older than 7.28.
            ForeignByteOrder: the peer is of the other byte order, which its INIT shows; it was not answered.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.notify.attach(nursery)
                task_status.started(self)
                try:
                    await self._loop()
                except (ChannelClosed, trio.ClosedResourceError) as end:
                    _log.debug("serving ends: %s", end)
                nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self.ended.set()
            self.notify.end()
            self._late.end()
            for reader in (*self._twins, self):
                reader.channel.close()
            if self.session.negotiated is not None:
                self.filesystem.destroy()
        if self.session.refused is not None:
            raise self.session.refused

    def _more_readers(self, nursery: trio.Nursery) -> None:
        for _ in range(1, self._readers):
            twin = copy.copy(self)  # all is shared but what a reader has for itself
            twin.channel = self.channel.clone()  # type: ignore[attr-defined]
            twin._via = _recorded(twin.channel, self._recorders, len(self._twins) + 1)
            twin._buffer, twin._spare = bytearray(self._buffer_size), []
            self._twins.append(twin)
            nursery.start_soon(twin._read_on)

    async def _read_on(self) -> None:
        try:
            await self._loop()
        except (ChannelClosed, trio.ClosedResourceError) as end:
            _log.debug("a reader ends: %s", end)

    async def _loop(self) -> None:
        channel = self.channel
        while self.session.refused is None:
            if self._socket is not None:
                await self._linger(self._socket)
                continue
            end = perf_counter() + (BUSY_SLICE if self._running else SLICE)
            while self._burst(end):
                if not self._may_sleep() or not channel.poll(1):
                    await channel.wait()
                    break
                self._looks = min(MOST_LOOKS, self._looks << 2)  # looking a little longer would have found it
            else:
                await trio.lowlevel.checkpoint()

    async def _linger(self, channel: SeqpacketChannel) -> None:
        """One turn of the loop, for a socket to another program. Within one, the messages come from a task of ours."""
        alone = self._may_sleep(LINGER)
        channel.linger(alone)
        if self._burst(perf_counter() + (SLICE if alone else BUSY_SLICE)):
            await channel.wait()
        else:
            await trio.lowlevel.checkpoint()

    def _may_sleep(self, seconds: float = SLICE) -> bool:
        """Whether nothing of this program would miss this thread for so long."""
        if self._running:
            return False
        now = trio.lowlevel.current_statistics()
        return not now.tasks_runnable and not now.run_sync_soon_queue_size and now.seconds_to_next_deadline > seconds

    @trio.lowlevel.enable_ki_protection
    def _burst(self, end: float) -> bool:
        """Handles what is queued; True when it ran out of messages, False when `end` (perf_counter) came first.

        Protected from KeyboardInterrupt, which would otherwise come in the middle of a request.
        """
        receive, decode, frame, send = (
            self._via.receive_nowait,
            self.session.receive,
            self.session.reply,
            self._via.send,
        )
        handlers, buffer, clock = self._handlers, self._buffer, perf_counter
        while True:
            length = receive(buffer)
            if length is None:
                length = self._receive_after_yield()
                if length is None:
                    return True
            try:
                request = decode(buffer, length)
            except RemoteProtocolError as error:
                self._malformed(error)
                if self.session.refused is not None:
                    return False
                continue
            if request is None:
                self._session_spoke()
                if self.session.refused is not None:
                    return False
                continue
            try:
                value = (handlers.get(request.opcode) or absent)(request)
            except Exception as error:  # noqa: BLE001 - answered and logged there
                self._failed(request, error)
            else:
                if value.__class__ is bytes:
                    try:
                        send(frame(request, value))
                    except (LocalProtocolError, OSError, ChannelClosed) as error:
                        self._unsent(request, error)
                elif value is not _SILENT:
                    self._answer(request, value)
                    value = None  # views of what the next request may resize
                    buffer = self._buffer
            if clock() > end:
                return False

    def _receive_after_yield(self) -> int | None:
        """Lets others run on this CPU and looks again, as often as that has paid lately.

        A client on the same CPU has asked again after the first time, at a cost of 1 us where sleeping takes 5; one on
        another CPU after some ten, which takes 40 us a round trip where sleeping and being woken takes 75 (measured).
        """
        if self._socket is not None and self._socket.lingers:
            return None
        if self._no_yield:
            self._no_yield -= 1
            return None
        receive, buffer = self._via.receive_nowait, self._buffer
        before = perf_counter()
        for _ in range(self._looks):
            os.sched_yield()
            length = receive(buffer)
            if length is not None:
                return length
            now = perf_counter()
            if now - before > SLOW_YIELD:
                self._no_yield = YIELD_PAUSE
                return None
            before = now
        self._looks = max(1, self._looks >> 1)
        return None

    def _session_spoke(self) -> None:
        """Sends what the session answered by itself, INIT above all."""
        for message in self.session.take_outgoing():
            self._via.send_bytes(message)
        agreed = self.session.negotiated
        if agreed is not None and not self.initialized.is_set():
            self.initialized.set()
            self.filesystem.init(agreed)
            if self._readers > 1 and self._nursery is not None:
                self._more_readers(self._nursery)

    def _malformed(self, error: RemoteProtocolError) -> None:
        _log.error("malformed request: %s", error)
        if error.unique:
            self._send([self.session.error(error.unique, errno.EIO)], error)

    def _answer(self, request: Request, value: Reply) -> None:
        """Anything but bytes: None, structs, parts, absence, or something to wait for."""
        if value is NotImplemented:
            self._send([self.session.error(request.unique, errno.ENOSYS)], request)
        elif isinstance(value, Awaitable):
            self._start(request, value)
        elif isinstance(value, Future):
            self._running[request.unique] = value
            if request.unique in self._early:
                del self._early[request.unique]
                value.cancel()
            self._late.add(value, partial(self._promised, request, self._keep(request)))
        else:
            try:
                parts = self.session.reply(request, value)
            except Exception as error:  # noqa: BLE001 - answered and logged there
                # Not the session's judgement alone: a struct with a member that does not fit, a released memoryview.
                self._unsent(request, error)
            else:
                self._send(parts, request)

    def _start(self, request: Request, waiting: Awaitable[Any]) -> None:
        """Makes a task of a handler that waits."""
        if self._nursery is None:
            raise LocalProtocolError("a handler can wait only while the server serves")
        kept = self._keep(request)
        if self._socket is not None:
            self._socket.linger(False)
        scope = self._running[request.unique] = trio.CancelScope()
        if request.unique in self._early:
            del self._early[request.unique]
            scope.cancel()
        self._nursery.start_soon(self._run, request, waiting, scope, kept, name=type(request).__name__)

    def _keep(self, request: Request) -> bytearray | None:
        """Leaves the read buffer to a request that is answered later, where its payload lies in there."""
        if not isinstance(getattr(request, "data", None), memoryview):
            return None
        kept = self._buffer
        self._buffer = self._spare.pop() if self._spare else bytearray(self._buffer_size)
        return kept

    def _give_back(self, kept: bytearray | None) -> None:
        if kept is not None and len(self._spare) < SPARE_BUFFERS:
            self._spare.append(kept)

    def _promised(self, request: Request, kept: bytearray | None, future: Future[Any]) -> None:
        """Answers with what a future came to, in the thread that completed it."""
        self._running.pop(request.unique, None)
        if future.cancelled():
            self._send([self.session.error(request.unique, errno.EINTR)], request)
        elif (error := future.exception()) is not None:
            self._failed(request, error)
        elif isinstance(value := future.result(), Awaitable | Future):
            self._failed(request, TypeError("a future came to something that has to be waited for"))
        else:
            self._answer(request, value)
        self._give_back(kept)

    async def _run(
        self, request: Request, waiting: Awaitable[Any], scope: trio.CancelScope, kept: bytearray | None
    ) -> None:
        try:
            with scope:
                try:
                    value = await waiting
                except Exception as error:  # noqa: BLE001 - answered and logged there
                    self._failed(request, error)
                else:
                    # From here on the reply is on its way: an interrupt comes too late.
                    self._running.pop(request.unique, None)
                    if isinstance(value, Awaitable | Future):
                        self._failed(request, TypeError("a coroutine returned another one; await it inside"))
                    else:
                        self._answer(request, value)
            if scope.cancelled_caught:
                self._send([self.session.error(request.unique, errno.EINTR)], request)
        except BaseException:
            # Serving was cancelled: nobody is left hanging.
            self._send([self.session.error(request.unique, errno.EINTR)], request)
            raise
        finally:
            self._running.pop(request.unique, None)
            self._give_back(kept)

    def _failed(self, request: Request, error: BaseException) -> None:
        """Answers with the errno of an OSError; anything else is a defect, logged and answered with EIO."""
        number = error.errno if isinstance(error, OSError) else None
        if number is None or not 0 < number <= MAX_ERRNO or number == errno.ENOSYS:
            # ENOSYS from one unlucky file would switch the operation off for the whole mount.
            _log.error("%r failed", request, exc_info=error)
            number = errno.EIO
        self._send([self.session.error(request.unique, number)], request)

    def _unsent(self, request: Request, error: Exception) -> None:
        """A reply that could not be framed or that the kernel refused."""
        if isinstance(error, OSError):
            self._refused(error, request)
        elif not isinstance(error, ChannelClosed):
            _log.error("%r got a reply that cannot be sent: %r", request, error)
            self._send([self.session.error(request.unique, errno.EIO)], request)

    def _send(self, parts: Parts, about: object) -> None:
        try:
            self._via.send(parts)
        except ChannelClosed as end:
            _log.debug("%r was not answered: %s", about, end)
        except OSError as error:
            self._refused(error, about)

    def _refused(self, error: OSError, about: object) -> None:
        # ENOENT: the request is gone, its caller was killed or the connection aborted. Any other error has consumed
        # the request, so there is nothing left to answer.
        if error.errno != errno.ENOENT:
            _log.error("the reply to %r was refused: %s", about, error)
        if error.errno == errno.EMSGSIZE and isinstance(about, Request):
            # Longer than a socket takes, which a device never says: its peer has not seen it and waits.
            self._send([self.session.error(about.unique, errno.EIO)], about)

    def _forget(self, request: Forget) -> object:
        self._drop(request.nodeid, request.arg.nlookup)
        return _SILENT

    def _batch_forget(self, request: BatchForget) -> object:
        for one in request.forgets:
            self._drop(one.nodeid, one.nlookup)
        return _SILENT

    def _drop(self, nodeid: int, nlookup: int) -> None:
        try:
            self.filesystem.forget(nodeid, nlookup)
        except Exception:  # noqa: BLE001 - a FORGET has no reply to carry an error
            _log.exception("forget(%d, %d) failed", nodeid, nlookup)

    def _interrupt(self, request: Interrupt) -> object:
        target = request.arg.unique
        scope = self._running.get(target)
        if scope is not None:
            scope.cancel()
        else:
            # Its request was answered already, which is not remembered: then it is never looked for. Or it is on its
            # way by another descriptor, and Linux says this once.
            self._early[target] = None
            if len(self._early) > EARLY_INTERRUPTS:
                del self._early[next(iter(self._early))]
        return _SILENT

    def _notify_reply(self, request: NotifyReply) -> object:
        self.notify.retrieved(request)
        return _SILENT


def _recorded(channel: Channel, recorders: tuple[Recorder, ...], descriptor: int) -> Channel:
    for recorder in recorders:
        channel = TracedChannel(channel, recorder, descriptor)
    return channel
