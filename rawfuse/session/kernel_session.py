"""The kernel's side of the protocol without any I/O: for tests, and for driving any FUSE server without a mount.

It numbers requests as Linux does (even, in steps of two, INIT is 2), and judges replies as Linux does.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.session.negotiation import MAJOR, MINOR
from rawfuse.wire import Init, Interrupt, Notification, Request, fuse_init_in, fuse_init_out, fuse_interrupt_in
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.opcodes import BY_OPCODE
from rawfuse.wire.replies import ReplyValue, answered, decode_reply, decode_reply_header
from rawfuse.wire.requests import decode_notification, encode_request

__all__ = ["OFFERED", "Answered", "KernelSession"]

OFFERED: Final = InitFlags(0x7FD_73FFFFFB) & ~InitFlags.FUSE_OVER_IO_URING
"""The flags that Linux 6.18 offers, but for its ring."""

_HEADER: Final = 16


@dataclass(frozen=True)
class Answered:
    """A reply: the request, its errno (0 for success), the decoded value, and the body as it came."""

    request: Request
    errno: int
    value: ReplyValue
    body: bytes


class KernelSession:
    """One connection as the kernel sees it.

    Attributes:
        agreed: the server's answer to INIT, None before.
        pending: requests not answered yet, by unique.
    """

    def __init__(self, *, minor: int = MINOR, major: int = MAJOR, flags: InitFlags = OFFERED) -> None:
        self._major = major
        self._offered_minor = minor
        self._offered = flags
        self._unique = 0
        self.agreed: fuse_init_out | None = None
        self.pending: dict[int, Request] = {}

    @property
    def minor(self) -> int:
        """The minor that the server's INIT reply named, which the kernel believes; its own before."""
        return self._offered_minor if self.agreed is None else min(self.agreed.minor, MINOR)

    @property
    def flags(self) -> InitFlags:
        """What the server agreed to; flags2 counts only with INIT_EXT."""
        if self.agreed is None:
            return InitFlags(0)
        high = self.agreed.flags2 << 32 if self.agreed.flags & InitFlags.FUSE_INIT_EXT else 0
        return InitFlags(self.agreed.flags | high)

    def init(self, max_readahead: int = 1 << 20) -> bytes:
        """The INIT message, always the first."""
        word = int(self._offered)
        arg = fuse_init_in(self._major, self._offered_minor, max_readahead, word & 0xFFFFFFFF, word >> 32)
        return self.request(Init(arg=arg))

    def request(self, request: Request) -> bytes:
        """The message for `request`, whose `unique` is set here (but for INTERRUPT, see there)."""
        if self.agreed is None and not isinstance(request, Init):
            raise LocalProtocolError(f"{type(request).__name__} before the answer to INIT")
        self._unique += 2
        request.unique = self._unique
        if answered(request.opcode):
            self.pending[request.unique] = request
        return self._encode(request)

    def interrupt(self, target: int) -> bytes:
        """The message that the caller of request `target` got a signal; any reply to it is passed over."""
        return self._encode(Interrupt(unique=target | 1, arg=fuse_interrupt_in(target)))

    def _encode(self, request: Request) -> bytes:
        return encode_request(request, self.minor, setxattr_ext=bool(self.flags & InitFlags.FUSE_SETXATTR_EXT))

    def receive(self, message: bytes) -> Answered | Notification | None:
        """What the server wrote; None for a reply to an INTERRUPT.

        Raises RemoteProtocolError for what Linux refuses. Where it takes the request for failed all the same (a body
        of a wrong size), the request is no longer pending.
        """
        unique, number = decode_reply_header(message, len(message))
        if unique == 0:
            return decode_notification(message)
        if unique & 1:
            return None
        request = self.pending.get(unique)
        if request is None:
            raise RemoteProtocolError(f"a reply to {unique}, which is not pending", unique=unique)
        del self.pending[unique]
        body = message[_HEADER:]
        value = None if number else decode_reply(request, body, self.minor)
        if isinstance(request, Init):
            self._initialized(number, value)
        return Answered(request, number, value, body)

    def _initialized(self, number: int, value: ReplyValue) -> None:
        if number:
            return
        if not isinstance(value, fuse_init_out) or value.major != MAJOR:
            raise RemoteProtocolError("the server answered INIT with another major version")
        extra = InitFlags(value.flags) & ~self._offered
        if extra:
            raise RemoteProtocolError(f"the server agreed to what was not offered: {extra!r}")
        self.agreed = value


def label(request: Request) -> str:
    """The opcode's short name."""
    operation = BY_OPCODE.get(request.opcode)
    return operation.label if operation is not None else f"opcode {request.opcode}"


def failure(answer: Answered) -> OSError:
    """An error reply as the caller's system call would see it."""
    return OSError(answer.errno, f"{label(answer.request)}: {errno.errorcode.get(answer.errno, answer.errno)}")
