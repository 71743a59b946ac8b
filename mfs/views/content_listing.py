"""Listing a directory that never changes, as its blocks come.

An offset is the number of an entry in the order of the blocks.  Whoever goes on where the last part ended costs
nothing more; whoever jumps makes the listing begin anew and pass over what lies before.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice

from mfs.blocks.errors import BlockNotFound
from mfs.file.medium import StoreMedium
from mfs.tree.node import Directory
from mfs.tree.record import Entry
from mfs.unixfs.cid import CID, RAW, codec_of
from mfs.unixfs.dagpb import PBLink
from mfs.unixfs.directory import entries
from mfs.unixfs.errors import UnixFSError
from mfs.views.view import Listed, fits

__all__ = ["ContentListing"]

_WINDOW = 64
_DOTS = 2
_TYPES = {"file": stat.S_IFREG >> 12, "directory": stat.S_IFDIR >> 12, "symlink": stat.S_IFLNK >> 12}
_UNKNOWN = 0


class ContentListing:
    """The names in `directory`; `number` gives inode numbers, `reading` turns errors of blocks into OSErrors."""

    def __init__(
        self,
        directory: Directory,
        medium: StoreMedium,
        number: Callable[[int, bytes], int],
        reading: Callable[[], AbstractContextManager[None]],
    ) -> None:
        if directory.cid is None:
            raise ValueError("a directory without a CID")
        self._ino = directory.ino
        self._cid: CID = directory.cid
        self._medium = medium
        self._number = number
        self._reading = reading
        self._names: Iterator[tuple[bytes, PBLink]] = iter(())
        self._listed: list[Listed] = []
        self._begin = 0
        """The number of the entry that the listed ones begin with."""
        self._end = -1
        """The number of the entry that comes next."""

    def after(self, offset: int) -> list[Listed]:
        """Some names behind `offset`; see :class:`mfs.views.view.Listing`."""
        wanted = max(offset - _DOTS, 0)
        if not self._begin <= wanted <= self._end:
            self._names = entries(self._cid, self._medium.cache)
            with self._reading():
                self._end = self._begin = sum(1 for _ in islice(self._names, wanted))
            self._listed = []
        found = [one for one in self._listed if one.offset > offset]
        while not found:
            self._listed = []
            self._begin = self._end
            with self._reading():
                for name, link in islice(self._names, _WINDOW):
                    self._end += 1
                    # What a name cannot be here is not shown: nobody could look it up.
                    if fits(name):
                        self._listed.append(Listed(_DOTS + self._end, name, self._entry(name, link)))
            if self._end == self._begin:
                break
            found = [one for one in self._listed if one.offset > offset]
        return found

    def _entry(self, name: bytes, link: PBLink) -> Entry:
        kind = self._kind(link.hash)
        if kind == _TYPES["directory"]:
            return Entry(self._number(self._ino, name), kind, 0)
        return Entry(self._number(0, link.hash), kind, 0)

    def _kind(self, cid: CID) -> int:
        """The ``DT_`` type; unknown where a block is missing or damaged, which is no reason not to list the others."""
        if codec_of(cid) == RAW:
            return _TYPES["file"]
        try:
            return _TYPES[self._medium.cache.node(cid).kind]
        except (BlockNotFound, UnixFSError):
            return _UNKNOWN
