"""GlusterFS's fusedump (`glusterfs --dump-fuse FILE`), versions 1 and 2, read and written.

Version 1 is, for each message, a letter and the message as it was on the descriptor, whose own length says where the
next one begins: `R` for what was read from the device, a request; `W` for what was written to it.

Version 2 has between the two a count of items (u32, less than 16) that begin with a length each (u32, which counts
itself) and of which the message is the last.  The first is the time: length 16, seconds (u64) and nanoseconds (u32)
since the epoch.  Behind it come signatures of the writer, of any length.  A count below 16 tells the versions apart: no
message is as short.  Everything is in the byte order of the machine (GlusterFS's fuse-bridge.c, gluster/parsefuse).

Neither knows the connection or the program, and neither can hold a message that was cut. What was negotiated is
followed from INIT, where that is in the file.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from typing import Final

from rawfuse.trace.agreed import Agreed
from rawfuse.trace.record import DamagedTrace, Direction, Readable, Traced, Writable
from rawfuse.wire import fuse_in_header
from rawfuse.wire.constants import FUSE_INIT

__all__ = ["LETTERS", "FusedumpWriter", "read_fusedump"]

LETTERS: Final = {Direction.TO_SERVER: b"R", Direction.TO_KERNEL: b"W"}
_DIRECTIONS: Final = {letter: direction for direction, letter in LETTERS.items()}
_SHORTEST: Final = 16
_LARGEST: Final = 1 << 26
_LARGEST_ITEM: Final = 4096
_U32: Final = struct.Struct("=I")
_TIME: Final = struct.Struct("=IQI")
_WRITER: Final = b"RAWFUSE"
_SIGNATURE: Final = _U32.pack(_U32.size + len(_WRITER)) + _WRITER
_ITEMS: Final = _U32.pack(3)
_SECOND: Final = 1_000_000_000


class FusedumpWriter:
    """Writes messages to `file`, which it does not close, in `version` 1 or 2."""

    def __init__(self, file: Writable, *, version: int = 2) -> None:
        if version not in (1, 2):
            raise ValueError(f"fusedump has versions 1 and 2, not {version}")
        self._file = file
        self._version = version

    def write(self, message: Traced) -> None:
        """Adds one message. ValueError for one that was cut or is of a foreign byte order; OSError: the disk."""
        if message.cut or message.byteorder != sys.byteorder:
            raise ValueError("fusedump holds whole messages of this machine's byte order only")
        items = b""
        if self._version == 2:
            items = _ITEMS + _TIME.pack(_TIME.size, *divmod(message.time, _SECOND)) + _SIGNATURE
        self._file.write(LETTERS[message.direction] + items + message.data)


class _File:
    """A file that knows where it is."""

    def __init__(self, file: Readable, path: str) -> None:
        self._file = file
        self.path = path
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes. EOFError where there are fewer."""
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError
        self.at += size
        return data

    def number(self) -> int:
        value: int = _U32.unpack(self.take(_U32.size))[0]
        return value

    def damaged(self, what: str) -> DamagedTrace:
        return DamagedTrace(self.path, self.at, what)


def read_fusedump(file: Readable, path: str) -> Iterator[Traced]:
    """The messages of a fusedump of either version; times are 0 where it has none.

    Raises :class:`DamagedTrace`. A file that ends in the middle of a message gives those before it.
    """
    source = _File(file, path)
    agreed = Agreed()
    while True:
        try:
            message = _message(source)
        except EOFError:
            return
        if message.direction is Direction.TO_KERNEL:
            if agreed.waiting is not None:
                agreed.answered(message.data)
        elif len(message.data) >= fuse_in_header.SIZE:
            header = fuse_in_header.unpack_from(message.data)
            if header.opcode == FUSE_INIT:
                agreed.asked(header.unique)
        yield message._replace(minor=agreed.minor, setxattr_ext=agreed.setxattr_ext)


def _message(source: _File) -> Traced:
    letter = source.take(1)
    direction = _DIRECTIONS.get(letter)
    if direction is None:
        raise source.damaged(f"a message begins with R or W, not with {letter!r}")
    time = 0
    length = source.number()
    if length < _SHORTEST:
        for item in range(length - 1):
            time = _item(source, item == 0) or time
        length = source.number()
    if not _SHORTEST <= length <= _LARGEST:
        raise source.damaged(f"a message of {length} bytes")
    return Traced(time, direction, _U32.pack(length) + source.take(length - _U32.size), length)


def _item(source: _File, first: bool) -> int:
    """Reads one item; the time, where it is that one."""
    length = source.number()
    if not _U32.size <= length <= _LARGEST_ITEM:
        raise source.damaged(f"an item of {length} bytes before a message")
    value = source.take(length - _U32.size)
    if not first or length != _TIME.size:
        return 0
    seconds, nanoseconds = struct.unpack("=QI", value)
    return int(seconds * _SECOND + nanoseconds)
