"""Requests that a server has not answered yet, and who is told what goes wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from rawfuse.wire import constants as c
from rawfuse.wire.opcodes import BY_OPCODE

__all__ = ["Patience", "Pending", "Watcher"]

_MAY_WAIT: Final = frozenset({c.FUSE_SETLKW, c.FUSE_INTERRUPT})
"""What a sound server may leave unanswered for ever."""
_START: Final = 20.0
"""Seconds more that a server may take for its start."""


class Pending(NamedTuple):
    """A request that was passed on: its opcode, since when (time.monotonic), its first bytes."""

    opcode: int
    since: float
    head: bytes
    given_up: bool = False
    """Answered in the server's place."""

    @property
    def label(self) -> str:
        """The opcode's name."""
        operation = BY_OPCODE.get(self.opcode)
        return operation.label if operation is not None else f"opcode {self.opcode}"


class Patience:
    """Which requests have waited for too long: for `seconds`, of each said once, and for `give_up`, 0: for ever."""

    def __init__(self, seconds: float, give_up: float) -> None:
        self._seconds = seconds
        self._give_up = give_up or math.inf
        self._least = min(seconds, self._give_up)
        self._told: set[int] = set()

    def look(self, pending: Mapping[int, Pending], now: float) -> Iterator[tuple[int, float, bool]]:
        """The unique, for how many seconds, and whether it is to be given up; `pending` is in the order of `since`."""
        self._told &= pending.keys()
        for unique, request in pending.items():
            waited = now - request.since
            if waited < self._least:
                return
            starts = request.opcode == c.FUSE_INIT and waited < self._seconds + _START
            if starts or request.opcode in _MAY_WAIT:
                continue
            if waited >= self._give_up:
                yield unique, waited, True
            elif unique not in self._told:
                self._told.add(unique)
                yield unique, waited, False


class Watcher(Protocol):
    """Who is told what goes wrong."""

    def broken(self, message: bytes, error: OSError, request: Pending | None) -> None:
        """The kernel refused what the server wrote: `request` is what it was meant to answer."""
        ...

    def hangs(self, unique: int, request: Pending, seconds: float) -> None:
        """A request has not been answered for so long. Told once of each, and again when it is given up."""
        ...

    def ended(self, pending: dict[int, Pending]) -> None:
        """The server closed its socket with these requests unanswered."""
        ...
