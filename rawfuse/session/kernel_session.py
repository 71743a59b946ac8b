"""The kernel's side of the protocol without any I/O: for tests, and for driving any FUSE server without a mount.

It numbers requests as Linux does (even, in steps of two, INIT is 2), and judges what is written as Linux does: what
write(2) says to the server, whether the request is used up by it, and what the caller gets. The project's tests hold
it against the real device, case by case.
"""

from __future__ import annotations

import errno
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.session.absence import INSTEAD, REMEMBERED, SEEN
from rawfuse.session.agreed import BEFORE_INIT, Agreement, BadInit, agreement
from rawfuse.session.content import content_errno, delivered_direntplus, delivered_dirents, references
from rawfuse.session.known import Known
from rawfuse.session.negotiation import MAJOR, MINOR
from rawfuse.session.notices import judge_notification
from rawfuse.wire import (
    Forget,
    Init,
    Interrupt,
    Ioctl,
    Notification,
    NotifyReply,
    NotifyResend,
    NotifyRetrieve,
    ReadDir,
    ReadDirPlus,
    Rename2,
    Request,
    fuse_forget_in,
    fuse_init_in,
    fuse_init_out,
    fuse_interrupt_in,
    fuse_ioctl_out,
    fuse_notify_retrieve_in,
    fuse_out_header,
)
from rawfuse.wire.base import Buffer
from rawfuse.wire.constants import FUSE_IOCTL_DIR, FUSE_IOCTL_RETRY, FUSE_IOCTL_UNRESTRICTED, FUSE_UNIQUE_RESEND
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.opcodes import BY_OPCODE
from rawfuse.wire.replies import IOCTL_ROOM, ReplyValue, answered, decode_reply
from rawfuse.wire.requests import encode_request
from rawfuse.wire.versions import IOCTL_DIR_MINOR, NOT_SENT_BELOW

__all__ = ["OFFERED", "Answered", "KernelSession", "Refused"]

OFFERED: Final = InitFlags(0x7FD_73FFFFFB) & ~InitFlags.FUSE_OVER_IO_URING
"""The flags that Linux 6.18 offers, but for its ring."""

_HEADER: Final = fuse_out_header.SIZE
_MAX_ERRNO: Final = 511
_INTERRUPT: Final = 1


class Refused(RemoteProtocolError):
    """Something that write(2) does not take.

    Attributes:
        errno: what it says, EINVAL or ENOENT mostly.
        consumed: whether the request has failed with EIO by it; else it is still pending, and a good reply works.
        request: the request that has failed.
    """

    def __init__(
        self,
        errno: int,
        message: str,
        *,
        unique: int | None = None,
        consumed: bool = False,
        request: Request | None = None,
    ) -> None:
        super().__init__(message, unique=unique)
        self.errno = errno
        self.consumed = consumed
        self.request = request


@dataclass(frozen=True)
class Answered:
    """A reply that write(2) took: the request, the server's errno (0 for success), the value, the body as it came.

    `seen` is the errno that the caller gets: EIO for content the kernel does not believe, another one for ENOSYS,
    0 for success. `instead` are the opcodes that the kernel now sends in its place, within the same call.
    """

    request: Request
    errno: int
    value: ReplyValue
    body: bytes
    seen: int = 0
    instead: tuple[int, ...] = ()


