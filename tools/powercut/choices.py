"""Who decides what a power cut takes: at random from a seed, or everything in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import TypeVar

__all__ = ["Chosen", "InTurn", "every_choice"]

T = TypeVar("T")

# How likely it is that something is kept; a disk has one habit for all that is unsynced. What is found is nearly always
# found by those at the ends: everything there but one thing, or nothing there but one.
_HABITS = (0.0, 0.03, 0.2, 0.5, 0.8, 0.97, 1.0)
_TORN = 0.2


class Chosen:
    """Decides at random, the same for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)
        self._keep = {what: self._random.choice(_HABITS) for what in ("names", "data", "size", "lost")}

    def __call__(self, what: str, options: int) -> int:
        random = self._random
        if what in ("boundary", "sector", "stale") or (what == "names" and options > 2 and random.random() < 0.5):
            return random.randrange(options)
        if random.random() < self._keep[what]:
            return 0
        if what == "data" and options > 2:
            return random.randrange(2, options) if random.random() < _TORN else 1
        if what == "names":
            return options - 1
        return random.randrange(1, options)


class InTurn:
    """Decides as `given` says, and keeps everything from there on; `options` is how many there were each time."""

    def __init__(self, given: list[int]) -> None:
        self._given = given
        self.options: list[int] = []

    def __call__(self, what: str, options: int) -> int:
        place = len(self.options)
        self.options.append(options)
        return self._given[place] if place < len(self._given) else 0


def every_choice(made: Callable[[InTurn], T]) -> Iterator[tuple[list[int], T]]:
    """What `made` makes of every sequence of decisions there is, with the sequence."""
    given: list[int] = []
    while True:
        pick = InTurn(given)
        result = made(pick)
        given += [0] * (len(pick.options) - len(given))
        yield list(given), result
        while given and given[-1] == pick.options[len(given) - 1] - 1:
            given.pop()
        if not given:
            return
        given[-1] += 1
