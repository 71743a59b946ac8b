"""One file on a disk whose power may fail: what is durable, and what was done to it since.

Bytes are kept by sectors, which the disk writes whole or not at all. A write does not go to the disk but to the cache:
whatever sector of it reaches the disk, now or later, carries all that was written to that sector before. So after a
cut each sector is as it was after one of the changes that touched it, whichever: that is dropping, reordering and
tearing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

__all__ = ["STALE", "Change", "Content", "Pick", "Sectors"]

Sectors = dict[int, bytes]
"""Number of the sector to its bytes; what is absent is zeros."""

STALE = 0xA5
"""The byte that fills sectors which belong to a file already, and to whom nothing was written yet."""


class Pick(Protocol):
    """Decides. `pick(what, options)` is below `options`; 0 is always what happens when nothing is lost.

    `what` is one of "names", "data", "boundary", "sector", "size", "stale", "lost".
    """

    def __call__(self, what: str, options: int, /) -> int: ...


class Change:
    """What one write, resize or zeroing left in the cache, sector by sector; None where that is zeros.

    Attributes:
        index: number of the event.
        size: the size of the file afterwards, where it is another than before.
        cut: the first sector that the file no longer has, where it was shortened.
        metadata: it changes what belongs to the file, not what is in it (a cut, a hole).
    """

    __slots__ = ("cut", "index", "metadata", "sectors", "size")

    def __init__(self, index: int) -> None:
        self.index = index
        self.sectors: dict[int, bytes | None] = {}
        self.size: int | None = None
        self.cut: int | None = None
        self.metadata = False


class Content:
    """The bytes of one file. `sector` is the size of a sector, bytes."""

    def __init__(self, sector: int) -> None:
        self._sector = sector
        self._zeros = bytes(sector)
        self.base: Sectors = {}
        self.base_size = 0
        self.live: Sectors = {}
        self.live_size = 0
        self.pending: list[Change] = []
        self._lost: dict[int, list[bytes | None]] = {}
        self._lost_sizes: list[int] = []
        self._shared = False

    # What is done to it

    def write(self, index: int, offset: int, data: bytes) -> None:
        change = Change(index)
        self._fill(change, offset, data)
        stop = offset + len(data)
        if stop > self.live_size:
            self.live_size = change.size = stop
        elif self._lost_sizes and stop > self.base_size:
            # Written again, the bytes bring the size along that a failed sync lost.
            change.size = stop
        self.pending.append(change)

    def zero(self, index: int, offset: int, length: int) -> None:
        change = Change(index)
        change.metadata = True
        stop = min(offset + length, self.live_size)
        first, last = -(-offset // self._sector), stop // self._sector
        for number in self._present(first, last):
            change.sectors[number] = None
            self.live.pop(number, None)
        if first > last:
            self._fill(change, offset, bytes(max(0, stop - offset)))
        else:
            self._fill(change, offset, bytes(first * self._sector - offset))
            self._fill(change, last * self._sector, bytes(stop - last * self._sector))
        self.pending.append(change)

    def resize(self, index: int, size: int) -> None:
        change = Change(index)
        if size < self.live_size:
            change.metadata = True
            change.cut, keep = -(-size // self._sector), size % self._sector
            for number in [number for number in self.live if number >= change.cut]:
                del self.live[number]
            if keep:
                self._fill(change, size, bytes(self._sector - keep))
        self.live_size = change.size = size
        self.pending.append(change)

    def _present(self, first: int, last: int) -> list[int]:
        return [number for number in self.live.keys() | self.base.keys() if first <= number < last]

    def _fill(self, change: Change, offset: int, data: bytes) -> None:
        size, live = self._sector, self.live
        done = 0
        while done < len(data):
            number, start = divmod(offset + done, size)
            piece = data[done : done + size - start]
            done += len(piece)
            if len(piece) < size:
                old = live.get(number, self._zeros)
                piece = old[:start] + piece + old[start + len(piece) :]
            if piece == self._zeros:
                live.pop(number, None)
                change.sectors[number] = None
            else:
                live[number] = change.sectors[number] = piece

    # What is durable

    def sync(self) -> None:
        """What was done is on the disk. What a failed sync lost stays lost where it was not written again."""
        if self.pending and self._shared:
            self.base, self._shared = self.base.copy(), False
        for change in self.pending:
            for number in change.sectors:
                self._lost.pop(number, None)
            if change.size is not None:
                self._lost_sizes = [size for size in self._lost_sizes if change.sectors and size > change.size]
                self.base_size = change.size
            self._keep(change, self.base)
        self.pending.clear()

    def sync_failed(self) -> None:
        """The kernel takes what was to be written for written; the disk may have any of it, and gets no more of it."""
        for change in self.pending:
            for number, data in change.sectors.items():
                self._lost.setdefault(number, []).append(data)
            if change.size is not None:
                self._lost_sizes.append(change.size)
        self.pending.clear()

    # What a cut leaves

    def left(self, pick: Pick, *, journal: int | None = None, stale: bool = False) -> tuple[Sectors, int]:
        """Its sectors and its size after a cut now.

        Args:
            journal: the number of the last event whose metadata the file system's journal has; None where there is none
                that orders them.
            stale: sectors that were given to the file and did not reach the disk have old bytes of somebody's.
        """
        if not self.pending and not self._lost and not self._lost_sizes:
            self._shared = True
            return self.base, self.base_size
        disk, size = self.base.copy(), self.base_size
        for number, versions in self._lost.items():
            chosen = pick("lost", 1 + len(versions))
            if chosen:
                _set(disk, number, versions[-chosen])
        if self._lost_sizes and (chosen := pick("lost", 1 + len(self._lost_sizes))):
            size = self._lost_sizes[-chosen]
        uncut: int | None = None
        for change in self.pending:
            if journal is not None and change.metadata:
                # Cuts and holes come in the journal's order, and what was given to the file after a cut comes after it.
                if change.index <= journal:
                    size = self._whole(change, disk, size)
                elif change.cut is not None:
                    uncut = change.cut if uncut is None else min(uncut, change.cut)
                continue
            if uncut is not None:
                change = _below(change, uncut)
            size = self._some(change, disk, size, pick, journal is None, stale)
        return self._clipped(disk, size), size

    def _whole(self, change: Change, disk: Sectors, size: int) -> int:
        self._keep(change, disk)
        return size if change.size is None else change.size

    def _some(self, change: Change, disk: Sectors, size: int, pick: Pick, strict: bool, stale: bool) -> int:
        """Lets as much of a change reach the disk as `pick` says; returns the size of the file afterwards."""
        count = len(change.sectors)
        # Whole, not at all, its beginning, its end, or some sectors.
        chosen = pick("data", 2 if count < 2 else 5)
        if chosen == 0:
            return self._whole(change, disk, size)
        numbers = list(change.sectors)
        if chosen == 1:
            kept: set[int] = set()
        elif chosen == 4:
            kept = {number for number in numbers if not pick("sector", 2)}
        else:
            boundary = 1 + pick("boundary", count - 1)
            kept = set(numbers[:boundary] if chosen == 2 else numbers[boundary:])
        if change.size is not None and (kept or strict) and not pick("size", 2):
            size = change.size
            if change.cut is not None:
                _cut(disk, change.cut)
        for number, data in change.sectors.items():
            if number in kept:
                _set(disk, number, data)
            elif stale and data is not None and number not in disk and number * self._sector >= self.base_size:
                disk[number] = bytes([STALE]) * self._sector
        return size

    @staticmethod
    def _keep(change: Change, disk: Sectors) -> None:
        if change.cut is not None:
            _cut(disk, change.cut)
        for number, data in change.sectors.items():
            _set(disk, number, data)

    def _clipped(self, disk: Sectors, size: int) -> Sectors:
        last, keep = divmod(size, self._sector)
        disk = {number: data for number, data in disk.items() if number < last or (number == last and keep)}
        if last in disk:
            disk[last] = disk[last][:keep].ljust(self._sector, b"\0")
        return disk

    def ranges(self) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of everything that is in the cache; for those who look at it."""
        for number in sorted(self.live):
            yield number * self._sector, self.live[number]


def _set(disk: Sectors, number: int, data: bytes | None) -> None:
    if data is None:
        disk.pop(number, None)
    else:
        disk[number] = data


def _cut(disk: Sectors, first: int) -> None:
    for number in [number for number in disk if number >= first]:
        del disk[number]


def _below(change: Change, cut: int) -> Change:
    """The part of a change that lies in sectors which the file had already."""
    part = Change(change.index)
    part.sectors = {number: data for number, data in change.sectors.items() if number < cut}
    return part
