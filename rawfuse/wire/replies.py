"""Replies: what size they may have, and their bytes to values for those who play the kernel's role.

The kernel takes a reply of a wrong size as EIO for the caller and says EINVAL to the server; the request is used up, so
a second try fails with ENOENT (measured on Linux 6.18). Hence sizes are looked at before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from rawfuse.errors import ForeignByteOrder, LocalProtocolError, RemoteProtocolError
from rawfuse.wire._generated import STRUCTS, Ioctl, fuse_out_header
from rawfuse.wire.base import Buffer, Request, UnknownRequest, WireStruct
from rawfuse.wire.constants import FUSE_IOCTL_UNRESTRICTED
from rawfuse.wire.dirent import Dirent, DirentPlus, unpack_direntplus, unpack_dirents
from rawfuse.wire.opcodes import BY_OPCODE, OPERATIONS, Operation, Reply
from rawfuse.wire.versions import size_at

__all__ = [
    "ReplyValue",
    "answered",
    "check_reply_size",
    "decode_reply",
    "decode_reply_header",
    "encode_reply",
    "fixed_reply_size",
    "reply_sizes",
]

ReplyValue: TypeAlias = WireStruct | tuple[WireStruct, ...] | bytes | list[Dirent] | list[DirentPlus] | None

MAX_ERRNO = 511
"""The kernel refuses an errno above this one."""

IOCTL_ROOM = 4096
"""Bytes that an unrestricted IOCTL always has room for, so that a retry's iovecs fit: a page (kernel source)."""

_HEADER = fuse_out_header.SIZE
_INIT_MIN = 8


def _fixed(reply: Reply, minor: int) -> int:
    return sum(size_at(name, STRUCTS[name].SIZE, minor) for name in reply.structs)


def _limit(reply: Reply, request: Request) -> int:
    if isinstance(reply.limit, int):
        return reply.limit
    return int(getattr(request.arg, reply.limit))  # type: ignore[attr-defined]


def answered(opcode: int) -> bool:
    """Whether a request with this opcode gets a reply at all; an INTERRUPT may do without."""
    operation = BY_OPCODE.get(opcode)
    return operation is None or operation.reply.kind not in ("none", "optional")


def fixed_reply_size(opcode: int, minor: int) -> int | None:
    """The only size in bytes that a successful reply's body may have; ``None`` where there is no such thing."""
    operation = BY_OPCODE.get(opcode)
    if operation is None or operation.reply.kind not in ("empty", "optional", "fixed"):
        return None
    return _fixed(operation.reply, minor)


def reply_sizes(request: Request, minor: int) -> tuple[int, int]:
    """The least and the most bytes that may follow the header in a successful reply to ``request``.

    Raises LocalProtocolError where no successful reply exists: FORGET, BATCH_FORGET, NOTIFY_REPLY, an unknown opcode.
    """
    operation = BY_OPCODE.get(request.opcode)
    if operation is None:
        raise LocalProtocolError(f"opcode {request.opcode} is unknown, so is its reply: answer with ENOSYS")
    reply = operation.reply
    match reply.kind:
        case "empty" | "optional":
            return 0, 0
        case "fixed":
            size = _fixed(reply, minor)
            return size, size
        case "bytes" | "dirents":
            return 0, _limit(reply, request)
        case "xattr":
            limit = _limit(reply, request)
            return (0, limit) if limit else (_fixed(reply, minor),) * 2
        case "prefix":
            return _INIT_MIN, STRUCTS[reply.structs[0]].SIZE
        case "head":
            size = _fixed(reply, minor)
            room = _limit(reply, request)
            if isinstance(request, Ioctl) and request.arg.flags & FUSE_IOCTL_UNRESTRICTED:
                room = max(room, IOCTL_ROOM)
            return size, size + room
    raise LocalProtocolError(f"{operation.label} is never answered")


_FIXED_AT_45: dict[int, int] = {}
for _operation in OPERATIONS:
    _size = fixed_reply_size(_operation.opcode, 45)
    if _size is not None:
        _FIXED_AT_45[_operation.opcode] = _size


def check_reply_size(request: Request, size: int, minor: int) -> None:
    """Raise LocalProtocolError unless ``size`` bytes after the header are a possible success of ``request``."""
    if minor >= 9 and _FIXED_AT_45.get(request.opcode) == size:
        return
    least, most = reply_sizes(request, minor)
    if not least <= size <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise LocalProtocolError(
            f"{type(request).__name__} (unique {request.unique}): a reply of {size} bytes where {wanted} belong"
        )


