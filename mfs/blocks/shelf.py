"""Which segment files there are, and where: a thousand of them in a directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Shelf"]

_PER_SHARD = 1000


class Shelf:
    """The names of the segment files below one directory, `root`. Any thread."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)

    def path(self, number: int) -> str:
        """Where the file of a segment is, or would be."""
        return f"{self.root}/{number // _PER_SHARD:07d}/{number:010d}"

    def numbers(self) -> Iterator[int]:
        """The numbers of all segments, in no particular order."""
        for shard in self._shards():
            yield from self._numbers_in(shard)

    def highest(self) -> int:
        """The highest number of a segment; 0 when there is none."""
        for shard in sorted(self._shards(), key=int, reverse=True):
            numbers = list(self._numbers_in(shard))
            if numbers:
                return max(numbers)
        return 0

    def size(self, number: int) -> int:
        """Length of a segment's file in bytes; 0 when there is none."""
        try:
            return os.stat(self.path(number)).st_size
        except FileNotFoundError:
            return 0

    def stored_bytes(self) -> int:
        """Bytes of disk that all segments take (allocated blocks). Looks at every file."""
        total = 0
        for number in self.numbers():
            try:
                total += os.stat(self.path(number)).st_blocks * 512
            except FileNotFoundError:
                continue
        return total

    def _shards(self) -> list[str]:
        return [name for name in os.listdir(self.root) if name.isdecimal()]

    def _numbers_in(self, shard: str) -> Iterator[int]:
        with os.scandir(os.path.join(self.root, shard)) as entries:
            for entry in entries:
                if entry.name.isdecimal():
                    yield int(entry.name)
