"""Opening a trace, whatever it was written as."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, Final, Protocol, runtime_checkable

from rawfuse.trace.fusedump import LETTERS, FusedumpWriter, read_fusedump
from rawfuse.trace.pcapng import MAGIC, PcapngWriter, read_pcapng
from rawfuse.trace.record import DamagedTrace, Readable, Traced, Writable

__all__ = ["BatchWriter", "FORMATS", "TraceWriter", "batch_writer", "read_trace", "trace_writer", "write_trace"]

FORMATS: Final = ("pcapng", "fusedump", "fusedump1")
"""What a trace can be written as: `fusedump` is GlusterFS's version 2."""


class TraceWriter(Protocol):
    """What takes messages, one after another."""

    def write(self, message: Traced) -> None:
        """Adds one."""
        ...


@runtime_checkable
class BatchWriter(Protocol):
    """What takes many messages in one go besides, at less cost for each."""

    def write_many(self, messages: Sequence[Traced]) -> None:
        """Adds some."""
        ...


def batch_writer(writer: TraceWriter) -> Callable[[Sequence[Traced]], None]:
    """Gives `writer` many messages, in one go if it can."""
    if isinstance(writer, BatchWriter):
        return writer.write_many

    def write_many(messages: Sequence[Traced]) -> None:
        for message in messages:
            writer.write(message)

    return write_many


def trace_writer(file: Writable, form: str = "pcapng", *, comment: str = "") -> TraceWriter:
    """A writer of :data:`FORMATS`; `comment` is kept where the format can."""
    if form == "pcapng":
        return PcapngWriter(file, comment=comment)
    if form not in FORMATS:
        raise ValueError(f"a trace is written as {', '.join(FORMATS)}, not as {form!r}")
    return FusedumpWriter(file, version=1 if form == "fusedump1" else 2)


def write_trace(path: str | os.PathLike[str], messages: Iterable[Traced], form: str = "pcapng") -> None:
    """Writes a whole trace. OSError."""
    with open(path, "wb") as file:
        writer = trace_writer(file, form)
        for message in messages:
            writer.write(message)


class _Peeked:
    """A file of which the first bytes were read already, also where it cannot seek."""

    def __init__(self, first: bytes, file: BinaryIO) -> None:
        self._first = first
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        if not self._first:
            return self._file.read(size)
        if size < 0:
            first, self._first = self._first, b""
            return first + self._file.read()
        first, self._first = self._first[:size], self._first[size:]
        return first + self._file.read(size - len(first)) if len(first) < size else first


def read_trace(path: str | os.PathLike[str]) -> Iterator[Traced]:
    """The messages of the trace at `path`, in the order of the file: pcapng, or a fusedump of version 1 or 2.

    Raises OSError, and :class:`DamagedTrace` for any other file or a damaged one, when it comes to that place.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        first = file.read(4)
        source = _Peeked(first, file)
        if int.from_bytes(first, "little") == MAGIC:
            reader: Callable[[Readable, str], Iterator[Traced]] = read_pcapng
        elif first[:1] in LETTERS.values():
            reader = read_fusedump
        else:
            raise DamagedTrace(name, 0, "neither a pcapng file nor a fusedump")
        yield from reader(source, name)
