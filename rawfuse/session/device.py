"""The device file as Linux serves it, without Linux: a queue, descriptors to read and write it by, and its ends.

`KernelSession` judges messages; this says when each of them can be read, by which descriptor a reply must come, and
what read(2), write(2) and poll(2) say where there is nothing to judge (fs/fuse/dev.c, measured on Linux 6.18). System
calls that fail raise OSError as the real ones do.
"""

from __future__ import annotations

import errno
import os
import select
from collections import deque
from collections.abc import Callable
from typing import Final

from rawfuse.session.kernel_session import Answered, KernelSession, Refused
from rawfuse.wire import (
    BatchForget,
    Destroy,
    Forget,
    Interrupt,
    Notification,
    NotifyRetrieve,
    Request,
    SetXAttr,
    fuse_forget_in,
    fuse_forget_one,
    fuse_in_header,
)
from rawfuse.wire.constants import FUSE_UNIQUE_RESEND
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.replies import answered
from rawfuse.wire.versions import NOT_SENT_BELOW

__all__ = ["Asleep", "Descriptor", "Device"]

_FORGETS_IN_A_ROW: Final = 16
_REQUESTS_IN_A_ROW: Final = 8
_BATCH_HEAD: Final = fuse_in_header.SIZE + 8
_BATCH_SINCE: Final = NOT_SENT_BELOW["FUSE_BATCH_FORGET"]


class Asleep(Exception):
    """read(2) would sleep here: the descriptor is a blocking one, and nothing is queued."""


