"""The server's side of the protocol without any I/O: bytes in, requests out; answers in, bytes out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from rawfuse.errors import ForeignByteOrder, LocalProtocolError, RemoteProtocolError
from rawfuse.session.negotiation import MAJOR, REFUSAL, KernelTooOld, Negotiated, Preferences, negotiate
from rawfuse.session.replies import HEADER_SIZE, Answer, Bytes, error_message, pack_header, reply_parts
from rawfuse.wire import Init, decode_request, fuse_init_out
from rawfuse.wire.base import Request
from rawfuse.wire.opcodes import OPERATIONS

__all__ = ["ServerSession"]

_NEVER_ANSWERED: Final = frozenset(operation.opcode for operation in OPERATIONS if operation.reply.kind == "none")


def _opcode(buffer: bytearray | memoryview) -> int:
    return int.from_bytes(buffer[4:8], sys.byteorder)


class ServerSession:
    """One connection as its server sees it.

    `receive` takes each message of the channel; INIT it answers by itself, leaving the answer in `outgoing`, and
    everything else comes out as a request, for which `reply` or `error` makes the message to send. Nothing but INIT
    is accepted before INIT, and no second one after it.
    """

    __slots__ = ("_minor", "_preferences", "_setxattr_ext", "negotiated", "outgoing", "refused")

    def __init__(self, preferences: Preferences | None = None) -> None:
        self._preferences = preferences or Preferences()
        self._minor = 0
        self._setxattr_ext = False
        self.negotiated: Negotiated | None = None
        """None until INIT was answered."""
        self.outgoing: list[bytes] = []
        """Messages to be sent at once, in order; the caller takes them out."""
        self.refused: KernelTooOld | ForeignByteOrder | None = None
        """Why the connection is dead: INIT was answered with an error, and the kernel never sends a second one; or it
        was of the other byte order, and any answer would be read backwards."""

    def receive(self, buffer: bytearray | memoryview, length: int) -> Request | None:
        """The request in the first `length` bytes of `buffer`, or None for what the session dealt with itself.

        Raises RemoteProtocolError; where its `unique` is set the request can be answered with `error`. It is not for
        what takes no reply: the unique of a NOTIFY_REPLY may be another request's.
        """
        try:
            if self._minor:
                request = decode_request(buffer, length, self._minor, self._setxattr_ext)
                if request.opcode != Init.opcode:
                    return request
                raise RemoteProtocolError("a second INIT", unique=request.unique)
            self._initialize(decode_request(buffer, length, 0, False))
            return None
        except RemoteProtocolError as error:
            if isinstance(error, ForeignByteOrder) and not self._minor:
                self.refused = error
            if error.unique is not None and _opcode(buffer) in _NEVER_ANSWERED:
                error.unique = None
            raise

    def _initialize(self, request: Request) -> None:
        if not isinstance(request, Init):
            raise RemoteProtocolError(f"{type(request).__name__} before INIT", unique=request.unique)
        offer = request.arg
        if offer.major > MAJOR:
            # A kernel of a later major reads our version and sends INIT again, says the header; Linux gives up.
            body = fuse_init_out(major=MAJOR, minor=0).pack()[:8]
            self.outgoing.append(pack_header(HEADER_SIZE + len(body), 0, request.unique) + body)
            return
        try:
            self.negotiated, answer = negotiate(offer, self._preferences)
        except KernelTooOld as error:
            self.refused = error
            self.outgoing.append(error_message(request.unique, REFUSAL))
            return
        self._minor = self.negotiated.minor
        self._setxattr_ext = self.negotiated.setxattr_ext
        self.outgoing.append(b"".join(reply_parts(request, answer)))

    def reply(self, request: Request, value: Answer) -> list[Bytes]:
        """The message that answers `request`, in parts. Raises LocalProtocolError where it would be refused."""
        return reply_parts(request, value)

    def error(self, unique: int, errno: int) -> bytes:
        """The message that fails the request `unique`. Raises LocalProtocolError for an errno outside 1 to 511."""
        return error_message(unique, errno)

    def take_outgoing(self) -> Sequence[bytes]:
        """Empties `outgoing`."""
        taken, self.outgoing = self.outgoing, []
        return taken

    def require(self) -> Negotiated:
        """What was negotiated. Raises LocalProtocolError before INIT."""
        if self.negotiated is None:
            raise LocalProtocolError("the connection is not initialized: INIT has not come yet")
        return self.negotiated
