"""The relay: one thread between the kernel's device and a server's socket.

It keeps what it passes on. A server may end, hang, or break the protocol: what shows it is told to `watcher`, and the
callers are let go.

Nothing here waits for the server: a request that its socket does not take is kept until it does, and no other is read
meanwhile. Between two messages the thread looks at both sides and lets others run; only when there is still nothing
does it sleep in poll(2), which would cost more than all the rest of a message's way.
"""

from __future__ import annotations

import errno
import heapq
import os
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from io import FileIO
from struct import Struct
from typing import Final

from rawfuse.channel.holder import ENDS
from rawfuse.channel.pieces import APART, Pieces, is_large
from rawfuse.server import SLOW_YIELD, YIELD_PAUSE
from rawfuse.trace import Recorder
from rawfuse.trace.agreed import Agreed
from rawfuse.trace.exchanges import Follower
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import constants as c
from rawfuse.wire import fuse_in_header, fuse_out_header
from rawfuse.wire.opcodes import OPERATIONS
from rawfuse.wire.replies import answered

from .faults import Faults, shortened
from .notices import Notices
from .pending import MAY_WAIT, Pending, Watcher

__all__ = ["Pending", "Relay", "Watcher", "room_for_messages"]

_BUFFER: Final = (1 << 20) + (1 << 17)
_SOCKET_BUFFER: Final = 4 << 20
_TICK: Final = 0.25
_START: Final = 20.0
"""Seconds more that a server may take for its start."""
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_RESENT: Final = 1 << 63
_BROKEN: Final = frozenset({errno.EINVAL, errno.ENOENT, errno.EFAULT, errno.ENAMETOOLONG})
_AGAIN: Final = frozenset({errno.EAGAIN, errno.ENOENT, errno.EINTR})
_UNANSWERED: Final = frozenset(one.opcode for one in OPERATIONS if not answered(one.opcode))
_HEADER: Final = fuse_out_header.SIZE
_KEPT: Final = 128
"""Bytes of a request that are remembered to describe it by."""
_LOOKS: Final = 2
_in_header: Final = Struct(fuse_in_header.FORMAT)
_out_header: Final = Struct(fuse_out_header.FORMAT)


def room_for_messages(sock: socket.socket) -> None:
    """Lets a SEQPACKET socket hold a few of the largest messages, as far as we may."""
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, _SOCKET_BUFFER)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, plain, _SOCKET_BUFFER)


