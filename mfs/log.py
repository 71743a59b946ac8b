"""The log: records that are durable when `Log.write` returns, kept until the next commit makes them superfluous.

Logs are files named by a number, ``DIRECTORY/00000007.log``. A log is started, records are added, and when the commit
that contains them is durable it is dropped. Opening a repository replays the logs from the one that its commit names.

Layout, little-endian, offsets in bytes:

======  ==== =========================================================================
0       8    "MFSLOG\\0\\1"
8       8    number of this log
16      8    number of the log before it that has records to replay, 0 for none
24      8    how many records of that log count
32      4    the checksum that those records end with
36      8    salt: random, so that records of the file's earlier life cannot be taken for its own
44      4    CRC-32 of the 44 bytes above
512          first record
======  ==== =========================================================================

A record begins at a multiple of 8: mark u32 (the low half of the salt), length of the payload u32, its place in the
log u32 (from 0), checksum u32, then the payload. The checksum is the CRC-32 of these first 12 bytes and the payload,
continued from the checksum of the record before (of the header, for the first).

So the end of the last log is where the chain of checksums breaks: what stands behind it was never acknowledged. The end
of an earlier log is known from the next one's header; if the chain breaks before it, the log is damaged.

Space is written with zeros a MiB ahead, and a file whose log was dropped becomes the next one. So writing a record
changes neither the file's size nor its extents, and syncing it needs no commit of the file system's own journal.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mfs.blocks.segment_file import fsync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Log", "LogDamaged", "LogEnd", "Replay", "drop_logs", "log_numbers"]

MAX_PAYLOAD = 64 << 20
"""A longer record is refused, and taken for damage when read."""

_MAGIC = b"MFSLOG\0\1"
_HEADER = struct.Struct("<8sQQQIQI")
_RECORD = struct.Struct("<IIII")
_RECORD_HEAD = struct.Struct("<III")
_FIRST = 512
_STEP = 1 << 20
_ZEROS = bytes(_STEP)
_SPARE = "spare"
_NEW = "new"
_SUFFIX = ".log"


class LogDamaged(OSError):
    """A log that must be there is absent, or is broken before its known end."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(errno.EIO, f"the log is damaged: {why}", path)


class LogEnd(NamedTuple):
    """Where a log ends: its number, how many records it has, the checksum of the last."""

    number: int
    records: int
    checksum: int


