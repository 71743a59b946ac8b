"""Segment files: where the bytes of blocks lie.

    DIRECTORY/0000000/0000000001     segment 1: many pieces one behind the other, or one larger file in its own order
    DIRECTORY/0000001/0000001000     a thousand segments in a directory

A segment is nothing but its bytes: what they are is known to the index, the log and the files being written. Bytes are
appended and never changed; what nobody points to any more is given back with `punch`. Numbers are never used twice
while somebody may still point to them: a new segment gets the highest number there is, plus one.

Threads: appenders, and what makes, restores or seals segments, belong to one thread. `sync`, `punch`, `discard`
and the reading methods may be called from any thread beside it.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mfs.blocks._syscalls import punch_hole, start_writeback
from mfs.blocks.appender import Appender
from mfs.blocks.errors import SegmentDamaged
from mfs.blocks.segment_file import NO_NOWAIT, SegmentFile
from mfs.blocks.shelf import Shelf
from mfs.disk import write_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mfs.blocks.appender import Bytes
    from mfs.blocks.pieces import Piece

__all__ = ["PAGE", "SHARED_LIMIT", "Segments"]

SHARED_LIMIT = 256 << 20
"""Size at which the shared appender begins a new segment."""

PRIVATE_LIMIT = 1 << 40
"""Size at which an appender of one file begins a new segment (ext4 ends at 16 TiB with 4 KiB blocks)."""

PAGE = 4096
"""Unit in which space is given back."""

_MAX_NUMBER = 0xFFFF_FFFF
_EVERYTHING = 1 << 64
_ZEROS = memoryview(bytes(1 << 16))


class Segments:
    """The segment files of one directory, which exists. The caller holds the repository's lock.

    Args:
        directory: where they lie.
        read_only: nothing will be appended or punched.
        minimum: the lowest number that a new segment may get; others were in use before and have no file left.
        resume: number of a segment that the shared appender may go on with when it is not full; 0 for none.
        max_open: how many files are kept open for reading. Files being appended to or not yet durable come on top.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        read_only: bool = False,
        minimum: int = 1,
        resume: int = 0,
        max_open: int = 256,
    ) -> None:
        self.directory = Path(directory)
        self._shelf = Shelf(self.directory)
        self._read_only = read_only
        self._max_open = max_open
        self._lock = threading.Lock()
        self._files: dict[int, SegmentFile] = {}
        # Segments with an appender, or with bytes that are not durable yet.
        self._active: dict[int, SegmentFile] = {}
        self._nowait = os.RWF_NOWAIT
        self._next = max(minimum, self._shelf.highest() + 1)
        self.shared = Appender(self, SHARED_LIMIT, None if read_only else self._resume(resume))

    # Appending

    def appender(self) -> Appender:
        """A new appender with segments of its own: for a file large enough to have its bytes in order in one place."""
        return Appender(self, PRIVATE_LIMIT)

    def restore(self, number: int, offset: int, data: Bytes) -> None:
        """Put bytes, which the log had because their segment was not durable, to where they were.

        After opening, before anything is appended. A power cut may have taken the segment's length or its file: both
        are made again, and what is appended later lies behind. Not durable until the segment is synced.
        """
        if self._read_only:
            raise OSError(errno.EROFS, "the repository is open for reading only", self._shelf.root)
        file = self._active.get(number)
        if file is None:
            file = self._reopen(number)
            file.sealed = True
            with self._lock:
                self._files.pop(number, None)
                self._active[number] = file
        write_all(file.fd, data, offset)
        file.synced = min(file.synced, offset)
        file.written = max(file.written, offset + len(data))
        if number == self.shared.segment:
            self.shared.skip_to(-(-file.written // PAGE) * PAGE)
        self._next = max(self._next, number + 1)

    def create(self) -> SegmentFile:
        """A new, empty segment. (For `Appender`.)"""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while True:
            number = self._next
            if number > _MAX_NUMBER:
                raise SegmentDamaged(number, self._shelf.root, "segment numbers are used up")
            path = self._shelf.path(number)
            try:
                fd = os.open(path, flags, 0o600)
            except FileNotFoundError:
                os.mkdir(os.path.dirname(path), 0o700)
                continue
            except FileExistsError:
                self._next += 1
                continue
            self._next += 1
            file = SegmentFile(number, path, fd, 0, entry_synced=False, sealed=False)
            with self._lock:
                self._active[number] = file
            return file

    def seal(self, file: SegmentFile) -> None:
        """Nothing more will be appended to `file`. (For `Appender`.)"""
        with self._lock:
            file.sealed = True
            if file.synced >= file.written:
                self._active.pop(file.number, None)

    # Durability

    def unsynced(self, piece: Piece) -> bool:
        """Whether a power cut could still take bytes of the piece."""
        file = self._active.get(piece[0])
        return file is not None and piece[1] + piece[2] > file.synced

    def synced(self, number: int) -> int:
        """How many bytes at the beginning of a segment are durable; beyond its end when there is nothing to sync."""
        file = self._active.get(number)
        return file.synced if file is not None else _EVERYTHING

    def tails(self) -> dict[int, int]:
        """Where appending goes on, or ended, in every segment that is being written or is not durable yet."""
        return {number: file.written for number, file in list(self._active.items())}

    def sync(self, numbers: Iterable[int] | None = None) -> None:
        """Make what was appended before the call durable, in these segments or in all. Any thread; waits for the disk.

        Raises:
            SegmentLost: an OSError; the disk did not take the bytes. The other segments were synced all the same.
        """
        with self._lock:
            wanted = list(self._active) if numbers is None else [n for n in numbers if n in self._active]
            files = [self._active[number] for number in wanted]
        if len(files) > 1:
            # The disk works on all of them while we wait for the first.
            for file in files:
                if file.written > file.synced:
                    start_writeback(file.fd)
        failed: OSError | None = None
        for file in files:
            try:
                file.sync()
            except OSError as error:
                failed = error
            else:
                if file.sealed:
                    self.seal(file)
        if failed is not None:
            raise failed

    def start_writeback(self, piece: Piece) -> None:
        """Have the kernel begin to write these bytes out, so that a later sync waits less. Any thread; may block."""
        file = self._active.get(piece[0])
        if file is not None:
            start_writeback(file.fd, piece[1], piece[2])

    # Reading

    def read_into(self, pieces: Sequence[Piece], offset: int, out: memoryview) -> None:
        """Fill `out` with the bytes of `pieces` from `offset` on. May wait for the disk.

        Raises:
            SegmentDamaged: an OSError (EIO); a segment is absent or too short.
            OSError: the disk failed.
            ValueError: the pieces end before `out` is full.
        """
        self._read(pieces, offset, out, 0)

    def read_nowait(self, pieces: Sequence[Piece], offset: int, out: memoryview) -> None:
        """As `read_into`, from the page cache alone.

        Where the file system of the repository cannot tell (EOPNOTSUPP), it reads and may wait.

        Raises:
            BlockingIOError: some of it is not in memory; parts of `out` may have been written.
        """
        self._read(pieces, offset, out, self._nowait)

    def read(self, pieces: Sequence[Piece], start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of `pieces` from `start` up to `stop` (None: the end). May wait; errors as `read_into`."""
        if stop is None:
            stop = sum([piece[2] for piece in pieces])
        size = stop - start
        if len(pieces) == 1:
            segment, at, length = pieces[0]
            if segment and stop <= length:
                file = self._files.get(segment) or self._open(segment)
                file.used = True
                data = os.pread(file.fd, size, at + start)
                if len(data) == size:
                    return data
        out = bytearray(size)
        self._read(pieces, start, memoryview(out), 0)
        return bytes(out)

    def _read(self, pieces: Sequence[Piece], offset: int, out: memoryview, flags: int) -> None:
        position = 0
        need = len(out)
        for segment, at, length in pieces:
            if offset >= length:
                offset -= length
                continue
            if position == need:
                return
            size = min(length - offset, need - position)
            part = out if size == need else out[position : position + size]
            if segment:
                file = self._files.get(segment) or self._open(segment)
                file.used = True
                self._fill(file, at + offset, part, flags)
            else:
                for start in range(0, size, len(_ZEROS)):
                    zeros = _ZEROS[: size - start]
                    part[start : start + len(zeros)] = zeros
            position += size
            offset = 0
        if position != need:
            raise ValueError(f"the pieces end {need - position} bytes early")

    def _fill(self, file: SegmentFile, at: int, out: memoryview, flags: int) -> None:
        while True:
            try:
                done = os.preadv(file.fd, [out], at, flags)
            except BlockingIOError:
                raise
            except OSError as error:
                if not flags or error.errno not in NO_NOWAIT:
                    raise
                self._nowait = flags = 0
                continue
            if done == len(out):
                return
            if done == 0:
                if flags:
                    # Some file systems end a read early where a page is absent: only a read that may wait can tell.
                    raise BlockingIOError(errno.EAGAIN, "not in the page cache", file.path)
                raise SegmentDamaged(file.number, file.path, f"it ends at byte {at}, {len(out)} bytes early")
            out = out[done:]
            at += done

    # Space

    def numbers(self) -> Iterator[int]:
        """The numbers of all segments, in no particular order."""
        return self._shelf.numbers()

    def size(self, number: int) -> int:
        """Length of a segment in bytes, holes included; 0 when there is none."""
        file = self._active.get(number)
        return file.written if file is not None else self._shelf.size(number)

    def stored_bytes(self) -> int:
        """Bytes of disk that all segments take (allocated blocks). Looks at every file."""
        return self._shelf.stored_bytes()

    def garbage(self, number: int, live: Iterable[tuple[int, int]], start: int = 0) -> list[tuple[int, int]]:
        """What lies between `start` and the end of the segment and is in none of the `live` ranges.

        Ranges are (first byte, byte behind the last), in any order, and may overlap. Memory: proportional to them.
        """
        end = self.size(number)
        found = []
        for first, last in sorted(live):
            if first > start:
                found.append((start, min(first, end)))
            start = max(start, last)
            if start >= end:
                break
        if start < end:
            found.append((start, end))
        return [(first, last) for first, last in found if first < last]

    def punch(self, number: int, offset: int, length: int) -> int:
        """Give bytes that nobody points to back to the file system. Any thread; may wait for the disk.

        Nothing durable may point to them any more. Whole pages inside the range are freed; when it reaches the end of a
        segment that is not written any more, the file is cut there, and removed when nothing is left of it.

        Returns: how many bytes of the file were given back (they may have been holes before).
        """
        with self._lock:
            active = self._active.get(number)
            appending = active is not None and not active.sealed
        size = self.size(number)
        stop = min(offset + length, size)
        if offset >= stop:
            return 0
        if stop == size and not appending:
            if offset == 0:
                self.discard(number)
            else:
                self._open(number).cut(offset)
            return stop - offset
        first = -(-offset // PAGE) * PAGE
        last = stop // PAGE * PAGE
        if first >= last:
            return 0
        if active is not None:
            active.punched.append((first, last))
        if not punch_hole(self._open(number).fd, first, last - first):
            return 0
        return last - first

    def discard(self, number: int) -> None:
        """Remove a segment that nobody points to and no appender writes. Any thread."""
        with self._lock:
            self._files.pop(number, None)
            self._active.pop(number, None)
        try:
            os.unlink(self._shelf.path(number))
        except FileNotFoundError:
            return

    def close(self) -> None:
        """Let go of all files. Does not sync."""
        self.shared.close()
        with self._lock:
            self._files.clear()
            self._active.clear()

    # Files

    def _open(self, number: int) -> SegmentFile:
        with self._lock:
            file = self._files.get(number) or self._active.get(number)
            if file is None:
                path = self._shelf.path(number)
                try:
                    fd = os.open(path, (os.O_RDONLY if self._read_only else os.O_RDWR) | os.O_CLOEXEC)
                except FileNotFoundError:
                    raise SegmentDamaged(number, path, "the file is gone") from None
                file = SegmentFile(number, path, fd, os.fstat(fd).st_size, entry_synced=True, sealed=True)
            if number not in self._files:
                if len(self._files) >= self._max_open:
                    self._make_room()
                self._files[number] = file
            return file

    def _make_room(self) -> None:
        # Second chance: whatever was used since the last time stays, unless everything was.
        unused = [number for number, file in self._files.items() if not file.used]
        for file in self._files.values():
            file.used = False
        for number in unused or list(self._files)[: self._max_open // 2]:
            del self._files[number]

    def _resume(self, number: int) -> SegmentFile | None:
        if not os.path.exists(self._shelf.path(number)):
            return None
        file = self._active[number] = self._reopen(number)
        # The next page, so that a torn write of it cannot harm bytes that were durable.
        file.written = file.synced = -(-file.written // PAGE) * PAGE
        return file

    def _reopen(self, number: int) -> SegmentFile:
        # What an earlier process left, maybe nothing: a crash may have come before its directory entry was durable.
        path = self._shelf.path(number)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return SegmentFile(number, path, fd, os.fstat(fd).st_size, entry_synced=False, sealed=False)
