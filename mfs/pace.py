"""Long work on the thread that answers the kernel, in slices."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TypeVar

import trio

T = TypeVar("T")

SLICE = 0.0005
"""Seconds of work after which others run: about thirty requests long."""
HURRIED = 0.008
"""The same for work that falls behind what the requests add to it: they get a tenth of the thread until it caught up,
which is what bounds the memory that waits for it."""


class Pace:
    """Lets others run after every slice of work.

    Where `behind` says so, the slices are longer and whoever makes the work is slowed down.
    """

    __slots__ = ("_behind", "until")

    def __init__(self, behind: Callable[[], bool] | None = None) -> None:
        self._behind = behind
        self.until = time.perf_counter() + SLICE

    @property
    def due(self) -> bool:
        """Whether the slice is used up."""
        return time.perf_counter() >= self.until

    async def rest(self) -> None:
        """Let others run."""
        await trio.lowlevel.checkpoint()
        hurried = self._behind is not None and self._behind()
        self.until = time.perf_counter() + (HURRIED if hurried else SLICE)

    async def run(self, steps: Generator[None, None, T]) -> T:
        """Run `steps` to their end; they yield where others may run."""
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                value: T = stop.value
                return value
            if self.due:
                await self.rest()