class Log:
    """The log that is being written.

    Threads: `write` and `close` in any thread, one call at a time (they lock). `start` is called before.
    """

    def __init__(self, path: str, number: int, fd: int, salt: int, checksum: int, size: int) -> None:
        """For `start`."""
        self.path = path
        self.number = number
        self._fd = fd
        self._mark = salt & 0xFFFF_FFFF
        self._checksum = checksum
        self._records = 0
        self._at = _FIRST
        self._size = size
        self._lock = threading.Lock()

    @classmethod
    def start(cls, directory: str | os.PathLike[str], number: int, after: LogEnd | None = None) -> Log:
        """Begin log `number` (from 1); durable on return. A file of that number that is there already is replaced.

        `after` is the end of the log before it, if that has to be replayed before this one until the next commit. It
        must not be written to any more. Takes two or three syncs; a worker thread's work.
        """
        root = os.fspath(directory)
        path = os.path.join(root, _name(number))
        temporary = os.path.join(root, _NEW)
        try:
            os.rename(os.path.join(root, _SPARE), temporary)
        except FileNotFoundError:
            pass
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = after if after is not None else LogEnd(0, 0, 0)
            salt = int.from_bytes(os.urandom(8), "little")
            head = _HEADER.pack(_MAGIC, number, before.number, before.records, before.checksum, salt, 0)[:-4]
            checksum = zlib.crc32(head)
            size = os.fstat(fd).st_size // _STEP * _STEP
            if not size:
                _write_all(fd, _ZEROS, 0)
                size = _STEP
            _write_all(fd, head + checksum.to_bytes(4, "little"), 0)
            os.fsync(fd)
            os.rename(temporary, path)
            fsync_directory(root)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, number, fd, salt, checksum, size)

    @property
    def end(self) -> LogEnd:
        """Where it ends now, counting what `write` has returned from."""
        with self._lock:
            return LogEnd(self.number, self._records, self._checksum)

    @property
    def size(self) -> int:
        """Bytes of the records so far, headers included: how much a replay would read."""
        return self._at - _FIRST

    def write(self, payloads: Sequence[bytes]) -> None:
        """Add records, one for each payload, in this order; durable on return. Any thread; waits for the disk once.

        After an error nothing counts as added, and the next call takes the same place. (A crash before that may still
        show records of the failed call: the disk may have them, all or the first ones.)

        Raises:
            OSError: ENOSPC, EIO, ... from the disk.
            ValueError: a payload is longer than 64 MiB.
        """
        with self._lock:
            checksum = self._checksum
            parts: list[bytes] = []
            size = 0
            for place, payload in enumerate(payloads, self._records):
                length = len(payload)
                if length > MAX_PAYLOAD:
                    raise ValueError(f"a log record of {length} bytes; at most {MAX_PAYLOAD} are possible")
                checksum = zlib.crc32(payload, zlib.crc32(_RECORD_HEAD.pack(self._mark, length, place), checksum))
                parts += (_RECORD.pack(self._mark, length, place, checksum), payload)
                padding = -length % 8
                if padding:
                    parts.append(bytes(padding))
                size += _RECORD.size + length + padding
            if not parts:
                return
            data = b"".join(parts)
            stop = self._at + size
            if stop > self._size:
                # Rare: this sync is a slow one, and the thousands behind it are fast.
                grown = (stop // _STEP + 1) * _STEP
                _write_all(self._fd, data + bytes(grown - stop), self._at)
            else:
                grown = self._size
                _write_all(self._fd, data, self._at)
            os.fdatasync(self._fd)
            self._size = grown
            self._at = stop
            self._records += len(payloads)
            self._checksum = checksum

    def close(self) -> None:
        """No more records. The file stays."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


class Replay:
    """The payloads of all logs from number `first` on, in the order in which they were written.

    `first` is what the commit says; it must be there. Iterating raises `LogDamaged` where something is missing that was
    acknowledged; `end` is then, and while iterating, what was read so far.
    """

    def __init__(self, directory: str | os.PathLike[str], first: int) -> None:
        self._root = os.fspath(directory)
        self._first = first
        self.end = LogEnd(first, 0, 0)

    def __iter__(self) -> Iterator[bytes]:
        numbers = [number for number in log_numbers(self._root) if number >= self._first]
        if not numbers or numbers[0] != self._first:
            raise LogDamaged(os.path.join(self._root, _name(self._first)), "the commit names it and it is not there")
        readers = [_Reader(os.path.join(self._root, _name(number)), number) for number in numbers]
        following: list[_Reader | None] = [*readers[1:], None]
        for reader, after in zip(readers, following, strict=True):
            self.end = LogEnd(reader.number, 0, reader.checksum)
            expected = None
            if after is not None:
                expected = after.before
                if expected.number != reader.number:
                    raise LogDamaged(
                        after.path, f"it follows log {expected.number}, but log {reader.number} is before it"
                    )
            for place, (payload, checksum) in enumerate(reader.records()):
                if expected is not None and place == expected.records:
                    break
                self.end = LogEnd(reader.number, place + 1, checksum)
                yield payload
            if expected is not None and self.end != expected:
                why = f"{expected.records} records belong to it, {self.end.records} can be read"
                raise LogDamaged(reader.path, why)


class _Reader:
    """One log file, read from the start."""

    def __init__(self, path: str, number: int) -> None:
        self.path = path
        self.number = number
        with open(path, "rb") as file:
            head = file.read(_HEADER.size)
        if len(head) != _HEADER.size:
            raise LogDamaged(path, f"it has {len(head)} bytes, less than a header")
        magic, own, before, records, checksum, salt, crc = _HEADER.unpack(head)
        if magic != _MAGIC or crc != zlib.crc32(head[:-4]):
            raise LogDamaged(path, "its header is not that of a log")
        if own != number:
            raise LogDamaged(path, f"its header says that it is log {own}")
        self.before = LogEnd(before, records, checksum)
        self.checksum: int = crc
        self._mark = salt & 0xFFFF_FFFF

    def records(self) -> Iterator[tuple[bytes, int]]:
        """Payload and checksum of every record, up to the first that is not whole."""
        checksum = self.checksum
        place = 0
        with open(self.path, "rb") as file:
            file.seek(_FIRST)
            while True:
                head = file.read(_RECORD.size)
                if len(head) < _RECORD.size:
                    return
                mark, length, at, crc = _RECORD.unpack(head)
                if mark != self._mark or at != place or length > MAX_PAYLOAD:
                    return
                payload = file.read(length)
                checksum = zlib.crc32(payload, zlib.crc32(head[:12], checksum))
                if len(payload) < length or checksum != crc:
                    return
                yield payload, crc
                file.seek(-length % 8, os.SEEK_CUR)
                place += 1


def log_numbers(directory: str | os.PathLike[str]) -> list[int]:
    """The numbers of the logs in a directory, in order."""
    names = os.listdir(directory)
    return sorted(int(name[: -len(_SUFFIX)]) for name in names if name.endswith(_SUFFIX) and name[:-4].isdecimal())


def drop_logs(directory: str | os.PathLike[str], below: int) -> None:
    """Remove the logs with a number less than `below`, which a durable commit has made superfluous; one file is kept to
    become the next log. A log that is written must not be among them. Any thread.
    """
    root = Path(directory)
    spare = root / _SPARE
    for number in log_numbers(directory):
        if number < below:
            path = root / _name(number)
            if spare.exists():
                path.unlink()
            else:
                path.rename(spare)


def _name(number: int) -> str:
    return f"{number:08d}{_SUFFIX}"


def _write_all(fd: int, data: bytes, at: int) -> None:
    done = os.pwrite(fd, data, at)
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], at + done)
