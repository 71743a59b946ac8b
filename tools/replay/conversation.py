"""The kernel's end of a socket: requests go out with uniques of their own, replies are waited for."""

from __future__ import annotations

import select
import socket
import time
from array import array
from dataclasses import dataclass, field
from typing import Final

from rawfuse.channel.holder import ENDS
from rawfuse.channel.pieces import APART, Pieces, is_large
from rawfuse.errors import ProtocolError, RemoteProtocolError
from rawfuse.wire import (
    Interrupt,
    NotifyReply,
    NotifyRetrieve,
    Request,
    fuse_init_out,
    fuse_notify_retrieve_in,
    fuse_out_header,
)
from rawfuse.wire import constants as c
from rawfuse.wire.replies import ReplyValue, answered, decode_reply, decode_reply_header
from rawfuse.wire.requests import decode_notification, encode_request

from ..decode.values import label
from .compare import Reply

__all__ = ["Conversation", "Outcome", "ServerGone", "ServerHangs"]

_BUFFER: Final = (1 << 20) + (1 << 17)
_NEWEST: Final = 45
_SHOWN: Final = 5


class ServerGone(Exception):
    """The server closed its socket; the message says what it had not answered."""


class ServerHangs(Exception):
    """A request was not answered, or not even taken, in time."""


@dataclass
class Outcome:
    """What became of a run. latencies: nanoseconds per opcode's name; skipped, otherwise: why, or what, how often."""

    sent: int = 0
    compared: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    otherwise: dict[str, int] = field(default_factory=dict)
    notifications: int = 0
    malformed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    latencies: dict[str, array[int]] = field(default_factory=dict)

    def skip(self, why: str) -> None:
        """Counts a request that was not sent, or a reply that was not compared."""
        self.skipped[why] = self.skipped.get(why, 0) + 1

    def instead(self, what: str) -> None:
        """Counts a request that was played as others."""
        self.otherwise[what] = self.otherwise.get(what, 0) + 1


@dataclass(slots=True)
class _Waiting:
    request: Request
    sent: int


