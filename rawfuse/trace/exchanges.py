"""Messages of a trace, decoded and joined: each request with its reply, and the paths that both are about."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from rawfuse import wire
from rawfuse.errors import ProtocolError, RemoteProtocolError
from rawfuse.trace.paths import Paths
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import Notification, Request, fuse_in_header, fuse_out_header
from rawfuse.wire.constants import FUSE_UNIQUE_RESEND
from rawfuse.wire.replies import ReplyValue, answered, decode_reply, decode_reply_header
from rawfuse.wire.requests import decode_notification

__all__ = ["Exchange", "Follower", "decoded_request", "exchanges"]

_PENDING: Final = 1 << 16
"""Unanswered requests of one connection that are remembered; the kernel has far fewer in flight."""
_INTERRUPTS: Final = 256
_NEWEST: Final = 45
_LARGEST: Final = 1 << 26
"""Bytes of a message that is believed; the kernel's largest are a MiB and a header."""


@dataclass(slots=True)
class Exchange:
    """A request and its reply, or a notification.

    Attributes:
        sent, answer: the messages; one is None where the trace does not have it.
        request: decoded; None where it could not be, or for a notification.
        value: what a successful reply says, decoded.
        error: the errno of the reply, 0 for success, None without a reply.
        notification: decoded, where this is one.
        path: what it is about, from the root of the mount; empty where it is about no file.
        newpath: where RENAME, LINK and the copies put it.
        problem: why a message could not be decoded; empty where all went well.
    """

    sent: Traced | None = None
    answer: Traced | None = None
    request: Request | None = None
    value: ReplyValue = None
    error: int | None = None
    notification: Notification | None = None
    path: bytes = b""
    newpath: bytes = b""
    problem: str = ""

    @property
    def time(self) -> int:
        """When it began, nanoseconds since the epoch."""
        first = self.sent or self.answer
        return first.time if first is not None else 0

    @property
    def latency(self) -> int | None:
        """Nanoseconds from the request to its reply."""
        return self.answer.time - self.sent.time if self.sent is not None and self.answer is not None else None


@dataclass(slots=True)
class _Connection:
    paths: Paths = field(default_factory=Paths)
    pending: dict[int, Exchange] = field(default_factory=dict)
    interrupts: dict[int, Exchange] = field(default_factory=dict)
    """INTERRUPTs, which are complete without a reply and may have one."""


