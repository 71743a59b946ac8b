"""Keeping what goes through a channel."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Final

from rawfuse.channel import Channel
from rawfuse.channel.base import Parts
from rawfuse.trace.agreed import Agreed
from rawfuse.trace.opening import TraceWriter
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import constants as c
from rawfuse.wire import fuse_in_header

__all__ = ["Recorder", "TracedChannel"]

_header: Final = Struct(fuse_in_header.FORMAT)
_MOST: Final = 1 << 20
"""Bytes that a batch has before it is written, whatever their number."""


class Recorder:
    """Gives messages their context and writes them; any thread may call it.

    Args:
        writer: where they go.
        connection: the number of the connection, 0 when unknown.
        largest: bytes of a message that are kept; None: all of them.
        program: says the name of the program behind a pid; asked with every request (:mod:`.names`).
        agreed: what INIT agreed on, where it was answered before.
        batch: so many messages are given to `writer` at once, which is cheaper for each of them where two programs take
            turns on a CPU; whoever asks for more than 1 calls :meth:`flush` now and then.
    """

    def __init__(
        self,
        writer: TraceWriter,
        *,
        connection: int = 0,
        largest: int | None = None,
        program: Callable[[int], bytes] | None = None,
        agreed: Agreed | None = None,
        batch: int = 1,
    ) -> None:
        if largest is not None and largest < fuse_in_header.SIZE:
            raise ValueError(f"of a message at least its header is kept, {fuse_in_header.SIZE} bytes, not {largest}")
        self.messages = 0
        """How many were written."""
        self._writer = writer
        self._connection = connection
        self._largest = largest
        self._program = program
        self._agreed = agreed or Agreed()
        self._batch = batch
        self._kept: deque[Traced] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def request(self, message: bytes | bytearray | memoryview, descriptor: int = 0) -> None:
        """A message of the kernel."""
        now = time.time_ns()
        program = b""
        length = len(message)
        if length >= fuse_in_header.SIZE:
            _, opcode, unique, _, _, _, pid, _ = _header.unpack_from(message)
            if opcode == c.FUSE_INIT:
                self._agreed.asked(unique)
            if self._program is not None and pid:
                program = self._program(pid)[:15]
        data = bytes(message if self._largest is None else message[: self._largest])
        self._write(now, Direction.TO_SERVER, data, length, descriptor, program)

    def reply(self, parts: Parts, descriptor: int = 0) -> None:
        """A message to the kernel, in the pieces that it is written in."""
        now = time.time_ns()
        data = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        length = len(data)
        if self._agreed.waiting is not None:
            self._agreed.answered(data)
        self._write(now, Direction.TO_KERNEL, data[: self._largest], length, descriptor, b"")

    def _write(self, now: int, direction: Direction, data: bytes, length: int, descriptor: int, program: bytes) -> None:
        agreed = self._agreed
        message = Traced(
            now, direction, data, length, self._connection, descriptor, agreed.minor, agreed.setxattr_ext, program
        )
        self._kept.append(message)
        self._size += len(data)
        if len(self._kept) >= self._batch or self._size >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Gives the writer what was kept for a batch."""
        kept, write = self._kept, self._writer.write
        self._size = 0
        with self._lock:
            while kept:
                write(kept.popleft())
                self.messages += 1


class TracedChannel:
    """The server's side of a connection: passes everything on to `channel`, and keeps it."""

    def __init__(self, channel: Channel, recorder: Recorder, descriptor: int = 0) -> None:
        self._channel = channel
        self._recorder = recorder
        self._descriptor = descriptor

    def receive_nowait(self, buffer: bytearray | memoryview) -> int | None:
        """See :class:`~rawfuse.channel.Channel`, here and below."""
        length = self._channel.receive_nowait(buffer)
        if length is not None:
            self._recorder.request(memoryview(buffer)[:length], self._descriptor)
        return length

    def poll(self, milliseconds: int) -> bool:
        return self._channel.poll(milliseconds)

    async def wait(self) -> None:
        await self._channel.wait()

    def send(self, parts: Parts) -> None:
        # First: once it is sent the caller may go on, and what it does next must not come earlier in the trace.
        self._recorder.reply(parts, self._descriptor)
        self._channel.send(parts)

    def send_bytes(self, message: bytes) -> None:
        self._recorder.reply((message,), self._descriptor)
        self._channel.send_bytes(message)

    def close(self) -> None:
        self._channel.close()