@dataclass(order=True, slots=True)
class _Held:
    due: float
    number: int
    unique: int = field(compare=False)
    reply: bytes = field(compare=False)


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
        self._faults = faults or Faults()
        self._faulty = bool(self._faults)
        self._paths = Follower() if self._faults.by_path else None
        self._patience = patience
        self._give_up = give_up
        self._pending: dict[int, Pending] = {}
        self._pieces = Pieces(self._pending)
        self._notices = Notices(device, self._notice_refused)
        self._large: deque[tuple[int, bytes]] = deque()
        self._held: list[_Held] = []
        self._number = 0
        self._unsent: deque[bytes] = deque()
        self._given_up: set[int] = set()
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._anything = select.poll()
        for fd in (self._wake, device, sock.fileno()):
            self._anything.register(fd, select.POLLIN)
        self._stopped = False
        self._no_yield = 0
        self._looked = 0.0
        self._due = 0.0
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        room_for_messages(sock)
        sock.setblocking(False)
        os.set_blocking(device, False)
        # Read through FileIO: an empty queue is None and not an exception, which costs more than the call.
        self._read_kernel = FileIO(device, "rb", closefd=False).readinto
        self._read_server = FileIO(sock.fileno(), "rb", closefd=False).readinto

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
        looks = _LOOKS
        while not self._stopped:
            now = time.monotonic()
            heard = self._from_server(now)
            if heard:
                self._let_others_run()
            elif heard is False:
                self._watcher.ended(self._pending)
                return False
            asked = None if self._unsent else self._from_kernel(now)
            if asked:
                self._let_others_run()
            elif asked is False:
                return True
            if now > self._due:
                self._timed(now)
            if heard or asked:
                looks = _LOOKS
            elif looks and not self._no_yield:
                looks -= 1
                self._let_others_run()
            else:
                looks = _LOOKS
                self._sleep()
        return True

    def _let_others_run(self) -> None:
        """On one CPU whoever got the message answers it now, and the next look finds that without a sleep.

        Where the CPU is busy with something else, that runs for milliseconds: then sleeping is better for a while.
        """
        if self._no_yield:
            self._no_yield -= 1
            return
        before = time.monotonic()
        os.sched_yield()
        if time.monotonic() - before > SLOW_YIELD:
            self._no_yield = YIELD_PAUSE

    def _sleep(self) -> None:
        poll = self._anything
        if self._unsent:
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            poll.register(self._socket, select.POLLIN | select.POLLOUT)
        poll.poll(max(0.0, self._due - time.monotonic()) * 1000 + 1)
        unsent, self._unsent = self._unsent, deque()
        for message in unsent:
            self._to_server(message)

    # -- the kernel -----------------------------------------------------------------------------------------------

    def _from_kernel(self, now: float) -> bool | None:
        """Passes a request on. None: there was none; False: the connection is over."""
        try:
            length = self._read_kernel(self._buffer)
        except OSError as error:
            if error.errno in ENDS:
                return False
            if error.errno in _AGAIN:
                return None
            raise
        if length is None:
            return None
        message = self._view[:length]
        _, opcode, unique, _, _, _, _, _ = _in_header.unpack_from(message)
        for recorder in self._recorders:
            recorder.request(message)
        if opcode == c.FUSE_INIT:
            self.agreed.asked(unique)
        if opcode in _UNANSWERED:
            if self._paths is not None:
                self._paths.feed(self._traced(Direction.TO_SERVER, message))
            self._to_server(message)
            return True
        fault = self._faults.striking(opcode, self._about(unique, message)) if self._faulty else None
        if fault is not None and fault.error:
            self._to_kernel(unique, _error(unique, fault.error))
            return True
        self._pending[unique] = Pending(opcode, now, bytes(message[:_KEPT]), fault)
        if opcode == c.FUSE_READ and self._pieces.may_mix and is_large(opcode, message):
            self._large.append((unique, bytes(message)))
            if len(self._large) > 1:
                self._due = min(self._due, now + APART)
                return True
        self._to_server(message)
        return True

    def _about(self, unique: int, message: memoryview) -> tuple[bytes, ...]:
        """The paths of a request, where a fault asks for them."""
        if self._paths is None:
            return ()
        self._paths.feed(self._traced(Direction.TO_SERVER, message))
        exchange = self._paths.pending(unique)
        return (exchange.path, exchange.newpath) if exchange is not None else ()

    def _traced(self, direction: Direction, message: bytes | memoryview) -> Traced:
        agreed = self.agreed
        return Traced(0, direction, bytes(message), len(message), 0, 0, agreed.minor, agreed.setxattr_ext)

    def _next_large(self, arrived: int) -> None:
        """The long replies of a server's threads would mix, if it splices them: their READs go one after another."""
        while self._large:
            unique = self._large[0][0]
            if unique != arrived and unique in self._pending and self._pieces.may_mix:
                return
            self._large.popleft()
            if self._large and self._large[0][0] in self._pending:
                self._to_server(self._large[0][1])

    def _to_server(self, message: memoryview | bytes) -> None:
        if self._unsent:
            self._unsent.append(bytes(message))
            return
        try:
            self._socket.send(message)
        except BlockingIOError:
            self._unsent.append(bytes(message))
        except OSError as error:
            # Its end is seen, and told, where it is read from.
            if error.errno not in ENDS:
                raise

    # -- the server -----------------------------------------------------------------------------------------------

    def _from_server(self, now: float) -> bool | None:
        """Passes a reply on. None: there was none; False: the server has ended."""
        try:
            length = self._read_server(self._buffer)
        except OSError as error:
            if error.errno in ENDS:
                return False
            raise
        if length is None:
            return None
        if not length:
            return False
        message = self._pieces.whole(self._view[:length])
        if message is None:
            return True
        unique = _out_header.unpack_from(message)[2] if len(message) >= _HEADER else 0
        if self._large:
            self._next_large(unique)
        if self._faulty:
            request = self._pending.get(unique & ~_RESENT)
            fault = request.fault if request is not None else None
            if request is not None and fault is not None:
                if fault.drop:
                    return True
                if fault.short is not None:
                    message = shortened(message, request.opcode, fault.short)
                if fault.delay:
                    self._hold(now + self._faults.delay(fault), unique, bytes(message))
                    return True
        self._to_kernel(unique, message)
        return True

    def _hold(self, due: float, unique: int, reply: bytes) -> None:
        self._number += 1
        heapq.heappush(self._held, _Held(due, self._number, unique, reply))
        self._due = min(self._due, due)

    def _to_kernel(self, unique: int, message: bytes | memoryview) -> None:
        request = self._pending.pop(unique & ~_RESENT, None) if unique else None
        for recorder in self._recorders:
            recorder.reply((message,))
        if self._paths is not None:
            self._paths.feed(self._traced(Direction.TO_KERNEL, message))
        if self.agreed.waiting is not None:
            self.agreed.answered(bytes(message))
        if unique in self._given_up:
            self._given_up.remove(unique)
            return
        if not unique and len(message) >= _HEADER:
            self._notices.send(bytes(message))
            return
        try:
            os.write(self._device, message)
        except OSError as error:
            if error.errno in ENDS:
                return
            if error.errno not in _BROKEN:
                raise
            if request is None and error.errno == errno.ENOENT and unique & 1:
                # An answer to an INTERRUPT whose request was answered meanwhile.
                return
            self._watcher.broken(bytes(message[:256]), error, request)
            if request is not None:
                # Some refused replies use the request up, after others it waits on: its caller must not.
                self._answer(unique, errno.EIO)

    def _answer(self, unique: int, number: int) -> None:
        """In the server's place; of no effect where the kernel no longer waits."""
        try:
            os.write(self._device, _error(unique, number))
        except OSError as error:
            if error.errno not in ENDS | _BROKEN:
                raise

    def _notice_refused(self, message: bytes, error: OSError) -> None:
        if error.errno not in ENDS:
            self._watcher.broken(message[:256], error, None)

    # -- watching -------------------------------------------------------------------------------------------------

    def _timed(self, now: float) -> None:
        while self._held and self._held[0].due <= now:
            held = heapq.heappop(self._held)
            self._to_kernel(held.unique, held.reply)
        if now - self._looked > _TICK:
            self._look(now)
        self._due = min(self._looked + _TICK, self._held[0].due) if self._held else self._looked + _TICK
        if len(self._large) > 1:
            head = self._pending.get(self._large[0][0])
            if head is None or now - head.since >= APART:
                self._next_large(self._large[0][0])
            if len(self._large) > 1:
                self._due = min(self._due, now + APART)

    def _look(self, now: float) -> None:
        self._looked = now
        for recorder in self._recorders:
            recorder.flush()
        late = []
        for unique, request in self._pending.items():
            waited = now - request.since
            if waited < self._patience and not (self._give_up and waited >= self._give_up):
                break
            if request.opcode in MAY_WAIT or (request.opcode == c.FUSE_INIT and waited < self._patience + _START):
                continue
            if self._give_up and waited >= self._give_up:
                late.append((unique, request, waited))
            elif not request.told and request.fault is None:
                request.told = True
                self._watcher.hangs(unique, request, waited)
        for unique, request, waited in late:
            if request.fault is None:
                request.given_up = True
                self._watcher.hangs(unique, request, waited)
            self._to_kernel(unique, _error(unique, errno.ETIMEDOUT))
            self._given_up.add(unique)
            self._next_large(unique)


def _error(unique: int, number: int) -> bytes:
    return fuse_out_header.pack_flat(_HEADER, -number, unique)
