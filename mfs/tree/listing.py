"""Listing a directory, in pieces, while entries come and go.

The order is that of the cookies, which depend on the names alone.  So a listing that goes on at a cookie, in the same
open directory or in another, sees every name that was there all the time exactly once.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import NamedTuple

from mfs.tree.node import Directory
from mfs.tree.record import Entry, entry_key, unpack_entries, xattr_key
from mfs.tree.tree import Tree

WINDOW = 1024
"""Names of a directory that is not in memory as a whole, looked at together."""


class Listed(NamedTuple):
    """One name: go on after `offset` to see what follows it."""

    offset: int
    name: bytes
    entry: Entry


class Listing:
    """An open directory.  :meth:`after` gives what follows an offset; offset 0 begins anew."""

    __slots__ = ("_changed", "_ino", "_listed", "_more", "_start", "_tree")

    def __init__(self, tree: Tree, directory: Directory) -> None:
        self._tree = tree
        self._ino = directory.ino
        self._listed: list[Listed] = []
        self._changed = 0
        self._start = -1
        self._more = False

    def after(self, offset: int) -> list[Listed]:
        """The names behind `offset`, in order, as far as they are looked at together; none at the end."""
        while True:
            if self._start < 0 or offset < self._start or offset == 0:
                self._look(offset)
            at = bisect_right(self._listed, offset, key=lambda listed: listed.offset)
            part = self._listed[at : at + WINDOW]
            if part:
                if present := self._present(part):
                    return present
                offset = part[-1].offset
            elif self._more:
                self._look(max(offset, self._listed[-1].offset))
            else:
                return []

    def _present(self, part: list[Listed]) -> list[Listed]:
        """What is left of names that were looked at a while ago: who lists one that went would bring it back."""
        directory = self._tree.directory(self._ino)
        if directory.ctime == self._changed:
            return part
        found = [(one, self._tree.entry(directory, one.name)) for one in part]
        return [one._replace(entry=entry) for one, entry in found if entry is not None]

    def _look(self, offset: int) -> None:
        """Take down the names behind `offset`: all of them, or a window where they are not all in memory."""
        self._start = offset
        behind = offset
        while (last := self._window(behind)) is not None and not self._listed:
            # All names of this window are gone: the next one.
            behind = last

    def _window(self, offset: int) -> int | None:
        """Take down the names behind `offset`; says where the window ends, None where nothing can be behind it."""
        directory = self._tree.directory(self._ino)
        self._changed = directory.ctime
        self._more = False
        found = {}
        last = 0
        if not directory.complete:
            items = self._tree.meta.items(entry_key(directory.ino, offset + 1), xattr_key(directory.ino))
            for key, value in islice(items, WINDOW):
                last = int.from_bytes(key[9:], "big")
                found.update(unpack_entries(value, last))
                self._more = True
        for name, entry in directory.names.items():
            if entry is None:
                found.pop(name, None)
            elif entry.cookie > offset and (not self._more or entry.cookie <= last):
                found[name] = entry
        entries = sorted((entry.cookie, name, entry) for name, entry in found.items())
        self._listed = [Listed(cookie, name, entry) for cookie, name, entry in entries]
        # Two names with one cookie: whoever stops between them sees the first again, and loses none.
        for i in range(len(entries) - 1):
            if entries[i][0] == entries[i + 1][0]:
                self._listed[i] = self._listed[i]._replace(offset=entries[i][0] - 1)
        return last if self._more else None
