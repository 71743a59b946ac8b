"""The relay: one thread between the kernel's device and a server's socket, blocking in poll(2).

It keeps what it passes on. A server may end, hang, or break the protocol: what shows it is told to `watcher`, and the
callers are let go.
"""

from __future__ import annotations

import errno
import heapq
import os
import select
import socket
import time
from dataclasses import dataclass, field
from typing import Final, Protocol

from rawfuse.channel.holder import ENDS
from rawfuse.trace import Recorder
from rawfuse.wire import constants as c
from rawfuse.wire import fuse_in_header, fuse_out_header
from rawfuse.wire.opcodes import BY_OPCODE
from rawfuse.wire.replies import answered

from .faults import Fault, Faults

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


@dataclass(slots=True)
class Pending:
    """A request that the server has not answered: its opcode, since when (time.monotonic), its first bytes."""

    opcode: int
    since: float
    head: bytes
    fault: Fault | None = None
    told: bool = False

    @property
    def label(self) -> str:
        """The opcode's name."""
        operation = BY_OPCODE.get(self.opcode)
        return operation.label if operation is not None else f"opcode {self.opcode}"


class Watcher(Protocol):
    """Who is told what goes wrong."""

    def broken(self, message: bytes, error: OSError, request: Pending | None) -> None:
        """The kernel refused what the server wrote: `request` is what it was meant to answer."""
        ...

    def hangs(self, unique: int, request: Pending, seconds: float) -> None:
        """A request has not been answered for so long. Told once of each."""
        ...

    def ended(self, pending: dict[int, Pending]) -> None:
        """The server closed its socket with these requests unanswered."""
        ...


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
    reply: bytes = field(compare=False)


