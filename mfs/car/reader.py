"""Reading CARs, without I/O: bytes in, header and blocks out."""

from __future__ import annotations

import struct
from typing import NamedTuple

from mfs.car.cbor import BadCBOR, decode_map
from mfs.unixfs.cid import CID, read_cid
from mfs.unixfs.errors import InvalidCID

__all__ = ["MAX_HEADER", "MAX_SECTION", "Block", "CARReader", "Header", "MalformedCAR"]

MAX_HEADER = 1 << 20
"""Bytes of a header, at most: some 25 000 roots."""
MAX_SECTION = 8 << 20
"""Bytes of CID and block together, at most (what go-car takes, too)."""

_V2_HEADER = struct.Struct("<16xQQQ")
_LENGTH_BYTES = 9


class MalformedCAR(Exception):
    """These bytes are not a CAR; `offset` is the byte where it shows."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(f"malformed CAR at byte {offset}: {why}")
        self.why = why
        self.offset = offset


class Header(NamedTuple):
    """What stands in front: the version of the file, and its roots, which need not be among its blocks."""

    version: int
    roots: tuple[CID, ...]


class Block(NamedTuple):
    """One block, as the file has it.  Nobody has verified that `data` is what `cid` says."""

    cid: CID
    data: bytes


class CARReader:
    """Cuts what it is fed into one :class:`Header` and any number of :class:`Block`.

    It holds one section, and what was fed behind that.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._offset = 0
        """Of the first byte in the buffer."""
        self._version = 0
        self._started = False
        self._skip = 0
        self._end: int | None = None
        """Where the blocks of a version 2 end."""

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the file."""
        if self._at:
            del self._buffer[: self._at]
            self._offset += self._at
            self._at = 0
        self._buffer += data

    def next(self) -> Header | Block | None:
        """What comes next; None until more is fed, or at the end.  Raises MalformedCAR."""
        if not self._skipped():
            return None
        if self._end is not None and self._place >= self._end:
            # Behind the blocks of a version 2 is its index, which is of no use to a stream.
            self._offset += len(self._buffer)
            self._at = 0
            self._buffer.clear()
            return None
        return self._block() if self._started else self._header()

    def finish(self) -> None:
        """There is no more.  Raises MalformedCAR where the file cannot end here."""
        if not self._started:
            raise MalformedCAR("it ends before its header does", self._place)
        if self._at < len(self._buffer) or self._skip or (self._end is not None and self._place < self._end):
            raise MalformedCAR("it ends in the middle of a block", self._place)

    @property
    def _place(self) -> int:
        return self._offset + self._at

    def _skipped(self) -> bool:
        if self._skip:
            step = min(self._skip, len(self._buffer) - self._at)
            self._at += step
            self._skip -= step
        return not self._skip

    def _length(self, limit: int, what: str) -> tuple[int, int] | None:
        """The length at the present place, and how many bytes it takes; None where it is not all there."""
        value = shift = 0
        for index in range(_LENGTH_BYTES):
            at = self._at + index
            if at >= len(self._buffer):
                return None
            byte = self._buffer[at]
            value |= (byte & 127) << shift
            if byte < 128:
                if byte == 0 and index:
                    raise MalformedCAR("a length is not in its shortest form", self._place)
                if not 0 < value <= limit:
                    raise MalformedCAR(f"{what} of {value} bytes; from 1 to {limit} are taken", self._place)
                return value, index + 1
            shift += 7
        raise MalformedCAR("a length has no end", self._place)

    def _taken(self, limit: int, what: str) -> bytes | None:
        found = self._length(limit, what)
        if found is None:
            return None
        length, prefix = found
        start = self._at + prefix
        if self._end is not None and self._offset + start + length > self._end:
            raise MalformedCAR(f"{what} goes beyond the end that the version 2 header states", self._place)
        if len(self._buffer) < start + length:
            return None
        taken = bytes(memoryview(self._buffer)[start : start + length])
        self._at = start + length
        return taken

    def _header(self) -> Header | None:
        place, at = self._place, self._at
        raw = self._taken(MAX_HEADER, "a header")
        if raw is None:
            return None
        try:
            fields = decode_map(raw)
        except BadCBOR as error:
            raise MalformedCAR(f"the header: {error}", place) from None
        version = fields.get("version")
        if version == 2 and type(version) is int and not self._version:
            if not self._begin_v2():
                self._at = at
            return self.next() if self._version else None
        roots = fields.get("roots")
        if type(version) is not int or version != 1 or not isinstance(roots, list):
            raise MalformedCAR("the header is not that of version 1 or 2", place)
        self._started = True
        return Header(self._version or 1, tuple(roots))

    def _begin_v2(self) -> bool:
        if len(self._buffer) < self._at + _V2_HEADER.size:
            return False
        start, size, _ = _V2_HEADER.unpack_from(self._buffer, self._at)
        place = self._place
        self._at += _V2_HEADER.size
        if start < self._place or not size or start + size >= 1 << 63:
            raise MalformedCAR(f"the version 2 header puts {size} bytes at {start}", place)
        self._version = 2
        self._skip = start - self._place
        self._end = start + size
        return True

    def _block(self) -> Block | None:
        place = self._place
        section = self._taken(MAX_SECTION, "a section")
        if section is None:
            return None
        try:
            cid, start = read_cid(section)
        except InvalidCID as error:
            raise MalformedCAR(f"a section does not begin with a CID: {error}", place) from None
        return Block(cid, section[start:])
