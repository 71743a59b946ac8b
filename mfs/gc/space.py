"""Bytes of segments that nobody needs, given back to the disk.

A bit for each page (4 KiB) of all segments says whether anything in it is needed: 32 KiB a GiB, in a file without a
name.  Only pages that were written before the moment at which the work began are looked at.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mfs.blocks.pieces import Piece
from mfs.blocks.segments import PAGE

if TYPE_CHECKING:
    from mfs.blocks.segments import Segments

__all__ = ["Pages"]

_LEAST = 4096
_PART = 1 << 13
"""Pages looked at at once, a multiple of 8: the cost of a shift is that of all its bits."""


class Pages:
    """The pages of all segments, as long as those are when this is made.

    Args:
        directory: where the file with the bits is to be, on the file system of the repository.
    """

    def __init__(self, directory: str | os.PathLike[str], segments: Segments) -> None:
        self._segments = segments
        self._starts: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        total = 0
        for number in segments.numbers():
            size = segments.size(number)
            self._starts[number] = total
            self._sizes[number] = size
            total += -(-size // (PAGE * 8))
        with tempfile.TemporaryFile(dir=directory) as file:
            length = max(total, _LEAST)
            os.posix_fallocate(file.fileno(), 0, length)
            self._bits = mmap.mmap(file.fileno(), length)

    def close(self) -> None:
        """Let go of the file."""
        self._bits.close()

    def need(self, pieces: Iterable[Piece]) -> None:
        """The bytes of these pieces are needed; those in new segments, or behind the end of one, are anyway."""
        bits = self._bits
        for number, offset, length in pieces:
            start = self._starts.get(number)
            if start is None or not length:
                continue
            size = self._sizes[number]
            if offset >= size:
                continue
            first, last = offset // PAGE, (min(offset + length, size) - 1) // PAGE
            low, high = start + (first >> 3), start + (last >> 3)
            if low == high:
                bits[low] |= (0xFF << (first & 7)) & (0xFF >> (7 - (last & 7))) & 0xFF
                continue
            bits[low] |= (0xFF << (first & 7)) & 0xFF
            bits[high] |= 0xFF >> (7 - (last & 7))
            if high - low > 1:
                bits[low + 1 : high] = b"\xff" * (high - low - 1)

    def unneeded(self) -> Iterator[tuple[int, int, int]]:
        """The ranges (segment, offset, length) of whole pages in which nothing is needed."""
        for number, start in self._starts.items():
            size = self._sizes[number]
            for first, length in _runs(self._gaps(start, -(-size // PAGE))):
                yield number, first * PAGE, min(length * PAGE, size - first * PAGE)

    def _gaps(self, start: int, pages: int) -> Iterator[tuple[int, int]]:
        """The runs of zeros among so many bits, as first page and number of pages; a part at a time."""
        for first in range(0, pages, _PART):
            part = min(_PART, pages - first)
            held = int.from_bytes(self._bits[start + first // 8 : start + (first + part + 7) // 8], "little")
            page = 0
            while page < part:
                ahead = held >> page
                zeros = (ahead & -ahead).bit_length() - 1 if ahead else part - page
                if zeros:
                    yield first + page, min(zeros, part - page)
                ahead >>= zeros
                page += zeros + (~ahead & (ahead + 1)).bit_length() - 1

    def give_back(self, ranges: Iterable[tuple[int, int, int]]) -> list[OSError]:
        """Give ranges back; in a worker thread.  Returns what went wrong, which only leaves bytes where they are."""
        errors = []
        for number, offset, length in ranges:
            try:
                self._segments.punch(number, offset, length)
            except OSError as error:
                errors.append(error)
        return errors


def _runs(gaps: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same gaps, those that touch made one."""
    first = length = 0
    for start, count in gaps:
        if start == first + length:
            length += count
            continue
        if length:
            yield first, length
        first, length = start, count
    if length:
        yield first, length
