"""One garbage collection, from its moment to the last byte given back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import trio

from mfs.blocks.index import INLINE
from mfs.blocks.pieces import total_length, unpack_pieces
from mfs.gc.keep import Keep
from mfs.gc.marker import Marker
from mfs.gc.marks import Marks
from mfs.gc.roots import mark_commits, open_contents, uncommitted
from mfs.gc.space import Pages
from mfs.history.commits import Reference, load_commit, log
from mfs.history.names import pins, snapshots
from mfs.pace import Pace
from mfs.unixfs.cid import cid_str

if TYPE_CHECKING:
    from mfs.volume import Volume

__all__ = ["CUT", "Busy", "Collected", "collect"]

CUT = b"history/cut"
"""The name of the small record that holds the CID of the first commit that was forgotten."""

_STEP = 256
"""Entries of the index looked at together."""
_BATCH = 20_000
"""Entries removed before they are written out."""
_RANGES = 256
"""Ranges given back by one visit to the worker thread."""
_LOOK = 0.01
_PATIENCE = 30.0
"""Seconds to wait for a moment at which nobody reads from the disk."""

Progress = Callable[[str, int, int], None]
"""Called with a phase ("looking", "removing", "freeing"), and how far it is: done, of how much."""


class Busy(Exception):
    """Garbage is being collected already."""


@dataclass
class Collected:
    """What came of it.

    Attributes:
        blocks: how many there were.
        removed: how many nothing led to (of a dry run: that would be removed).
        bytes: how long those were.
        freed: bytes of disk given back, after other things' share in them; the index keeps its own for later.
        kept: how many commits are kept.
        forgotten: how many were, or would be.
        postponed: space was not given back, because somebody was reading all the time: next time.
        seconds: how long it took.
    """

    blocks: int = 0
    removed: int = 0
    bytes: int = 0
    freed: int = 0
    kept: int = 0
    forgotten: int = 0
    postponed: bool = False
    seconds: float = 0.0


async def collect(
    volume: Volume, keep: Keep | None = None, *, dry_run: bool = False, progress: Progress | None = None
) -> Collected:
    """Remove the blocks of `volume` that nothing leads to, and forget commits that `keep` does not keep.

    The tree may be read and written meanwhile; what is put, committed or named meanwhile is safe.  Cancelled, or with
    an error, it leaves some garbage for the next time, and everything else whole.

    Raises:
        Busy: another one is under way.
        BlockNotFound, MalformedNode, DamagedRecord, DamagedCommit: something that is needed is damaged, and what it
            leads to is not known.  Nothing was removed: `mfs fsck` has to see to it first.
        OSError: the disk.
    """
    if volume.store.collector is not None:
        raise Busy("garbage is being collected already")
    work = _Work(volume, keep or Keep(), progress or (lambda phase, done, total: None))
    begun = time.perf_counter()
    try:
        await work.look()
        if dry_run:
            await work.count()
        else:
            await work.remove()
            await work.free()
    finally:
        work.close()
    work.result.seconds = time.perf_counter() - begun
    return work.result


class _Work:
    def __init__(self, volume: Volume, keep: Keep, progress: Progress) -> None:
        self._volume = volume
        self._store = volume.store
        self._keep = keep
        self._progress = progress
        self._pace = Pace()
        self._marks: Marks | None = None
        self._marker: Marker | None = None
        self._cut: bytes | None = None
        self.result = Collected()

    def close(self) -> None:
        """Collecting is over, whatever came of it."""
        if self._marker is not None and self._store.collector is self._marker:
            self._store.collector = None
        if self._marks is not None:
            self._marks.close()
            self._marks = None

    # -- what is needed -------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Mark everything that is needed."""
        volume, store = self._volume, self._store
        kept = await self._kept_commits()
        async with self._moment():
            # From here to the end of the block is one step.
            snapshot = store.snapshot()
            marks = self._marks = Marks(volume.path, snapshot.count)
            marker = self._marker = Marker(store, marks)
            store.collector = marker
            seen = kept[0].cid if kept else None
            kept += takewhile(lambda one: one.cid != seen, log(store, Reference(volume.head.cid, volume.head)))
            wanted = {*(one.commit for one in snapshots(store)), *volume.views.commits()}
            named = [Reference(cid, load_commit(store, cid)) for cid in wanted]
            for cid in uncommitted(volume.tree, volume.journal):
                marker.unixfs(cid)
            for holder in store.holders:
                for cid in holder():
                    marker.unixfs(cid)
            for pin in pins(store):
                marker.unixfs(pin.cid)
        total = self.result.blocks = snapshot.count
        try:
            await self._pace.run(marks.fill(snapshot.multihashes()))
        finally:
            snapshot.close()
        marker.filled()
        mark_commits(marker, kept)
        mark_commits(marker, named)
        self.result.kept = len({one.cid for one in (*kept, *named)})
        while not marker.done:
            for _ in marker.run():
                if self._pace.due:
                    self._progress("looking", marker.marked, total)
                    await self._pace.rest()
        self._progress("looking", total, total)

    async def _kept_commits(self) -> list[Reference]:
        head = self._volume.head
        history = log(self._store, Reference(head.cid, head))
        kept = []
        for one in self._keep.kept(history, time.time_ns()):
            kept.append(one)
            if self._pace.due:
                await self._pace.rest()
        named = {one.commit for one in snapshots(self._store)}
        last = kept[-1].commit.previous if kept else None
        self._cut = cid_str(last).encode() if last is not None else None
        known = {one.cid for one in kept} | named
        for one in log(self._store, kept[-1] if kept else None):
            self.result.forgotten += one.cid not in known
            if self._pace.due:
                await self._pace.rest()
        return kept

    @asynccontextmanager
    async def _moment(self) -> AsyncIterator[None]:
        """A moment at which no commit is under way, and everything that was put is in the index."""
        while True:
            async with self._volume.between_commits():
                if not self._store.keepers and not self._store.pending_changes:
                    yield
                    return
            await trio.sleep(_LOOK)

    # -- what is not ----------------------------------------------------------------------------------------------

    async def count(self) -> None:
        """Count what would be removed."""
        async for _, length in self._dead():
            self.result.removed += 1
            self.result.bytes += length

    async def remove(self) -> None:
        """Remove what is not marked."""
        store, marker = self._store, self._marker
        if marker is None:
            raise RuntimeError("nothing was looked at")
        # One step, with the end of the marking: nobody found anything since.
        marker.condemn()
        if self._cut is not None and self.result.forgotten:
            store.set_meta(CUT, self._cut)
        async for multihash, length in self._dead():
            store.drop(multihash)
            self.result.removed += 1
            self.result.bytes += length
            if store.pending_changes >= _BATCH:
                await self._volume.flush()
        await self._volume.flush()
        self.close()

    async def _dead(self) -> AsyncIterator[tuple[bytes, int]]:
        """The multihashes that are not marked, and the length of each block."""
        marks, store = self._marks, self._store
        if marks is None:
            raise RuntimeError("nothing was looked at")
        last, seen = b"", 0
        while entries := store.entries_behind(last, _STEP):
            for multihash, kind, where in entries:
                if marks.get(multihash) == 0:
                    yield multihash, _length(kind, where)
            last = entries[-1][0]
            seen += len(entries)
            if self._pace.due:
                self._progress("removing", min(seen, marks.count), marks.count)
                await self._pace.rest()

    # -- space ----------------------------------------------------------------------------------------------------

    async def free(self) -> None:
        """Give back all bytes of segments that nobody needs."""
        volume, store = self._volume, self._store
        before = await trio.to_thread.run_sync(store.segments.stored_bytes)
        async with self._moment():
            pages = Pages(volume.path, store.segments)
            for content in open_contents(volume.tree):
                for leaf in content.leaves.values():
                    pages.need(leaf.pieces or ())
                for pieces in content.recent.values():
                    pages.need(pieces)
            pages.need(volume.journal.pieces())
            pages.need(store.pending_pieces())
        try:
            last = b""
            while entries := store.entries_behind(last, _STEP):
                for _, kind, where in entries:
                    if kind != INLINE:
                        pages.need(unpack_pieces(where))
                last = entries[-1][0]
                if self._pace.due:
                    await self._pace.rest()
            if await self._nobody_reads():
                await self._give_back(pages)
            else:
                self.result.postponed = True
        finally:
            pages.close()
        after = await trio.to_thread.run_sync(store.segments.stored_bytes)
        self.result.freed = max(0, before - after)

    async def _nobody_reads(self) -> bool:
        """Wait until those are done that read what was there before."""
        until = trio.current_time() + _PATIENCE
        while trio.current_time() < until:
            if not self._volume.tree.pinned:
                return True
            await trio.sleep(_LOOK)
        return False

    async def _give_back(self, pages: Pages) -> None:
        waiting: list[tuple[int, int, int]] = []
        for found in pages.unneeded():
            waiting.append(found)
            if len(waiting) >= _RANGES:
                await self._punched(pages, waiting)
                waiting = []
            elif self._pace.due:
                await self._pace.rest()
        await self._punched(pages, waiting)

    async def _punched(self, pages: Pages, ranges: list[tuple[int, int, int]]) -> None:
        errors = await trio.to_thread.run_sync(pages.give_back, ranges)
        if errors:
            raise errors[0]


def _length(kind: int, where: bytes) -> int:
    return int.from_bytes(where, "little") if kind == INLINE else total_length(unpack_pieces(where))
