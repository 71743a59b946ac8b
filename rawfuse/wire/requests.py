"""Requests and notifications to bytes: the kernel's requests, for those who play its role, and the server's notifies.

Counts are filled in: ``arg.size``, ``arg.count``, ``arg.namelen`` and the like are set to what the payload really is,
and the struct in the message is changed accordingly. To send a lie, encode a truth and patch the bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from struct import Struct
from typing import Literal

from rawfuse.errors import LocalProtocolError, RemoteProtocolError
from rawfuse.wire._generated import ENCODERS, NOTIFICATION_CLASSES, STRUCTS, fuse_in_header, fuse_out_header
from rawfuse.wire.base import Buffer, Notification, Request, UnknownRequest, WireStruct
from rawfuse.wire.extensions import encode_extensions
from rawfuse.wire.opcodes import BY_OPCODE, NOTIFICATIONS, Array, Body, Fixed, Name, Payload
from rawfuse.wire.versions import NOT_SENT_BELOW, SETXATTR_COMPAT_SIZE, size_at

__all__ = ["decode_notification", "encode_notification", "encode_request"]

_ORDER: Literal["little", "big"] = sys.byteorder
_QUICK_MINOR = 36  # from here on every struct has the size that it has now
_HEADER = fuse_in_header.SIZE
_OUT_HEADER = fuse_out_header.SIZE
_BY_CODE = {notice.code: notice for notice in NOTIFICATIONS}


def _name(message: Request | Notification, attribute: str) -> bytes:
    name = getattr(message, attribute)
    if not name or 0 in name:
        raise LocalProtocolError(f"{type(message).__name__}.{attribute}: {name!r} is empty or has a NUL inside")
    return bytes(name)


def _array(items: Sequence[WireStruct | int]) -> bytes:
    return b"".join(item.pack() if isinstance(item, WireStruct) else item.to_bytes(8, _ORDER) for item in items)


def _body(message: Request | Notification, body: Body, minor: int, setxattr_ext: bool) -> bytes:
    tail: list[bytes] = []
    arg: WireStruct | None = None
    for part in body:
        match part:
            case Fixed():
                arg = message.arg  # type: ignore[union-attr]
            case Name(attribute):
                name = _name(message, attribute)
                if isinstance(message, Notification):
                    arg.namelen = len(name)  # type: ignore[union-attr]
                tail += [name, b"\0"]
            case Payload(attribute, length):
                data = bytes(getattr(message, attribute))
                setattr(arg, length, len(data))
                tail.append(data)
            case Array(attribute, _, count):
                items = getattr(message, attribute)
                setattr(arg, count, len(items))
                tail.append(_array(items))
    if arg is None:
        return b"".join(tail)
    size = size_at(type(arg).__name__, arg.SIZE, minor)
    if type(arg).__name__ == "fuse_setxattr_in" and not setxattr_ext:
        size = SETXATTR_COMPAT_SIZE
    return arg.pack()[:size] + b"".join(tail)


def encode_request(request: Request, minor: int = 45, *, setxattr_ext: bool = True) -> bytes:
    """The whole message, header included, as a kernel writes it that was told ``minor`` and ``setxattr_ext`` by INIT.

    INIT itself is as long as ``minor`` says that kernel's own minor is. Raises LocalProtocolError for a name that no
    message can carry and for an opcode that no kernel sends at that minor, :class:`struct.error` for a number that does
    not fit.
    """
    if minor >= _QUICK_MINOR and setxattr_ext and (encoder := ENCODERS.get(type(request))) is not None:
        message = encoder(request)
        if message is not None:
            return message
    if isinstance(request, UnknownRequest):
        body, extensions = request.body, b""
    else:
        operation = BY_OPCODE[request.opcode]
        if minor < NOT_SENT_BELOW.get(operation.name, 0):
            raise LocalProtocolError(f"{operation.label} is not sent where INIT agreed on minor {minor}")
        body = _body(request, operation.body, minor, setxattr_ext)
        extensions = encode_extensions(request.extensions) if operation.extensible else b""  # type: ignore[attr-defined]
    header = fuse_in_header.pack_flat(
        _HEADER + len(body) + len(extensions),
        request.opcode,
        request.unique,
        request.nodeid,
        request.uid,
        request.gid,
        request.pid,
        len(extensions) // 8,
    )
    return header + body + extensions


def encode_notification(message: Notification, minor: int = 45) -> bytes:
    """The whole message, header included, ready for one write. Raises as :func:`encode_request` does."""
    body = _body(message, _BY_CODE[message.code].body, minor, True)
    return fuse_out_header.pack_flat(_OUT_HEADER + len(body), message.code, 0) + body


def decode_notification(buffer: Buffer) -> Notification:
    """The notification in ``buffer``, whose size is exactly the message's; RemoteProtocolError when it is none.

    Trailing bytes of NOTIFY_INC_EPOCH and NOTIFY_RESEND are ignored, as Linux 6.18 ignores them.
    """
    data = memoryview(buffer)
    if len(data) < _OUT_HEADER:
        raise RemoteProtocolError(f"a message of {len(data)} bytes is shorter than its header of {_OUT_HEADER}")
    header = fuse_out_header.unpack_from(data)
    notice = _BY_CODE.get(header.error)
    if header.unique or notice is None:
        raise RemoteProtocolError(
            f"unique {header.unique}, error {header.error}: not a notification", unique=header.unique
        )
    if header.len != len(data):
        raise RemoteProtocolError(f"{notice.label}: the header says {header.len} bytes, {len(data)} were written")
    arguments: list[object] = []
    offset = _OUT_HEADER
    arg: WireStruct | None = None
    for part in notice.body:
        match part:
            case Fixed(struct):
                cls = STRUCTS[struct]
                if len(data) < offset + cls.SIZE:
                    raise RemoteProtocolError(f"{notice.label}: {len(data)} bytes are too few")
                arg = cls.unpack_from(data, offset)
                offset += cls.SIZE
                arguments.append(arg)
            case Name():
                name = bytes(data[offset:])
                if len(name) != arg.namelen + 1 or name.find(b"\0") != len(name) - 1:  # type: ignore[union-attr]
                    raise RemoteProtocolError(f"{notice.label}: the name is not of namelen bytes and a NUL")
                arguments.append(name[:-1])
                offset = len(data)
            case Payload(_, size):
                arguments.append(data[offset : offset + getattr(arg, size)])
                offset += getattr(arg, size)
            case Array(_, _, count):
                number = getattr(arg, count)
                if len(data) != offset + 8 * number:
                    raise RemoteProtocolError(f"{notice.label}: {number} items do not make {len(data) - offset} bytes")
                arguments.append([*Struct(f"={number}Q").unpack_from(data, offset)])
                offset = len(data)
    if notice.body and offset != len(data):
        raise RemoteProtocolError(f"{notice.label}: {len(data)} bytes where {offset} belong")
    return NOTIFICATION_CLASSES[notice.code](*arguments)
