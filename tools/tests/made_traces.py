"""Traces with every opcode, every shape of reply and every notification, of numbers drawn from a seed."""

from __future__ import annotations

import random
from typing import Any, Final

from rawfuse import wire
from rawfuse.errors import LocalProtocolError
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import NOTIFICATION_CLASSES, REQUESTS, STRUCTS, Request, SecurityContext, SecurityContexts
from rawfuse.wire.base import WireStruct
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS, Array, Body, Fixed, Name, Operation, Payload
from rawfuse.wire.requests import encode_notification, encode_request
from rawfuse.wire.versions import size_at

__all__ = ["Made", "everything"]

_START: Final = 1_700_000_000_000_000_000
_STEP: Final = 1_234_567
_ROOM: Final = 4096


class Made:
    """Messages with the times and the context that a recorder gives them."""

    def __init__(self, seed: int, *, minor: int = 45, setxattr_ext: bool = True, connection: int = 7) -> None:
        self.messages: list[Traced] = []
        self.minor = minor
        self._setxattr_ext = setxattr_ext
        self._connection = connection
        self._chance = random.Random(seed)
        self._unique = 0

    def add(self, direction: Direction, data: bytes, *, cut: int = 0, program: bytes = b"") -> None:
        """One message, of which the last `cut` bytes are missing."""
        moment = _START + len(self.messages) * _STEP
        kept = data[: len(data) - cut]
        self.messages.append(
            Traced(moment, direction, kept, len(data), self._connection, 0, self.minor, self._setxattr_ext, program)
        )

    def call(self, request: Request, body: bytes = b"", error: int = 0, *, program: bytes = b"cat") -> None:
        """A request and its reply."""
        self._unique += 2
        request.unique = self._unique
        sent = encode_request(request, self.minor, setxattr_ext=self._setxattr_ext)
        self.add(Direction.TO_SERVER, sent, program=program)
        if wire.answered(request.opcode):
            header = wire.fuse_out_header(len=16 + len(body), error=-error, unique=self._unique)
            self.add(Direction.TO_KERNEL, header.pack() + body)

    def struct(self, name: str) -> WireStruct:
        """A struct of random bits, reserved ones zero."""
        made: WireStruct = STRUCTS[name].unpack_from(self._chance.randbytes(STRUCTS[name].SIZE))
        return made

    def _name(self) -> bytes:
        return bytes(self._chance.choices(b"abcdefghijklmnopqrstuvwxyz._-", k=self._chance.randint(1, 12)))

    def _fields(self, body: Body) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for part in body:
            match part:
                case Fixed(struct):
                    made["arg"] = self.struct(struct)
                case Name(attribute):
                    made[attribute] = self._name()
                case Payload(attribute):
                    made[attribute] = self._chance.randbytes(self._chance.randint(0, 40))
                case Array(attribute, ""):
                    made[attribute] = [self._chance.getrandbits(64) for _ in range(3)]
                case Array(attribute, struct):
                    made[attribute] = [self.struct(struct) for _ in range(2)]
        return made

    def request(self, operation: Operation) -> Request:
        """One of an opcode, every number at random."""
        cls: Any = REQUESTS[operation.opcode]
        made = cls(nodeid=self._chance.getrandbits(40), uid=1000, gid=100, pid=4711, **self._fields(operation.body))
        arg = getattr(made, "arg", None)
        if isinstance(arg, wire.fuse_ioctl_in):
            arg.flags = 0
        for limit in ("size", "out_size"):
            if operation.reply.limit == limit:
                setattr(arg, limit, _ROOM)
        if operation.extensible and self.minor >= 38 and self._chance.random() < 0.7:
            contexts = SecurityContexts((SecurityContext(b"security.selinux", self._chance.randbytes(9)),))
            made.extensions = (contexts, wire.SupplementaryGroups((100, 4711)))
        return made  # type: ignore[no-any-return]

    def reply(self, operation: Operation) -> bytes:
        """The body of a success."""
        reply = operation.reply
        structs = [self.struct(name) for name in reply.structs]
        packed = b"".join(one.pack()[: size_at(type(one).__name__, one.SIZE, self.minor)] for one in structs)
        match reply.kind:
            case "bytes" | "xattr":
                return self._chance.randbytes(self._chance.randint(0, 99))
            case "dirents" if reply.structs == ("fuse_dirent",):
                plain = wire.DirentBuffer(_ROOM)
                for _ in range(5):
                    plain.add(self._name(), self._chance.getrandbits(64), self._chance.getrandbits(64), 8)
                return bytes(plain.data)
            case "dirents":
                plus = wire.DirentPlusBuffer(_ROOM)
                for _ in range(5):
                    plus.add(self._name(), 5, 6, 4, self.struct("fuse_entry_out").pack())
                return bytes(plus.data)
            case "head":
                return packed + self._chance.randbytes(7)
        return packed

    def notify(self, code: int) -> None:
        """A notification of random content."""
        notice = next(one for one in NOTIFICATIONS if one.code == code)
        self.add(Direction.TO_KERNEL, encode_notification(NOTIFICATION_CLASSES[code](**self._fields(notice.body))))


def everything(seed: int, *, minor: int = 45, setxattr_ext: bool = True) -> list[Traced]:
    """Every opcode with a success and an error, the sizes of extended attributes, an ioctl's retry, all notices."""
    made = Made(seed, minor=minor, setxattr_ext=setxattr_ext)
    for operation in OPERATIONS:
        try:
            made.call(made.request(operation), made.reply(operation))
        except LocalProtocolError:
            continue  # not sent at this minor
        made.call(made.request(operation), error=2)
    size = wire.fuse_getxattr_out(size=77).pack()
    made.call(wire.GetXAttr(nodeid=3, arg=wire.fuse_getxattr_in(size=0), name=b"user.a"), size)
    if minor >= 16:
        wild = wire.Ioctl(nodeid=3, arg=wire.fuse_ioctl_in(flags=wire.constants.FUSE_IOCTL_UNRESTRICTED, out_size=64))
        made.call(wild, wire.encode_ioctl_retry(wild, [wire.fuse_ioctl_iovec(1, 2)], [wire.fuse_ioctl_iovec(3, 4)]))
    for notice in NOTIFICATIONS:
        made.notify(notice.code)
    return made.messages
