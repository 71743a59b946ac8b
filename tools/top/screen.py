"""What `rawfuse top` shows: a table for people, lines with tabs for programs; and the terminal that it is shown on."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rawfuse.cli.listing import escaped

from .live import Row
from .sources import EVENTS_SAY, Place

__all__ = ["COLUMNS", "cells", "keys", "screen", "table"]

COLUMNS: Final = (
    "conn",
    "opcode",
    "count",
    "errors",
    "rate/s",
    "p50 us",
    "p99 us",
    "in flight",
    "slowest us",
    "programs",
)
_NUMBERS: Final = range(2, 9)
_BOLD: Final = "\033[1m"
_FAINT: Final = "\033[2m"
_RED: Final = "\033[31m"
_CYAN: Final = "\033[36m"
_PLAIN: Final = "\033[0m"
_SLOW: Final = 1_000_000.0
"""Microseconds from which on a latency stands out."""


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(int(value)) if value >= 100 or value == int(value) else f"{value:.1f}"


def cells(row: Row) -> list[str]:
    """A row as texts, in the order of the columns."""
    programs = ",".join(map(escaped, row.programs))
    return [
        str(row.connection),
        row.opcode,
        str(row.count),
        str(row.errors),
        _number(row.rate),
        _number(row.p50_us),
        _number(row.p99_us),
        str(row.in_flight),
        _number(row.slowest_us),
        programs or "-",
    ]


def table(rows: Sequence[Row], *, colours: bool) -> Iterator[str]:
    """A heading and a line for each row."""
    texts = [list(COLUMNS), *map(cells, rows)]
    widths = [max(len(line[column]) for line in texts) for column in range(len(COLUMNS))]
    for number, line in enumerate(texts):
        padded = [
            cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        if colours:
            _paint(padded, rows[number - 1] if number else None)
        yield "  ".join(padded).rstrip()


def _paint(padded: list[str], row: Row | None) -> None:
    def paint(column: int, style: str) -> None:
        padded[column] = f"{style}{padded[column]}{_PLAIN}"

    if row is None:
        for column in range(len(padded)):
            paint(column, _BOLD)
        return
    paint(1, _CYAN)
    if row.errors:
        paint(3, _RED)
    if row.slowest_us is not None and row.slowest_us >= _SLOW:
        paint(8, _RED)
    if not row.rate:
        for column in (0, 2, 4, 5, 6, 7, 9):
            paint(column, _FAINT)


def screen(rows: Sequence[Row], places: Iterable[Place], *, lost: int, trouble: str, width: int, height: int) -> str:
    """Everything for a terminal of that size, in the order in which it is to be written."""
    shown = sorted(places)
    rate, waiting = sum(row.rate for row in rows), sum(row.in_flight for row in rows)
    lines = [
        f"{_BOLD}rawfuse top{_PLAIN}  {time.strftime('%H:%M:%S')}  {len(shown)} mounts, {rate:.0f} requests/s, "
        f"{waiting} in flight{f', {_RED}{lost} lost{_PLAIN}' if lost else ''}   {_FAINT}q quits{_PLAIN}"
    ]
    for place in shown[: max(1, height // 4)]:
        said = {"messages": "every message", "events": EVENTS_SAY}.get(place.source, f"not watched: {trouble}")
        name = escaped(place.mountpoint) or "(not mounted here)"
        name += f", {place.waiting} waiting" if place.waiting else ""
        lines.append(f"{place.connection:>5}  {name}  {_FAINT}{said}{_PLAIN}")
    lines += ["", *table(rows, colours=True)]
    clipped = [_clipped(line, width) for line in lines[: height - 1]]
    return "\033[H" + "".join(f"{line}\033[K\r\n" for line in clipped) + "\033[J"


def _clipped(line: str, width: int) -> str:
    """At most so many columns, of which colours take none."""
    kept, column, at = [], 0, 0
    while at < len(line):
        if line[at] == "\033":
            end = line.index("m", at) + 1
            kept.append(line[at:end])
            at = end
            continue
        if column < width:
            kept.append(line[at])
        column += 1
        at += 1
    return "".join(kept)


@contextmanager
def keys() -> Iterator[None]:
    """The terminal as a screen of its own, whose keys come at once and are not shown; as it was, afterwards."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        sys.stdout.write("\033[?1049h\033[?25l")
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        sys.stdout.write("\033[?25h\033[?1049l")
        sys.stdout.flush()


def quits(seconds: float) -> bool:
    """Waits so long; True as soon as somebody wants to leave."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0]:
            typed = os.read(sys.stdin.fileno(), 64)
            if not typed or b"q" in typed or b"Q" in typed or b"\x04" in typed:
                return True
    return False


def size() -> tuple[int, int]:
    """Columns and lines of the terminal."""
    return shutil.get_terminal_size()
