"""What goes over the control socket: lines of JSON, and bytes announced by one.

::

    server  {"control": 1, "version": "0.5.0", "pid": 1234}                  greeting
    client  {"control": 1, "operation": "cat", "arguments": {"path": "/a"}}  one request a connection
    client  {"item": ...}, bytes ...; {"end": true}                          what the operation takes, if anything
    server  {"item": ...}, bytes ...                                         what it gives
    server  {"result": ...}  or  {"error": {"message": ..., "errno": 2, "path": "/a"}}

A line is UTF-8, at most :data:`MAX_LINE` bytes, and is a JSON object.  ``{"data": N}`` announces N bytes behind it, at
most :data:`MAX_DATA`.  Names and paths are bytes, which JSON has not: they are decoded as UTF-8 with what does not
decode as lone surrogates (Python's ``surrogateescape``).
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

__all__ = [
    "CONTROL",
    "MAX_DATA",
    "MAX_LINE",
    "BrokenFrame",
    "FrameReader",
    "Message",
    "data_of",
    "encode",
    "to_bytes",
    "to_text",
]

CONTROL: Final = 1
"""The number of this protocol: both sides must say the same."""
MAX_LINE: Final = 1 << 20
MAX_DATA: Final = 1 << 20

Message: TypeAlias = "dict[str, Any] | bytes"
"""One frame: an object, or bytes."""


class BrokenFrame(Exception):
    """The peer sent something that is no frame."""


def encode(message: Message) -> bytes:
    """The bytes of one frame.  ValueError: it is larger than a peer would take."""
    if isinstance(message, dict):
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if len(line) > MAX_LINE:
            raise ValueError(f"a line of {len(line)} bytes; at most {MAX_LINE} are taken")
        return line
    if len(message) > MAX_DATA:
        raise ValueError(f"{len(message)} bytes in one frame; at most {MAX_DATA} are taken")
    return b'{"data":%d}\n' % len(message) + message


class FrameReader:
    """Cuts received bytes into frames.  It holds no more than a frame and what came with its end."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._data: int | None = None

    @property
    def empty(self) -> bool:
        """Whether the peer could end here: no frame is cut short."""
        return not self._buffer and self._data is None

    def feed(self, received: bytes | bytearray | memoryview) -> None:
        """Take what was received."""
        self._buffer += received

    def next(self) -> Message | None:
        """The next whole frame, or None until more is fed.  Raises :class:`BrokenFrame`."""
        if self._data is None:
            line = self._line()
            if line is None:
                return None
            message = _parsed(line)
            if "data" not in message:
                return message
            self._data = _length(message)
        if len(self._buffer) < self._data:
            return None
        data = bytes(memoryview(self._buffer)[: self._data])
        del self._buffer[: self._data]
        self._data = None
        return data

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > MAX_LINE:
                raise BrokenFrame(f"a line longer than {MAX_LINE} bytes")
            return None
        self._scanned = 0
        if end > MAX_LINE:
            raise BrokenFrame(f"a line of {end} bytes; at most {MAX_LINE} are taken")
        line = bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + 1]
        return line


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BrokenFrame(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise BrokenFrame("JSON that is not an object")
    return message


def _length(message: dict[str, Any]) -> int:
    length = message["data"]
    if type(length) is not int or not 0 <= length <= MAX_DATA:
        raise BrokenFrame(f"{length!r} bytes are announced; at most {MAX_DATA} are taken")
    return length


def data_of(message: Message | None) -> bytes | None:
    """The bytes of a data frame, None for any other message."""
    return message if isinstance(message, bytes) else None


def to_text(name: bytes) -> str:
    """A name or path as it goes into JSON."""
    return name.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The inverse of :func:`to_text`.  UnicodeEncodeError (a ValueError): it was made from no bytes."""
    return text.encode("utf-8", "surrogateescape")
