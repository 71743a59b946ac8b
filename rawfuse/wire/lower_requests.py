"""Lowers the opcode table: a class and a decoder for every request, and a class for every notification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rawfuse.wire.layout import Layout
from rawfuse.wire.lower_fast import SLASH, lower_fast
from rawfuse.wire.meanings import MEANINGS
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS, Array, Body, Fixed, Name, Operation, Payload
from rawfuse.wire.prose import enosys_text, nodeid_text, reply_text, source_text
from rawfuse.wire.text import block, docstring, tuple_text
from rawfuse.wire.versions import SETXATTR_COMPAT_SIZE, SIZES

__all__ = ["lower_notifications", "lower_requests"]

HEAD = 40  # bytes of fuse_in_header
HEAD_FIELDS = ("unique", "nodeid", "uid", "gid", "pid")

ERRORS = """\
def _malformed(name: str, unique: int, why: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"{name} (unique {unique}): {why}", unique=unique)


def _body_size(name: str, unique: int, size: int, wanted: int) -> RemoteProtocolError:
    return _malformed(name, unique, f"{size} bytes after the header where {wanted} belong")


def _bad_name(name: str, unique: int) -> RemoteProtocolError:
    return _malformed(name, unique, "a name is empty, has no NUL at its end, or has one inside")


def _slash(name: str, unique: int) -> RemoteProtocolError:
    return _malformed(name, unique, "a name in a directory has a slash")
"""

ANY = '''\
_unpack_unique = Struct("=8xQ").unpack_from


def _decode_any(buf: bytearray | memoryview, length: int, minor: int, setxattr_ext: bool) -> Request:
    """Any request, and what is wrong with it."""
    if length < 40:
        unique = _unpack_unique(buf)[0] if length >= 16 else None  # the kernel waits for an answer to that
        raise RemoteProtocolError(f"a message of {length} bytes is shorter than its header of 40", unique=unique)
    size, opcode, unique, nodeid, uid, gid, pid, extlen = _unpack_fuse_in_header(buf)
    if size != length:
        if opcode in _BSWAP and size == int.from_bytes(length.to_bytes(4, "little"), "big"):
            raise ForeignByteOrder("INIT")
        raise _malformed(f"opcode {opcode}", unique, f"the header says {size} bytes, {length} were read")
    decoder = _DECODERS.get(opcode)
    if decoder is None:
        return UnknownRequest(unique, nodeid, uid, gid, pid, opcode, bytes(buf[40:length]))
    if extlen:
        return _decode_extended(buf, length, minor, opcode, extlen, decoder, (unique, nodeid, uid, gid, pid))
    return decoder(buf, length, unique, nodeid, uid, gid, pid, minor, setxattr_ext)
'''

EXTENDED = """\
def _decode_extended(
    buf: bytearray | memoryview,
    length: int,
    minor: int,
    opcode: int,
    extlen: int,
    decoder: _Decoder,
    head: tuple[int, int, int, int, int],
) -> Request:
    unique = head[0]
    end = length - 8 * extlen
    if end < 40:
        raise _malformed(f"opcode {opcode}", unique, f"{8 * extlen} bytes of extensions in {length - 40} bytes")
    request = decoder(buf, end, *head, minor, True)
    if not isinstance(request, _EXTENSIBLE):
        raise _malformed(type(request).__name__, unique, "it takes no extensions")
    try:
        request.extensions = decode_extensions(bytes(buf[end:length]))
    except ValueError as error:
        raise _malformed(type(request).__name__, unique, str(error)) from error
    return request
