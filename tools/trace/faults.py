"""Faults that are put between the kernel and a server: errors, delays, lost replies, short reads."""

from __future__ import annotations

import errno
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from rawfuse.trace.agreed import Agreed
from rawfuse.trace.exchanges import Follower
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import constants as c
from rawfuse.wire import fuse_out_header
from rawfuse.wire.opcodes import BY_OPCODE, OPERATIONS
from rawfuse.wire.replies import answered

__all__ = ["BadFault", "Fault", "Faults", "Paths", "parse_fault", "shortened"]

_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_LARGEST_ERRNO: Final = 511
_WITH_COUNT: Final = frozenset({c.FUSE_WRITE, c.FUSE_COPY_FILE_RANGE, c.FUSE_COPY_FILE_RANGE_64})
"""Whose reply is a number of bytes: a short one is a smaller number."""
_WITH_DATA: Final = frozenset(one.opcode for one in OPERATIONS if one.reply.kind in ("bytes", "dirents", "xattr"))


class BadFault(ValueError):
    """A fault that cannot be; the message says what can."""


@dataclass(slots=True)
class Fault:
    """One rule. Exactly one of `error`, `delay`, `drop`, `short` says what happens.

    opcodes: numbers that it is about. path: a pattern that the path, or the one it is moved or copied to, must match.
    every: each such request of so many. after: only when so many have passed; first: only so many, behind those.
    chance: in so many of a hundred cases. times: at most so often. error: errno of the reply, the server never sees the
    request. delay, longest: seconds before the reply is passed on, any between the two. drop: the reply is lost. short:
    bytes that are left of a reply's data, or of the number that a reply to WRITE says.
    """

    text: str
    opcodes: frozenset[int]
    path: str = ""
    every: int = 1
    after: int = 0
    first: int | None = None
    chance: float = 100.0
    times: int | None = None
    error: int = 0
    delay: float = 0.0
    longest: float = 0.0
    drop: bool = False
    short: int | None = None
    seen: int = 0
    done: int = 0

    def strikes(self, opcode: int, chance: random.Random, paths: Sequence[bytes] = ()) -> bool:
        """Whether it strikes this request; counts it. `paths`: what it is about."""
        if opcode not in self.opcodes or (self.times is not None and self.done >= self.times):
            return False
        if self.path and not any(path and fnmatchcase(os.fsdecode(path), self.path) for path in paths):
            return False
        self.seen += 1
        since = self.seen - self.after
        if since <= 0 or since % self.every or (self.first is not None and since > self.first):
            return False
        if self.chance < 100 and chance.random() * 100 >= self.chance:
            return False
        self.done += 1
        return True


def parse_fault(text: str) -> Fault:
    """`OPCODES [path=PATTERN] [every=N] [after=N] [first=N] [chance=P%] [times=N]`, and one of
    `error=ERRNO|delay=TIME|drop|short=BYTES`. Raises BadFault.
    """
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
    if fault.short is not None:
        fault.opcodes &= _WITH_DATA | _WITH_COUNT
        if not fault.opcodes:
            raise BadFault(f"{text!r}: replies that can be short are those to READ, WRITE, READDIR and their like")
    return fault


_KEYS: Final = {
    "path": "path=PATTERN",
    "every": "every=N",
    "after": "after=N",
    "first": "first=N",
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
        case "path":
            if not value.startswith(("/", "*")):
                raise ValueError("a pattern from the root of the mount: /dir/*, *.db")
            fault.path = value
            return False
        case "every" | "after" | "first" | "times":
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
            least, _, most = value.partition("-")
            fault.delay = _seconds(least)
            fault.longest = _seconds(most) if most else fault.delay
            if not 0 < fault.delay <= fault.longest:
                raise ValueError("a time, or one between two: 50ms, 2s, 10ms-200ms")
        case "drop":
            fault.drop = True
        case "short":
            fault.short = int(value)
            if fault.short < 0:
                raise ValueError("a number of bytes")
    return True


def _seconds(text: str) -> float:
    number = text.rstrip("mus")
    unit = text[len(number) :] or "s"
    if not number or unit not in _UNITS:
        raise ValueError("a time: 50ms, 2s")
    return float(number) * _UNITS[unit]


class Faults:
    """All rules of a run; the first that strikes counts. `seed`: the same requests meet the same faults again."""

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self.faults = list(faults)
        self._chance = random.Random(seed)

    def __bool__(self) -> bool:
        return bool(self.faults)

    @property
    def by_path(self) -> bool:
        """Whether a rule asks for the path of a request."""
        return any(fault.path for fault in self.faults)

    def striking(self, opcode: int, paths: Sequence[bytes] = ()) -> Fault | None:
        """The fault that strikes this request, if any; `paths`: what it is about."""
        for fault in self.faults:
            if fault.strikes(opcode, self._chance, paths):
                return fault
        return None

    def delay(self, fault: Fault) -> float:
        """Seconds that a reply is kept back this time."""
        return self._chance.uniform(fault.delay, fault.longest)


def shortened(message: bytes | memoryview, opcode: int, most: int) -> bytes:
    """The reply with at most `most` bytes of data, as of a server that reads or writes less than was asked for."""
    header = fuse_out_header.unpack_from(message)
    body = bytes(message[fuse_out_header.SIZE :])
    if header.error:
        return bytes(message)
    if opcode in _WITH_COUNT:
        # The count comes first in both structs, and what stands behind it is padding: 4 bytes, or the 8 of opcode 53.
        wide = 8 if opcode == c.FUSE_COPY_FILE_RANGE_64 else 4
        count = min(most, int.from_bytes(body[:wide], sys.byteorder))
        body = count.to_bytes(wide, sys.byteorder) + body[wide:]
    else:
        body = body[:most]
    return fuse_out_header.pack_flat(fuse_out_header.SIZE + len(body), 0, header.unique) + body


class Paths:
    """The paths of requests, followed from all messages; for faults that ask for them. `agreed`: what INIT did."""

    def __init__(self, agreed: Agreed) -> None:
        self._agreed = agreed
        self._follower = Follower()

    def request(self, unique: int, message: bytes | memoryview) -> tuple[bytes, ...]:
        """Of a request, which is taken in."""
        self._feed(Direction.TO_SERVER, message)
        exchange = self._follower.pending(unique)
        return (exchange.path, exchange.newpath) if exchange is not None else ()

    def reply(self, message: bytes | memoryview) -> None:
        """Takes a reply in."""
        self._feed(Direction.TO_KERNEL, message)

    def _feed(self, direction: Direction, message: bytes | memoryview) -> None:
        agreed = self._agreed
        self._follower.feed(Traced(0, direction, bytes(message), len(message), 0, 0, agreed.minor, agreed.setxattr_ext))
