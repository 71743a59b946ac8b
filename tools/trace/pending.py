"""Requests that a server has not answered yet, and who is told what goes wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Final, NamedTuple, Protocol

from rawfuse.wire import constants as c
from rawfuse.wire.opcodes import BY_OPCODE

__all__ = ["Patience", "Pending", "Watcher"]

_MAY_WAIT: Final = frozenset({c.FUSE_SETLKW, c.FUSE_INTERRUPT})
"""What a sound server may leave unanswered for ever."""
_opcode: Final = Struct("=4xI").unpack_from
"""Of a fuse_in_header."""
_START: Final = 20.0
"""Seconds more that a server may take for its start."""


class Pending(NamedTuple):
    """A request that was passed on."""

    head: bytes
    """Its first bytes, a fuse_in_header and more."""
    given_up: bool = False
    """Answered in the server's place."""

    @property
    def opcode(self) -> int:
        number: int = _opcode(self.head)[0]
        return number

    @property
    def label(self) -> str:
        """The opcode's name."""
        operation = BY_OPCODE.get(self.opcode)
        return operation.label if operation is not None else f"opcode {self.opcode}"


class Patience:
    """Which requests have waited for too long: for `seconds`, of each said once, and for `give_up`, 0: for ever.

    A request waits since it was first seen here, so that passing it on needs no clock.
    """

    def __init__(self, seconds: float, give_up: float) -> None:
        self._seconds = seconds
        self._give_up = give_up or math.inf
        self._least = min(seconds, self._give_up)
        self._since: dict[int, float] = {}
        self._told: set[int] = set()

    def look(self, pending: Mapping[int, bytes], now: float) -> Iterator[tuple[int, float, bool]]:
        """The unique, for how many seconds, and whether it is to be given up, of `pending`, by unique, in their order.

        To be called now and then; `now` is a time.monotonic().
        """
        self._told &= pending.keys()
        self._since = {unique: self._since.get(unique, now) for unique in pending}
        for unique, head in pending.items():
            waited = now - self._since[unique]
            if waited < self._least:
                return
            opcode = Pending(head).opcode
            starts = opcode == c.FUSE_INIT and waited < self._seconds + _START
            if starts or opcode in _MAY_WAIT:
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
