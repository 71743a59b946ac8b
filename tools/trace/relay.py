"""The relay: one thread between the kernel's device and a server's socket.

It keeps what it passes on. A server may end, hang, or break the protocol: what shows it is told to `watcher`, and the
callers are let go.

Nothing here waits for the server: a request that its socket does not take is kept until it does, and no other is read
meanwhile. The thread sleeps in poll(2) on both sides: staying awake between two messages, on a CPU that it shares with
the server and the callers, would take the turns of those who have the next one. Only after a reply it looks for the
next request by itself, as long as that is there.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from io import FileIO
from struct import Struct
from typing import Final

from rawfuse.channel.holder import ENDS
from rawfuse.channel.pieces import APART, WHOLE, Pieces, is_large
from rawfuse.trace import Recorder
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

__all__ = ["Pending", "Relay", "Watcher", "room_for_messages"]

_BUFFER: Final = (1 << 20) + (1 << 17)
_TICK: Final = 0.25
_RESENT: Final = 1 << 63
_AGAIN: Final = frozenset({errno.EAGAIN, errno.ENOENT, errno.EINTR})
_UNANSWERED: Final = frozenset(one.opcode for one in OPERATIONS if not answered(one.opcode))
_OTHERS: Final = _UNANSWERED | {c.FUSE_INIT, c.FUSE_READ}
"""Opcodes of requests that more is to be done about than to pass them on, whatever is asked of the relay."""
_HEADER: Final = fuse_out_header.SIZE
_MISSES: Final = 16
"""Replies after which the next request is not looked for at once, when it was not there."""
_SHORT: Final = 512
"""Bytes of messages that are copied once, for all who keep them; of a longer request so much is remembered."""
_asked: Final = Struct("=4xIQ").unpack_from
"""Of a fuse_in_header the opcode and the unique: unpacking all of it costs twice as much."""
_answered: Final = Struct("=I4xQ").unpack_from
"""Of a fuse_out_header the length and the unique."""
_tuple: Final = tuple.__new__


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
        self._write = Replies(device, watcher).write
        self._faults = faults or Faults()
        self._faulty = bool(self._faults)
        self._paths = Paths(self.agreed) if self._faults.by_path else None
        self._patience = Patience(patience, give_up)
        self._plain = not self._faulty
        """Nothing is to be done about most messages than to pass them on: no faults, and no INIT waits for a reply."""
        self._pending: dict[int, Pending] = {}
        self._struck: dict[int, Fault] = {}
        self._pieces = Pieces(self._pending)
        self._notices = Notices(device, watcher)
        self._long = LongReads(self._pending, self._pieces)
        self._reads = self._long.reads
        self._delayed = Delayed()
        self._unsent: deque[bytes] = deque()
        self._given_up: set[int] = set()
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        # In the order of their turns: an answer goes out before the next request comes in.
        self._turns: dict[int, Callable[[float], object]] = {
            sock.fileno(): self._from_server,
            device: self._from_kernel,
            self._wake: self._woken,
        }
        for fd in self._turns:
            self._poll.register(fd, select.POLLIN)
        self._stopped = False
        self._misses = 0
        self._over = threading.Event()
        self._looked = 0.0
        self._due = 0.0
        self._exact = False
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        room_for_messages(sock)
        sock.setblocking(False)
        os.set_blocking(device, False)
        # Read through FileIO: an empty queue is None and not an exception, which costs more than the call.
        self._read_kernel = FileIO(device, "rb", closefd=False).readinto
        self._read_server = FileIO(sock.fileno(), "rb", closefd=False).readinto
        self._send = sock.send

    def record(self, recorder: Recorder) -> None:
        """Gives this one every message too, from now on. Any thread may call it."""
        self._recorders = (*self._recorders, recorder)

    def stop_recording(self, recorder: Recorder) -> None:
        """No more for this one. Any thread may call it."""
        self._recorders = tuple(one for one in self._recorders if one is not recorder)

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
            for recorder in self._recorders:
                recorder.flush()

    def _run(self) -> bool:
        poll, turns, clock = self._poll.poll, self._turns, time.monotonic
        ticker = threading.Thread(target=self._tick, daemon=True, name="relay's clock")
        ticker.start()
        try:
            while not self._stopped:
                ready = poll(self._pause()) if self._exact else poll()
                now = clock()
                for fd, _ in ready:
                    turns[fd](now)
                if now > self._due:
                    self._timed(now)
        except _Unmounted:
            return True
        except _Ended:
            self._watcher.ended(self._pending)
            return False
        finally:
            self._over.set()
            ticker.join()
        return True

    def _tick(self) -> None:
        """A sleep with a time limit costs a microsecond more than one without, which this takes from every message."""
        while not self._over.wait(_TICK):
            os.write(self._waker, b"t")

    def _pause(self) -> float:
        """Milliseconds until something is due; poll(2) is to come back no earlier."""
        return max(0.0, self._due - time.monotonic()) * 1000 + 1

    def _woken(self, _: float) -> None:
        os.read(self._wake, 512)

    # -- the kernel -----------------------------------------------------------------------------------------------

    def _from_kernel(self, now: float) -> bool:
        """Passes a request on, if there is one."""
        try:
            length = self._read_kernel(self._buffer)
        except OSError as error:
            if error.errno in ENDS:
                raise _Unmounted from None
            if error.errno in _AGAIN:
                return False
            raise
        if length is None:
            return False
        message: bytes | memoryview = self._view[:length]
        if length <= _SHORT:
            message = bytes(message)
        opcode, unique = _asked(message)
        for recorder in self._recorders:
            recorder.request(message)
        if self._plain and opcode not in _OTHERS:
            head = message if length <= _SHORT else bytes(message[:_SHORT])
            # The class's own way takes twice as long.
            self._pending[unique] = _tuple(Pending, (opcode, now, head, False))
            self._to_server(message)
        else:
            self._other_request(opcode, unique, message, now)
        return True

    def _other_request(self, opcode: int, unique: int, message: bytes | memoryview, now: float) -> None:
        """Whatever one may be."""
        if opcode == c.FUSE_INIT:
            self._plain = False
            self.agreed.asked(unique)
        if opcode in _UNANSWERED:
            if self._paths is not None:
                self._paths.request(unique, message)
            self._to_server(message)
            return
        about = self._paths.request(unique, message) if self._paths is not None else ()
        fault = self._faults.striking(opcode, about) if self._faulty else None
        if fault is not None:
            if fault.error:
                self._to_kernel(unique, error_reply(unique, fault.error))
                return
            self._struck[unique] = fault
        self._pending[unique] = Pending(opcode, now, bytes(message[:_SHORT]))
        if (
            opcode == c.FUSE_READ
            and self._pieces.may_mix
            and is_large(opcode, message)
            and self._long.add(unique, bytes(message))
        ):
            self._no_later(now + APART)
            return
        self._to_server(message)

    def _to_server(self, message: memoryview | bytes) -> None:
        if self._unsent:
            self._unsent.append(bytes(message))
            return
        try:
            self._send(message)
        except BlockingIOError:
            self._unsent.append(bytes(message))
            self._watch(device=False)
        except OSError as error:
            # Its end is seen, and told, where it is read from.
            if error.errno not in ENDS:
                raise

    def _watch(self, *, device: bool) -> None:
        """While the server takes nothing, no more is read for it."""
        sock = self._socket.fileno()
        self._poll.modify(sock, select.POLLIN if device else select.POLLIN | select.POLLOUT)
        self._poll.modify(self._device, select.POLLIN if device else 0)

    def _again(self) -> None:
        unsent, self._unsent = self._unsent, deque()
        self._watch(device=True)
        for message in unsent:
            self._to_server(message)

    # -- the server -----------------------------------------------------------------------------------------------

    def _from_server(self, now: float) -> None:
        """Passes a reply on."""
        if self._unsent:
            self._again()
        try:
            length = self._read_server(self._buffer)
        except OSError as error:
            if error.errno in ENDS:
                raise _Ended from None
            raise
        if length is None:
            return
        if not length:
            raise _Ended
        if not (self._plain and length <= _SHORT and not self._reads and self._usual_reply(length)):
            self._other_reply(length, now)
        # Whom the kernel let run for it, on this CPU, has asked again by now: that saves poll(2).
        if self._misses:
            self._misses -= 1
        elif not self._unsent and not self._from_kernel(now):
            self._misses = _MISSES

    def _usual_reply(self, length: int) -> bool:
        """Passes a whole reply on to a request that waits, if it is one: most of all messages of servers."""
        if length < _HEADER:
            return False
        message = bytes(self._view[:length])
        size, unique = _answered(message)
        request = self._pending.pop(unique, None) if size == length else None
        if request is None:
            return False
        for recorder in self._recorders:
            recorder.reply((message,))
        self._write(unique, message, request)
        return True

    def _other_reply(self, length: int, now: float) -> None:
        """Whatever a message of the server may be."""
        message: bytes | memoryview = self._view[:length]
        size, unique = _answered(message) if length >= _HEADER else (0, 0)
        if size != length or size > WHOLE or self._pieces.missing:
            whole = self._pieces.whole(self._view[:length])
            if whole is None:
                return
            message = whole
            unique = _answered(message)[1] if len(message) >= _HEADER else 0
        for read in self._long.next(unique):
            self._to_server(read)
        request = self._pending.get(unique & ~_RESENT)
        fault = self._struck.get(unique & ~_RESENT)
        if request is not None and fault is not None:
            if fault.drop:
                return
            if fault.short is not None:
                message = shortened(message, request.opcode, fault.short)
            if fault.delay:
                due = now + self._faults.delay(fault)
                self._delayed.add(due, unique, bytes(message))
                self._no_later(due)
                return
        self._to_kernel(unique, message)

    def _to_kernel(self, unique: int, message: bytes | memoryview) -> None:
        request = self._pending.pop(unique & ~_RESENT, None) if unique else None
        self._struck.pop(unique & ~_RESENT, None)
        for recorder in self._recorders:
            recorder.reply((message,))
        if self._paths is not None:
            self._paths.reply(message)
        if self.agreed.waiting is not None:
            self.agreed.answered(bytes(message))
        self._plain = not self._faulty and self.agreed.waiting is None
        if unique in self._given_up:
            self._given_up.remove(unique)
        elif not unique and len(message) >= _HEADER:
            self._notices.send(bytes(message))
        else:
            self._write(unique, message, request)

    # -- watching -------------------------------------------------------------------------------------------------

    def _no_later(self, due: float) -> None:
        """Something is to be done then, which the usual pause may be too long for."""
        self._due = min(self._due, due)
        self._exact = True

    def _timed(self, now: float) -> None:
        for unique, reply in self._delayed.take(now):
            self._to_kernel(unique, reply)
        if now - self._looked > _TICK:
            self._look(now)
        self._due, self._exact = self._looked + _TICK, False
        if self._delayed:
            self._no_later(self._delayed.due)
        for read in self._long.overdue(now):
            self._to_server(read)
        if self._long.waiting:
            self._no_later(now + APART)

    def _look(self, now: float) -> None:
        self._looked = now
        for recorder in self._recorders:
            recorder.flush()
        for unique, waited, give_up in list(self._patience.look(self._pending, now)):
            if unique not in self._struck:
                self._watcher.hangs(unique, self._pending[unique]._replace(given_up=give_up), waited)
            if give_up:
                self._to_kernel(unique, error_reply(unique, errno.ETIMEDOUT))
                self._given_up.add(unique)
                for read in self._long.next(unique):
                    self._to_server(read)
