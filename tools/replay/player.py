"""Playing a trace: requests in their order, each sent when the replies that came before it have come again."""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from rawfuse.channel.pieces import Pieces
from rawfuse.errors import ProtocolError
from rawfuse.trace.exchanges import Exchange, Follower, decoded_request
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import Init, Interrupt, NotifyReply, Request, fuse_init_out, fuse_out_header
from rawfuse.wire import constants as c
from rawfuse.wire.replies import ReplyValue, answered, decode_reply, decode_reply_header
from rawfuse.wire.requests import encode_request

from ..decode.lines import name_of
from ..decode.values import errno_text, name_text
from .compare import differences
from .mapping import Mapping, Unknown

__all__ = ["Divergence", "Outcome", "Player", "ServerGone", "ServerHangs"]

_BUFFER: Final = (1 << 20) + (1 << 17)
_NEWEST: Final = 45


class ServerGone(Exception):
    """The server closed its socket; the message says what it had not answered."""


class ServerHangs(Exception):
    """A request was not answered in time."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """A reply that is not as recorded: the exchange, its number in the trace, and what differs."""

    number: int
    exchange: Exchange
    what: str

    def __str__(self) -> str:
        path = f" {name_text(self.exchange.path)}" if self.exchange.path else ""
        return f"exchange {self.number}, {name_of(self.exchange)}{path}: {self.what}"


@dataclass
class Outcome:
    """What became of a run. latencies: nanoseconds per opcode's name."""

    sent: int = 0
    compared: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    notifications: int = 0
    seconds: float = 0.0
    latencies: dict[str, array[int]] = field(default_factory=dict)

    def skip(self, why: str) -> None:
        """Counts a request that was not sent, or a reply that was not compared."""
        self.skipped[why] = self.skipped.get(why, 0) + 1


@dataclass(slots=True)
class _Waiting:
    request: Request
    sent: int


