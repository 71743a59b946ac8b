"""The kernel's own FUSE events (tracefs, fuse:fuse_request_send and fuse_request_end, Linux 6.11): any mount, served by
anybody, without touching the server.

They say opcode, caller, sizes, errno and times, to the microsecond, and nothing of what a message carries: no inode, no
name, no data. FORGETs, INTERRUPTs and notifications have no events. Each watcher has a buffer of its own, an instance
in tracefs, which nobody else sees; it costs each request about a microsecond while it is there. Needs root. Measured on
Linux 6.18.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from rawfuse.mount import _syscalls

__all__ = ["KernelEvent", "KernelEvents", "NoKernelEvents"]

TRACEFS: Final = Path("/sys/kernel/tracing")
_PREFIX: Final = "rawfuse-"
_BUFFER_KIB: Final = 4096
"""KiB of each CPU: some 40 000 events."""
_SECOND: Final = 1_000_000_000
_EVENT: Final = re.compile(
    rb" *(?P<program>.*)-(?P<pid>\d+) +\[\d+\] \S+ +(?P<seconds>\d+)\.(?P<micro>\d{6}): "
    rb"fuse_request_(?P<kind>send|end): "
    rb"connection (?P<connection>\d+) req (?P<unique>\d+)"
    rb"(?: opcode (?P<opcode>\d+) \([^)]*\))? len (?P<length>\d+)(?: error (?P<error>-?\d+))?"
)
_LOST: Final = re.compile(rb"CPU:\d+ \[LOST (\d+) EVENTS\]")


class NoKernelEvents(Exception):
    """They cannot be had here; the message says why and what to do."""


class KernelEvent(NamedTuple):
    """One event.

    time: nanoseconds since the epoch, exact to the microsecond. connection: as in fusectl. opcode: None at the end of
    a request. length: bytes of the request, or of the reply. error: errno of the reply, 0 for success. pid, program:
    of the thread that asked, at its end of the one that answered.
    """

    time: int
    connection: int
    unique: int
    opcode: int | None
    length: int
    error: int
    pid: int
    program: bytes


class KernelEvents:
    """A context manager, in which :meth:`read` gives the events of `connections`; of all where there are none given.

    Attributes:
        lost: events that the buffer had no room for.
    """

    def __init__(self, connections: Sequence[int] = ()) -> None:
        self.lost = 0
        self._connections = connections
        self._instance: Path | None = None
        self._pipe = -1
        self._kept = b""
        self._epoch = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def __enter__(self) -> Self:
        _check()
        _sweep()
        self._instance = _made()
        try:
            self._set("trace_clock", "mono")
            self._set("buffer_size_kb", str(_BUFFER_KIB))
            if self._connections:
                wanted = " || ".join(f"connection == {number}" for number in self._connections)
                self._set("events/fuse/filter", wanted)
            self._pipe = os.open(self._instance / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._set("events/fuse/enable", "1")
        except OSError as error:
            self.__exit__()
            raise NoKernelEvents(f"{error.filename}: {os.strerror(error.errno or errno.EIO)}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        instance, self._instance = self._instance, None
        if instance is not None:
            with contextlib.suppress(OSError):
                (instance / "events" / "fuse" / "enable").write_text("0")
            with contextlib.suppress(OSError):
                instance.rmdir()  # what stays, the next one sweeps away

    def _set(self, name: str, value: str) -> None:
        assert self._instance is not None
        (self._instance / name).write_text(value)

    def read(self, seconds: float) -> Iterator[KernelEvent]:
        """The events of the next `seconds`, looked for every fiftieth of a second."""
        end = time.monotonic() + seconds
        while True:
            yield from self.ready()
            left = end - time.monotonic()
            if left <= 0:
                return
            # The pipe is ready for poll(2) only when half of its buffer is full.
            select.select([], [], [], min(left, 0.02))

    def ready(self) -> Iterator[KernelEvent]:
        """The events that are there."""
        while True:
            try:
                part = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                return
            if not part:
                return
            *lines, self._kept = (self._kept + part).split(b"\n")
            for line in lines:
                event = self._event(line)
                if event is not None:
                    yield event

    def _event(self, line: bytes) -> KernelEvent | None:
        found = _EVENT.match(line)
        if found is None:
            lost = _LOST.match(line)
            self.lost += int(lost[1]) if lost is not None else 0
            return None
        sent = found["kind"] == b"send"
        moment = int(found["seconds"]) * _SECOND + int(found["micro"]) * 1000
        return KernelEvent(
            self._epoch + moment,
            int(found["connection"]),
            int(found["unique"]),
            int(found["opcode"]) if sent else None,
            int(found["length"]),
            0 if sent else -int(found["error"]),
            int(found["pid"]),
            found["program"],
        )


def _check() -> None:
    instances = TRACEFS / "instances"
    if os.geteuid() != 0 and not os.access(instances, os.W_OK):
        raise NoKernelEvents(f"the kernel's events are for root: {TRACEFS} is not ours to write")
    if not instances.is_dir():
        try:
            _syscalls.mount(b"tracefs", os.fsencode(TRACEFS), b"tracefs", 0, None)
        except OSError as error:
            raise NoKernelEvents(f"no tracefs at {TRACEFS}, and it cannot be mounted: {error.strerror}") from error
    if not (TRACEFS / "events" / "fuse" / "fuse_request_end").is_dir():
        raise NoKernelEvents(
            "this kernel has no FUSE events: they came with Linux 6.11, and with the fuse module loaded"
        )


def _made() -> Path:
    number = 0
    while True:
        path = TRACEFS / "instances" / f"{_PREFIX}{os.getpid()}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            raise NoKernelEvents(f"cannot make {path}: {error.strerror}") from error
        else:
            return path


def _sweep() -> None:
    """Takes away what killed watchers left: their buffers would fill and cost every request something for ever."""
    for path in (TRACEFS / "instances").glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                (path / "events" / "enable").write_text("0")
                path.rmdir()
