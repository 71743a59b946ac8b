"""Replies that come over a socket in pieces.

A message that a server writes arrives whole. One that it splices into a SOCK_SEQPACKET socket arrives in messages of 16
pages at most (measured with libfuse 3.19 and go-fuse 2.12 on Linux 6.18: 65552 bytes became 61456 and 4096). The first
piece has the header, and so the length of all.
"""

from __future__ import annotations

import sys
from collections.abc import Container
from typing import Final

from rawfuse.wire import fuse_in_header, fuse_out_header, fuse_read_in
from rawfuse.wire.constants import FUSE_READ

__all__ = ["APART", "WHOLE", "Pieces", "is_large"]

_SMALLEST: Final = 4096
"""Bytes of a first piece; a shorter message with a larger length in its header is simply wrong."""
WHOLE: Final = 15 << 12
"""Bytes of data that a reply has at most which is never in pieces, even where pages are of 4 KiB."""
APART: Final = 0.05
"""Seconds that a long READ keeps the next one back while replies may mix. One that is not answered by then waits for
something else, perhaps for what comes behind the other."""
_LARGEST: Final = (1 << 20) + (1 << 17)
_HEADER: Final = fuse_out_header.SIZE
_READ_SIZE: Final = fuse_in_header.SIZE + fuse_read_in.FIELDS.index("size") * 8
"""Where fuse_read_in has its size: behind two members of 8 bytes."""


class Pieces:
    """Puts the replies of one server together again; memory is bounded by the largest, a MiB and a header.

    Args:
        waiting: the uniques that are waited for: a server of several threads may send a short reply between the pieces
            of a long one, which shows in its header. Two long ones whose pieces mix cannot be told apart, so whoever
            sends requests sees to it that no two long replies are under way while :attr:`may_mix`.
    """

    def __init__(self, waiting: Container[int]) -> None:
        self._waiting = waiting
        self._parts = bytearray()
        self._length = 0
        self.may_mix = True
        """Whether long replies come in pieces, as far as is known: not when the first long one came whole."""
        self._seen = False

    @property
    def missing(self) -> int:
        """Bytes that are still to come of the reply that was begun."""
        return self._length - len(self._parts)

    def whole(self, part: memoryview) -> bytes | memoryview | None:
        """The message that `part` is or completes, `part` itself where that is all; None where more must come."""
        length = int.from_bytes(part[:4], sys.byteorder)
        if not self._parts:
            if len(part) == length or not (len(part) >= _SMALLEST and len(part) < length <= _LARGEST):
                if length > WHOLE + _HEADER and not self._seen:
                    self._seen, self.may_mix = True, False
                return part
            self._seen = self.may_mix = True
            self._parts += part
            self._length = length
            return None
        if length == len(part) >= _HEADER and int.from_bytes(part[8:16], sys.byteorder) in self._waiting:
            return part
        self._parts += part
        if self.missing > 0:
            return None
        message = bytes(self._parts)
        self._parts, self._length = bytearray(), 0
        return message


def is_large(opcode: int, request: memoryview | bytes) -> bool:
    """Whether the reply to a request may come in pieces: READ is what servers splice. `request` is the message."""
    if opcode != FUSE_READ or len(request) < _READ_SIZE + 4:
        return False
    return int.from_bytes(request[_READ_SIZE : _READ_SIZE + 4], sys.byteorder) > WHOLE
