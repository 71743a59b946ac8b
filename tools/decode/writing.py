"""A trace into a file of another format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rawfuse.trace.exchanges import exchanges
from rawfuse.trace.opening import trace_writer
from rawfuse.trace.record import Traced

from .filters import Filter, matches

__all__ = ["CannotWrite", "write"]


class CannotWrite(Exception):
    """The messages do not fit the format."""


def write(messages: Iterable[Traced], path: Path, form: str, filters: Sequence[Filter] = ()) -> None:
    """Writes the messages whose exchanges `filters` let through, all where there are none, into a new file.

    Raises OSError, DamagedTrace (what was before that place is in the file), and CannotWrite for messages that were cut
    or come from a machine of the other byte order, which a fusedump cannot hold.
    """
    if path.exists() and not path.is_char_device() and not path.is_fifo():
        raise CannotWrite(f"{path} is there already")
    with open(path, "wb") as file:
        writer = trace_writer(file, form)
        try:
            for message in _chosen(messages, filters) if filters else messages:
                writer.write(message)
        except ValueError as error:
            file.close()
            os.unlink(path)
            raise CannotWrite(f"{path}: {error}; write a pcapng file") from None


def _chosen(messages: Iterable[Traced], filters: Sequence[Filter]) -> Iterator[Traced]:
    """A request, and the reply that belongs to it, in the order of their times."""
    found = [
        message
        for exchange in exchanges(messages)
        if matches(exchange, filters)
        for message in (exchange.sent, exchange.answer)
        if message is not None
    ]
    yield from sorted(found, key=lambda message: message.time)