class Player:
    """Plays to a server on `sock`.

    Args:
        ignored: what does not count as a difference (:mod:`.compare`).
        patience: seconds that a reply may take.
        rhythm: 0 for as fast as possible; 1 in the recorded rhythm, 2 twice as fast.
    """

    def __init__(
        self, sock: socket.socket, *, ignored: tuple[str, ...], patience: float = 30.0, rhythm: float = 0.0
    ) -> None:
        self.outcome = Outcome()
        self._socket = sock
        self._ignored = ignored
        self._patience = patience
        self._rhythm = rhythm
        self._mapping = Mapping()
        self._minor = _NEWEST
        self._setxattr_ext = True
        self._next = 2
        self._waiting: dict[int, _Waiting] = {}
        self._replies: dict[int, tuple[int, ReplyValue, str]] = {}
        self._uniques: dict[int, int] = {}
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._pieces = Pieces(self._waiting)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def play(self, messages: Iterable[Traced]) -> Iterator[Divergence]:
        """Plays all of them; yields what diverges. Raises :class:`ServerGone`, :class:`ServerHangs`."""
        follower = Follower()
        started = time.perf_counter()
        first: int | None = None
        number = 0
        for message in messages:
            first = message.time if first is None else first
            if self._rhythm:
                self._pause(started + (message.time - first) / 1e9 / self._rhythm)
            done = follower.feed(message)
            if message.direction is Direction.TO_SERVER:
                self._request(message)
                continue
            for exchange in done:
                number += 1
                yield from self._reply(exchange, number)
        self.outcome.seconds = time.perf_counter() - started

    def _pause(self, until: float) -> None:
        # What comes meanwhile is read: a server that waits for room in the socket would answer late.
        while (left := until - time.perf_counter()) > 0:
            if self._poll.poll(left * 1000):
                self._receive()

    # -- requests -------------------------------------------------------------------------------------------------

    def _request(self, message: Traced) -> None:
        try:
            request = decoded_request(message)
        except ProtocolError:
            self.outcome.skip("cannot be decoded")
            return
        if message.cut:
            self.outcome.skip("was cut when it was recorded")
            return
        if isinstance(request, NotifyReply):
            self.outcome.skip("answers a notification of the recorded server")
            return
        try:
            today = self._today(request)
        except Unknown:
            self.outcome.skip("refers to what was there before the trace")
            return
        if today is None:
            return
        data = encode_request(today, self._minor, setxattr_ext=self._setxattr_ext)
        if answered(request.opcode):
            self._waiting[today.unique] = _Waiting(today, time.perf_counter_ns())
        try:
            self._socket.send(data)
        except OSError as error:
            raise ServerGone(f"it took no more requests: {error}") from error
        self.outcome.sent += 1

    def _today(self, request: Request) -> Request | None:
        today = self._mapping.request(request)
        if isinstance(request, Interrupt):
            target = self._uniques.get(request.arg.unique)
            if target is None or target not in self._waiting:
                self.outcome.skip("interrupts what is answered already")
                return None
            today.unique = target | 1
            today.arg = type(request.arg)(unique=target)  # type: ignore[attr-defined]
            return today
        today.unique = self._next
        self._next += 2
        self._uniques[request.unique] = today.unique
        return today

    # -- replies --------------------------------------------------------------------------------------------------

    def _reply(self, exchange: Exchange, number: int) -> Iterator[Divergence]:
        request = exchange.request
        if exchange.notification is not None or request is None or exchange.answer is None:
            return
        unique = self._uniques.pop(request.unique, None)
        if unique is None or (unique not in self._waiting and unique not in self._replies):
            return
        number_of, value, problem = self._wait(unique, request)
        if exchange.error is None or exchange.answer.cut:
            self.outcome.skip("its recorded reply is not whole")
            return
        self.outcome.compared += 1
        if problem:
            yield Divergence(number, exchange, problem)
        elif number_of != exchange.error:
            was, now = (errno_text(one) if one else "success" for one in (exchange.error, number_of))
            yield Divergence(number, exchange, f"{was} was recorded, now it is {now}")
        elif not number_of:
            self._mapping.learn(request, exchange.value, value)
            if isinstance(request, Init):
                self._agree(value)
            for what in differences(exchange.value, value, self._ignored):
                yield Divergence(number, exchange, what)

    def _agree(self, value: ReplyValue) -> None:
        if isinstance(value, fuse_init_out):
            self._minor = min(value.minor, _NEWEST)
            self._setxattr_ext = bool(value.flags & c.FUSE_SETXATTR_EXT)

    def _wait(self, unique: int, request: Request) -> tuple[int, ReplyValue, str]:
        deadline = time.monotonic() + self._patience
        while unique not in self._replies:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ServerHangs(
                    f"no reply within {self._patience:g} s to {type(request).__name__} ({request.unique})"
                )
            if self._poll.poll(left * 1000):
                self._receive()
        return self._replies.pop(unique)

    def _receive(self) -> None:
        try:
            length = self._socket.recv_into(self._buffer)
        except ConnectionError as error:
            raise ServerGone(self._left(str(error))) from error
        if not length:
            raise ServerGone(self._left("it closed its socket"))
        now = time.perf_counter_ns()
        message = self._pieces.whole(self._view[:length])
        if message is None:
            return
        if len(message) >= fuse_out_header.SIZE and not fuse_out_header.unpack_from(message).unique:
            self.outcome.notifications += 1
            return
        try:
            unique, number = decode_reply_header(message, len(message))
        except ProtocolError as error:
            if getattr(error, "unique", None) in self._waiting:
                del self._waiting[error.unique]  # type: ignore[attr-defined]
                self._replies[error.unique] = (0, None, f"the reply is malformed: {error}")  # type: ignore[attr-defined]
            return
        waiting = self._waiting.pop(unique, None)
        if waiting is None:
            return
        name = type(waiting.request).__name__
        self.outcome.latencies.setdefault(name, array("q")).append(now - waiting.sent)
        value: ReplyValue = None
        problem = ""
        if not number:
            try:
                value = decode_reply(waiting.request, message[fuse_out_header.SIZE :], self._minor)
            except ProtocolError as error:
                problem = f"the reply is malformed: {error}"
        self._replies[unique] = (number, value, problem)

    def _left(self, why: str) -> str:
        names = ", ".join(type(one.request).__name__ for one in list(self._waiting.values())[:5])
        return f"{why}; unanswered: {names}" if names else why
