"""The kernel's role towards one server: messages out, replies judged as Linux judges them, nothing waited for too long.

Blocking and in one thread, so that a probe reads like the exchange that it is. :class:`KernelSession` numbers the
requests and says what write(2) would have said to the replies; here are the socket, the patience and the record of what
was said.
"""

from __future__ import annotations

import errno
import functools
import operator
import os
import select
import socket
import sys
import time
from collections import deque
from typing import Final, NamedTuple

from rawfuse.channel.pieces import Pieces
from rawfuse.session.kernel_session import OFFERED, Answered, KernelSession, Refused
from rawfuse.trace.exchanges import Exchange
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import Notification, Request, UnknownRequest, fuse_in_header, fuse_out_header
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.replies import answered
from rawfuse.wire.since import SINCE

from ..decode.lines import outcome_of
from ..decode.values import errno_text, label
from .probe import Gone, Hangs, Unbelieved, Violation

__all__ = ["Driver", "InterruptAnswer", "Stray"]

_BUFFER: Final = (1 << 20) + 8192
_KEPT_MESSAGES: Final = 256
_KEPT_BYTES: Final = 1 << 16
_MOST_UNASKED: Final = 10_000
"""Messages that nobody asked for, of one connection, that are put up with."""
_MOST_REQUEUED: Final = 1000
_SETTLE: Final = 0.03
_NO_PID: Final = frozenset({"RELEASE", "RELEASEDIR", "INIT", "INTERRUPT", "FORGET", "BATCH_FORGET", "NOTIFY_REPLY"})


def _offered(minor: int) -> InitFlags:
    """The flags that a kernel of that minor has."""
    known = [flag for flag in OFFERED if SINCE.get(flag.name or "", 0) <= minor]
    return functools.reduce(operator.or_, known, InitFlags(0))


class Stray(NamedTuple):
    """A message that answers nothing: its unique where it has one, what Linux would have said to it, and why."""

    unique: int | None
    errno: int
    why: str


class InterruptAnswer(NamedTuple):
    """A reply to an INTERRUPT: its unique (odd), its errno, its length in bytes."""

    unique: int
    errno: int
    length: int


