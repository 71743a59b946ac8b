"""The relay: one thread between the kernel's device and a server's socket.

It keeps what it passes on. A server may end, hang, or break the protocol: what shows it is told to `watcher`, and the
callers are let go.

Nobody waits for a server but those who ask it: the thread sleeps in poll(2) on both sides, and what the server does not
take is kept (:mod:`.sending`). Staying awake between two messages, on a CPU that it shares with the server and the
callers, would take the turns of those who have the next one. Only of one caller who asks one thing after another the
answers are waited for, a moment (:meth:`Relay._lockstep`).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from io import FileIO
from struct import Struct
from time import time_ns
from typing import Final

from rawfuse.channel.holder import ENDS
from rawfuse.channel.pieces import APART, WHOLE, Pieces, is_large
from rawfuse.trace import Direction, Recorder
from rawfuse.trace.agreed import Agreed
from rawfuse.wire import constants as c
from rawfuse.wire import fuse_out_header
from rawfuse.wire.opcodes import OPERATIONS
from rawfuse.wire.replies import answered

from .faults import Fault, Faults, Paths, shortened
from .held import Delayed, LongReads
from .notices import Notices, Replies, error_reply
from .pending import Patience, Pending, Watcher
from .room import room_for_messages
from .sending import Sending

__all__ = ["Pending", "Relay", "Watcher", "room_for_messages"]

_BUFFER: Final = (1 << 20) + (1 << 17)
_TICK: Final = 0.25
_RESENT: Final = c.FUSE_UNIQUE_RESEND
_AGAIN: Final = frozenset({errno.EAGAIN, errno.ENOENT, errno.EINTR})
_UNANSWERED: Final = frozenset(one.opcode for one in OPERATIONS if not answered(one.opcode))
_OTHERS: Final = _UNANSWERED | {c.FUSE_INIT, c.FUSE_READ}
"""Opcodes of requests that more is to be done about than to pass them on, whatever is asked of the relay."""
_HEADER: Final = fuse_out_header.SIZE
_BRISK: Final = 1_000_000
"""Nanoseconds that a turn of one caller, us, and the server takes at most while nobody else uses their CPU for long."""
_REST: Final = 512
"""Requests that come by poll(2) after one that took longer."""
_MOMENT: Final = Struct("@ll").pack(0, 1000)
"""A struct timeval: how long an answer is waited for. The kernel makes one or two of its ticks of it (4 ms each)."""
_SHORT: Final = 512
"""Bytes of messages that are copied once, for all who keep them; of a longer request so much is remembered."""
_asked: Final = Struct("=4xIQ16xI").unpack_from
"""Of a fuse_in_header the opcode, the unique and the pid: unpacking all of it costs twice as much."""
_answered: Final = Struct("=I4xQ").unpack_from
"""Of a fuse_out_header the length and the unique."""
_TO_SERVER: Final = Direction.TO_SERVER
_TO_KERNEL: Final = Direction.TO_KERNEL


class _Unmounted(Exception):
    """The connection is over."""


class _Ended(Exception):
    """The server is gone."""


class Relay:
    """Passes messages between `device` (the kernel's) and `sock` (SOCK_SEQPACKET, the server's other end).

    Args:
        patience: seconds after which an unanswered request is told to the watcher; blocking locks wait for ever.
        give_up: seconds after which it is answered with ETIMEDOUT in the server's place; 0: never.
    """

    def __init__(
        self,
        device: int,
        sock: socket.socket,
        recorder: Recorder | None,
        watcher: Watcher,
        *,
        faults: Faults | None = None,
        patience: float = 10.0,
        give_up: float = 0.0,
    ) -> None:
        self._device = device
        self._socket = sock
        self.agreed = Agreed()
        """What INIT agreed on."""
        self._recorders: tuple[Recorder, ...] = () if recorder is None else (recorder,)
        self._watcher = watcher
        self._replies = Replies(device, watcher)
        self._faults = faults or Faults()
        self._faulty = bool(self._faults)
        self._paths = Paths(self.agreed) if self._faults.by_path else None
        self._patience = Patience(patience, give_up)
        self._plain = False
        """Nothing is to be done about most messages than to pass them on: no faults, and no INIT waits for a reply."""
        self._quick: Recorder | None = None
        """The only recorder, while :meth:`_lockstep` is possible."""
        self._settling = threading.RLock()
        self._caller = self._lone = self._rest = 0
        """Who asked last; who did twice, when nothing else was asked; for how many answers that is not to count."""
        self._pending: dict[int, bytes] = {}
        """The first bytes of requests that were passed on, by unique."""
        self._struck: dict[int, Fault] = {}
        self._pieces = Pieces(self._pending)
        self._notices = Notices(device, watcher)
        self._long = LongReads(self._pending, self._pieces)
        self._reads = self._long.reads
        self._delayed = Delayed()
        self._given_up: set[int] = set()
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        # In the order of their turns: an answer goes out before the next request comes in.
        self._sending = Sending(sock, device, self._poll)
        self._poll.register(self._wake, select.POLLIN)
        self._stopped = False
        self._looked = 0.0
        self._due = 0.0
        """When something is to be done, at the latest."""
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        room_for_messages(sock)
        sock.setblocking(True)
        for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, limit, _MOMENT)
        os.set_blocking(device, False)
        # Read through FileIO: an empty queue is None and not an exception, which costs more than the call.
        self._read_kernel = FileIO(device, "rb", closefd=False).readinto
        self._read_server = FileIO(sock.fileno(), "rb", closefd=False).readinto
        self._settle()

    def record(self, recorder: Recorder) -> None:
        """Gives this one every message too, from now on. Any thread may call it."""
        with self._settling:
            self._recorders = (*self._recorders, recorder)
            self._settle()

    def stop_recording(self, recorder: Recorder) -> None:
        """No more for this one. Any thread may call it."""
        with self._settling:
            self._recorders = tuple(one for one in self._recorders if one is not recorder)
            self._settle()

    def _settle(self) -> None:
        """What is to be done about most messages."""
        with self._settling:
            recorders = self._recorders
            self._plain = not self._faulty and self.agreed.waiting is None
            # Who wants every message at once, or less of it, has more to do.
            quick = len(recorders) == 1 and recorders[0].batch > 1 and (recorders[0].largest or _SHORT) >= _SHORT
            self._quick = recorders[0] if quick and self._plain else None

    def stop(self) -> None:
        """From any thread, or a signal handler: :meth:`run` returns soon."""
        self._stopped = True
        if self._waker >= 0:
            os.write(self._waker, b"x")

    def close(self) -> None:
        """Gives back what the relay itself opened."""
        os.close(self._wake)
        waker, self._waker = self._waker, -1
        os.close(waker)

    def run(self) -> bool:
        """Relays until the mount is gone, the server ended, or :meth:`stop`; False where the server ended first."""
        try:
            return self._run()
        finally:
            self._notices.close()
            for recorder in self._recorders:
                recorder.flush()

    def _run(self) -> bool:
        poll = self._poll.poll
        turns = {self._socket.fileno(): self._from_server, self._device: self._from_kernel, self._wake: self._woken}
        try:
            while not self._stopped:
                for fd, event in poll(self._pause()):
                    turns[fd](event)
                self._see(time.monotonic())
        except _Unmounted:
            return True
        except _Ended:
            self._watcher.ended({unique: Pending(head) for unique, head in self._pending.items()})
            return False
        return True

    def _pause(self) -> float:
        """Milliseconds until something is due; poll(2) is to come back no earlier."""
        return max(0.0, self._due - time.monotonic()) * 1000 + 1

    def _woken(self, _: int) -> None:
        os.read(self._wake, 512)

    # -- the kernel -----------------------------------------------------------------------------------------------

    def _from_kernel(self, _: int) -> None:
        """Passes a request on, if there is one."""
        try:
            length = self._read_kernel(self._buffer)
        except OSError as error:
            self._not_read(error)
            return
        if length is not None:
            self._request(length)

    def _not_read(self, error: OSError) -> None:
        if error.errno in ENDS:
            raise _Unmounted from None
        if error.errno not in _AGAIN:
            raise error

    def _request(self, length: int) -> None:
        message: bytes | memoryview = self._view[:length]
        if length <= _SHORT:
            message = bytes(message)
        opcode, unique, pid = _asked(message)
        if unique & _RESENT:
            # The answer to the first one, if it still comes, is to nothing.
            self._pending.pop(unique & ~_RESENT, None)
            self._struck.pop(unique & ~_RESENT, None)
        for recorder in self._recorders:
            recorder.request(message)
        if self._plain and length <= _SHORT and opcode not in _OTHERS:
            self._lone = pid if pid == self._caller and not self._pending else 0
            self._caller = pid
            self._pending[unique] = bytes(message)
            self._sending.send(message)
        else:
            self._lone = 0
            self._other_request(opcode, unique, message)

    def _other_request(self, opcode: int, unique: int, message: bytes | memoryview) -> None:
        """Whatever one may be."""
        if opcode == c.FUSE_INIT:
            self.agreed.asked(unique)
            self._settle()
        if opcode in _UNANSWERED:
            if self._paths is not None:
                self._paths.request(unique, message)
            self._sending.send(message)
            return
        about = self._paths.request(unique, message) if self._paths is not None else ()
        fault = self._faults.striking(opcode, about) if self._faulty else None
        if fault is not None:
            if fault.error:
                self._to_kernel(unique, error_reply(unique, fault.error))
                return
            self._struck[unique] = fault
        self._pending[unique] = bytes(message[:_SHORT])
        if opcode == c.FUSE_READ and self._pieces.may_mix and is_large(opcode, message):
            now = time.monotonic()
            if self._long.add(unique, bytes(message), now):
                self._no_later(now + APART)
                return
        self._sending.send(message)

    # -- the server -----------------------------------------------------------------------------------------------

    def _from_server(self, event: int) -> None:
        """Passes a reply on, if there is one."""
        if self._sending:
            self._sending.again()
            if event == select.POLLOUT:
                return
        try:
            length = self._read_server(self._buffer)
        except OSError as error:
            if error.errno in ENDS:
                raise _Ended from None
            raise
        if length is not None:
            self._reply(length)

    def _reply(self, length: int) -> None:
        if not length:
            raise _Ended
        if not (self._plain and _HEADER <= length <= _SHORT and not self._reads and self._usual_reply(length)):
            self._other_reply(length)
        elif self._lone and not self._pending and not self._sending:
            if self._rest:
                self._rest -= 1
            elif self._quick is not None:
                self._lockstep(self._quick, self._lone)

    def _usual_reply(self, length: int) -> bool:
        """Passes a whole reply on to a request that waits, if it is one: most of all messages of servers."""
        message = bytes(self._view[:length])
        size, unique = _answered(message)
        request = self._pending.pop(unique, None) if size == length else None
        if request is None:
            return False
        for recorder in self._recorders:
            recorder.reply((message,))
        self._replies.write(unique, message, request)
        return True

    def _other_reply(self, length: int) -> None:
        """Whatever a message of the server may be."""
        message: bytes | memoryview = self._view[:length]
        size, unique = _answered(message) if length >= _HEADER else (0, 0)
        if size != length or size > WHOLE or self._pieces.missing:
            whole = self._pieces.whole(self._view[:length])
            if whole is None:
                return
            message = whole
            unique = _answered(message)[1] if len(message) >= _HEADER else 0
        for read in self._long.next(unique, time.monotonic()):
            self._sending.send(read)
        request = self._pending.get(unique)
        fault = self._struck.get(unique)
        if request is not None and fault is not None:
            if fault.drop:
                return
            if fault.short is not None:
                message = shortened(message, Pending(request).opcode, fault.short)
            if fault.delay:
                due = time.monotonic() + self._faults.delay(fault)
                self._delayed.add(due, unique, bytes(message))
                self._no_later(due)
                return
        self._to_kernel(unique, message)

    def _to_kernel(self, unique: int, message: bytes | memoryview) -> None:
        request = self._pending.pop(unique, None) if unique else None
        self._struck.pop(unique, None)
        # Before the recorders: one that watches shares it.
        agreeing = self.agreed.waiting is not None
        for recorder in self._recorders:
            recorder.reply((message,))
        if self._paths is not None:
            self._paths.reply(message)
        if agreeing:
            self.agreed.answered(bytes(message))
            self._settle()
        if unique in self._given_up:
            self._given_up.remove(unique)
        elif not unique and len(message) >= _HEADER:
            self._notices.send(bytes(message))
        else:
            self._replies.write(unique, message, request)

    # -- one caller -----------------------------------------------------------------------------------------------

    def _lockstep(self, recorder: Recorder, caller: int) -> None:
        """Passes on what one caller asks and the server answers, by turns, as long as nobody else says anything.

        This runs between the turns of two other programs, in cold caches, where all that is done takes three times as
        long as it else would: so it does what must be done, with variables of its own, and without poll(2). A caller on
        this CPU has asked again after a sched_yield(2), and an answer is waited for in the reading, for `_MOMENT`. A
        caller on another CPU has not: then nothing is to be won here. (Measured, all on one CPU: a round trip of 62 us
        where the ways for all messages take 80, and without a relay 22.)
        """
        read_kernel, read_server, write, server = self._read_kernel, self._read_server, os.write, self._socket.fileno()
        device, buffer, view, clock, yield_ = self._device, self._buffer, self._view, time_ns, os.sched_yield
        keep, kept, batch, asked_, answered_ = recorder.keep, recorder.kept, recorder.batch, _asked, _answered
        program = _named(recorder, caller)
        before = clock()
        while True:
            yield_()
            try:
                length = read_kernel(buffer)
            except OSError as error:
                self._not_read(error)
                return
            if length is None:
                if clock() - before > _BRISK:
                    self._rest = _REST
                return
            message = view[:length].tobytes()
            opcode, unique, pid = asked_(message)
            if pid != caller or length > _SHORT or opcode in _OTHERS or self._quick is not recorder:
                self._request(length)
                return
            now = clock()
            keep((now, _TO_SERVER, message, length, 0, program))
            try:
                write(server, message)
                length = read_server(buffer)
            except OSError as error:
                self._pending[unique] = message
                # After its end too there may be something to read of it first.
                self._sending.failed(error, message)
                return
            if length is None:
                self._pending[unique] = message
                self._rest = _REST
                return
            answer = view[:length].tobytes()
            size, to = answered_(answer) if length >= _HEADER else (0, 0)
            if to != unique or size != length or length > _SHORT or self._quick is not recorder:
                self._pending[unique] = message
                self._reply(length)
                return
            before, start = clock(), before
            keep((before, _TO_KERNEL, answer, length, 0, b""))
            try:
                write(device, answer)
            except OSError as error:
                self._replies.refused(error, unique, answer, message)
            if before - start > _BRISK:
                self._rest = _REST
                return
            if len(kept) >= batch:
                recorder.flush()
                self._see(time.monotonic())
                if self._stopped:
                    return
                program = _named(recorder, caller)

    # -- watching -------------------------------------------------------------------------------------------------

    def _no_later(self, due: float) -> None:
        self._due = min(self._due, due)

    def _see(self, now: float) -> None:
        """Sees to what is due."""
        if now <= self._due:
            return
        for unique, reply in self._delayed.take(now):
            self._to_kernel(unique, reply)
        if now - self._looked > _TICK:
            self._look(now)
        self._due = self._looked + _TICK
        if self._delayed:
            self._no_later(self._delayed.due)
        for read in self._long.overdue(now):
            self._sending.send(read)
        if self._long.waiting:
            self._no_later(now + APART)

    def _look(self, now: float) -> None:
        self._looked = now
        for recorder in self._recorders:
            recorder.flush()
        for unique, waited, give_up in list(self._patience.look(self._pending, now)):
            if unique not in self._struck:
                self._watcher.hangs(unique, Pending(self._pending[unique], give_up), waited)
            if give_up:
                self._to_kernel(unique, error_reply(unique, errno.ETIMEDOUT))
                self._given_up.add(unique)
                for read in self._long.next(unique, now):
                    self._sending.send(read)


def _named(recorder: Recorder, pid: int) -> bytes:
    known = recorder.programs.get(pid)
    return recorder.program(pid) if known is None else known