class Relay:
    """Passes messages between `device` (the kernel's) and `sock` (SOCK_SEQPACKET, the server's other end).

    Args:
        patience: seconds after which an unanswered request is told to the watcher; blocking locks wait for ever.
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
    ) -> None:
        self._device = device
        self._socket = sock
        self._recorder = recorder
        self._watcher = watcher
        self._faults = faults or Faults()
        self._patience = patience
        self._pending: dict[int, Pending] = {}
        self._held: list[_Held] = []
        self._number = 0
        self._parts = bytearray()
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._looked = 0.0
        os.set_blocking(device, False)
        room_for_messages(sock)
        sock.setblocking(True)

    def stop(self) -> None:
        """From any thread, or a signal handler: :meth:`run` returns soon."""
        if self._waker >= 0:
            os.write(self._waker, b"x")

    def close(self) -> None:
        """Gives back what the relay itself opened."""
        os.close(self._wake)
        waker, self._waker = self._waker, -1
        os.close(waker)

    def run(self) -> bool:
        """Relays until the mount is gone, the server ended, or :meth:`stop`; False where the server ended first."""
        buffer = bytearray(_BUFFER)
        poll = select.poll()
        server = self._socket.fileno()
        for fd in (self._device, server, self._wake):
            poll.register(fd, select.POLLIN)
        while True:
            ready = dict(poll.poll(self._until_due()))
            now = time.monotonic()
            if self._wake in ready:
                return True
            if server in ready and not self._from_server(buffer, now):
                self._watcher.ended(self._pending)
                return False
            if self._device in ready and not self._from_kernel(buffer, now):
                return True
            if self._held:
                self._release(now)
            if now - self._looked > _TICK:
                self._look(now)

    def _until_due(self) -> int:
        wait = _TICK
        if self._held:
            wait = min(wait, max(0.0, self._held[0].due - time.monotonic()))
        return int(wait * 1000) + 1

    # -- the kernel -----------------------------------------------------------------------------------------------

    def _from_kernel(self, buffer: bytearray, now: float) -> bool:
        try:
            length = os.readv(self._device, [buffer])
        except OSError as error:
            if error.errno in ENDS:
                return False
            if error.errno in (errno.EAGAIN, errno.ENOENT, errno.EINTR):
                return True
            raise
        message = memoryview(buffer)[:length]
        header = fuse_in_header.unpack_from(message)
        opcode = header.opcode
        if self._recorder is not None:
            self._recorder.request(message)
        if not answered(opcode):
            self._to_server(message)
            return True
        fault = self._faults.striking(opcode) if self._faults else None
        if fault is not None and fault.error:
            self._to_kernel(fuse_out_header.pack_flat(fuse_out_header.SIZE, -fault.error, header.unique))
            return True
        self._pending[header.unique] = Pending(opcode, now, bytes(message[:128]), fault)
        self._to_server(message)
        return True

    def _to_server(self, message: memoryview) -> None:
        try:
            self._socket.send(message)
        except OSError as error:
            # Its end is seen, and told, where it is read from.
            if error.errno not in ENDS:
                raise

    # -- the server -----------------------------------------------------------------------------------------------

    def _from_server(self, buffer: bytearray, now: float) -> bool:
        try:
            length = self._socket.recv_into(buffer)
        except OSError as error:
            if error.errno in ENDS:
                return False
            raise
        if not length:
            return False
        message = self._whole(buffer, length)
        if message is None:
            return True
        unique = fuse_out_header.unpack_from(message).unique if len(message) >= fuse_out_header.SIZE else 0
        request = self._pending.get(unique & ~_RESENT) if unique else None
        fault = request.fault if request is not None else None
        if fault is not None and fault.drop:
            return True
        if fault is not None and fault.short is not None:
            message = _shortened(message, fault.short)
        if fault is not None and fault.delay:
            self._number += 1
            heapq.heappush(self._held, _Held(now + fault.delay, self._number, bytes(message)))
            return True
        self._to_kernel(message)
        return True

    def _whole(self, buffer: bytearray, length: int) -> bytes | memoryview | None:
        """A reply that was spliced into the socket comes in pieces of 16 pages, the first with the length of all."""
        part = memoryview(buffer)[:length]
        if self._parts:
            self._parts += part
            if len(self._parts) < int.from_bytes(self._parts[:4], _NATIVE):
                return None
            message, self._parts = bytes(self._parts), bytearray()
            return message
        if length >= _PIECE and length < int.from_bytes(part[:4], _NATIVE) <= _BUFFER:
            self._parts = bytearray(part)
            return None
        return part

    def _release(self, now: float) -> None:
        while self._held and self._held[0].due <= now:
            self._to_kernel(heapq.heappop(self._held).reply)

    def _to_kernel(self, message: bytes | memoryview) -> None:
        unique = fuse_out_header.unpack_from(message).unique if len(message) >= fuse_out_header.SIZE else 0
        request = self._pending.pop(unique & ~_RESENT, None) if unique else None
        if self._recorder is not None:
            self._recorder.reply((message,))
        try:
            os.write(self._device, message)
        except OSError as error:
            if error.errno in ENDS:
                return
            if error.errno not in _BROKEN:
                raise
            if unique and request is None and error.errno == errno.ENOENT and unique & 1:
                # An answer to an INTERRUPT whose request was answered meanwhile.
                return
            self._watcher.broken(bytes(message[:256]), error, request)

    # -- watching -------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        self._looked = now
        for unique, request in self._pending.items():
            waited = now - request.since
            if waited < self._patience:
                break
            if request.opcode == c.FUSE_INIT and waited < self._patience + _START:
                continue
            if not request.told and request.opcode not in _MAY_WAIT and request.fault is None:
                request.told = True
                self._watcher.hangs(unique, request, waited)


_NATIVE: Final = "little" if fuse_out_header.pack_flat(1, 0, 0)[0] == 1 else "big"
_PIECE: Final = 4096
_MAY_WAIT: Final = frozenset({c.FUSE_SETLKW, c.FUSE_INTERRUPT})


def _shortened(message: bytes | memoryview, data: int) -> bytes:
    """The reply with at most `data` bytes behind its header, as a server that reads less than was asked for."""
    header = fuse_out_header.unpack_from(message)
    size = fuse_out_header.SIZE + min(data, len(message) - fuse_out_header.SIZE)
    if header.error:
        return bytes(message)
    return fuse_out_header.pack_flat(size, 0, header.unique) + bytes(message[fuse_out_header.SIZE : size])
