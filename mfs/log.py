"""The log: records that are durable when `Log.write` returns, kept until the next commit makes them superfluous.

Logs are files named by a number, ``DIRECTORY/00000007.log``. A log is started, records are added, and when the commit
that contains them is durable it is dropped. Opening a repository replays the logs from the one that its commit names.

Layout, little-endian, offsets in bytes:

======  ==== =========================================================================
0       8    "MFSLOG\\0\\1"
8       8    number of this log
16      8    salt: random, so that records of the file's earlier life cannot be taken for its own
24      4    CRC-32 of the 24 bytes above
512          first record
======  ==== =========================================================================

A record begins at a multiple of 8: mark u32 (the low half of the salt), length of the payload u32, its place in the
log u32 (from 0), checksum u32, then the payload. The checksum is the CRC-32 of these first 12 bytes and the payload,
continued from the checksum of the record before (of the header, for the first).

The record at place 0 says where the log before it ends (`LogEnd`: number u64, records u32, checksum u32; zeros when
there is none). So the end of a log that another follows is known; where its chain of checksums breaks earlier, it is
damaged. The end of the last log is where its chain breaks: what stands behind it was never acknowledged.

Space is written with zeros a MiB ahead, and a file whose log was dropped becomes the next one. So writing a record
changes neither the file's size nor its extents, and syncing it needs no commit of the file system's own journal.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from typing import TYPE_CHECKING, NamedTuple

from mfs.disk import fsync_directory, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["BrokenEnd", "Log", "LogDamaged", "LogEnd", "Replay", "broken_end", "drop_logs", "log_numbers", "replay"]

MAX_PAYLOAD = 64 << 20
"""A longer record is refused, and taken for damage when read."""

_MAGIC = b"MFSLOG\0\1"
_HEADER = struct.Struct("<8sQQI")
_END = struct.Struct("<QII")
_RECORD = struct.Struct("<IIII")
_RECORD_HEAD = struct.Struct("<III")
_FIRST = 512
_STEP = 1 << 20
_ZEROS = bytes(_STEP)
_LEAST = 4096
"""No log was ever shorter (steps are, in tests)."""
_FAR = 1 << 20
"""More records than that are not looked for behind a broken one."""
_SPARE = "spare"
_NEW = "new"
_SUFFIX = ".log"


class LogDamaged(OSError):
    """A log that must be there is absent, or is broken before its known end."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(errno.EIO, f"the log is damaged: {why}", path)


class LogEnd(NamedTuple):
    """Where a log ends: its number, how many records it has (the first one counted), the checksum of the last."""

    seq: int
    records: int
    checksum: int


_NOTHING = LogEnd(0, 0, 0)


