"""Which commits are kept besides those that have names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from mfs.history.commits import Reference

__all__ = ["BadPolicy", "Keep"]

T = TypeVar("T")

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_DURATION = re.compile(r"(\d{1,9})\s*([a-z]+)")


class BadPolicy(ValueError):
    """What says nothing about which commits to keep."""


@dataclass(frozen=True)
class Keep:
    """The newest `count` commits, and those of the last `seconds`; the newest of all is always kept.

    None: no limit.  The commit that was the newest at the beginning of those seconds is kept too: it is what the tree
    was then.
    """

    count: int | None = 1
    seconds: int | None = 0

    @classmethod
    def parse(cls, text: str) -> Keep:
        """A number of commits ("10"), a duration ("90s", "30m", "12h", "7d", "4w", "1y"), or "all".

        Raises BadPolicy.
        """
        if text == "all":
            return cls(None, None)
        if text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 63:
            return cls(int(text), 0)
        match = _DURATION.fullmatch(text)
        if match is None or match[2] not in _UNITS:
            raise BadPolicy(
                f"{text!r} says nothing about which commits to keep: give a number of commits, a duration such as"
                " 12h or 30d, or 'all'"
            )
        return cls(1, int(match[1]) * _UNITS[match[2]])

    def kept(self, log: Iterable[Reference], now: int) -> Iterator[Reference]:
        """The commits of `log` (newest first) that are kept; `now` in nanoseconds since the epoch."""
        later: int | None = None
        for place, one in enumerate(log):
            by_count = self.count is None or place < self.count
            by_time = self.seconds is None or (later is not None and later >= now - self.seconds * 1_000_000_000)
            if place and not by_count and not by_time:
                return
            yield one
            later = one.commit.time