def _failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Device:
    """One connection: what is queued on it, and who has read what.

    Args:
        session: judges what is written, and makes the messages.
        block: the mount is one of a block device (fuseblk), whose end is a DESTROY.

    Attributes:
        over: what read(2) says since the connection ended: ENODEV or ECONNABORTED; 0 while it has not.
    """

    def __init__(self, session: KernelSession, *, block: bool = False) -> None:
        self.session = session
        self._block = block
        self.over = 0
        self._descriptors: list[Descriptor] = []
        self._pending: deque[tuple[Request | None, bytes]] = deque()
        self._forgets: deque[fuse_forget_one] = deque()
        self._interrupts: dict[int, bytes] = {}
        self._signalled: set[int] = set()
        self._turn = 0
        self._ended: list[Answered] = []

    def mount(self, descriptor: Descriptor) -> None:
        """Connects a fresh descriptor and queues INIT. EINVAL where it is connected already."""
        self._join(descriptor)
        message = self.session.init()
        (request,) = self.session.pending.values()
        self._queue(request, message)

    def call(self, request: Request) -> None:
        """A program wants `request` done; what it gets is among `take_ended` sooner or later.

        Where the server is not asked it ended at once: ENOTCONN when the connection is over, ECONNREFUSED after an
        INIT that failed, or what an opcode comes to whose ENOSYS is remembered.
        """
        if self.over:
            self._ended.append(Answered(request, errno.ENOTCONN, None, b"", errno.ENOTCONN))
            return
        settled = self.session.settled(request)
        if settled is not None:
            self._ended.append(settled)
        else:
            self._queue(request, self.session.request(request))

    def forget(self, nodeid: int, nlookup: int) -> None:
        """The kernel has no use for an inode any more."""
        self.session.known.sent(Forget(nodeid=nodeid, arg=fuse_forget_in(nlookup)))
        self._forgets.append(fuse_forget_one(nodeid, nlookup))

    def signal(self, request: Request, *, fatal: bool = False) -> None:
        """The caller of `request` gets a signal: an INTERRUPT for the first, once the request was read.

        A fatal one takes back what was not read; else the caller waits on, whatever comes.
        """
        unique = request.unique
        if fatal and unique in self.session.unread:
            self._pending = deque(one for one in self._pending if one[0] is not request)
            self._fail(request, errno.EINTR)
        elif unique not in self._signalled:
            self._signalled.add(unique)
            if unique not in self.session.unread:
                self._interrupt(unique)

    def abort(self) -> None:
        """Somebody writes to the connection's file `abort` in fusectl."""
        aborted = bool(self.session.flags & InitFlags.FUSE_ABORT_ERROR)
        self._end(errno.ECONNABORTED if aborted else errno.ENODEV)

    def unmount(self) -> None:
        """The last mount of it is gone. No FORGET comes; DESTROY comes only of a block device, and is waited for."""
        if self._block and not self.over:
            self.call(Destroy())
        else:
            self._end(errno.ENODEV)

    def take_ended(self) -> list[Answered]:
        """What callers got since the last time, answered or not."""
        taken, self._ended = self._ended, []
        return taken

    def _join(self, descriptor: Descriptor) -> None:
        if descriptor._device is not None:
            raise _failure(errno.EINVAL)
        descriptor._device = self
        self._descriptors.append(descriptor)

    def _leave(self, descriptor: Descriptor) -> None:
        self._descriptors.remove(descriptor)
        for unique in list(descriptor._taken):
            self._fail(self.session.pending[unique], errno.ECONNABORTED)
        if not self._descriptors:
            self._end(errno.ENODEV)

    def _queue(self, request: Request, message: bytes) -> None:
        if answered(request.opcode):
            self.session.unread.add(request.unique)
        self._pending.append((request, message))

    def _interrupt(self, unique: int) -> None:
        if Interrupt.opcode not in self.session.absent:
            self._interrupts.setdefault(unique, self.session.interrupt(unique))

    def _end(self, number: int) -> None:
        if self.over:
            return
        self.over = number
        self._pending.clear()
        self._forgets.clear()
        for request in list(self.session.pending.values()):
            self._fail(request, errno.ECONNABORTED)

    def _fail(self, request: Request, number: int) -> None:
        """Nobody answered, and nobody will."""
        self.session.drop(request)
        self._done(Answered(request, number, None, b"", number))

    def _done(self, answer: Answered) -> None:
        unique = answer.request.unique
        for descriptor in self._descriptors:
            descriptor._taken.discard(unique)
        self._interrupts.pop(unique, None)
        self._signalled -= {unique, unique & ~FUSE_UNIQUE_RESEND}
        self._ended.append(answer)
        if isinstance(answer.request, Destroy):
            self._end(errno.ENODEV)

    def _waiting(self) -> bool:
        return bool(self._interrupts or self._forgets or self._pending)

    def _next(self, size: int) -> tuple[Request | None, bytes] | None:
        """Interrupts first; then sixteen messages of forgets and eight others in turns."""
        if self._interrupts:
            return None, self._interrupts.pop(next(iter(self._interrupts)))
        if self._forgets and self._forgets_are_due():
            return None, self._forget_message(size)
        while self._pending:
            request, message = self._pending.popleft()
            if len(message) <= size:
                return request, message
            if request is not None:
                self._fail(request, errno.E2BIG if isinstance(request, SetXAttr) else errno.EIO)
        return None

    def _forgets_are_due(self) -> bool:
        if not self._pending:
            return True
        self._turn -= 1
        if self._turn >= 0:
            return True
        if self._turn <= -_REQUESTS_IN_A_ROW:
            self._turn = _FORGETS_IN_A_ROW
        return False

    def _forget_message(self, size: int) -> bytes:
        if self.session.minor < _BATCH_SINCE or len(self._forgets) == 1:
            one = self._forgets.popleft()
            return self.session.numbered(Forget(nodeid=one.nodeid, arg=fuse_forget_in(one.nlookup)))
        most = min(len(self._forgets), (size - _BATCH_HEAD) // fuse_forget_one.SIZE)
        return self.session.numbered(BatchForget(forgets=[self._forgets.popleft() for _ in range(most)]))

    def _taken_by(self, descriptor: Descriptor, request: Request) -> None:
        unique = request.unique
        self.session.unread.discard(unique)
        if unique in self.session.pending:
            descriptor._taken.add(unique)
            if unique in self._signalled:
                self._interrupt(unique)

    def _written(self, descriptor: Descriptor, message: bytes) -> Notification | None:
        session = self.session
        try:
            what = session.receive(message, among=descriptor._taken)
        except Refused as refused:
            if refused.consumed and refused.request is not None:
                self._done(Answered(refused.request, errno.EIO, None, b"", errno.EIO))
            raise _failure(refused.errno) from refused
        self._take_outgoing()
        if isinstance(what, Answered):
            self._done(what)
            return None
        if session.verdict:
            raise _failure(session.verdict)
        if isinstance(what, NotifyRetrieve):
            self._pending.append((None, session.retrieved(what, b"")))  # nothing is ever cached here
        return what

    def _take_outgoing(self) -> None:
        again = []
        for request, message in self.session.take_outgoing():
            if isinstance(request, Interrupt):
                self._interrupts.setdefault(request.arg.unique, message)
                continue
            if isinstance(request, Forget):  # sent like a request, not queued with the others
                self._pending.append((None, message))
                continue
            before = request.unique & ~FUSE_UNIQUE_RESEND
            for descriptor in self._descriptors:
                descriptor._taken -= {before, request.unique}
            if not self._signalled.isdisjoint((before, request.unique)):  # told again, behind its target
                self._signalled.add(request.unique)
                self._interrupts.pop(before, None)
                self._interrupts.pop(request.unique, None)
            self.session.unread.add(request.unique)
            again.append((request, message))
        self._pending.extendleft(reversed(again))


class Descriptor:
    """What open(2) of the device gives: connected to nothing until it is mounted, or made a clone of another.

    Attributes:
        blocking: O_NONBLOCK is off.
        sync_init: FUSE_DEV_IOC_SYNC_INIT was done: read(2) waits for the mount.
    """

    def __init__(self, *, blocking: bool = False, sync_init: bool = False) -> None:
        self.blocking = blocking
        self.sync_init = sync_init
        self._device: Device | None = None
        self._taken: set[int] = set()
        self._closed = False

    def _connected(self) -> Device:
        if self._closed:
            raise _failure(errno.EBADF)
        if self._device is None:
            raise _failure(errno.EPERM)
        return self._device

    def read(self, size: int, *, signalled: bool = False, meanwhile: Callable[[], None] = lambda: None) -> bytes:
        """One message, read into a buffer of `size` bytes.

        `signalled`: the reader has a signal, which counts only where it would sleep. `meanwhile` is done while a
        request is copied, neither queued any more nor in flight yet. Raises Asleep, and OSError: EPERM before the
        mount, EINVAL for a buffer that is too short for some message, ENODEV and ECONNABORTED at the end, EAGAIN,
        EINTR.
        """
        if self._device is None and self.sync_init and not self._closed:
            raise _failure(errno.EINTR) if signalled else Asleep
        device = self._connected()
        if size < device.session.holds.buffer:
            raise _failure(errno.EINVAL)
        if device.over:
            raise _failure(device.over)
        found = device._next(size)
        if found is None:
            if not self.blocking:
                raise _failure(errno.EAGAIN)
            raise _failure(errno.EINTR) if signalled else Asleep
        request, message = found
        meanwhile()
        if device.over:
            raise _failure(device.over)
        if request is not None:
            device._taken_by(self, request)
        return message

    def write(self, message: bytes, *, meanwhile: Callable[[], None] = lambda: None) -> Notification | None:
        """One reply or notification; the notification that it was. `meanwhile` is done while a reply is copied.

        Raises OSError, as write(2) says it: EPERM before the mount, else as `KernelSession` judges.
        """
        device = self._connected()
        meanwhile()
        return device._written(self, message)

    def poll(self) -> int:
        """The events POLLIN, POLLOUT and POLLERR."""
        if self._device is None or self._device.over:
            return select.POLLERR
        return select.POLLOUT | (select.POLLIN if self._device._waiting() else 0)

    def clone(self, of: Descriptor) -> None:
        """FUSE_DEV_IOC_CLONE: joins the connection of `of`. EINVAL where this one is not fresh, EPERM where `of` is not
        mounted."""
        if self._device is not None:
            raise _failure(errno.EINVAL)
        of._connected()._join(self)

    def close(self) -> None:
        """What was read by it and is not answered fails; with the last descriptor the connection ends."""
        if not self._closed and self._device is not None:
            self._device._leave(self)
        self._closed = True