class Follower:
    """Takes messages in the order of a trace and gives back what is complete.

    Requests that take no reply are complete at once, all others when they were answered; :meth:`finish` gives those
    that never were. An INTERRUPT is complete at once, and comes again with its reply where the server gives one.
    Connections are kept apart. Memory is bounded by what is in flight and by the names of
    :class:`~rawfuse.trace.paths.Paths`.
    """

    def __init__(self) -> None:
        self._connections: dict[int, _Connection] = {}

    def feed(self, message: Traced) -> list[Exchange]:
        """The exchanges that `message` completes; nearly always none or one."""
        connection = self._connections.setdefault(message.connection, _Connection())
        if message.direction is Direction.TO_SERVER:
            return self._sent(connection, message)
        return self._answered(connection, message)

    def pending(self, unique: int, connection: int = 0) -> Exchange | None:
        """The request of that number that has not been answered yet: its paths are known already."""
        one = self._connections.get(connection)
        return one.pending.get(unique) if one is not None else None

    def finish(self) -> list[Exchange]:
        """What was never answered, in order."""
        left = [exchange for one in self._connections.values() for exchange in one.pending.values()]
        self._connections.clear()
        return sorted(left, key=lambda exchange: exchange.time)

    def _sent(self, connection: _Connection, message: Traced) -> list[Exchange]:
        exchange = Exchange(sent=message)
        unique = _unique(message)
        if message.byteorder != sys.byteorder:
            exchange.problem = f"recorded on a {message.byteorder}-endian machine; this one is {sys.byteorder}-endian"
            return [exchange]
        try:
            exchange.request = request = decoded_request(message)
        except ProtocolError as error:
            exchange.problem = str(error)
        else:
            exchange.path, exchange.newpath = _about(request, connection.paths)
            connection.paths.sent(request)
            if not answered(request.opcode):
                if isinstance(request, wire.Interrupt):
                    _remember(connection.interrupts, request.unique, exchange)
                return [exchange]
        if unique is None:
            return [exchange]
        done = []
        if unique in connection.pending:
            done.append(connection.pending.pop(unique))
        elif len(connection.pending) >= _PENDING:
            done.append(connection.pending.pop(next(iter(connection.pending))))
        connection.pending[unique] = exchange
        return done

    def _answered(self, connection: _Connection, message: Traced) -> list[Exchange]:
        unique = _unique(message)
        if unique is None or message.byteorder != sys.byteorder:
            return [Exchange(answer=message, problem="a reply that cannot be read")]
        if unique == 0:
            return [self._notified(connection, message)]
        exchange = connection.pending.pop(unique & ~FUSE_UNIQUE_RESEND, None) or connection.pending.pop(unique, None)
        if exchange is None and (interrupt := connection.interrupts.pop(unique, None)) is not None:
            exchange = replace(interrupt)
        if exchange is None:
            return [Exchange(answer=message, problem=f"a reply to {unique}, which is not waited for")]
        exchange.answer = message
        request = exchange.request
        try:
            if message.cut:
                exchange.error = -fuse_out_header.unpack_from(message.data).error
                exchange.problem = exchange.problem or f"the reply was cut to {len(message.data)} bytes"
            else:
                _, exchange.error = decode_reply_header(message.data, len(message.data))
                if request is not None and not exchange.error:
                    exchange.value = decode_reply(request, message.data[fuse_out_header.SIZE :], _minor(message))
        except ProtocolError as error:
            exchange.problem = str(error)
        else:
            if request is not None and not exchange.error and not message.cut:
                connection.paths.learn(request, exchange.value)
        return [exchange]

    def _notified(self, connection: _Connection, message: Traced) -> Exchange:
        exchange = Exchange(answer=message)
        if message.cut:
            exchange.problem = f"the notification was cut to {len(message.data)} bytes"
            return exchange
        try:
            exchange.notification = notification = decode_notification(message.data)
        except ProtocolError as error:
            exchange.problem = str(error)
            return exchange
        arg = getattr(notification, "arg", None)
        parent = getattr(arg, "parent", 0)
        nodeid = getattr(arg, "nodeid", 0) or getattr(arg, "ino", 0)
        if parent:
            exchange.path = connection.paths.at(parent, getattr(notification, "name", b""))
        elif nodeid:
            exchange.path = connection.paths.of(nodeid)
        return exchange


def exchanges(messages: Iterable[Traced]) -> Iterator[Exchange]:
    """What the messages of a trace were about, in the order in which it was complete."""
    follower = Follower()
    for message in messages:
        yield from follower.feed(message)
    yield from follower.finish()


def _remember(interrupts: dict[int, Exchange], unique: int, exchange: Exchange) -> None:
    interrupts[unique] = exchange
    if len(interrupts) > _INTERRUPTS:
        del interrupts[next(iter(interrupts))]


def _minor(message: Traced) -> int:
    return message.minor or _NEWEST


def _unique(message: Traced) -> int | None:
    header = fuse_in_header if message.direction is Direction.TO_SERVER else fuse_out_header
    if len(message.data) < header.SIZE:
        return None
    return int(header.unpack_from(message.data).unique)


def decoded_request(message: Traced) -> Request:
    """The request that a message is, of whose data what was cut reads as zeros. Raises ProtocolError."""
    data = message.data
    if message.length > _LARGEST:
        raise RemoteProtocolError(f"a request of {message.length} bytes")
    if message.cut:
        # What is missing reads as zeros; names and structs come first, so it is data that is missing.
        data = data.ljust(message.length, b"\0")
    return wire.decode_request(bytearray(data), len(data), _minor(message), message.setxattr_ext)


def _about(request: Request, paths: Paths) -> tuple[bytes, bytes]:
    nodeid = request.nodeid
    match request:
        case wire.Rename() | wire.Rename2():
            return paths.at(nodeid, request.name), paths.at(request.arg.newdir, request.newname)
        case wire.Link():
            return paths.of(request.arg.oldnodeid), paths.at(nodeid, request.name)
        case wire.CopyFileRange() | wire.CopyFileRange64():
            return paths.of(nodeid), paths.of(request.arg.nodeid_out)
        case wire.GetXAttr() | wire.SetXAttr() | wire.RemoveXAttr():
            return paths.of(nodeid), b""
    if not nodeid:
        return b"", b""
    name = getattr(request, "name", b"")
    return (paths.at(nodeid, name) if name else paths.of(nodeid)), b""
