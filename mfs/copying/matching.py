"""How far two files of one size have the same bytes, found out without writing."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mfs.copying.extents import SHARED, Extent, extents, share
from mfs.copying.holes import Stretch, data_from, stretches
from mfs.copying.outcome import Tally

__all__ = ["match_all", "match_bytes", "match_shared"]

SHARED_AT_ONCE = 16 << 20
"""One call compares at most so much: a difference behind it does not cost the sharing before it."""

COMPARED_AT_ONCE = 1 << 20


class _CannotShare(Exception):
    """The kernel does not share these two files, whatever their bytes are; `at` is how far it did."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def match_shared(source: int, target: int, size: int, tally: Tally) -> int:
    """Share what the target shares already, with somebody, with the source: extent by extent, as long as its bytes
    are the source's.

    Returns:
        Where that ended: at the first extent that is the target's own, or has other bytes, or cannot be shared.
        0 where the file system knows no extents.
    """
    at = 0
    try:
        for stretch in _stretches_of(_known(target, size), size, only=SHARED):
            at = _share(source, target, stretch, tally, source)
            if at < stretch.stop:
                break
    except _CannotShare as ended:
        return ended.at
    return at


def match_all(source: int, target: int, size: int, tally: Tally) -> int:
    """The same for every extent, and the other way round: equal bytes stay in the blocks of the target, and the source
    comes to share them. Where sharing cannot be, bytes are compared.

    Returns:
        Where the first difference is, or a place no more than :data:`SHARED_AT_ONCE` before it; `size` when there is
        none.
    """
    at = 0
    try:
        for stretch in _stretches_of(_known(target, size), size):
            at = _share(target, source, stretch, tally, source)
            if at < stretch.stop:
                return at
    except _CannotShare as ended:
        at = ended.at
    return match_bytes(source, target, at, size, tally)


def match_bytes(source: int, target: int, start: int, size: int, tally: Tally) -> int:
    """Where the first difference from `start` is, or at most :data:`COMPARED_AT_ONCE` before it, by reading both.
    Where both have a hole nothing is read.
    """
    for stretch in stretches(source, start, size):
        at = stretch.start
        while at < stretch.stop:
            if stretch.hole and (data := data_from(target, at, stretch.stop)) > at:
                tally.skipped += data - at
                at = data
                continue
            count = min(COMPARED_AT_ONCE, stretch.stop - at)
            ours = os.pread(source, count, at)
            if len(ours) != count or os.pread(target, count, at) != ours:
                return at
            tally.skipped += count
            at += count
    return size


def _share(giver: int, taker: int, stretch: Stretch, tally: Tally, source: int) -> int:
    """Where equal bytes end in a stretch of the target. Raises _CannotShare."""
    start, stop, hole = stretch
    if hole and data_from(source, start, stop) == stop:
        tally.skipped += stop - start
        return stop
    while start < stop:
        try:
            done = share(giver, taker, start, min(SHARED_AT_ONCE, stop - start))
        except OSError as error:
            # Another file system, one without sharing, a file of somebody else: all of that is known only by asking.
            raise _CannotShare(start) from error
        if not done:
            return start
        tally.shared += done
        start += done
    return stop


def _known(fd: int, size: int) -> Iterator[Extent]:
    try:
        yield from extents(fd, size)
    except OSError as error:
        raise _CannotShare(0) from error


def _stretches_of(found: Iterator[Extent], size: int, *, only: int = 0) -> Iterator[Stretch]:
    """Extents and the holes between them, up to `size`; ends at the first extent without the flag `only`."""
    at = 0
    for extent in found:
        if extent.start > at:
            yield Stretch(at, min(extent.start, size), True)
        if at >= size or (only and not extent.flags & only):
            return
        yield Stretch(max(at, extent.start), min(extent.stop, size), False)
        at = extent.stop
    if at < size:
        yield Stretch(at, size, True)