class Conversation:
    """With the server on `sock`. Only replies that nobody asked for yet are kept; what else comes is judged.

    Args:
        patience: seconds that a reply may take.

    Attributes:
        minor, setxattr_ext, max_write: as INIT's answer says, once :meth:`agree` was told.
        unreleased: RELEASE and RELEASEDIR, where the server opens without being asked: then they are not sent.
    """

    def __init__(self, sock: socket.socket, outcome: Outcome, *, patience: float) -> None:
        self.outcome = outcome
        self.minor = _NEWEST
        self.setxattr_ext = True
        self.max_write = 1 << 30
        self.unreleased: set[type[Request]] = set()
        self._socket = sock
        self._patience = patience
        self._next = 2
        self._waiting: dict[int, _Waiting] = {}
        self._replies: dict[int, Reply] = {}
        self._pieces = Pieces(self._waiting)
        self._large: set[int] = set()
        self._view = memoryview(bytearray(_BUFFER))
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        sock.setblocking(False)

    def agree(self, answer: fuse_init_out) -> None:
        """Takes over what INIT's answer says of the messages to come."""
        self.minor = min(answer.minor, _NEWEST)
        self.setxattr_ext = bool(answer.flags & c.FUSE_SETXATTR_EXT)
        self.max_write = max(4096, answer.max_write)

    def waits_for(self, unique: int) -> bool:
        """Whether it was sent and its reply has not come."""
        return unique in self._waiting

    def send(self, request: Request) -> int:
        """Sends it with a new unique, which it returns. Raises ServerGone, ServerHangs; ProtocolError."""
        request.unique = self._next
        self._next += 2
        data = encode_request(request, self.minor, setxattr_ext=self.setxattr_ext)
        if is_large(request.opcode, data):
            self._one_at_a_time()
            self._large.add(request.unique)
        if answered(request.opcode):
            self._waiting[request.unique] = _Waiting(request, time.perf_counter_ns())
        self._write(data)
        return request.unique

    def interrupt(self, target: int) -> None:
        """Says that the caller of a request got a signal."""
        request = Interrupt(unique=target | 1)
        request.arg = type(request.arg)(unique=target)
        self._write(encode_request(request, self.minor))

    def call(self, request: Request) -> Reply:
        """Sends it and waits for its reply."""
        return self.reply(self.send(request), label(request))

    def _one_at_a_time(self) -> None:
        """Replies of two threads of a server that splices would mix (:mod:`rawfuse.channel.pieces`).

        A READ that is not answered soon waits for something else, perhaps for what is sent next.
        """
        deadline = time.monotonic() + APART
        while self._large and self._pieces.may_mix and (left := deadline - time.monotonic()) > 0:
            if self._poll.poll(left * 1000):
                self._receive()

    def _write(self, data: bytes) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._socket.send(data)
                break
            except BlockingIOError:
                # The server may be waiting for us to read.
                if time.monotonic() > deadline:
                    raise ServerHangs(self._left(f"it took no request for {self._patience:g} s")) from None
                self._wait_either()
            except OSError as error:
                if error.errno in ENDS:
                    raise ServerGone(self._left(f"it takes no more requests: {error.strerror}")) from error
                raise
        self.outcome.sent += 1

    def _wait_either(self) -> None:
        both = select.poll()
        both.register(self._socket, select.POLLIN | select.POLLOUT)
        if any(event & select.POLLIN for _, event in both.poll(100)):
            self._receive()

    def pause(self, until: float) -> None:
        """Waits until then (time.perf_counter), and reads meanwhile: who waits for room would answer late."""
        while (left := until - time.perf_counter()) > 0:
            if self._poll.poll(left * 1000):
                self._receive()

    def reply(self, unique: int, what: str) -> Reply:
        """The reply to a request that was sent; `what` describes it. Raises ServerGone, ServerHangs."""
        deadline = time.monotonic() + self._patience
        while unique not in self._replies:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ServerHangs(f"no reply within {self._patience:g} s to {what}")
            if self._poll.poll(left * 1000):
                self._receive(f" to {what}")
        return self._replies.pop(unique)

    def _receive(self, waiting_for: str = "") -> None:
        try:
            length = self._socket.recv_into(self._view)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in ENDS:
                raise ServerGone(self._left(f"it ended: {error.strerror}", waiting_for)) from error
            raise
        if not length:
            raise ServerGone(self._left("it closed its socket", waiting_for))
        now = time.perf_counter_ns()
        message = self._pieces.whole(self._view[:length])
        if message is None:
            return
        try:
            unique, number = decode_reply_header(message, len(message))
        except RemoteProtocolError as error:
            self._malformed(error)
            return
        if not unique:
            self._notified(bytes(message))
            return
        waiting = self._waiting.pop(unique, None)
        self._large.discard(unique)
        if waiting is None:
            if not unique & 1:
                self.outcome.malformed.append(f"a reply to {unique}, which nobody waits for")
            return
        self.outcome.latencies.setdefault(label(waiting.request), array("q")).append(now - waiting.sent)
        value: ReplyValue = None
        problem = ""
        if not number:
            try:
                value = decode_reply(waiting.request, bytes(message[fuse_out_header.SIZE :]), self.minor)
            except ProtocolError as error:
                problem = f"the reply is malformed: {error}"
        self._replies[unique] = Reply(number, value, problem)

    def _malformed(self, error: RemoteProtocolError) -> None:
        """What the kernel would refuse: the reply of its request where it names one."""
        if error.unique is not None and self._waiting.pop(error.unique, None) is not None:
            self._large.discard(error.unique)
            self._replies[error.unique] = Reply(problem=f"the reply is malformed: {error}")
        else:
            self.outcome.malformed.append(str(error))

    def _notified(self, message: bytes) -> None:
        self.outcome.notifications += 1
        try:
            notification = decode_notification(message)
        except ProtocolError as error:
            self.outcome.malformed.append(str(error))
            return
        if isinstance(notification, NotifyRetrieve):
            # There is no cache here: nothing of it is what the kernel may say as well.
            arg = fuse_notify_retrieve_in(offset=notification.arg.offset, size=0)
            answer = NotifyReply(
                unique=notification.arg.notify_unique, nodeid=notification.arg.nodeid, arg=arg, data=memoryview(b"")
            )
            self._write(encode_request(answer, self.minor))

    def _left(self, why: str, waiting_for: str = "") -> str:
        if waiting_for:
            return f"{why} before it replied{waiting_for}"
        names = ", ".join(label(one.request) for one in list(self._waiting.values())[:_SHOWN])
        return f"{why}; unanswered: {names}" if names else why