class KernelSession:
    """One connection as the kernel sees it.

    Args:
        minor, major, flags: what INIT offers.
        default_permissions, max_read: the mount's options.

    Attributes:
        agreed: the server's answer to INIT, None before, or where it was refused.
        holds: what follows from it: the sizes of messages, the flags that count.
        refused: why the connection is dead since INIT: every call says ECONNREFUSED; None while it is not.
        pending: requests not answered yet, by unique.
        unread: uniques of those that the server cannot have seen yet, where a queue says so (`Device`).
        absent: opcodes that are not asked again, their ENOSYS being remembered; INTERRUPT among them.
        known: the inodes and names that the replies made known.
        verdict: what write(2) said to the message that was received last: 0 or an errno.
    """

    def __init__(
        self,
        *,
        minor: int = MINOR,
        major: int = MAJOR,
        flags: InitFlags = OFFERED,
        default_permissions: bool = False,
        max_read: int | None = None,
    ) -> None:
        self._major = major
        self._offered_minor = minor
        self._offered = flags
        self._default_permissions = default_permissions
        self._max_read = max_read
        self._unique = 0
        self._outgoing: list[tuple[Request, bytes]] = []
        self.agreed: fuse_init_out | None = None
        self.holds: Agreement = BEFORE_INIT
        self.refused: str | None = None
        self.pending: dict[int, Request] = {}
        self.unread: set[int] = set()
        self.absent: set[int] = set()
        self.known = Known()
        self.verdict = 0

    @property
    def minor(self) -> int:
        """The minor that the server's INIT reply named, which the kernel believes, up to its own; its own before."""
        return self._offered_minor if self.agreed is None else min(self.agreed.minor, self._offered_minor)

    @property
    def flags(self) -> InitFlags:
        """What was agreed on and has an effect; flags2 counts only with INIT_EXT."""
        return self.holds.flags

    def init(self, max_readahead: int = 1 << 20) -> bytes:
        """The INIT message, always the first."""
        word = int(self._offered)
        arg = fuse_init_in(self._major, self._offered_minor, max_readahead, word & 0xFFFFFFFF, word >> 32)
        return self.request(Init(arg=arg))

    def request(self, request: Request) -> bytes:
        """The message for `request`, whose `unique` is set here (but for INTERRUPT, see there)."""
        if self.agreed is None and not isinstance(request, Init):
            raise LocalProtocolError(f"{type(request).__name__} before the answer to INIT")
        message = self.numbered(request)
        if answered(request.opcode):
            self.pending[request.unique] = request
        self.known.sent(request)
        return message

    def numbered(self, request: Request) -> bytes:
        """The message for `request` with the next unique, and nothing else: nobody waits for an answer to it."""
        request.unique = self._unique + 2
        message = self._encode(request)  # which may refuse it: then nothing was sent
        self._unique = request.unique
        return message

    def drop(self, request: Request) -> None:
        """Takes a request back that nobody will answer; a reply to it finds nothing."""
        self.pending.pop(request.unique, None)
        self.unread.discard(request.unique)

    def settled(self, request: Request) -> Answered | None:
        """What the caller of `request` gets without the server being asked; None where it is asked."""
        if self.refused is not None:
            return Answered(request, errno.ECONNREFUSED, None, b"", errno.ECONNREFUSED)
        if request.opcode in self.absent:
            return self._without(request)
        if isinstance(request, Rename2) and self.minor < NOT_SENT_BELOW["FUSE_RENAME2"]:
            return Answered(request, errno.EINVAL, None, b"", errno.EINVAL)
        if isinstance(request, Ioctl) and request.arg.flags & FUSE_IOCTL_DIR and self.minor < IOCTL_DIR_MINOR:
            return Answered(request, errno.ENOTTY, None, b"", errno.ENOTTY)
        return None

    def interrupt(self, target: int) -> bytes:
        """The message that the caller of request `target` got a signal; any reply to it is passed over.

        Raises LocalProtocolError once the server has answered ENOSYS to one: Linux sends no more of them.
        """
        if Interrupt.opcode in self.absent:
            raise LocalProtocolError("the server answered an INTERRUPT with ENOSYS: there are no more")
        return self._encode(self._interrupt_of(target))

    @staticmethod
    def _interrupt_of(target: int) -> Interrupt:
        return Interrupt(unique=target | _INTERRUPT, arg=fuse_interrupt_in(target))

    def retrieved(self, asked: NotifyRetrieve, data: Buffer) -> bytes:
        """The NOTIFY_REPLY with the cached bytes that `asked` wanted; it is never answered."""
        arg = fuse_notify_retrieve_in(offset=asked.arg.offset, size=len(data))
        reply = NotifyReply(nodeid=asked.arg.nodeid, arg=arg, data=memoryview(data))
        reply.unique = asked.arg.notify_unique
        return self._encode(reply)

    def take_outgoing(self) -> list[tuple[Request, bytes]]:
        """What was received has brought about: requests resent, interrupts put back by EAGAIN, references given back
        that a listing should not have given; with their messages."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def _encode(self, request: Request) -> bytes:
        return encode_request(request, self.minor, setxattr_ext=bool(self.flags & InitFlags.FUSE_SETXATTR_EXT))

    def receive(self, message: bytes, among: Container[int] | None = None) -> Answered | Notification | None:
        """What the server wrote; None for a reply to an INTERRUPT.

        `among`: uniques of the requests that were read by the descriptor which `message` is written to: a reply to any
        other finds nothing. None where there is but one descriptor, and whatever was made was read.

        A notification that Linux answers with ENOENT, or another errno that is about its content, is returned all
        the same: look at `verdict`. Raises Refused for what write(2) refuses for its form.
        """
        try:
            return self._receive(message, among)
        except Refused as error:
            self.verdict = error.errno
            raise

    def _receive(self, message: bytes, among: Container[int] | None) -> Answered | Notification | None:
        self.verdict = 0
        length = len(message)
        if length < _HEADER:
            raise Refused(errno.EINVAL, f"a reply of {length} bytes is shorter than its header of {_HEADER}")
        header = fuse_out_header.unpack_from(message)
        unique, number = header.unique, -header.error
        if header.len != length:
            why = f"reply {unique}: the header says {header.len} bytes, {length} were written"
            raise Refused(errno.EINVAL, why, unique=unique or None)
        if unique == 0:
            return self._notified(message, header.error)
        if not 0 <= number <= _MAX_ERRNO:
            why = f"reply {unique}: error {header.error} is not 0 and not in -{_MAX_ERRNO} to -1"
            raise Refused(errno.EINVAL, why, unique=unique)
        request = self.pending.get(unique & ~_INTERRUPT)
        if request is None or (among is not None and request.unique not in among):
            raise Refused(errno.ENOENT, f"a reply to {unique}, which is not pending", unique=unique)
        if unique & _INTERRUPT:
            self._interrupt_answered(request, number, length)
            return None
        del self.pending[unique]
        if number and length > _HEADER:
            raise self._failed(request, f"reply {unique}: {length - _HEADER} bytes follow an error")
        return self._answered(request, number, message[_HEADER:])

    def _failed(self, request: Request, why: str) -> Refused:
        if isinstance(request, Init):
            self.refused = why
        return Refused(errno.EINVAL, why, unique=request.unique, consumed=True, request=request)

    def _interrupt_answered(self, request: Request, number: int, length: int) -> None:
        if length != _HEADER:
            raise Refused(errno.EINVAL, "bytes follow the answer to an INTERRUPT", unique=request.unique | _INTERRUPT)
        if number == errno.ENOSYS:
            self.absent.add(Interrupt.opcode)
        elif number == errno.EAGAIN and Interrupt.opcode not in self.absent:
            self._outgoing.append((self._interrupt_of(request.unique), self.interrupt(request.unique)))

    def _answered(self, request: Request, number: int, body: bytes) -> Answered:
        if isinstance(request, Init):
            return self._initialized(request, number, body)
        if number:
            self.known.learn(request, number, None)
            if number == errno.ENOSYS:
                return self._without(request)
            return Answered(request, number, None, b"", number)
        value, seen = self._value(request, body)
        if not seen:
            seen = content_errno(request, value, self.known)
        if not seen:
            self.known.learn(request, 0, self._referenced(value) if isinstance(request, ReadDirPlus) else value)
        return Answered(request, 0, value, body, seen)

    def _referenced(self, value: Any) -> Any:
        taken, given_back = references(value)
        for nodeid in given_back:
            forget = Forget(nodeid=nodeid, arg=fuse_forget_in(1))
            self._outgoing.append((forget, self.numbered(forget)))
        return taken

    def _value(self, request: Request, body: bytes) -> tuple[ReplyValue, int]:
        if isinstance(request, (ReadDir, ReadDirPlus)) and len(body) <= request.arg.size:
            return delivered_dirents(body) if isinstance(request, ReadDir) else delivered_direntplus(body)
        if isinstance(request, Ioctl) and request.arg.out_size < len(body) - fuse_ioctl_out.SIZE <= IOCTL_ROOM:
            value = fuse_ioctl_out.unpack_from(body)
            if not (request.arg.flags & FUSE_IOCTL_UNRESTRICTED and value.flags & FUSE_IOCTL_RETRY):
                return value, errno.EIO  # there always is room for a page; that it was not asked for is seen later
        try:
            return decode_reply(request, body, self.minor), 0
        except RemoteProtocolError as error:
            raise self._failed(request, str(error)) from error

    def _without(self, request: Request) -> Answered:
        opcode = request.opcode
        if opcode in REMEMBERED:
            self.absent.add(opcode)
        return Answered(
            request, errno.ENOSYS, None, b"", SEEN.get(opcode, errno.ENOSYS), instead=INSTEAD.get(opcode, ())
        )

    def _initialized(self, request: Init, number: int, body: bytes) -> Answered:
        if len(body) > fuse_init_out.SIZE:
            raise self._failed(request, f"INIT was answered with {len(body)} bytes")
        if number:
            self.refused = f"INIT was answered with {errno.errorcode.get(number, number)}"
            return Answered(request, number, None, b"", errno.ECONNREFUSED)
        value = fuse_init_out.unpack_from(body.ljust(fuse_init_out.SIZE, b"\0"))
        try:
            self.holds = agreement(value, default_permissions=self._default_permissions, max_read=self._max_read)
        except BadInit as error:
            self.refused = str(error)
            return Answered(request, 0, value, body, errno.ECONNREFUSED)
        self.agreed = value
        return Answered(request, 0, value, body)

    def _notified(self, message: bytes, code: int) -> Notification:
        notification, self.verdict = judge_notification(message, code, self.known, self.holds.name)
        if notification is None:
            raise Refused(self.verdict, f"notification {code} of {len(message)} bytes")
        if isinstance(notification, NotifyResend):
            self._resend()
        return notification

    def _resend(self) -> None:
        for request in list(self.pending.values()):
            if request.unique in self.unread:
                continue
            del self.pending[request.unique]
            request.unique |= FUSE_UNIQUE_RESEND
            self.pending[request.unique] = request
            self._outgoing.append((request, self._encode(request)))


def label(request: Request) -> str:
    """The opcode's short name."""
    operation = BY_OPCODE.get(request.opcode)
    return operation.label if operation is not None else f"opcode {request.opcode}"


def failure(answer: Answered) -> OSError:
    """An error reply, with the errno that the server gave."""
    return OSError(answer.errno, f"{label(answer.request)}: {errno.errorcode.get(answer.errno, answer.errno)}")
