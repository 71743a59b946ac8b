"""Giving back bytes that were written and then never committed: overwritten at once, unlinked, or stored already.

Everything appended to a segment since the commit before is looked at once, when a commit lands.  Such bytes can be
needed by exactly four: blocks that were stored since, files that changed since the point in time, log records that
still count, and readers that are at it.  The rest goes back to the disk.  Bytes that an older commit points to
are not looked at: that is garbage collection.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import trio

from mfs.blocks.pieces import Piece
from mfs.blocks.store import EmbeddedStore
from mfs.journal.journal import Journal
from mfs.tree.node import File
from mfs.tree.tree import Tree

logger = logging.getLogger("mfs")

Window = dict[int, tuple[int, int]]
"""Segment number to the range (first byte, byte behind the last) that was appended."""


class Reclaimer:
    """Gives back bytes of one volume.

    Nothing is given back while readers hold pieces and wait (``tree.pinned``), or while somebody stores blocks that
    nothing leads to yet (``store.keepers``): what they hold is looked at with a later commit.
    """

    def __init__(self, tree: Tree, journal: Journal, store: EmbeddedStore) -> None:
        self._tree = tree
        self._journal = journal
        self._store = store
        self._segments = store.segments
        self._seen = store.segments.tails()
        self._kept: list[Window] = []
        self._fresh = 0
        """How many of ``store.fresh`` can only lie in the windows that were begun."""

    def begin(self) -> Window:
        """A commit's point in time: what was appended since the one before."""
        tails = self._segments.tails()
        window = {}
        for number, tail in tails.items():
            start = self._seen.get(number, 0)
            if tail > start:
                window[number] = (start, tail)
        self._seen = tails
        self._fresh = len(self._store.fresh)
        return window

    def failed(self, window: Window) -> None:
        """The commit came to nothing: its window is looked at with the next one's.

        The leaves it stored are stored still: the next commit finds them there.
        """
        self._kept.append(window)

    async def reclaim(self, window: Window) -> None:
        """The commit is durable: give back what nobody needs."""
        self._kept.append(window)
        if self._tree.pinned or self._store.keepers:
            return
        kept, self._kept = self._kept, []
        live: dict[int, list[tuple[int, int]]] = {}
        ranges: dict[int, list[tuple[int, int]]] = {}
        for window in kept:
            for number, (start, stop) in window.items():
                ranges.setdefault(number, []).append((start, stop))
                live.setdefault(number, [])
        # What was stored after the point in time may lie in the window as well.
        for pieces in self._store.fresh:
            _mark(live, pieces)
        del self._store.fresh[: self._fresh]
        self._fresh = 0
        self._mark_tree(live)
        _mark(live, self._journal.pieces())
        garbage = [
            (number, first, last)
            for number, windows in ranges.items()
            for first, last in _dead(windows, sorted(live[number]))
        ]
        if garbage:
            await trio.to_thread.run_sync(self._punch, garbage)

    def _mark_tree(self, live: dict[int, list[tuple[int, int]]]) -> None:
        for nodes in (self._tree.dirty, self._tree.nodes):
            for node in nodes.values():
                if isinstance(node, File) and node.content.leaves:
                    for leaf in node.content.leaves.values():
                        if leaf.pieces is not None:
                            _mark(live, leaf.pieces)

    def _punch(self, garbage: list[tuple[int, int, int]]) -> None:
        for number, first, last in garbage:
            try:
                self._segments.punch(number, first, last - first)
            except OSError as error:
                # The bytes stay where they are, to be found by garbage collection.
                logger.warning("bytes %d to %d of segment %d could not be given back: %s", first, last, number, error)


def _mark(live: dict[int, list[tuple[int, int]]], pieces: Iterable[Piece]) -> None:
    for number, offset, length in pieces:
        ranges = live.get(number)
        if ranges is not None:
            ranges.append((offset, offset + length))


def _dead(windows: list[tuple[int, int]], live: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of `windows` that are in none of the `live` ranges, which are sorted."""
    dead = []
    for start, stop in windows:
        for first, last in live:
            if first >= stop:
                break
            if first > start:
                dead.append((start, first))
            start = max(start, last)
            if start >= stop:
                break
        if start < stop:
            dead.append((start, stop))
    return dead
