"""Which exchanges are shown: each filter is one question, and all that were asked must be answered yes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Final

from rawfuse.trace.exchanges import Exchange
from rawfuse.wire.opcodes import BY_OPCODE, NOTIFICATIONS

from .lines import name_of
from .values import name_text

__all__ = ["BadFilter", "Filter", "by_error", "by_opcode", "by_path", "by_pid", "by_program", "matches", "slower_than"]

Filter = Callable[[Exchange], bool]

_UNITS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


class BadFilter(ValueError):
    """What was asked for cannot be; the message says what can."""


def by_opcode(text: str) -> Filter:
    """`READ`, `READ,WRITE`, `NOTIFY_*`: labels, with wildcards, in any case; numbers too."""
    known = {operation.label for operation in BY_OPCODE.values()} | {notice.label for notice in NOTIFICATIONS}
    patterns = []
    for word in text.upper().split(","):
        if word.isdecimal():
            operation = BY_OPCODE.get(int(word))
            patterns.append(operation.label if operation is not None else f"OPCODE_{word}")
        elif any(fnmatchcase(label, word) for label in known):
            patterns.append(word)
        else:
            raise BadFilter(f"no opcode is called {word!r}; `rawfuse explain` lists all")
    return lambda exchange: any(fnmatchcase(name_of(exchange), pattern) for pattern in patterns)


def by_path(pattern: str) -> Filter:
    """A path with wildcards (`*` matches `/` too); without any, the path and all below it."""
    if any(char in pattern for char in "*?["):
        return lambda exchange: any(fnmatchcase(path, pattern) for path in _paths(exchange))
    below = pattern.rstrip("/") + "/"
    return lambda exchange: any(path == pattern or path.startswith(below) for path in _paths(exchange))


def _paths(exchange: Exchange) -> list[str]:
    return [name_text(path) for path in (exchange.path, exchange.newpath) if path]


def by_pid(pid: int) -> Filter:
    """Requests of one process or thread."""
    return lambda exchange: exchange.request is not None and exchange.request.pid == pid


def by_program(pattern: str) -> Filter:
    """Requests of programs whose name matches."""
    return lambda exchange: exchange.sent is not None and fnmatchcase(name_text(exchange.sent.program), pattern)


def by_error(text: str) -> Filter:
    """`ENOENT`, `2`, or `any`: replies with that errno."""
    if text.lower() == "any":
        return lambda exchange: bool(exchange.error)
    number = int(text) if text.isdecimal() else getattr(errno, text.upper(), None)
    if not isinstance(number, int):
        raise BadFilter(f"{text!r} is no errno: a name such as ENOENT, a number, or `any`")
    return lambda exchange: exchange.error == number


def slower_than(text: str) -> Filter:
    """`250us`, `1.5ms`, `2s`: replies that took longer; without a unit, milliseconds."""
    number = text.rstrip("nums")
    unit = text[len(number) :] or "ms"
    try:
        least = float(number) * _UNITS[unit]
    except (ValueError, KeyError):
        raise BadFilter(f"{text!r} is no duration: a number and ns, us, ms or s") from None
    return lambda exchange: exchange.latency is not None and exchange.latency > least


def matches(exchange: Exchange, filters: Iterable[Filter]) -> bool:
    """Whether every one of `filters` says yes."""
    return all(one(exchange) for one in filters)
