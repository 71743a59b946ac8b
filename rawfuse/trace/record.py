"""One message of a trace, and what is known of it besides its bytes."""

from __future__ import annotations

import enum
import sys
from typing import Final, NamedTuple, Protocol

__all__ = ["DamagedTrace", "Direction", "NATIVE", "Readable", "Traced", "Writable"]

NATIVE: Final = sys.byteorder


class DamagedTrace(Exception):
    """A file that is no trace, or not the trace that it says it is.

    Attributes:
        path: the file. offset: the byte where it goes wrong.
    """

    def __init__(self, path: str, offset: int, what: str) -> None:
        super().__init__(f"{path}: byte {offset}: {what}")
        self.path = path
        self.offset = offset


class Readable(Protocol):
    """What a trace is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        ...


class Writable(Protocol):
    """What a trace is written to."""

    def write(self, data: bytes, /) -> object:
        """Takes all of it."""
        ...


class Direction(enum.IntEnum):
    """Where a message goes. The numbers are those of pcapng's epb_flags, seen from the server."""

    TO_SERVER = 1
    """A request, of the kernel."""
    TO_KERNEL = 2
    """A reply, or a notification."""


class Traced(NamedTuple):
    """One message.

    Attributes:
        time: nanoseconds since the epoch.
        direction: where it went.
        data: the message, or its first bytes where it was cut.
        length: bytes that it had.
        connection: which one, for a trace of several: the number under /sys/fs/fuse/connections, or 0.
        descriptor: which device descriptor of the connection it went through; 0 is the first, others are clones.
        minor: the protocol's, as negotiated; 0 before INIT was answered.
        setxattr_ext: SETXATTR has the longer body (FUSE_SETXATTR_EXT was agreed on), which the minor does not tell.
        program: the kernel's name for the program behind the request, at most 15 bytes; empty where unknown.
        byteorder: "little" or "big", that of the machine it was recorded on.
    """

    time: int
    direction: Direction
    data: bytes
    length: int
    connection: int = 0
    descriptor: int = 0
    minor: int = 0
    setxattr_ext: bool = False
    program: bytes = b""
    byteorder: str = NATIVE

    @property
    def cut(self) -> bool:
        """Whether bytes are missing at its end."""
        return self.length > len(self.data)
