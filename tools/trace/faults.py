"""Faults that are put between the kernel and a server: errors, delays, lost replies, short reads."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from rawfuse.wire.opcodes import BY_OPCODE
from rawfuse.wire.replies import answered

__all__ = ["BadFault", "Fault", "Faults", "parse_fault"]

_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_LARGEST_ERRNO: Final = 511


class BadFault(ValueError):
    """A fault that cannot be; the message says what can."""


@dataclass(slots=True)
class Fault:
    """One rule. Exactly one of `error`, `delay`, `drop`, `short` says what happens.

    opcodes: numbers that it is about. every: each such request of so many. after: from so many on. chance: in so many
    of a hundred cases. times: at most so often, None without an end. error: errno of the reply, the server never
    sees the request. delay: seconds before the reply is passed on. drop: the reply is lost. short: bytes that are left
    of a reply's data.
    """

    text: str
    opcodes: frozenset[int]
    every: int = 1
    after: int = 0
    chance: float = 100.0
    times: int | None = None
    error: int = 0
    delay: float = 0.0
    drop: bool = False
    short: int | None = None
    seen: int = 0
    done: int = 0

    def strikes(self, opcode: int, chance: random.Random) -> bool:
        """Whether it strikes this request; counts it."""
        if opcode not in self.opcodes or (self.times is not None and self.done >= self.times):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.seen - self.after) % self.every:
            return False
        if self.chance < 100 and chance.random() * 100 >= self.chance:
            return False
        self.done += 1
        return True


def parse_fault(text: str) -> Fault:
    """`OPCODES [every=N] [after=N] [chance=P%] [times=N] error=ERRNO|delay=TIME|drop|short=BYTES`."""
    words = text.split()
    if not words:
        raise BadFault("a fault begins with the opcodes that it is about: 'WRITE every=100 error=EIO'")
    fault = Fault(text, _opcodes(words[0]))
    effects = 0
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if (key == "drop") == bool(equals) or key not in _KEYS:
            raise BadFault(f"{word!r} is not one of {', '.join(_KEYS.values())}")
        try:
            effects += _set(fault, key, value)
        except ValueError as error:
            raise BadFault(f"{word!r}: {error}") from None
    if effects != 1:
        raise BadFault(f"{text!r}: what happens is one of error=, delay=, drop, short=")
    return fault


_KEYS: Final = {
    "every": "every=N",
    "after": "after=N",
    "chance": "chance=P%",
    "times": "times=N",
    "error": "error=ERRNO",
    "delay": "delay=TIME",
    "drop": "drop",
    "short": "short=BYTES",
}


def _opcodes(text: str) -> frozenset[int]:
    found: set[int] = set()
    for word in text.upper().split(","):
        matching = {number for number, operation in BY_OPCODE.items() if fnmatchcase(operation.label, word)}
        if not matching:
            raise BadFault(f"no opcode is called {word!r}; `rawfuse explain` lists all")
        found |= matching
    unanswered = [BY_OPCODE[number].label for number in found if not answered(number)]
    found = {number for number in found if answered(number)}
    if not found:
        raise BadFault(f"{', '.join(unanswered)} is never answered: nothing can go wrong with its reply")
    return frozenset(found)


def _set(fault: Fault, key: str, value: str) -> bool:
    """Takes one word over; says whether it is what happens."""
    match key:
        case "every" | "after" | "times":
            number = int(value)
            if number < (0 if key == "after" else 1):
                raise ValueError("a number of requests")
            setattr(fault, key, number)
            return False
        case "chance":
            fault.chance = float(value.rstrip("%"))
            if not 0 < fault.chance <= 100:
                raise ValueError("a part of a hundred")
            return False
        case "error":
            fault.error = int(value) if value.isdecimal() else int(getattr(errno, value.upper(), 0))
            if not 0 < fault.error <= _LARGEST_ERRNO:
                raise ValueError("no errno")
        case "delay":
            number_text = value.rstrip("mus")
            fault.delay = float(number_text) * _UNITS[value[len(number_text) :] or "s"] if number_text else 0.0
            if fault.delay <= 0:
                raise ValueError("a time: 50ms, 2s")
        case "drop":
            fault.drop = True
        case "short":
            fault.short = int(value)
            if fault.short < 0:
                raise ValueError("a number of bytes")
    return True


class Faults:
    """All rules of a run; the first that strikes counts. `seed`: the same requests meet the same faults again."""

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self.faults = list(faults)
        self._chance = random.Random(seed)

    def __bool__(self) -> bool:
        return bool(self.faults)

    def striking(self, opcode: int) -> Fault | None:
        """The fault that strikes this request, if any."""
        for fault in self.faults:
            if fault.strikes(opcode, self._chance):
                return fault
        return None
