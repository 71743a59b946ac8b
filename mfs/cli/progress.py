"""How far long work has come, on standard error when a person watches; in a pipe nothing."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from mfs.cli.output import human

__all__ = ["Progress"]

_EVERY = 0.1
_WIDTH = 24
_DELAY = 0.5
"""Seconds: what is done sooner shows nothing."""


class Progress:
    """A line that is written over; gone at the end.

    `total` is in bytes, None where nobody knows it.  `what` counts something else besides ("files").
    """

    def __init__(self, label: str, total: int | None = None, what: str = "files") -> None:
        self._label = label
        self._total = total
        self._what = what
        self._begun = time.monotonic()
        self._due = self._begun + _DELAY
        self._bytes = 0
        self._count = 0
        self._shown = 0
        self._watched = sys.stderr.isatty()

    def expect(self, total: int) -> None:
        """So many bytes will it be, now that somebody knows."""
        self._total = total

    def add(self, size: int, count: int = 0) -> None:
        """So many more bytes, and files, are done."""
        self._bytes += size
        self._count += count
        if self._watched and time.monotonic() >= self._due:
            self._show(self._line())

    def say(self, text: str) -> None:
        """What is being done now, instead of a measure."""
        if self._watched and time.monotonic() - self._begun >= _DELAY:
            self._show(f"{self._label}: {text}")

    def _line(self) -> str:
        seconds = max(time.monotonic() - self._begun, 1e-3)
        parts = [f"{human(self._bytes)}, {human(self._bytes / seconds)}/s"]
        if self._count:
            parts.insert(0, f"{self._count} {self._what}")
        if self._total:
            share = min(self._bytes / self._total, 1.0)
            done = round(share * _WIDTH)
            left = (self._total - self._bytes) / self._bytes * seconds if self._bytes else 0
            bar = f"[{'#' * done}{'.' * (_WIDTH - done)}] {share:4.0%}"
            return f"{self._label} {bar} {', '.join(parts)}, {max(left, 0):.0f} s left"
        return f"{self._label}: {', '.join(parts)}"

    def _show(self, line: str) -> None:
        self._due = time.monotonic() + _EVERY
        sys.stderr.write("\r" + line + " " * max(self._shown - len(line), 0))
        sys.stderr.flush()
        self._shown = len(line)

    def clear(self) -> None:
        """Take the line away, before something else is written."""
        if self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            sys.stderr.flush()
            self._shown = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
