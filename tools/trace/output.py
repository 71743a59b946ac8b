"""Where traced messages go: a file that is written out every second, and the screen."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import BinaryIO, Final

from rawfuse.trace.exchanges import Exchange, Follower
from rawfuse.trace.opening import TraceWriter, batch_writer
from rawfuse.trace.record import Traced

from ..decode.lines import Style, coloured, line, plain

__all__ = ["Both", "Followed", "Flushed", "Lines"]

_EVERY: Final = 1.0


class Flushed:
    """Messages for `writer`, whose `file` is flushed every second: what a killed tracer loses is no more than that."""

    def __init__(self, writer: TraceWriter, file: BinaryIO) -> None:
        self._writer = writer
        self._write_many = batch_writer(writer)
        self._file = file
        self._flushed = time.monotonic()

    def write(self, message: Traced) -> None:
        """Adds one."""
        self._writer.write(message)
        self._flush()

    def write_many(self, messages: Sequence[Traced]) -> None:
        """Adds some."""
        self._write_many(messages)
        self._flush()

    def _flush(self) -> None:
        now = time.monotonic()
        if now - self._flushed > _EVERY:
            self._file.flush()
            self._flushed = now


class Lines:
    """Prints an exchange as soon as it is complete."""

    def __init__(self, *, colours: bool) -> None:
        self._style = Style(coloured if colours else plain)

    def show(self, exchange: Exchange) -> None:
        """One line on standard output."""
        if self._style.start is None:
            self._style.start = exchange.time
        sys.stdout.write(line(exchange, self._style) + "\n")
        sys.stdout.flush()


class Followed:
    """Messages for `lines`, joined."""

    def __init__(self, lines: Lines) -> None:
        self._follower = Follower()
        self._lines = lines

    def write(self, message: Traced) -> None:
        """Takes one in."""
        for exchange in self._follower.feed(message):
            self._lines.show(exchange)


class Both:
    """Messages for two."""

    def __init__(self, first: TraceWriter, second: TraceWriter) -> None:
        self._writers = (first, second)

    def write(self, message: Traced) -> None:
        """Gives one to both."""
        for writer in self._writers:
            writer.write(message)
