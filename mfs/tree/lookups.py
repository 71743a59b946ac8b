"""How often the kernel looked up each inode number, a few bytes for each.

The kernel may refer to a million inodes at once, far more than there are nodes in memory, and a dictionary would take
110 bytes of each.  Inode numbers are given out one after another, so the counts lie in pages of neighbours.
"""

from __future__ import annotations

from array import array

_BITS = 8
_MASK = (1 << _BITS) - 1
_EMPTY = array("I", bytes(4 << _BITS))
MOST = (1 << 32) - 1
"""The largest count; the kernel would have to look one name up that often without forgetting it once."""


class Lookups:
    """Inode number to lookup count (`nlookup` of FORGET).  What was never added counts 0."""

    __slots__ = ("_pages", "_used")

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}
        self._used: dict[int, int] = {}
        """Page to how many of its counts are not 0."""

    def add(self, ino: int) -> None:
        """The kernel is given one more reference to `ino`."""
        number = ino >> _BITS
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = _EMPTY[:]
            self._used[number] = 0
        at = ino & _MASK
        count = page[at]
        if not count:
            self._used[number] += 1
        if count != MOST:
            page[at] = count + 1

    def forget(self, ino: int, count: int) -> bool:
        """The kernel drops `count` references to `ino`; says whether none is left."""
        number = ino >> _BITS
        page = self._pages.get(number)
        at = ino & _MASK
        if page is None or not page[at]:
            return True
        left = page[at] - count
        if left > 0:
            page[at] = left
            return False
        page[at] = 0
        self._used[number] -= 1
        if not self._used[number]:
            del self._pages[number], self._used[number]
        return True

    def __getitem__(self, ino: int) -> int:
        page = self._pages.get(ino >> _BITS)
        return page[ino & _MASK] if page is not None else 0