class Driver:
    """Drives the server at the other end of `sock`.

    Args:
        patience: seconds that a reply may take.
        starting: seconds that the first reply, to INIT, may take.
        uid, gid: of the caller, in the header of every request.

    Attributes:
        session: what the kernel's side knows.
        notifications: what the server sent unasked, with what write(2) would have said (0 or an errno).
        strays: messages that Linux would have refused, because nothing waits for them or they are malformed.
        interrupt_answers: replies to INTERRUPTs.
        messages: the last ones that went over the socket, both ways.
        expected, seen: of the last :meth:`expect`.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        patience: float = 5.0,
        starting: float = 15.0,
        uid: int | None = None,
        gid: int | None = None,
    ) -> None:
        self.session = KernelSession()
        self.patience = patience
        self.starting = starting
        self.uid = os.geteuid() if uid is None else uid
        self.gid = os.getegid() if gid is None else gid
        self.notifications: list[tuple[Notification | None, int]] = []
        self.strays: list[Stray] = []
        self.interrupt_answers: list[InterruptAnswer] = []
        self.messages: deque[Traced] = deque(maxlen=_KEPT_MESSAGES)
        self.expected = ""
        self.seen = ""
        self._socket = sock
        sock.setblocking(False)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._buffer = bytearray(_BUFFER)
        self._pieces = Pieces(self.session.pending)
        self._results: dict[int, Answered | Refused] = {}
        self._heard = False
        self._unasked = 0
        self._requeued = 0

    # -- what a probe says ----------------------------------------------------------------------------------------

    def expect(self, kept: object, expected: str, seen: object) -> None:
        """Goes on where `kept` is true. Raises Violation where it is not.

        Args:
            expected: what the rule asks for, in words.
            seen: what came: an :class:`Answered`, or anything that says it in words.
        """
        self.expected, self.seen = expected, said(seen)
        if not kept:
            raise Violation(self.expected, self.seen)

    def begin(self) -> None:
        """Forgets what was said before: another probe begins."""
        self.messages.clear()
        self.strays.clear()
        self.interrupt_answers.clear()
        self._results.clear()
        self.expected = self.seen = ""

    # -- sending --------------------------------------------------------------------------------------------------

    def init(self, *, major: int = 7, minor: int = 45, flags: InitFlags | None = None) -> Answered:
        """INIT as a kernel of that version sends it, and the answer; it offers all flags that it has, or `flags`."""
        self.session = KernelSession(major=major, minor=minor, flags=_offered(minor) if flags is None else flags)
        self._pieces = Pieces(self.session.pending)
        self._write(self.session.init(), "INIT")
        return self.wait(2, "INIT")

    def ask(self, request: Request) -> Answered:
        """Sends `request` and waits for its reply, whatever errno it brings.

        Raises:
            Violation: Linux refuses the reply: its size or its form is wrong. Or it takes it and does not believe what
                it says, so that the caller gets EIO.
            Hangs, Gone: there is none.
        """
        return self.wait(self.send(request), label(request))

    def heard(self, request: Request) -> Answered:
        """As :meth:`ask`, but what the reply says is not judged."""
        result = self.reply_within(self.send(request), self.patience)
        if result is None:
            raise Hangs(f"no reply to {label(request)} within {self.patience:g} s")
        return result if isinstance(result, Answered) else self._judged(result)

    def send(self, request: Request) -> int:
        """Sends `request` and returns its unique, by which :meth:`wait` gives the reply."""
        self._write(self.message(request), label(request))
        return request.unique

    def message(self, request: Request) -> bytes:
        """The bytes of `request`, now waited for; to be changed and sent by :meth:`raw`."""
        if not request.uid and not request.gid and not request.pid:
            request.uid, request.gid = self.uid, self.gid
            if label(request) not in _NO_PID:
                request.pid = os.getpid()
        return self.session.request(request)

    def raw(self, message: bytes) -> None:
        """Sends bytes as they are."""
        self._write(message, "a message")

    def malformed(
        self, opcode: int, body: bytes, *, nodeid: int = 1, length: int | None = None, extlen: int = 0
    ) -> int:
        """Sends a request with any body and returns its unique; a reply to it is waited for like any other.

        Args:
            length: what the header says, where that is not the truth.
            extlen: total_extlen, in units of 8 bytes.
        """
        request = UnknownRequest(0, nodeid, self.uid, self.gid, os.getpid(), opcode, body)
        message = bytearray(self.session.numbered(request))
        if answered(opcode):
            self.session.pending[request.unique] = request
        header = fuse_in_header.unpack_from(message)
        header.len = len(message) if length is None else length
        header.total_extlen = extlen
        header.pack_into(message)
        self._write(bytes(message), label(request))
        return request.unique

    def interrupt(self, target: int) -> None:
        """Says that the caller of request `target` got a signal."""
        self._write(self.session.interrupt(target), "INTERRUPT")

    # -- receiving ------------------------------------------------------------------------------------------------

    def wait(self, unique: int, what: str = "") -> Answered:
        """The reply to a request that was sent. Raises as :meth:`ask` does."""
        seconds = self.patience if self._heard else max(self.patience, self.starting)
        result = self.reply_within(unique, seconds)
        if result is None:
            raise Hangs(f"no reply to {what or f'request {unique}'} within {seconds:g} s")
        return self._judged(result)

    def wait_within(self, unique: int, seconds: float) -> Answered | None:
        """The same; None where no reply comes within `seconds`."""
        result = self.reply_within(unique, seconds)
        return None if result is None else self._judged(result)

    def reply_within(self, unique: int, seconds: float) -> Answered | Refused | None:
        """The reply as it came, Refused included."""
        deadline = time.monotonic() + seconds
        while unique not in self._results:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._receive(left)
        return self._results.pop(unique)

    def settle(self, seconds: float = _SETTLE) -> None:
        """Takes in what comes unasked, for as long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._receive(left)

    def _judged(self, result: Answered | Refused) -> Answered:
        if isinstance(result, Refused):
            raise Violation("a reply that Linux takes", str(result), _opcode(result.request))
        if not result.errno and result.seen:
            seen = f"{said(result)}: the caller gets EIO"
            raise Unbelieved("content that Linux believes", seen, _opcode(result.request))
        return result

    def _receive(self, seconds: float) -> None:
        if not self._poll.poll(seconds * 1000):
            return
        try:
            length = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except ConnectionError as error:
            raise Gone(f"the server closed its socket: {error.strerror}") from error
        if not length:
            raise Gone("the server closed its socket")
        message = self._pieces.whole(memoryview(self._buffer)[:length])
        if message is not None:
            self._take(bytes(message))

    def _take(self, message: bytes) -> None:
        self._heard = True
        self._note(Direction.TO_KERNEL, message)
        unique = int.from_bytes(message[8:16], sys.byteorder)
        try:
            what = self.session.receive(message)
        except Refused as error:
            if error.unique is not None and error.consumed:
                self._results[error.unique] = error
            else:
                if unique & 1 and len(message) >= fuse_out_header.SIZE:
                    self._interrupt_answered(unique, message)
                self._stray(Stray(error.unique, error.errno, str(error)))
                if not unique:
                    self.notifications.append((None, error.errno))
            return
        for _, again in self.session.take_outgoing():
            self._requeued += 1
            if self._requeued <= _MOST_REQUEUED:
                self._write(again, "INTERRUPT")
        if isinstance(what, Answered):
            self._results[what.request.unique] = what
        elif what is None:
            self._interrupt_answered(unique, message)
        else:
            self.notifications.append((what, self.session.verdict))
            self._flooded()

    def _interrupt_answered(self, unique: int, message: bytes) -> None:
        header = fuse_out_header.unpack_from(message)
        self.interrupt_answers.append(InterruptAnswer(unique, -header.error, len(message)))

    def _stray(self, stray: Stray) -> None:
        # A late answer to an INTERRUPT finds its target answered; Linux says ENOENT, and that is all.
        if stray.errno != errno.ENOENT or stray.unique is None or not stray.unique & 1:
            self.strays.append(stray)
        self._flooded()

    def _flooded(self) -> None:
        self._unasked += 1
        if self._unasked > _MOST_UNASKED:
            raise Violation(
                "replies and a notification now and then", f"{self._unasked} messages that nobody asked for"
            )

    def _write(self, message: bytes, what: str) -> None:
        self._note(Direction.TO_SERVER, message)
        deadline = time.monotonic() + self.patience
        while True:
            try:
                self._socket.send(message)
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Hangs(f"the server read nothing for {self.patience:g} s; {what} could not be sent") from None
                # What it sends meanwhile is read: it may be waiting for room itself.
                self._poll.modify(self._socket, select.POLLIN | select.POLLOUT)
                self._receive(left)
                self._poll.modify(self._socket, select.POLLIN)
            except OSError as error:
                raise Gone(f"the server closed its socket before {what}: {error.strerror}") from error
            else:
                return

    def _note(self, direction: Direction, message: bytes) -> None:
        ext = bool(self.session.flags & InitFlags.FUSE_SETXATTR_EXT)
        minor = self.session.minor if self.session.agreed is not None else 0
        traced = Traced(time.time_ns(), direction, message[:_KEPT_BYTES], len(message), 0, 0, minor, ext)
        self.messages.append(traced)


def _opcode(request: Request | None) -> str:
    """The label of a request that is whole."""
    return "" if request is None or isinstance(request, UnknownRequest) else label(request)


def said(what: object) -> str:
    """In words, for a report."""
    if isinstance(what, Answered):
        if what.errno:
            return errno_text(what.errno)
        if isinstance(what.value, bytes):
            return f"{len(what.value)} bytes" + (f" ({what.value[:32]!r})" if what.value else "")
        text = outcome_of(Exchange(request=what.request, error=0, value=what.value))
        return "success" if text == "ok" else text
    if isinstance(what, int) and not isinstance(what, bool) and what in errno.errorcode:
        return f"{what}"
    return str(what)
