"""Messages that the relay keeps for a while: replies that a fault delays, and READs whose long replies would mix."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rawfuse.channel.pieces import APART, Pieces

__all__ = ["Delayed", "LongReads"]


@dataclass(order=True, slots=True)
class _Reply:
    due: float
    number: int
    unique: int = field(compare=False)
    message: bytes = field(compare=False)


class Delayed:
    """Replies that are passed on later, each at its time (time.monotonic)."""

    def __init__(self) -> None:
        self._held: list[_Reply] = []
        self._number = 0

    def __bool__(self) -> bool:
        return bool(self._held)

    @property
    def due(self) -> float:
        """When the first of them is; there is one."""
        return self._held[0].due

    def add(self, due: float, unique: int, message: bytes) -> None:
        """Holds one until `due`."""
        self._number += 1
        heapq.heappush(self._held, _Reply(due, self._number, unique, message))

    def take(self, now: float) -> Iterator[tuple[int, bytes]]:
        """The unique and the message of those that are due."""
        while self._held and self._held[0].due <= now:
            one = heapq.heappop(self._held)
            yield one.unique, one.message


class LongReads:
    """READs with long replies, one after another to a server that may splice: the pieces of two would mix.

    `pending` and `pieces` are the relay's; what :meth:`next` gives is to be sent.
    """

    def __init__(self, pending: Mapping[int, object], pieces: Pieces) -> None:
        self._pending = pending
        self._pieces = pieces
        self.reads: deque[tuple[int, bytes, float]] = deque()
        """The unique, the message and since when, of the one that is under way, then of those that are kept back."""

    @property
    def waiting(self) -> bool:
        """Whether one is kept back."""
        return len(self.reads) > 1

    def add(self, unique: int, message: bytes, now: float) -> bool:
        """Another; whether it is to be kept back."""
        self.reads.append((unique, message, now))
        return self.waiting

    def next(self, arrived: int, now: float) -> Iterator[bytes]:
        """What may go now that there is a reply to `arrived`, or as if there were."""
        while self.reads:
            unique = self.reads[0][0]
            if unique != arrived and unique in self._pending and self._pieces.may_mix:
                return
            self.reads.popleft()
            if self.reads and self.reads[0][0] in self._pending:
                first, message, _ = self.reads[0]
                self.reads[0] = (first, message, now)
                yield message

    def overdue(self, now: float) -> Iterator[bytes]:
        """What may go since the one before it has not been answered for a while: it may wait for what comes behind."""
        if self.waiting:
            unique, _, since = self.reads[0]
            if unique not in self._pending or now - since >= APART:
                yield from self.next(unique, now)
