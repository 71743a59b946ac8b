"""`rawfuse trace --follow DIR`: a mount that is there already, whoever serves it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from rawfuse.trace import TraceWriter
from rawfuse.trace.exchanges import Exchange, Follower
from rawfuse.trace.kernel_events import KernelEvent, KernelEvents
from rawfuse.trace.watching import Watched, watch
from rawfuse.wire.opcodes import BY_OPCODE

from ..decode.lines import Style, coloured, latency_text, plain
from ..decode.values import errno_text, name_text
from ..top.sources import EVENTS_SAY, NoSuchMount, Place, place_of
from .output import Lines

__all__ = ["NotWatched", "follow"]

_TICK = 0.2
_PENDING = 1 << 16


class NotWatched(Exception):
    """What was asked for cannot be had of that mount."""


def follow(path: str, *, colours: bool, keep: Callable[[], TraceWriter] | None, largest: int | None) -> None:
    """Prints a line for each request of the mount at `path`, until it is over or SIGINT comes.

    `keep` opens what the messages go into besides, of each at most `largest` bytes: of mounts that our programs serve
    or relay, only.

    Raises NoSuchMount, NotWatched, NoKernelEvents, OSError.
    """
    place = place_of(path)
    watched = watch(place.connection, largest=largest)
    if watched is None and keep is not None:
        raise NotWatched(
            f"{path}: no program of ours offers its messages, and the kernel's events have none to keep; "
            "`rawfuse trace -o FILE -m DIR -- SERVER {}` stands between"
        )
    name = place.mountpoint or path
    if watched is not None:
        print(f"rawfuse trace: {name}: every message", file=sys.stderr, flush=True)
        _messages(watched, Lines(colours=colours), keep() if keep is not None else None)
        return
    with KernelEvents([place.connection]) as events:
        print(f"rawfuse trace: {name}: {EVENTS_SAY}", file=sys.stderr, flush=True)
        _events(events, place, Style(coloured if colours else plain))


def _messages(watched: Watched, lines: Lines, keep: TraceWriter | None) -> None:
    follower = Follower()
    lost = 0
    with watched:
        for message in watched:
            if keep is not None:
                keep.write(message)
            for exchange in follower.feed(message):
                if not _begun_before(exchange):
                    lines.show(exchange)
            if watched.lost != lost:
                print(f"rawfuse trace: {watched.lost - lost} messages were lost", file=sys.stderr, flush=True)
                lost = watched.lost


def _begun_before(exchange: Exchange) -> bool:
    """Whether it is the reply to what was asked before we looked."""
    return exchange.sent is None and exchange.notification is None and exchange.error is None


def _events(events: KernelEvents, place: Place, style: Style) -> None:
    lost = 0
    for sent, answer in _joined(events, place):
        sys.stdout.write(_line(sent, answer, style) + "\n")
        sys.stdout.flush()
        if events.lost != lost:
            print(f"rawfuse trace: {events.lost - lost} events were lost", file=sys.stderr, flush=True)
            lost = events.lost


def _joined(events: KernelEvents, place: Place) -> Iterator[tuple[KernelEvent, KernelEvent]]:
    waiting: dict[int, KernelEvent] = {}
    while True:
        for event in events.read(_TICK):
            if event.opcode is not None:
                if len(waiting) >= _PENDING:
                    waiting.pop(next(iter(waiting)))
                waiting[event.unique] = event
            elif (sent := waiting.pop(event.unique, None)) is not None:
                yield sent, event
        if place.mountpoint:
            try:
                if place_of(place.mountpoint).connection != place.connection:
                    return
            except NoSuchMount:
                return


def _line(sent: KernelEvent, answer: KernelEvent, style: Style) -> str:
    """As `rawfuse decode` has them: opcode, bytes asked with, = outcome or bytes answered, latency, program."""
    paint = style.paint
    operation = BY_OPCODE.get(sent.opcode or 0)
    opcode = operation.label if operation is not None else f"OPCODE_{sent.opcode}"
    outcome = paint(errno_text(answer.error), "error") if answer.error else f"{answer.length} bytes"
    return " ".join(
        (
            paint(style.stamp(sent.time), "time"),
            paint(f"{opcode:<16}", "opcode"),
            f"{sent.length} bytes = {outcome}",
            paint(f"<{latency_text(max(0, answer.time - sent.time))}>", "time"),
            paint(f"{name_text(sent.program)}[{sent.pid}]", "program"),
        )
    )
