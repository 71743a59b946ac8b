"""A trace that a server keeps of itself while it serves: whatever becomes of the file, serving goes on."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from rawfuse.trace.names import Names
from rawfuse.trace.opening import TraceWriter, batch_writer, trace_writer
from rawfuse.trace.record import Traced
from rawfuse.trace.recorder import Recorder

__all__ = ["KeptTrace", "form_of"]

_log = logging.getLogger("rawfuse.trace")

_SUFFIXES: Final = {".fusedump": "fusedump", ".dump": "fusedump"}
_EVERY: Final = 0.5
"""Seconds after which what is kept goes to the file: what a killed server loses is no more than that."""
_BATCH: Final = 1 << 20
_BATCH_OF_MESSAGES: Final = 64
"""Enough to make each cheap; what many more leave behind in the caches of the CPU costs more than they save."""
_ROOM: Final = 64 << 20
"""Bytes that may wait for a slow disk; what comes beyond is not kept, and counted."""


def form_of(path: str | os.PathLike[str]) -> str:
    """The format that a trace is written in by its name: fusedump for .fusedump and .dump, else pcapng."""
    return _SUFFIXES.get(Path(path).suffix.lower(), "pcapng")


class _Waiting:
    """Bytes on their way to the file: whole messages or none."""

    def __init__(self) -> None:
        self.lost = 0
        self.failed = False
        self.full = threading.Event()
        self._parts: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()

    def write(self, data: bytes, /) -> int:
        with self._lock:
            if self.failed:
                return 0
            if self._size + len(data) > _ROOM:
                self.lost += 1
                return 0
            self._parts.append(data)
            self._size += len(data)
            if self._size > _BATCH:
                self.full.set()
        return len(data)

    def take(self) -> bytes:
        with self._lock:
            parts, self._parts, self._size = self._parts, [], 0
            self.full.clear()
        return b"".join(parts)


class KeptTrace:
    """A :class:`~.opening.TraceWriter` over the file at `path`, which a thread of its own writes. OSError: it cannot
    be made.

    It is to be opened before the mount is made, so that it does not lie in it. A disk that fails or fills up ends the
    trace and nothing else: that is logged, once. The last messages are in the file after :meth:`close`.
    """

    def __init__(self, path: str | os.PathLike[str], *, form: str | None = None, comment: str = "") -> None:
        self.path = os.fspath(path)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._waiting = _Waiting()
        self._writer: TraceWriter = trace_writer(self._waiting, form or form_of(path), comment=comment)
        self._write_many = batch_writer(self._writer)
        self._thread: threading.Thread | None = None
        self._ended = False
        self._recorders: list[Recorder] = []

    @property
    def lost(self) -> int:
        """Messages that were not kept, because the disk was slower than they came."""
        return self._waiting.lost

    def recorder(self, connection: int | None) -> Recorder:
        """What :meth:`rawfuse.Server.record` takes, for a connection of that number."""
        recorder = Recorder(self, connection=connection or 0, program=Names(), batch=_BATCH_OF_MESSAGES)
        self._recorders.append(recorder)
        self._begin()
        return recorder

    def write(self, message: Traced) -> None:
        """Adds one; never waits."""
        if self._thread is None:
            self._begin()
        self._writer.write(message)

    def write_many(self, messages: Sequence[Traced]) -> None:
        """Adds some, all of them or none; never waits."""
        if self._thread is None:
            self._begin()
        lost = self._waiting.lost
        self._write_many(messages)
        if self._waiting.lost != lost:
            self._waiting.lost = lost + len(messages)

    def _begin(self) -> None:
        if self._thread is None:
            # Not when it is made: until there is a mount the program may still fork, or enter a namespace.
            self._thread = threading.Thread(target=self._run, name="rawfuse trace", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Writes what is left, and says what could not be kept. Nothing must be written after it."""
        if self._ended:
            return
        for recorder in self._recorders:
            recorder.flush()
        self._ended = True
        self._waiting.full.set()
        if self._thread is not None:
            self._thread.join()
        self._put(self._waiting.take())
        if self.lost:
            _log.error("%s: %d messages were not kept: the disk was too slow", self.path, self.lost)
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._ended:
            self._waiting.full.wait(_EVERY)
            for recorder in self._recorders:
                recorder.flush()
            self._put(self._waiting.take())
            if self._waiting.failed:
                return

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        while left and not self._waiting.failed:
            try:
                left = left[os.write(self._fd, left) :]
            except OSError as error:
                self._waiting.failed = True
                _log.error("%s: the trace ends here, serving goes on: %s", self.path, error.strerror)
