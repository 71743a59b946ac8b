"""Directories while they are read: which entry of one server is which of the other's.

Where a listing goes on is a number that the server chose, and how many entries a reply holds is the server's affair.
So entries are joined by name, over all the replies to one handle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from rawfuse.wire import Request
from rawfuse.wire.dirent import Dirent, DirentPlus
from rawfuse.wire.replies import ReplyValue

__all__ = ["Listing", "Listings"]

_Entries: TypeAlias = list[Dirent] | list[DirentPlus]
_DOTS = (b".", b"..")
_UNKNOWN = 0  # DT_UNKNOWN


def _plain(entry: Dirent | DirentPlus) -> Dirent:
    return entry.dirent if isinstance(entry, DirentPlus) else entry


class _Side:
    """What one server has listed so far."""

    def __init__(self) -> None:
        self.types: dict[bytes, int] = {}
        self.names: dict[int, bytes] = {}
        self.offsets: dict[bytes, int] = {}
        self.unmatched: dict[bytes, list[int]] = {}
        self.last = 0
        self.ended = False

    def take(self, entries: _Entries) -> None:
        self.ended = self.ended or not entries
        for entry in entries:
            one = _plain(entry)
            self.types[one.name] = one.type
            self.names[one.off] = one.name
            self.offsets[one.name] = self.last = one.off
            if isinstance(entry, DirentPlus) and one.name not in _DOTS and entry.entry.nodeid:
                self.unmatched.setdefault(one.name, []).append(entry.entry.nodeid)


class Listing:
    """One reading of a directory, from its beginning on."""

    def __init__(self) -> None:
        self.recorded = _Side()
        self.actual = _Side()

    def offset(self, recorded: int) -> int:
        """Where today's listing goes on when the recorded one did at `recorded`.

        That is behind the same name, where today's has come to it, else behind its last.
        """
        if not recorded:
            return 0
        name = self.recorded.names.get(recorded)
        if name is None or recorded == self.recorded.last:
            return self.actual.last
        return self.actual.offsets.get(name, self.actual.last)

    def matched(self) -> Iterator[tuple[int, int]]:
        """Nodeids of one entry, recorded and actual, as far as both have listed it; each once."""
        for name, mine in list(self.recorded.unmatched.items()):
            theirs = self.actual.unmatched.get(name, [])
            while mine and theirs:
                yield mine.pop(0), theirs.pop(0)
            if not mine:
                del self.recorded.unmatched[name]

    def left(self) -> Iterator[tuple[int, int]]:
        """At its end: nodeids that only one has handed out; the other's is 0."""
        for nodeids in self.recorded.unmatched.values():
            yield from ((nodeid, 0) for nodeid in nodeids)
        for nodeids in self.actual.unmatched.values():
            yield from ((0, nodeid) for nodeid in nodeids)

    @property
    def whole(self) -> bool:
        """Whether both have come to their end."""
        return self.recorded.ended and self.actual.ended

    def differences(self) -> Iterator[str]:
        """Of two whole listings, whatever their order and but for `.` and `..`."""
        mine, theirs = self.recorded.types, self.actual.types
        lost = sorted(mine.keys() - theirs.keys() - set(_DOTS))
        more = sorted(theirs.keys() - mine.keys() - set(_DOTS))
        if lost or more:
            yield f"entries differ: missing {lost[:5]}, more {more[:5]}"
        for name in sorted(mine.keys() & theirs.keys() - set(_DOTS)):
            if _UNKNOWN not in (mine[name], theirs[name]) and mine[name] != theirs[name]:
                yield f"entry {name!r} was of type {mine[name]}, now it is of type {theirs[name]}"


class Listings:
    """The listing that belongs to a request, by its recorded nodeid and handle."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], Listing] = {}

    def of(self, request: Request) -> Listing:
        """That of a READDIR, READDIRPLUS (as recorded); another reading than before where it begins anew."""
        key = _key(request)
        listing = self._open.get(key)
        if listing is None:
            listing = self._open[key] = Listing()
        return listing

    def close(self, request: Request) -> Listing | None:
        """Takes out the listing of a RELEASEDIR, or the one before a new beginning."""
        return self._open.pop(_key(request), None)


def _key(request: Request) -> tuple[int, int]:
    return request.nodeid, request.arg.fh  # type: ignore[attr-defined]


def take(listing: Listing, recorded: ReplyValue, actual: ReplyValue) -> None:
    """Adds two replies; what is no list of entries says nothing."""
    if isinstance(recorded, list):
        listing.recorded.take(recorded)
    if isinstance(actual, list):
        listing.actual.take(actual)
