"""Requests that a server has not answered yet, and who is told what goes wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from rawfuse.wire import constants as c
from rawfuse.wire.opcodes import BY_OPCODE

from .faults import Fault

__all__ = ["MAY_WAIT", "Pending", "Watcher"]

MAY_WAIT: Final = frozenset({c.FUSE_SETLKW, c.FUSE_INTERRUPT})
"""What a sound server may leave unanswered for ever."""


@dataclass(slots=True)
class Pending:
    """A request that was passed on: its opcode, since when (time.monotonic), its first bytes."""

    opcode: int
    since: float
    head: bytes
    fault: Fault | None = None
    told: bool = False
    given_up: bool = False
    """Answered in the server's place."""

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
        """A request has not been answered for so long. Told once of each, and again when it is given up."""
        ...

    def ended(self, pending: dict[int, Pending]) -> None:
        """The server closed its socket with these requests unanswered."""
        ...
