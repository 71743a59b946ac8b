"""Lowers the common case: a well-formed request of a current kernel, read and written with one :mod:`struct` call.

A quick decoder fills the request's slots straight from the unpacked tuple, without calling a constructor. Whatever is
not as it should be, or not common (older minors, extensions, lists), it leaves to the complete decoder, which finds the
error too; a quick encoder likewise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rawfuse.wire.layout import Layout
from rawfuse.wire.opcodes import OPERATIONS, Array, Fixed, Name, Operation, Payload
from rawfuse.wire.text import block
from rawfuse.wire.versions import SIZES

__all__ = ["SLASH", "assignment", "filling", "lower_fast"]

HEAD = 40  # bytes of fuse_in_header
SLASH = ord("/")
HEAD_FIELDS = ("unique", "nodeid", "uid", "gid", "pid")
DECODER = "(buf: bytearray | memoryview, length: int, minor: int, setxattr_ext: bool)"
SLOWLY = "_decode_any(buf, length, minor, setxattr_ext)"

DISPATCH = '''\
def decode_request(buf: bytearray | memoryview, length: int, minor: int, setxattr_ext: bool) -> Request:
    """The request in the first ``length`` bytes of ``buf``: an instance of one of the classes above.

    ``minor`` and ``setxattr_ext`` are what the INIT reply said (structs were shorter once); neither matters for INIT.
    Names and values are copied; ``data`` of WRITE and NOTIFY_REPLY is a memoryview of ``buf``. An opcode that is not in
    the table gives an :class:`UnknownRequest`. Raises :class:`~rawfuse.errors.RemoteProtocolError` for a message whose
    sizes contradict one another; its ``unique`` is set when the request can still be answered. INIT of a machine of the
    other byte order is :class:`~rawfuse.errors.ForeignByteOrder`.
    """
    if length < 40:
        return _decode_any(buf, length, minor, setxattr_ext)
    return _QUICK[buf[_OPCODE_BYTE]](buf, length, minor, setxattr_ext)
'''


def filling(variable: str, layout: Layout, layouts: Mapping[str, Layout]) -> tuple[list[str], list[str]]:
    """Statements that make the structs nested in ``variable``, and what the unpacked values are assigned to."""
    made: list[str] = []
    targets: list[str] = []
    for member in layout.fields:
        if member.struct is None:
            targets.append(f"{variable}.{member.name}")
            continue
        inner = member.name if variable == "self" else f"{variable}_{member.name}"
        made.append(f"{inner} = {variable}.{member.name} = _new({member.struct})")
        more, nested = filling(inner, layouts[member.struct], layouts)
        made += more
        targets += nested
    return made, targets


def assignment(indent: str, targets: list[str], value: str) -> str:
    """``a.x, a.y = value``, in parentheses where it is longer than a line."""
    if len(targets) == 1:
        return f"{indent}({targets[0]},) = {value}"
    line = f"{indent}{', '.join(targets)} = {value}"
    return line if len(line) <= 120 else block(indent, (targets, "(", ")"), f" = {value}")


def _struct_of(operation: Operation) -> str | None:
    first = operation.body[0] if operation.body else None
    return first.struct if isinstance(first, Fixed) else None


def _common(operation: Operation) -> bool:
    """Whether there is a common case at all: INIT has none, and lists are read one way only."""
    return operation.label not in ("INIT", "CUSE_INIT") and not any(isinstance(part, Array) for part in operation.body)


def _names(operation: Operation) -> list[Name]:
    return [part for part in operation.body if isinstance(part, Name)]


def _payload(operation: Operation) -> Payload | None:
    return next((part for part in operation.body if isinstance(part, Payload)), None)


def _quick_decoder(operation: Operation, layouts: Mapping[str, Layout]) -> Iterator[str]:
    struct = _struct_of(operation)
    size = HEAD + (layouts[struct].size if struct else 0)
    names, payload = _names(operation), _payload(operation)
    yield f"def _quick_{operation.request}{DECODER} -> Request:"
    odd = f"length < {size}" if names or payload else f"length != {size}"
    if struct in SIZES:
        odd += f" or minor < {SIZES[struct][-1][0]}"
    elif struct == "fuse_setxattr_in":
        odd += " or not setxattr_ext"
    if odd != f"length < {HEAD}":  # that has been looked at
        yield f"    if {odd}:"
        yield f"        return {SLOWLY}"
    yield f"    request = _new({operation.request})"
    targets = ["size", "opcode", *(f"request.{name}" for name in HEAD_FIELDS), "extlen"]
    if struct:
        made, members = filling("arg", layouts[struct], layouts)
        yield f"    {'arg = ' if members else ''}request.arg = _new({struct})"
        yield from (f"    {line}" for line in made)
        targets += members
    yield assignment("    ", targets, f"_unpack_{operation.request}(buf)")
    wrong = ["size != length", f"opcode != {operation.opcode}", "extlen"]
    if names and payload:
        yield f'    {names[0].attribute}, nul, {payload.attribute} = bytes(buf[{size}:length]).partition(b"\\0")'
        wrong += [f"not {names[0].attribute}", "not nul", f"len({payload.attribute}) != arg.{payload.size}"]
        yield f"    request.{names[0].attribute} = {names[0].attribute}"
        yield f"    request.{payload.attribute} = {payload.attribute}"
    elif payload:
        source = f"memoryview(buf)[{size}:length]" if payload.view else f"bytes(buf[{size}:length])"
        yield f"    request.{payload.attribute} = {source}"
        wrong += [f"length - {size} != arg.{payload.size}"]
    elif len(names) == 2:
        yield f'    names = bytes(buf[{size}:length]).split(b"\\0")'
        wrong += ["len(names) != 3", "not names[0]", "not names[1]", "names[2]"]
        wrong += [f"{SLASH} in names[{place}]" for place, name in enumerate(names) if name.entry]
    elif names:
        yield f"    name = request.{names[0].attribute} = bytes(buf[{size} : length - 1])"
        wrong += ["not name", "0 in name", *([f"{SLASH} in name"] if names[0].entry else []), "buf[length - 1]"]
    yield condition(wrong)
    yield f"        return {SLOWLY}"
    if len(names) == 2:
        yield f"    request.{names[0].attribute}, request.{names[1].attribute}, _ = names"
    if operation.extensible:
        yield "    request.extensions = ()"
    yield "    return request"


def condition(parts: list[str]) -> str:
    """``if a or b:``, one operand a line where it is longer than a line."""
    line = f"    if {' or '.join(parts)}:"
    if len(line) <= 120:
        return line
    rest = "".join(f"        or {part}\n" for part in parts[1:])
    return f"    if (\n        {parts[0]}\n{rest}    ):"


def _loads(variable: str, layout: Layout, layouts: Mapping[str, Layout]) -> Iterator[str]:
    for path in layout.scalars(layouts):
        yield ".".join((variable, *path))


def _quick_encoder(operation: Operation, layouts: Mapping[str, Layout]) -> Iterator[str]:
    struct = _struct_of(operation)
    size = HEAD + (layouts[struct].size if struct else 0)
    names, payload = _names(operation), _payload(operation)
    yield f"def _encode_{operation.request}(request: {operation.request}) -> bytes | None:"
    for name in names:
        yield f"    {name.attribute} = request.{name.attribute}"
    bad = [test for name in names for test in (f"not {name.attribute}", f"0 in {name.attribute}")]
    if operation.extensible:
        bad.append("request.extensions")
    if bad:
        yield condition(bad)
        yield "        return None"
    if struct and layouts[struct].fields:
        yield "    arg = request.arg"
    length = str(size + len(names))
    tail = ""
    if payload:
        yield f"    data = bytes(request.{payload.attribute})"
        yield f"    arg.{payload.size} = len(data)"
    for name in names:
        length += f" + len({name.attribute})"
        tail += f' + {name.attribute} + b"\\0"'
    if payload:
        length += " + len(data)"
        tail += " + data"
    values = [length, str(operation.opcode), *(f"request.{name}" for name in HEAD_FIELDS), "0"]
    if struct:
        values += _loads("arg", layouts[struct], layouts)
    if not tail:
        yield block(f"    return _pack_{operation.request}", (values, "(", ")"))
        return
    yield block(f"    head = _pack_{operation.request}", (values, "(", ")"))
    yield f"    return head{tail}"


def lower_fast(layouts: Mapping[str, Layout]) -> Iterator[str]:
    """The quick decoders, the dispatcher over them, and the quick encoders."""
    common = [operation for operation in OPERATIONS if _common(operation)]
    head = layouts["fuse_in_header"].format(layouts)
    for operation in common:
        struct = _struct_of(operation)
        form = head + (layouts[struct].format(layouts).removeprefix("=") if struct else "")
        yield f'_{operation.request} = Struct("{form}")'
        yield f"_unpack_{operation.request} = _{operation.request}.unpack_from"
        yield f"_pack_{operation.request} = _{operation.request}.pack"
    yield from ("", "")
    for operation in common:
        yield from _quick_decoder(operation, layouts)
        yield from ("", "")
    yield '_OPCODE_BYTE = 4 if sys.byteorder == "little" else 7'
    table = [f"{operation.opcode}: _quick_{operation.request}" for operation in common]
    yield block("_QUICK_ONES: dict[int, _Quick] = ", (table, "{", "}"))
    yield "_QUICK = tuple(_QUICK_ONES.get(byte, _decode_any) for byte in range(256))"
    yield from ("", "")
    yield DISPATCH
    yield ""
    for operation in common:
        yield from _quick_encoder(operation, layouts)
        yield from ("", "")
    table = [f"{operation.request}: _encode_{operation.request}" for operation in common]
    yield block("ENCODERS: dict[type[Request], Callable[..., bytes | None]] = ", (table, "{", "}"))
    yield '"""For requests as a kernel of minor 36 or later sends them; None where it takes more than that."""'
    yield from ("", "")