def decode_reply_header(buffer: Buffer, length: int) -> tuple[int, int]:
    """``(unique, errno)`` of the message in the first ``length`` bytes; of a notification ``(0, -code)``.

    Raises ForeignByteOrder, and RemoteProtocolError where the kernel refuses the frame and leaves the request pending:
    fewer than 16 bytes, a length that is not the header's, an errno outside 0 to 511, an error with a body.
    """
    if length < _HEADER:
        raise RemoteProtocolError(f"a reply of {length} bytes is shorter than its header of {_HEADER}")
    header = fuse_out_header.unpack_from(buffer)
    if header.len != length:
        if int.from_bytes(header.len.to_bytes(4, "little"), "big") == length:
            raise ForeignByteOrder("a reply")
        raise RemoteProtocolError(
            f"reply {header.unique}: the header says {header.len} bytes, {length} were written", unique=header.unique
        )
    if header.unique == 0:
        return 0, -header.error
    if not -MAX_ERRNO <= header.error <= 0:
        raise RemoteProtocolError(
            f"reply {header.unique}: error {header.error} is not 0 and not in -{MAX_ERRNO} to -1", unique=header.unique
        )
    if header.error and length != _HEADER:
        raise RemoteProtocolError(
            f"reply {header.unique}: {length - _HEADER} bytes follow an error", unique=header.unique
        )
    return header.unique, -header.error


def _structs(operation: Operation, body: memoryview, minor: int) -> tuple[WireStruct, ...]:
    found = []
    offset = 0
    for name in operation.reply.structs:
        cls: Any = STRUCTS[name]
        size = size_at(name, cls.SIZE, minor)
        if size == cls.SIZE:
            found.append(cls.unpack_from(body, offset))
        else:
            found.append(cls.unpack_from(bytes(body[offset : offset + size]).ljust(cls.SIZE, b"\0")))
        offset += size
    return tuple(found)


def encode_reply(request: Request, value: WireStruct | Sequence[WireStruct] | Buffer | None, minor: int = 45) -> bytes:
    """The body of a successful reply to ``request``, without its header; structs are as long as ``minor`` has them.

    ``value``: nothing, a struct, several in a row, or bytes as they are. Raises LocalProtocolError where the size is
    not one that the kernel takes.
    """
    if value is None:
        body = b""
    elif isinstance(value, (bytes, bytearray, memoryview)):
        body = bytes(value)
    else:
        structs = (value,) if isinstance(value, WireStruct) else value
        body = b"".join(item.pack()[: size_at(type(item).__name__, item.SIZE, minor)] for item in structs)
    check_reply_size(request, len(body), minor)
    return body


def decode_reply(request: Request, body: Buffer, minor: int = 45) -> ReplyValue:
    """What a successful reply to ``request`` says; ``body`` is all after the header.

    ``None`` for an empty one; a struct; a tuple of structs (CREATE, TMPFILE); bytes; a list of entries (READDIR,
    READDIRPLUS). IOCTL and CUSE_INIT give their struct alone: what follows it is ``body[struct.SIZE:]``.
    Raises RemoteProtocolError when the size cannot be, with the request's unique, or an entry is malformed.
    """
    data = memoryview(body)
    if isinstance(request, UnknownRequest):
        return bytes(data)
    try:
        check_reply_size(request, len(data), minor)
    except LocalProtocolError as error:
        raise RemoteProtocolError(str(error), unique=request.unique) from error
    operation = BY_OPCODE[request.opcode]
    reply = operation.reply
    match reply.kind:
        case "empty" | "optional":
            return None
        case "fixed":
            structs = _structs(operation, data, minor)
            return structs[0] if len(structs) == 1 else structs
        case "dirents":
            return unpack_dirents(data) if reply.structs == ("fuse_dirent",) else unpack_direntplus(data)
        case "xattr":
            return bytes(data) if _limit(reply, request) else _structs(operation, data, minor)[0]
        case "prefix":
            cls: Any = STRUCTS[reply.structs[0]]
            value: WireStruct = cls.unpack_from(bytes(data).ljust(cls.SIZE, b"\0"))
            return value
        case "head":
            return _structs(operation, data, minor)[0]
    return bytes(data)