class Log:
    """A new log, number `seq` (from 1), in a directory; durable on return. An older one of that number is replaced.

    `after` is the log before it, if that has to be replayed before this one until the next commit: it may still be
    written to until the first `write` here. Making a log takes two or three syncs: a worker thread's work.

    Threads: any, one after another.
    """

    def __init__(self, directory: str | os.PathLike[str], seq: int, after: Log | LogEnd | None = None) -> None:
        root = os.fspath(directory)
        self.seq = seq
        self.path = os.path.join(root, _name(seq))
        self._root = root
        self._after = after
        self._records = 0
        self._tried = False
        self._at = _FIRST
        self._lock = threading.Lock()
        temporary = os.path.join(root, _NEW)
        try:
            os.rename(os.path.join(root, _SPARE), temporary)
        except FileNotFoundError:
            pass
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            salt = int.from_bytes(os.urandom(8), "little")
            head = _HEADER.pack(_MAGIC, seq, salt, 0)[:-4]
            self._mark = salt & 0xFFFF_FFFF
            self._checksum = zlib.crc32(head)
            self._size = os.fstat(fd).st_size // _STEP * _STEP
            if not self._size:
                write_all(fd, _ZEROS, 0)
                self._size = _STEP
            write_all(fd, head + self._checksum.to_bytes(4, "little"), 0)
            os.fsync(fd)
            os.rename(temporary, self.path)
            fsync_directory(root)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    @property
    def empty(self) -> bool:
        """Whether nothing was written yet, not even by a call that failed."""
        return not self._tried

    @property
    def end(self) -> LogEnd:
        """Where it ends now, counting what `write` has returned from; the end of the log before while it is empty."""
        with self._lock:
            return LogEnd(self.seq, self._records, self._checksum) if self._records else self._before()

    @property
    def size(self) -> int:
        """Bytes of the records so far, headers included: how much a replay would read."""
        return self._at - _FIRST

    def write(self, *payloads: bytes) -> None:
        """Add records, one for each payload, in this order; durable on return. Any thread; waits for the disk once.

        After an error nothing counts as added, and the next call takes the same place. (A crash before that may still
        show records of the failed call: the disk may have them, all or the first ones.)

        Raises:
            OSError: ENOSPC, EIO, ... from the disk.
            ValueError: a payload is longer than 64 MiB.
        """
        for payload in payloads:
            if len(payload) > MAX_PAYLOAD:
                raise ValueError(f"a log record of {len(payload)} bytes; at most {MAX_PAYLOAD} are possible")
        with self._lock:
            self._tried = True
            records = payloads if self._records else (_END.pack(*self._before()), *payloads)
            checksum = self._checksum
            parts: list[bytes] = []
            size = 0
            for place, payload in enumerate(records, self._records):
                length = len(payload)
                checksum = zlib.crc32(payload, zlib.crc32(_RECORD_HEAD.pack(self._mark, length, place), checksum))
                padding = -length % 8
                parts += (_RECORD.pack(self._mark, length, place, checksum), payload, bytes(padding))
                size += _RECORD.size + length + padding
            data = b"".join(parts)
            stop = self._at + size
            grown = self._size
            if stop > grown:
                # Rare: this sync is a slow one, and the hundreds behind it are fast.
                grown = (stop // _STEP + 1) * _STEP
                data += bytes(grown - stop)
            write_all(self._fd, data, self._at)
            os.fdatasync(self._fd)
            self._size = grown
            self._at = stop
            self._records += len(records)
            self._checksum = checksum

    def _before(self) -> LogEnd:
        after = self._after
        return after.end if isinstance(after, Log) else after or _NOTHING

    def close(self) -> None:
        """No more records. The file stays."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def remove(self) -> None:
        """Close it, and drop it because a durable commit has made it superfluous. Any thread."""
        self.close()
        _drop(self._root, self.seq)


class Replay:
    """The payloads of all logs from number `first` on, in the order in which they were written.

    `first` is what the commit says; it must be there. Iterating raises `LogDamaged` where something is missing that was
    acknowledged.

    Attributes:
        end: the end of what was read so far. A log that goes on from here is `Log(directory, seq, after=end)`.
        seq: the highest number that any log has; the next one takes a higher.
    """

    def __init__(self, directory: str | os.PathLike[str], first: int) -> None:
        self._root = os.fspath(directory)
        self._first = first
        self.end = _NOTHING
        self.seq = max(log_numbers(directory), default=first)

    def __iter__(self) -> Iterator[bytes]:
        numbers = [number for number in log_numbers(self._root) if number >= self._first]
        if not numbers or numbers[0] != self._first:
            raise LogDamaged(os.path.join(self._root, _name(self._first)), "the commit names it and it is not there")
        for number in numbers:
            # What is read may be in memory alone, of a writer that was killed; what follows will build on it.
            _sync(os.path.join(self._root, _name(number)))
        # A log without a record holds nothing that was acknowledged, and no other log points to it.
        readers = [_Reader(os.path.join(self._root, _name(number)), number) for number in numbers]
        readers = self._chain({reader.seq: reader for reader in readers if reader.before is not None})
        for place, reader in enumerate(readers, 1):
            after = readers[place] if place < len(readers) else None
            yield from self._records(reader, after.before if after is not None else None)

    def _chain(self, readers: dict[int, _Reader]) -> list[_Reader]:
        """The logs in order, from the first to the last. Each says which one it follows; one between these has no
        record but of a call that failed, and it does not count.
        """
        chain: list[_Reader] = []
        reader = readers[max(readers)] if readers else None
        while reader is not None:
            chain.append(reader)
            said = reader.before.seq if reader.before is not None else 0
            if said < self._first:
                break
            before = readers.get(said)
            if before is None or said >= reader.seq:
                raise LogDamaged(reader.path, f"it follows log {said}, which is missing or empty")
            reader = before
        return chain[::-1]

    def _records(self, reader: _Reader, expected: LogEnd | None) -> Iterator[bytes]:
        # What follows a log says how many of its records count, unless it was not told of it.
        if expected is not None and expected.seq != reader.seq:
            expected = None
        for place, (payload, checksum) in enumerate(reader.records()):
            if expected is not None and place == expected.records:
                break
            self.end = LogEnd(reader.seq, place + 1, checksum)
            if place:
                yield payload
        if expected is not None and self.end != expected:
            raise LogDamaged(reader.path, f"of {expected.records} records {self.end.records} can be read")


class _Reader:
    """One log file, read from the start. `before` is what its first record says, None while it is empty."""

    def __init__(self, path: str, seq: int) -> None:
        self.path = path
        self.seq = seq
        with open(path, "rb") as file:
            head = file.read(_HEADER.size)
        if len(head) != _HEADER.size:
            raise LogDamaged(path, f"it has {len(head)} bytes, less than a header")
        magic, own, salt, checksum = _HEADER.unpack(head)
        if magic != _MAGIC or checksum != zlib.crc32(head[:-4]):
            raise LogDamaged(path, "its header is not that of a log")
        if own != seq:
            raise LogDamaged(path, f"its header says that it is log {own}")
        self._checksum: int = checksum
        self.mark = salt & 0xFFFF_FFFF
        self.before: LogEnd | None = None
        for payload, _ in self.records():
            if len(payload) != _END.size:
                raise LogDamaged(path, f"its first record has {len(payload)} bytes")
            self.before = LogEnd(*_END.unpack(payload))
            break

    def records(self) -> Iterator[tuple[bytes, int]]:
        """Payload and checksum of every record, up to the first that is not whole."""
        checksum = self._checksum
        place = 0
        with open(self.path, "rb") as file:
            file.seek(_FIRST)
            while True:
                head = file.read(_RECORD.size)
                if len(head) < _RECORD.size:
                    return
                mark, length, at, crc = _RECORD.unpack(head)
                if mark != self.mark or at != place or length > MAX_PAYLOAD:
                    return
                payload = file.read(length)
                checksum = zlib.crc32(payload, zlib.crc32(head[:12], checksum))
                if len(payload) < length or checksum != crc:
                    return
                yield payload, crc
                file.seek(-length % 8, os.SEEK_CUR)
                place += 1


class BrokenEnd(NamedTuple):
    """A record that is not whole: its place in the log at `path`, how long it says it is (0: not known), and whether
    records follow it, or the file is shorter than it ever was.  Records are written one after the other: then it had
    been acknowledged.
    """

    path: str
    place: int
    length: int
    followed: bool


def broken_end(directory: str | os.PathLike[str], seq: int) -> BrokenEnd | None:
    """What stands behind the last whole record of log `seq`: None for nothing of this log.

    Nothing at all can be said of a record whose first bytes are those of none.
    """
    path = os.path.join(os.fspath(directory), _name(seq))
    try:
        reader = _Reader(path, seq)
    except FileNotFoundError:
        return None
    at, place = _FIRST, 0
    for payload, _ in reader.records():
        at += _RECORD.size + len(payload) + -len(payload) % 8
        place += 1
    with open(path, "rb") as file:
        cut = os.fstat(file.fileno()).st_size < _LEAST
        file.seek(at)
        mark, length, said, _ = _RECORD.unpack(file.read(_RECORD.size).ljust(_RECORD.size, b"\0"))
        own = mark == reader.mark and said == place and length <= MAX_PAYLOAD
        followed = cut or _follows(file, at + 8, reader.mark, place)
    return BrokenEnd(path, place, length if own else 0, followed) if own or followed else None


def _follows(file: BinaryIO, start: int, mark: int, place: int) -> bool:
    """Whether a record behind `place` begins anywhere from `start` on.  The mark is random: nothing else has it."""
    file.seek(start)
    wanted = mark.to_bytes(4, "little")
    while data := file.read(_STEP):
        # Records begin at multiples of 8, so no head lies over the end of a part.
        found = data.find(wanted)
        while found >= 0:
            if not found % 8 and found + _RECORD.size <= len(data):
                _, length, said, _ = _RECORD.unpack_from(data, found)
                if place < said <= place + _FAR and length <= MAX_PAYLOAD:
                    return True
            found = data.find(wanted, found + 1)
    return False


def replay(directory: str | os.PathLike[str], first: int) -> Replay:
    """What the logs from number `first` on say, in order: see `Replay`."""
    return Replay(directory, first)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


def log_numbers(directory: str | os.PathLike[str]) -> list[int]:
    """The numbers of the logs in a directory, in order."""
    names = os.listdir(directory)
    return sorted(int(name[: -len(_SUFFIX)]) for name in names if name.endswith(_SUFFIX) and name[:-4].isdecimal())


def drop_logs(directory: str | os.PathLike[str], below: int) -> None:
    """Remove the logs with a number less than `below`, which a durable commit has made superfluous; one file is kept to
    become the next log. A log that is written must not be among them. Any thread.
    """
    for number in log_numbers(directory):
        if number < below:
            _drop(os.fspath(directory), number)


def _drop(root: str, number: int) -> None:
    path = os.path.join(root, _name(number))
    spare = os.path.join(root, _SPARE)
    if os.path.exists(spare):
        os.unlink(path)
    else:
        os.rename(path, spare)


def _name(number: int) -> str:
    return f"{number:08d}{_SUFFIX}"