"""


def _attributes(body: Body) -> Iterator[tuple[str, str, str]]:
    """Name, type and default of the attributes that a body gives a message."""
    for part in body:
        match part:
            case Fixed(struct):
                yield "arg", f"{struct} | None", struct
            case Name(attribute):
                yield attribute, "bytes", 'b""'
            case Payload(attribute, view=True):
                yield attribute, "Buffer", 'b""'
            case Payload(attribute):
                yield attribute, "bytes", 'b""'
            case Array(attribute, struct):
                yield attribute, f"Sequence[{struct or 'int'}]", "()"


def _constructor(attributes: list[tuple[str, str, str]], leading: Iterable[str]) -> Iterator[str]:
    arguments = ["self"]
    arguments += [f"{name}: int = 0" for name in leading]
    arguments += [f"{name}: {kind} = {'None' if name == 'arg' else default}" for name, kind, default in attributes]
    yield block("    def __init__", (arguments, "(", ")"), " -> None:")
    for name in leading:
        yield f"        self.{name} = {name}"
    for name, _, default in attributes:
        yield f"        self.{name} = {f'{default}() if arg is None else arg' if name == 'arg' else name}"


def _declarations(attributes: list[tuple[str, str, str]]) -> Iterator[str]:
    for name, kind, default in attributes:
        yield f"    {name}: {default if name == 'arg' else kind}"


def _request_doc(operation: Operation, layouts: Mapping[str, Layout]) -> list[str]:
    meaning = MEANINGS[operation.opcode]
    since = f", since 7.{operation.since}" if operation.since is not None else ""
    lines = [f"sent: {meaning.when}", f"nodeid: {nodeid_text(operation)}."]
    lines.append(f"reply: {reply_text(operation.reply, lambda name: layouts[name].size)}")
    lines += [f"{name}: {text}." for name, text in meaning.errors]
    if enosys := enosys_text(operation):
        lines.append(f"ENOSYS: {enosys}.")
    paragraphs = [f"{operation.label} ({operation.opcode}){since}. {operation.doc}", "\n".join(lines)]
    return [*paragraphs, *meaning.notes, source_text(meaning)]


def _request_class(operation: Operation, layouts: Mapping[str, Layout]) -> Iterator[str]:
    attributes = list(_attributes(operation.body))
    if operation.extensible:
        attributes.append(("extensions", "tuple[Extension, ...]", "()"))
    yield f"class {operation.request}(Request):"
    yield docstring(_request_doc(operation, layouts))
    yield ""
    yield block("    __slots__ = ", tuple_text(name for name, _, _ in attributes))
    yield block(
        "    FIELDS: ClassVar[tuple[str, ...]] = ", tuple_text([*HEAD_FIELDS, *(name for name, _, _ in attributes)])
    )
    yield f"    opcode: int = {operation.opcode}"
    yield from _declarations(attributes)
    yield ""
    yield from _constructor(attributes, HEAD_FIELDS)


def _fixed(operation: Operation, struct: str, size: int, trailing: bool) -> Iterator[str]:
    """Reads ``arg`` and leaves in ``start`` where the rest of the body begins."""
    label = operation.label
    versions = SIZES.get(struct)
    if struct == "fuse_init_in":
        yield "    if length < 48:"
        yield f'        raise _body_size("{label}", unique, length - 40, 8)'
        yield f'    raw = bytes(buf[40 : min(length, {HEAD + size})]).ljust({size}, b"\\0")'
        yield f"    arg = {struct}(*_unpack_{struct}(raw))"
        return
    if versions is not None:
        older, (since, _) = versions[-2], versions[-1]
        yield f"    size = {size} if minor >= {since} else {older[1]}"
    elif struct == "fuse_setxattr_in":
        yield f"    size = {size} if setxattr_ext else {SETXATTR_COMPAT_SIZE}"
    comparison = "<" if trailing else "!="
    if versions is not None or struct == "fuse_setxattr_in":
        yield f"    if length {comparison} 40 + size:"
        yield f'        raise _body_size("{label}", unique, length - 40, size)'
        yield f"    if size == {size}:"
        yield f"        arg = {struct}(*_unpack_{struct}(buf, 40))"
        yield "    else:"
        yield f'        arg = {struct}(*_unpack_{struct}(bytes(buf[40 : 40 + size]).ljust({size}, b"\\0")))'
        return
    yield f"    if length {comparison} {HEAD + size}:"
    yield f'        raise _body_size("{label}", unique, length - 40, {size})'
    if struct == "fuse_lk_in":
        yield f"    arg = {struct}.unpack_from(buf, 40)"
    else:
        yield f"    arg = {struct}(*_unpack_{struct}(buf, 40))"


def _slice(start: str) -> str:
    return f"{start}:" if start.isdigit() else f"{start} : "


def _no_slash(label: str, *attributes: str) -> Iterator[str]:
    tests = [f"{SLASH} in {attribute}" for attribute in attributes if attribute]
    if tests:
        yield f"    if {' or '.join(tests)}:"
        yield f'        raise _slash("{label}", unique)'


def _wrong_count(label: str, count: str, came: str) -> str:
    return f'        raise _malformed("{label}", unique, f"{count} is {{arg.{count}}}, {{{came}}} bytes came")'


def _decoder(operation: Operation, layouts: Mapping[str, Layout]) -> Iterator[str]:
    label = operation.label
    arguments = ["buf: bytearray | memoryview", "length: int", *(f"{name}: int" for name in HEAD_FIELDS)]
    arguments += ["minor: int", "setxattr_ext: bool"]
    yield block(f"def _decode_{operation.request}", (arguments, "(", ")"), f" -> {operation.request}:")
    body = list(operation.body)
    start = str(HEAD)
    values: list[str] = []
    if body and isinstance(body[0], Fixed):
        struct = body[0].struct
        size = layouts[struct].size
        yield from _fixed(operation, struct, size, trailing=len(body) > 1)
        start = "40 + size" if struct in SIZES or struct == "fuse_setxattr_in" else str(HEAD + size)
        values.append("arg")
        del body[0]
    match body:
        case []:
            if not operation.body:
                yield "    if length != 40:"
                yield f'        raise _body_size("{label}", unique, length - 40, 0)'
        case [Name(attribute, entry)]:
            yield f"    {attribute} = bytes(buf[{start} : length - 1])"
            yield f"    if not {attribute} or 0 in {attribute} or buf[length - 1]:"
            yield f'        raise _bad_name("{label}", unique)'
            yield from _no_slash(label, attribute if entry else "")
            values.append(attribute)
        case [Name(first, entry), Name(second, other)]:
            yield f'    names = bytes(buf[{_slice(start)}length]).split(b"\\0")'
            yield "    if len(names) != 3 or not names[0] or not names[1] or names[2]:"
            yield f'        raise _bad_name("{label}", unique)'
            yield f"    {first}, {second}, _ = names"
            yield from _no_slash(label, first if entry else "", second if other else "")
            values += [first, second]
        case [Name(attribute), Payload(payload, count)]:
            yield f'    {attribute}, nul, {payload} = bytes(buf[{_slice(start)}length]).partition(b"\\0")'
            yield f"    if not {attribute} or not nul:"
            yield f'        raise _bad_name("{label}", unique)'
            yield f"    if len({payload}) != arg.{count}:"
            yield _wrong_count(label, count, f"len({payload})")
            values += [attribute, payload]
        case [Payload(payload, count, view)]:
            begin = start if start.isdigit() else f"({start})"
            yield f"    if length - {begin} != arg.{count}:"
            yield _wrong_count(label, count, f"length - {begin}")
            source = "memoryview(buf)" if view else "bytes(buf"
            yield f"    {payload} = {source}[{_slice(start)}length]" + ("" if view else ")")
            values.append(payload)
        case [Array(attribute, struct, count)]:
            size = layouts[struct].size
            yield f"    if length - {start} != {size} * arg.{count}:"
            yield _wrong_count(label, count, f"length - {start}")
            yield f"    items = _{struct}.iter_unpack(memoryview(buf)[{start}:length])"
            yield f"    {attribute} = [{struct}(*item) for item in items]"
            values.append(attribute)
        case _:
            raise TypeError(f"{operation.name}: no decoder for a body of {body}")
    yield block(f"    return {operation.request}", ([*HEAD_FIELDS, *values], "(", ")"))


def lower_requests(layouts: Mapping[str, Layout]) -> Iterator[str]:
    """Classes, decoders and the dispatcher."""
    for operation in OPERATIONS:
        yield from _request_class(operation, layouts)
        yield from ("", "")
    yield ERRORS
    yield ""
    for operation in OPERATIONS:
        yield from _decoder(operation, layouts)
        yield from ("", "")
    kinds = "[bytearray | memoryview, int, int, int, int, int, int, int, bool], Request"
    yield f"_Decoder = Callable[{kinds}]"
    yield "_Quick = Callable[[bytearray | memoryview, int, int, bool], Request]"
    table = [f"{operation.opcode}: _decode_{operation.request}" for operation in OPERATIONS]
    yield block("_DECODERS: dict[int, _Decoder] = ", (table, "{", "}"))
    yield block("REQUESTS: dict[int, type[Request]] = ", ([f"{o.opcode}: {o.request}" for o in OPERATIONS], "{", "}"))
    yield block("_EXTENSIBLE = ", ([o.request for o in OPERATIONS if o.extensible], "(", ")"))
    yield "_BSWAP = frozenset((1 << 20, 26 << 24))  # CUSE_INIT and INIT with their bytes reversed"
    yield from ("", "")
    yield EXTENDED
    yield ""
    yield ANY
    yield ""
    yield from lower_fast(layouts)


def lower_notifications() -> Iterator[str]:
    """A class for every notify code."""
    for notification in NOTIFICATIONS:
        attributes = list(_attributes(notification.body))
        since = f", since 7.{notification.since}"
        yield f"class {notification.message}(Notification):"
        yield docstring([f"{notification.label} ({notification.code}){since}. {notification.doc}"])
        yield ""
        yield block("    __slots__ = ", tuple_text(name for name, _, _ in attributes))
        yield "    FIELDS: ClassVar[tuple[str, ...]] = __slots__"
        yield f"    code: ClassVar[int] = {notification.code}"
        yield from _declarations(attributes)
        if attributes:
            yield ""
            yield from _constructor(attributes, ())
        else:
            yield ""
            yield "    def __init__(self) -> None: ..."
        yield from ("", "")
    table = [f"{notification.code}: {notification.message}" for notification in NOTIFICATIONS]
    yield block("NOTIFICATION_CLASSES: dict[int, type[Notification]] = ", (table, "{", "}"))
