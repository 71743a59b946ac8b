"""Figures of connections while they work: counted as messages or events go by, read whenever one likes."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from rawfuse.trace.kernel_events import KernelEvent
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import fuse_in_header, fuse_out_header
from rawfuse.wire.constants import FUSE_UNIQUE_RESEND
from rawfuse.wire.opcodes import BY_OPCODE, NOTIFICATIONS
from rawfuse.wire.replies import answered

__all__ = ["Live", "Row"]

_SAMPLES: Final = 4096
"""The latencies, the last of an opcode, that percentiles are of."""
_PENDING: Final = 1 << 16
_PROGRAMS: Final = 256
_SHOWN: Final = 3
_NOTICES: Final = {notice.code: notice.label for notice in NOTIFICATIONS}


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one opcode, or notification, of one connection.

    count, errors: since the beginning. rate: a second, since the last look. p50_us, p99_us: of the last 4096 replies;
    None without any. in_flight: waiting for a reply now. slowest_us: the longest that a reply took, or that somebody
    waits for one. programs: who asked since the last look, the busiest first.
    """

    connection: int
    opcode: str
    count: int
    errors: int
    rate: float
    p50_us: float | None
    p99_us: float | None
    in_flight: int
    slowest_us: float | None
    programs: tuple[str, ...]

    def object(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class _Waiting(NamedTuple):
    opcode: str
    since: int


@dataclass(slots=True)
class _Opcode:
    count: int = 0
    errors: int = 0
    fresh: int = 0
    slowest: int = -1
    latencies: deque[int] = field(default_factory=lambda: deque(maxlen=_SAMPLES))
    programs: Counter[bytes] = field(default_factory=Counter)

    def percentile(self, part: float) -> float | None:
        found = sorted(self.latencies)
        return found[min(len(found) - 1, int(part * len(found)))] / 1000 if found else None


class Live:
    """Fed by any thread with :meth:`message` or :meth:`event`; :meth:`rows` is what they came to."""

    def __init__(self, start: int) -> None:
        self._lock = threading.Lock()
        self._looked = start
        self._opcodes: dict[tuple[int, str], _Opcode] = {}
        self._waiting: dict[tuple[int, int], _Waiting] = {}

    def message(self, message: Traced) -> None:
        """A message of a connection that is watched, its header at least."""
        data = message.data
        if message.direction is Direction.TO_SERVER:
            if len(data) >= fuse_in_header.SIZE:
                header = fuse_in_header.unpack_from(data)
                self._begun(message.connection, header.unique, header.opcode, message.time, message.program)
        elif len(data) >= fuse_out_header.SIZE:
            reply = fuse_out_header.unpack_from(data)
            if reply.unique:
                self._ended(message.connection, reply.unique & ~FUSE_UNIQUE_RESEND, message.time, -reply.error)
            else:
                self._counted(message.connection, _NOTICES.get(reply.error, f"NOTIFY_{reply.error}"), b"")

    def event(self, event: KernelEvent) -> None:
        """An event of the kernel."""
        if event.opcode is not None:
            self._begun(event.connection, event.unique, event.opcode, event.time, event.program)
        else:
            self._ended(event.connection, event.unique, event.time, event.error)

    def forget_waiting(self, connection: int | None = None) -> None:
        """Something was lost, or the connection is over: nobody knows what is in flight."""
        with self._lock:
            for key in [key for key in self._waiting if connection in (None, key[0])]:
                del self._waiting[key]

    def forget(self, connection: int) -> None:
        """The connection is not shown any more."""
        self.forget_waiting(connection)
        with self._lock:
            for key in [key for key in self._opcodes if key[0] == connection]:
                del self._opcodes[key]

    def _counted(self, connection: int, opcode: str, program: bytes) -> None:
        with self._lock:
            one = self._opcodes.setdefault((connection, opcode), _Opcode())
            one.count += 1
            one.fresh += 1
            if program and (program in one.programs or len(one.programs) < _PROGRAMS):
                one.programs[program] += 1

    def _begun(self, connection: int, unique: int, opcode: int, time: int, program: bytes) -> None:
        operation = BY_OPCODE.get(opcode)
        label = operation.label if operation is not None else f"OPCODE_{opcode}"
        self._counted(connection, label, program)
        if answered(opcode):
            with self._lock:
                if len(self._waiting) >= _PENDING:
                    self._waiting.pop(next(iter(self._waiting)))
                self._waiting[connection, unique & ~FUSE_UNIQUE_RESEND] = _Waiting(label, time)

    def _ended(self, connection: int, unique: int, time: int, error: int) -> None:
        with self._lock:
            asked = self._waiting.pop((connection, unique), None)
            if asked is None:
                return  # it was asked before we looked
            one = self._opcodes.setdefault((connection, asked.opcode), _Opcode())
            latency = max(0, time - asked.since)
            one.latencies.append(latency)
            one.slowest = max(one.slowest, latency)
            one.errors += error != 0

    def rows(self, now: int) -> list[Row]:
        """All of it at `now`, nanoseconds since the epoch as all times here; the busiest first."""
        with self._lock:
            seconds = max(1, now - self._looked) / 1e9
            self._looked = now
            in_flight = Counter((key[0], one.opcode) for key, one in self._waiting.items())
            longest: dict[tuple[int, str], int] = {}
            for key, one in self._waiting.items():
                place = key[0], one.opcode
                longest[place] = max(longest.get(place, 0), now - one.since)
            found = []
            for (connection, opcode), figures in self._opcodes.items():
                slowest = max(figures.slowest, longest.get((connection, opcode), -1))
                programs = tuple(
                    name.decode("utf-8", "backslashreplace") for name, _ in figures.programs.most_common(_SHOWN)
                )
                found.append(
                    Row(
                        connection,
                        opcode,
                        figures.count,
                        figures.errors,
                        round(figures.fresh / seconds, 1),
                        figures.percentile(0.5),
                        figures.percentile(0.99),
                        in_flight[connection, opcode],
                        slowest / 1000 if slowest >= 0 else None,
                        programs,
                    )
                )
                figures.fresh = 0
                figures.programs.clear()
        return sorted(found, key=lambda row: (-row.rate, -row.count, row.connection, row.opcode))
