"""What was said on a socket, for a report: a line a message, and the last messages field by field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rawfuse.trace.exchanges import Exchange, Follower
from rawfuse.trace.record import Direction, Traced

from ..decode.dump import dump
from ..decode.lines import arguments_of, name_of, outcome_of
from ..decode.values import name_text

__all__ = ["dump_of", "sent_lines"]

_LINES: Final = 12
_DUMPED: Final = 2


def _exchanges(messages: Iterable[Traced]) -> list[Exchange]:
    follower = Follower()
    found = [exchange for message in messages for exchange in follower.feed(message)]
    return sorted(found + follower.finish(), key=lambda exchange: exchange.time)


def sent_lines(messages: Iterable[Traced]) -> list[str]:
    """`LOOKUP nodeid 1 name=x = ENOENT`, for the last requests and what the server sent unasked."""
    lines = [_line(exchange) for exchange in _exchanges(messages)]
    left = len(lines) - _LINES
    return ([f"({left} messages before these)"] if left > 0 else []) + lines[-_LINES:]


def _line(exchange: Exchange) -> str:
    request, sent = exchange.request, exchange.sent
    if sent is None:
        what = name_of(exchange) if exchange.notification is not None else "unasked"
        return f"{what}: {exchange.problem or 'from the server'}"
    if request is None:
        return f"{sent.length} bytes, {sent.data[:96].hex(' ')}{' ...' if sent.length > 96 else ''}" + _outcome(
            exchange
        )
    words = [name_of(exchange), f"nodeid {request.nodeid}"]
    for member in ("name", "newname"):
        value = getattr(request, member, None)
        if isinstance(value, bytes) and value:
            words.append(f"{member}={name_text(value[:64])}")
    words += [f"{member}={text}" for member, text in arguments_of(exchange) if member != "name"]
    return " ".join(words) + _outcome(exchange)


def _outcome(exchange: Exchange) -> str:
    said = exchange.problem if exchange.request is not None and exchange.problem else outcome_of(exchange)
    if not said and exchange.answer is None:
        return ""
    return f" = {said or 'a reply'}"


def dump_of(messages: Iterable[Traced]) -> list[str]:
    """The last request with its reply, field by field over the bytes."""
    lines: list[str] = []
    for exchange in _exchanges(messages)[-_DUMPED:]:
        for message in (exchange.sent, exchange.answer):
            if message is not None:
                way = "to the server" if message.direction is Direction.TO_SERVER else "from the server"
                lines.append(f"{name_of(exchange)}, {message.length} bytes {way}:")
                lines += dump(message, exchange)
    return lines
