"""Keeping what goes through a channel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from struct import Struct
from time import time_ns
from typing import Final

from rawfuse.channel import Channel
from rawfuse.channel.base import Parts
from rawfuse.trace.agreed import Agreed
from rawfuse.trace.opening import TraceWriter, batch_writer
from rawfuse.trace.record import NATIVE, Direction, Traced
from rawfuse.wire import constants as c
from rawfuse.wire import fuse_in_header

__all__ = ["Kept", "Recorder", "TracedChannel"]

_asked: Final = Struct("=4xI24xI").unpack_from
"""Of a fuse_in_header the opcode and the pid: unpacking all of it costs twice as much."""
_unique: Final = Struct("=8xQ")
_LEAST: Final = fuse_in_header.SIZE
_INIT: Final = c.FUSE_INIT
_TO_SERVER: Final = Direction.TO_SERVER
_TO_KERNEL: Final = Direction.TO_KERNEL
_tuple: Final = tuple.__new__
_MOST: Final = 1 << 20
"""Bytes that a batch has before it is written, whatever their number."""
_FRESH: Final = 200_000_000
"""Nanoseconds that the name of a program is believed without another look: a pid gets another one by exec(2)."""

Kept = tuple[int, Direction, bytes, int, int, bytes]
"""Of a :class:`Traced` the time, the direction, the data, the length, the descriptor and the program."""


def _nobody(_: int) -> bytes:
    return b""


class Recorder:
    """Gives messages their context and writes them; any thread may call it.

    Whoever passes messages on comes here between two turns of other programs on its CPU, with what it runs and reads
    gone from the caches: there everything costs two or three times as much as in :meth:`flush`, which does the same
    thing many times in a row. So of a message no more is done at once than must be, and the rest is done there.

    A caller for whom even calling :meth:`request` and :meth:`reply` costs too much gives `keep` the same tuples: the
    whole of a message that is no INIT and no reply to one, and not so long that `batch` of them are too much to keep;
    with a request the name from `programs` or :meth:`program`.

    Attributes:
        messages: how many were written.
        batch, largest: see below.
        kept: what waits for :meth:`flush`, which is due when there are `batch` of them.
        keep: adds to it.
        programs: names that are believed at the moment, by pid.

    Args:
        writer: where they go.
        connection: the number of the connection, 0 when unknown.
        largest: bytes of a message that are kept; None: all of them.
        program: says the name of the program behind a pid (:mod:`.names`); asked with a request, unless it said it in
            the last 0.2 s.
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
        self.batch = batch
        self.largest = largest
        self.kept: list[Kept] = []
        self.keep = self.kept.append
        self.programs: dict[int, bytes] = {}
        self._write_many = batch_writer(writer)
        self._connection = connection
        self._program = program or _nobody
        self._named = self._renamed = 0
        self._agreed = agreed or Agreed()
        self._size = 0
        self._lock = threading.Lock()

    def request(self, message: bytes | bytearray | memoryview, descriptor: int = 0) -> None:
        """A message of the kernel."""
        now = time_ns()
        length = len(message)
        program = b""
        if length >= _LEAST:
            opcode, pid = _asked(message)
            if opcode == _INIT:
                self.flush()
                self._agreed.asked(_unique.unpack_from(message)[0])
            self._forget(now)
            known = self.programs.get(pid)
            program = self.program(pid) if known is None else known
        data = bytes(message if self.largest is None else message[: self.largest])
        self.keep((now, _TO_SERVER, data, length, descriptor, program))
        self._size += length
        if len(self.kept) >= self.batch or self._size >= _MOST:
            self.flush()

    def program(self, pid: int) -> bytes:
        """The name of the program behind it, looked up."""
        name = self.programs[pid] = self._program(pid)[:15] if pid else b""
        return name

    def _forget(self, now: int) -> None:
        """Names that are too old."""
        # Both: the clock may be set back.
        if not self._named <= now < self._renamed:
            self.programs.clear()
            self._named, self._renamed = now, now + _FRESH

    def reply(self, parts: Parts, descriptor: int = 0) -> None:
        """A message to the kernel, in the pieces that it is written in."""
        data = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        length = len(data)
        if self._agreed.waiting is not None:
            self.flush()
            self._agreed.answered(data)
        if self.largest is not None:
            data = data[: self.largest]
        self.keep((time_ns(), _TO_KERNEL, data, length, descriptor, b""))
        self._size += length
        if len(self.kept) >= self.batch or self._size >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Gives the writer what was kept for a batch."""
        self._size = 0
        with self._lock:
            self._forget(time_ns())
            # Others may add to it meanwhile.
            some = self.kept[:]
            del self.kept[: len(some)]
            if not some:
                return
            agreed, number = self._agreed, self._connection
            minor, longer = agreed.minor, agreed.setxattr_ext
            # The class's own way, by keywords and defaults, takes three times as long.
            batch = [
                _tuple(Traced, (time, direction, data, length, number, descriptor, minor, longer, program, NATIVE))
                for time, direction, data, length, descriptor, program in some
            ]
            self._write_many(batch)
            self.messages += len(batch)


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
