"""The bytes of a file: sparse, cut into chunks, counted."""

from __future__ import annotations

import errno
from typing import Final

from rawfuse import wire

__all__ = ["CHUNK", "Memory", "SparseBytes"]

CHUNK: Final = 1 << 16
"""Bytes. Small enough that the allocator keeps such pieces and does not go to the kernel for each."""

_SMALL: Final = 4096
"""Up to this many bytes a copy costs less than a list of one view."""

_MOST: Final = 0xFFFF * 4096
"""The largest READ there can be: INIT's max_pages has 16 bits."""

_FARTHEST: Final = (1 << 63) - 1

_ZEROS: Final = memoryview(bytes(CHUNK))


class Memory:
    """What all files together may take. `free` and `capacity` in bytes."""

    __slots__ = ("capacity", "free")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity

    def take(self, size: int) -> None:
        """Raises ENOSPC when there are not `size` bytes left."""
        if size > self.free:
            raise OSError(errno.ENOSPC, "the memory given to this file system is used up")
        self.free -= size


class SparseBytes:
    """`size` bytes, of which only those in `_chunks` take memory; all others are zeros.

    A chunk may be shorter than CHUNK: what is missing at its end is zeros too. None is empty, none reaches beyond
    `size`.
    """

    __slots__ = ("_chunks", "_memory", "allocated", "size")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._chunks: dict[int, bytearray] = {}
        self.size = 0
        self.allocated = 0

    def read(self, offset: int, size: int) -> bytes | list[memoryview]:
        """Bytes from `offset`, fewer than `size` at the end. Long ones are views: send them before the next write.

        Raises EINVAL for more than any kernel asks, which would take as much memory on its way out.
        """
        end = min(offset + size, self.size)
        index, start = divmod(offset, CHUNK)
        stop = start + end - offset
        if stop <= CHUNK and size <= _SMALL:
            chunk = self._chunks.get(index, b"")
            return bytes(memoryview(chunk)[start:stop]).ljust(max(0, stop - start), b"\0")
        if size > _MOST:
            raise OSError(errno.EINVAL, f"a READ of {size} bytes, {_MOST} are the most")
        parts = []
        while offset < end:
            index, start = divmod(offset, CHUNK)
            stop = min(CHUNK, start + end - offset)
            view = memoryview(self._chunks.get(index, b""))[start:stop]
            missing = stop - start - len(view)
            if view:
                parts.append(view)
            if missing:
                parts.append(_ZEROS[:missing])
            offset += stop - start
        return parts

    def copy(self, offset: int, size: int) -> bytes:
        """The same bytes, which what is written meanwhile does not change."""
        found = self.read(offset, size)
        return found if isinstance(found, bytes) else b"".join(found)

    def write(self, offset: int, data: wire.Buffer) -> None:
        """Raises ENOSPC; what fitted before has been written then. EFBIG where no offset has room for the end."""
        done, end = 0, len(data)
        if offset + end > _FARTHEST:
            raise OSError(errno.EFBIG, "an offset of a file is less than 2^63")
        while done < end:
            index, start = divmod(offset + done, CHUNK)
            piece = data[done : done + CHUNK - start]
            self._put(index, start, piece)
            done += len(piece)
            self.size = max(self.size, offset + done)

    def _put(self, index: int, start: int, piece: wire.Buffer) -> None:
        chunk = self._chunks.get(index)
        if chunk is None:
            self._take(start + len(piece))
            self._chunks[index] = bytearray(piece) if start == 0 else bytearray(start) + piece
            return
        grown = start + len(piece) - len(chunk)
        if grown > 0:
            self._take(grown)
            # A bytearray takes in another buffer without copying it twice only at its end, or through a view.
            del chunk[start:]
            chunk += bytes(start - len(chunk))
            chunk += piece
        else:
            memoryview(chunk)[start : start + len(piece)] = piece

    def _take(self, size: int) -> None:
        self._memory.take(size)
        self.allocated += size

    def _give(self, size: int) -> None:
        self._memory.free += size
        self.allocated -= size

    def truncate(self, size: int) -> None:
        """Cuts off what lies behind `size`, or goes on with zeros that take no memory."""
        if size < self.size:
            last, stop = divmod(size, CHUNK)
            for index in [index for index in self._chunks if index >= last]:
                self._cut(index, stop if index == last else 0)
        self.size = size

    def _cut(self, index: int, stop: int) -> None:
        """Leaves the first `stop` bytes of a chunk."""
        chunk = self._chunks.get(index, b"")
        self._give(max(0, len(chunk) - stop))
        if stop == 0:
            self._chunks.pop(index, None)
        elif isinstance(chunk, bytearray):
            del chunk[stop:]

    def punch(self, offset: int, length: int) -> None:
        """Makes a range zeros and gives back the memory of chunks that end in it; the size stays."""
        end = min(offset + length, self.size)
        first, last = offset // CHUNK, -(-end // CHUNK)
        # A hole may be far larger than what is there.
        for index in [index for index in self._chunks if first <= index < last]:
            start, stop = max(0, offset - index * CHUNK), min(CHUNK, end - index * CHUNK)
            chunk = self._chunks[index]
            if stop >= len(chunk):
                self._cut(index, min(start, len(chunk)))
            else:
                memoryview(chunk)[start:stop] = _ZEROS[: stop - start]

    def allocate(self, offset: int, length: int) -> None:
        """Gives a range memory, up to the size, so that writing there cannot fail. Raises ENOSPC."""
        end = min(offset + length, self.size)
        if end - offset > self._memory.free + self.allocated:
            raise OSError(errno.ENOSPC, "more than the memory given to this file system")
        while offset < end:
            index, start = divmod(offset, CHUNK)
            stop = min(CHUNK, start + end - offset)
            have = len(self._chunks.get(index, b""))
            if have < stop:
                self._put(index, have, _ZEROS[: stop - have])
            offset += stop - start

    def find_data(self, offset: int) -> int | None:
        """The first byte from `offset` on that takes memory; None when there is none."""
        index, start = divmod(offset, CHUNK)
        if start < len(self._chunks.get(index, b"")):
            return offset
        if index + 1 in self._chunks:
            return (index + 1) * CHUNK
        following = min((other for other in self._chunks if other > index), default=None)
        return None if following is None else following * CHUNK

    def find_hole(self, offset: int) -> int:
        """The first byte from `offset` on that takes none; the end of the file is one."""
        index, start = divmod(offset, CHUNK)
        if start >= len(self._chunks.get(index, b"")):
            return min(offset, self.size)
        while len(self._chunks.get(index, b"")) == CHUNK:
            index += 1
        return min(index * CHUNK + len(self._chunks.get(index, b"")), self.size)
