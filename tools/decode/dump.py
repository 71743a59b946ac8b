"""A message field by field, each over its bytes.

The layouts are those of the schemas, so what `rawfuse explain` says of a field and what is shown here are one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, Literal, NamedTuple

from rawfuse.explain.structs import layouts
from rawfuse.trace.exchanges import Exchange
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import Ioctl, fuse_in_header, fuse_ioctl_iovec, fuse_ioctl_out, fuse_out_header
from rawfuse.wire.constants import FUSE_EXT_GROUPS, FUSE_IOCTL_RETRY, FUSE_MAX_NR_SECCTX
from rawfuse.wire.ioctl import IOVEC_MINOR
from rawfuse.wire.opcodes import BY_OPCODE, NOTIFICATIONS, Array, Body, Fixed, Name, Reply
from rawfuse.wire.versions import SETXATTR_COMPAT_SIZE, size_at

from .values import field_text, is_plain, name_text

__all__ = ["Field", "dump", "fields"]

_NEWEST: Final = 45
_LINE: Final = 16
_ALIGNED: Final = 8
_NUMBER: Final = 8
_HALF: Final = 4
_NOTICES: Final = {notice.code: notice for notice in NOTIFICATIONS}
_LONGEST: Final = 256
"""Bytes of a payload that are shown."""


class Field(NamedTuple):
    """A part of a message: where it lies, what it is called (`struct.member`), what it says."""

    offset: int
    length: int
    name: str
    text: str


class _Member(NamedTuple):
    offset: int
    size: int
    name: str
    signed: bool
    plain: bool
    struct: str
    member: str


@cache
def _members(struct: str) -> tuple[_Member, ...]:
    """The members of a struct, those of structs in it instead of these: older ones were shorter also inside."""
    found: list[_Member] = []
    for member in layouts()[struct].members:
        name = f"{struct}.{member.name}"
        if member.struct is not None:
            for one in _members(member.struct):
                inner = f"{name}.{one.name.partition('.')[2]}"
                found.append(one._replace(offset=member.offset + one.offset, name=inner))
        elif not member.flexible:
            signed = not member.reserved and member.code.islower()
            plain = member.reserved or is_plain(struct, member.name)
            found.append(_Member(member.offset, member.size, name, signed, plain, struct, member.name))
    return tuple(found)


class _Walk:
    """Goes through one message, part by part."""

    def __init__(self, message: Traced) -> None:
        self.data = message.data
        self.order: Literal["little", "big"] = "little" if message.byteorder == "little" else "big"
        self.minor = message.minor or _NEWEST
        self.at = 0
        self.stop = len(self.data)
        """Where what is walked through ends: before the extensions, while it is about the body."""

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return self.stop - self.at

    def number(self, size: int) -> int:
        """The number that comes next; 0 where it is missing. Goes on nowhere."""
        part = self.data[self.at : self.at + size] if self.left >= size else b""
        return int.from_bytes(part, self.order)

    def struct(self, name: str, size: int | None = None) -> Iterator[Field]:
        """The members of a struct, as far as there are bytes of it; `size` where it is a shorter one."""
        layout = layouts()[name]
        end = self.at + (size_at(name, layout.size, self.minor) if size is None else size)
        yield from self._members(name, self.at, end)
        self.at = min(end, self.stop)

    def _members(self, struct: str, start: int, end: int) -> Iterator[Field]:
        last = min(end, self.stop)
        for one in _members(struct):
            at = start + one.offset
            if at + one.size > last:
                continue
            number = int.from_bytes(self.data[at : at + one.size], self.order, signed=one.signed)
            text = f"{number}" if one.plain else field_text(one.struct, one.member, number)
            yield Field(at, one.size, one.name, text)

    def name(self, attribute: str) -> Iterator[Field]:
        end = self.data.find(b"\0", self.at, self.stop)
        end = self.stop if end < 0 else end + 1
        yield Field(self.at, end - self.at, attribute, name_text(self.data[self.at : end].rstrip(b"\0")))
        self.at = end

    def part(self, attribute: str, length: int) -> Iterator[Field]:
        length = min(length, self.left)
        if length > 0:
            yield Field(self.at, length, attribute, f"{length} bytes")
            self.at += length

    def rest(self, attribute: str) -> Iterator[Field]:
        yield from self.part(attribute, self.left)

    def value(self, attribute: str, size: int) -> Iterator[Field]:
        if self.left >= size:
            yield Field(self.at, size, attribute, str(self.number(size)))
            self.at += size

    def aligned(self, start: int) -> Iterator[Field]:
        padding = min((start - self.at) % _ALIGNED, self.left)
        if padding > 0:
            yield Field(self.at, padding, "padding", "")
            self.at += padding


def fields(message: Traced, exchange: Exchange) -> Iterator[Field]:
    """The fields of one of the messages of `exchange`, in order, without gaps as far as the message is understood."""
    walk = _Walk(message)
    if message.direction is Direction.TO_SERVER:
        yield from walk.struct("fuse_in_header")
        operation = BY_OPCODE.get(_opcode(message)) if message.byteorder == sys.byteorder else None
        if operation is not None:
            end = walk.stop
            if operation.extensible and not message.cut:
                extensions = _ALIGNED * fuse_in_header.unpack_from(message.data).total_extlen
                walk.stop = max(walk.at, end - extensions)
            yield from _body(walk, operation.body, _short_setxattr(message))
            walk.stop = end
            if operation.extensible and not message.cut:
                yield from _extensions(walk)
    else:
        yield from walk.struct("fuse_out_header")
        yield from _answer(walk, message, exchange)
    yield from walk.rest("rest")


def _opcode(message: Traced) -> int:
    if len(message.data) < fuse_in_header.SIZE:
        return -1
    return int(fuse_in_header.unpack_from(message.data).opcode)


def _short_setxattr(message: Traced) -> dict[str, int]:
    return {} if message.setxattr_ext else {"fuse_setxattr_in": SETXATTR_COMPAT_SIZE}


def _body(walk: _Walk, body: Body, short: dict[str, int]) -> Iterator[Field]:
    for part in body:
        if isinstance(part, Fixed):
            yield from walk.struct(part.struct, short.get(part.struct))
        elif isinstance(part, Name):
            yield from walk.name(part.attribute)
        elif isinstance(part, Array):
            size = layouts()[part.struct].size if part.struct else _NUMBER
            while walk.left >= size:
                yield from walk.struct(part.struct) if part.struct else walk.value(part.attribute, size)
        else:
            yield from walk.rest(part.attribute)


def _answer(walk: _Walk, message: Traced, exchange: Exchange) -> Iterator[Field]:
    if len(message.data) < fuse_out_header.SIZE or message.byteorder != sys.byteorder:
        return
    header = fuse_out_header.unpack_from(message.data)
    if not header.unique:
        notice = _NOTICES.get(header.error)
        if notice is not None:
            yield from _body(walk, notice.body, {})
        return
    request = exchange.request
    operation = BY_OPCODE.get(request.opcode) if request is not None else None
    if operation is None or header.error:
        return
    reply: Reply = operation.reply
    size: Any = getattr(getattr(request, "arg", None), "size", None)
    if reply.kind in ("fixed", "prefix", "head") or (reply.kind == "xattr" and not size):
        for struct in reply.structs:
            yield from walk.struct(struct)
        if reply.kind == "head":
            yield from _behind(walk, request)
    elif reply.kind == "dirents":
        yield from _entries(walk, plus=reply.structs != ("fuse_dirent",))
    else:
        yield from walk.rest("data")


def _behind(walk: _Walk, request: Any) -> Iterator[Field]:
    """What follows the struct of a reply to IOCTL: data, or what memory of the caller is wanted."""
    retry = isinstance(request, Ioctl) and fuse_ioctl_out.unpack_from(walk.data, fuse_out_header.SIZE).flags
    if retry and retry & FUSE_IOCTL_RETRY and walk.minor >= IOVEC_MINOR:
        while walk.left >= fuse_ioctl_iovec.SIZE:
            yield from walk.struct("fuse_ioctl_iovec")
    yield from walk.rest("data")


def _extensions(walk: _Walk) -> Iterator[Field]:
    """See :mod:`rawfuse.wire.extensions`."""
    end = walk.stop
    while walk.left >= layouts()["fuse_ext_header"].size:
        size, kind = walk.number(_HALF), int.from_bytes(walk.data[walk.at + _HALF : walk.at + _ALIGNED], walk.order)
        if not _ALIGNED <= size <= walk.left:
            return
        walk.stop = walk.at + size
        start = walk.at
        yield from walk.struct("fuse_ext_header")
        if kind <= FUSE_MAX_NR_SECCTX:
            for _ in range(kind):
                length = walk.number(_HALF)
                yield from walk.struct("fuse_secctx")
                yield from walk.name("secctx_name")
                yield from walk.part("secctx_value", length)
                yield from walk.aligned(start)
        elif kind == FUSE_EXT_GROUPS:
            count = walk.number(_HALF)
            yield from walk.struct("fuse_supp_groups")
            for _ in range(min(count, walk.left // _HALF)):
                yield from walk.value("supp_group", _HALF)
        yield from walk.rest("padding" if walk.left < _ALIGNED else "extension")
        walk.stop = end
        walk.at = min(end, start + (size + 7 & ~7))


def _entries(walk: _Walk, *, plus: bool) -> Iterator[Field]:
    head = layouts()["fuse_direntplus" if plus else "fuse_dirent"].size
    while walk.left >= head:
        start = walk.at
        if plus:
            yield from walk.struct("fuse_entry_out", layouts()["fuse_entry_out"].size)
        length = 0
        for found in walk.struct("fuse_dirent"):
            if found.name.endswith(".namelen"):
                length = int(found.text)
            yield found
        name = walk.data[walk.at : walk.at + length]
        yield Field(walk.at, len(name), "name", name_text(name))
        walk.at += len(name)
        yield from walk.aligned(start)


def dump(message: Traced, exchange: Exchange) -> Iterator[str]:
    """Lines: offset, bytes, and the field that they are; a long one goes on below itself."""
    for one in fields(message, exchange):
        shown = message.data[one.offset : one.offset + min(one.length, _LONGEST)]
        for at in range(0, max(len(shown), 1), _LINE):
            part = shown[at : at + _LINE]
            said = f"{one.name} = {one.text}" if not at and one.text else one.name if not at else ""
            if one.name in ("data", "rest", "value") and part:
                said = f"{said:<24} |{_printable(part)}|" if said else f"{'':<24} |{_printable(part)}|"
            yield f"  {one.offset + at:06x}  {part.hex(' '):<{3 * _LINE - 1}}  {said}".rstrip()
        if one.length > _LONGEST:
            yield f"  {'...':<8}{one.length - _LONGEST} more bytes"
    if message.cut:
        yield f"  {'cut':<8}{message.length - len(message.data)} more bytes were not kept"


def _printable(part: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
