"""A few bits for each block of a store, nine bytes a block in a file that has no name.

The blocks are those of one moment.  Their multihashes come in order, so eight bytes of each digest make a sorted array
in which any of them is found by bisection; two that agree in those eight bytes are kept apart in a dictionary.  The
array is mapped from a file: the kernel may write it out, so no memory is proportional to the store.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from bisect import bisect_left
from collections.abc import Generator, Iterable
from typing import NamedTuple

__all__ = ["Marks"]

_WIDTH = 8
_STRIDE = 256


class _Group(NamedTuple):
    """Blocks of one hash function and digest length: `head` is what their multihashes begin with."""

    head: bytes
    first: int
    last: int


class Marks:
    """Flags (a byte) for each of the multihashes that are given to :meth:`fill`, at most `count`.

    Args:
        directory: on the file system that has room for nine bytes a block.
    """

    def __init__(self, directory: str | os.PathLike[str], count: int) -> None:
        self._room = max(count, 1)
        with tempfile.TemporaryFile(dir=directory) as file:
            size = self._room * (_WIDTH + 1)
            # Written, not only long: a full disk is an error here and not a signal in the middle of the work.
            os.posix_fallocate(file.fileno(), 0, size)
            self._map = mmap.mmap(file.fileno(), size)
        self._view = memoryview(self._map)
        self._digests = self._view[: self._room * _WIDTH].cast("Q")
        self._flags = self._view[self._room * _WIDTH :]
        self._groups: dict[bytes, _Group] = {}
        self._alike: dict[bytes, int] = {}
        """Flags of multihashes that others agree with in the eight bytes."""
        self.count = 0

    def close(self) -> None:
        """Let go of the file."""
        self._digests.release()
        self._flags.release()
        self._view.release()
        self._map.close()

    def fill(self, multihashes: Iterable[bytes]) -> Generator[None, None, None]:
        """Take down the blocks, whose multihashes rise; yields where others may run."""
        digests, at, before = self._digests, 0, b""
        head, first = b"", 0
        for multihash in multihashes:
            if not head or not multihash.startswith(head):
                self._close(head, first, at)
                head, first, before = _head(multihash), at, b""
            start = len(head)
            digest = multihash[start : start + _WIDTH].ljust(_WIDTH, b"\0")
            if before[start : start + _WIDTH].ljust(_WIDTH, b"\0") == digest and before:
                self._alike[before] = self._alike[multihash] = 0
            else:
                digests[at] = int.from_bytes(digest, "big")
                at += 1
            before = multihash
            self.count += 1
            if not self.count % _STRIDE:
                yield
        self._close(head, first, at)

    def _close(self, head: bytes, first: int, last: int) -> None:
        if head:
            self._groups[head] = _Group(head, first, last)

    def get(self, multihash: bytes) -> int | None:
        """The flags; None for a block that is none of them."""
        if self._alike and multihash in self._alike:
            return self._alike[multihash]
        at = self._place(multihash)
        return None if at is None else self._flags[at]

    def add(self, multihash: bytes, flags: int) -> int | None:
        """Set flags; gives those that were set before, None for a block that is none of them."""
        if self._alike and multihash in self._alike:
            before = self._alike[multihash]
            self._alike[multihash] = before | flags
            return before
        at = self._place(multihash)
        if at is None:
            return None
        held = self._flags
        before = held[at]
        held[at] = before | flags
        return before

    def _place(self, multihash: bytes) -> int | None:
        # Nearly always two bytes stand in front of the digest.
        group = self._groups.get(multihash[:2] if multihash[0] < 128 > multihash[1] else _head(multihash))
        if group is None:
            return None
        head, first, last = group
        digest = int.from_bytes(multihash[len(head) : len(head) + _WIDTH].ljust(_WIDTH, b"\0"), "big")
        at = bisect_left(self._digests, digest, first, last)
        return at if at < last and self._digests[at] == digest else None


def _head(multihash: bytes) -> bytes:
    """The two varints in front of the digest."""
    at = 0
    for _ in range(2):
        while at < len(multihash) and multihash[at] & 0x80:
            at += 1
        at += 1
    return multihash[:at]
