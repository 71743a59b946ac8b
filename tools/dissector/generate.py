"""The dissector's text: tables of what the schemas and records say, and behind them the engine that reads them."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final

from rawfuse._version import __version__
from rawfuse.explain.structs import layouts
from rawfuse.wire import constants as c
from rawfuse.wire.ioctl import IOVEC_MINOR
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS, Array, Body, Fixed, Name, Operation
from rawfuse.wire.replies import MAX_ERRNO
from rawfuse.wire.versions import SETXATTR_COMPAT_SIZE, SIZES

from .fields import PROTOCOL, LuaField, abbreviation, lua_fields, struct_key

__all__ = ["ENCAPSULATIONS", "dissector"]

ENCAPSULATIONS: Final = tuple(f"USER{number}" for number in range(16))
"""Wireshark's names of LINKTYPE_USER0 (147) to LINKTYPE_USER15 (162)."""

_NEWEST: Final = 45
_CONSTANTS: Final = {
    "NEWEST_MINOR": _NEWEST,
    "MAX_ERRNO": MAX_ERRNO,
    "SETXATTR_COMPAT_SIZE": SETXATTR_COMPAT_SIZE,
    "IOVEC_MINOR": IOVEC_MINOR,
    "FUSE_MAX_NR_SECCTX": c.FUSE_MAX_NR_SECCTX,
    "FUSE_EXT_GROUPS": c.FUSE_EXT_GROUPS,
    "FUSE_SETXATTR_EXT": c.FUSE_SETXATTR_EXT,
    "FUSE_IOCTL_RETRY": c.FUSE_IOCTL_RETRY,
}
_HEAD: Final = """\
-- The FUSE kernel protocol for Wireshark and tshark. Made by `rawfuse dissector` (rawfuse {version}): do not edit.
-- wireshark -X lua_script:fuse.lua t.pcapng; or put it into the folder of personal Lua plugins (Help, About, Folders).

local fuse = Proto("{protocol}", "FUSE kernel protocol")
"""
_ENGINE: Final = ("learned.lua", "walk.lua", "messages.lua")
"""One script, whose parts stand in this order: each uses what those before it have made."""
_TAIL: Final = """
DissectorTable.get("wtap_encap"):add((wtap_encaps or wtap).{encapsulation}, fuse)
"""


def text(value: str) -> str:
    """A Lua string."""
    escaped = "".join(char if " " <= char <= "~" and char not in '"\\' else _escaped(char) for char in value)
    return f'"{escaped}"'


def _escaped(char: str) -> str:
    return "".join(f"\\{byte:03d}" for byte in char.encode())


def dissector(encapsulation: str | None = "USER0") -> str:
    """The Lua source; for no link type of its own where `encapsulation` is None."""
    errnos = {-number: name for number, name in sorted(errno.errorcode.items())}
    parts = [_HEAD.format(version=__version__, protocol=PROTOCOL), ""]
    parts += [f"local {name} = {value}" for name, value in _CONSTANTS.items()]
    parts += [f"local ERRNOS = {_numbers(errnos)}", "", "local F, BITS = {}, {}"]
    for one in lua_fields({0: "success"} | errnos).values():
        parts += _field(one)
    parts += ["setmetatable(BITS, { __index = function() end })", "", *_structs(), *_sizes(), *_records()]
    parts += ["", *(files(__package__).joinpath(name).read_text("ascii") for name in _ENGINE)]
    if encapsulation is not None:
        parts.append(_TAIL.format(encapsulation=encapsulation))
    return "\n".join(parts)


def _numbers(values: Mapping[int, str]) -> str:
    return "{ " + ", ".join(f"[{number}] = {text(name)}" for number, name in values.items()) + " }"


def _made(one: LuaField) -> str:
    arguments = [text(one.abbreviation), text(one.name)]
    values = _numbers(one.values) if one.values else "nil"
    doc = text(one.doc) if one.doc else "nil"
    if one.kind == "bool":
        arguments += [str(one.width) if one.mask else "base.NONE", "nil", f"{one.mask:#x}" if one.mask else "nil", doc]
    elif one.kind == "framenum":
        arguments += ["base.NONE", f"frametype.{one.base}"]
    elif one.kind == "bytes":
        arguments += ["base.NONE", doc]
    elif one.kind == "string":
        arguments += ["base.UNICODE", doc]
    elif one.kind in ("relative_time", "none"):
        arguments.append(doc)
    else:
        arguments += [f"base.{one.base}", values, f"{one.mask:#x}" if one.mask else "nil", doc]
    while arguments[-1] == "nil":
        arguments.pop()
    return f"ProtoField.{one.kind}({', '.join(arguments)})"


def _field(one: LuaField) -> Iterator[str]:
    yield f"F[{text(one.key)}] = {_made(one)}"
    if one.bits:
        yield f"BITS[{text(one.key)}] = {{"
        yield from (f"  {_made(bit)}," for bit in one.bits)
        yield "}"


def _structs() -> Iterator[str]:
    yield "local STRUCTS = {"
    for struct, layout in layouts().items():
        yield f"  {struct} = {{ size = {layout.size}, field = {text(struct_key(struct))},"
        for member in layout.members:
            if member.flexible:
                continue
            what = f"    {{ name = {text(member.name)}, at = {member.offset}, size = {member.size}"
            if member.struct is not None:
                yield f"{what}, struct = {text(member.struct)} }},"
                continue
            number = not member.reserved and not member.code.endswith("s")
            signed = ", signed = true" if number and member.code.islower() else ""
            yield (
                f"{what}, field = {text(abbreviation(struct, member.name))}"
                f"{', number = true' if number else ''}{signed} }},"
            )
        yield "  },"
    yield "}"


def _sizes() -> Iterator[str]:
    yield "local SIZES = {"
    for struct, steps in SIZES.items():
        yield f"  {struct} = {{ {', '.join(f'{{ {first}, {size} }}' for first, size in steps)} }},"
    yield "}"


def _body(body: Body) -> str:
    parts = []
    for part in body:
        if isinstance(part, Fixed):
            parts.append(f'{{ kind = "fixed", struct = {text(part.struct)} }}')
        elif isinstance(part, Name):
            parts.append(f'{{ kind = "name", attribute = {text(part.attribute)} }}')
        elif isinstance(part, Array):
            struct = f", struct = {text(part.struct)}" if part.struct else ""
            parts.append(
                f'{{ kind = "array", attribute = {text(part.attribute)}, count = {text(part.count)}{struct} }}'
            )
        else:
            parts.append(f'{{ kind = "payload", attribute = {text(part.attribute)}, size = {text(part.size)} }}')
    return "{ " + ", ".join(parts) + " }" if parts else "{}"


def _reply(operation: Operation) -> str:
    reply = operation.reply
    structs = ", ".join(map(text, reply.structs))
    limit = text(reply.limit) if isinstance(reply.limit, str) else f"{reply.limit}"
    return f"{{ kind = {text(reply.kind)}, structs = {{ {structs} }}, limit = {limit} }}"


def _records() -> Iterator[str]:
    yield "local OPERATIONS = {"
    for operation in OPERATIONS:
        extensible = ", extensible = true" if operation.extensible else ""
        yield f"  [{operation.opcode}] = {{ label = {text(operation.label)}{extensible},"
        yield f"    body = {_body(operation.body)},"
        yield f"    reply = {_reply(operation)} }},"
    yield "}"
    yield "local NOTICES = {"
    for notice in NOTIFICATIONS:
        yield f"  [{notice.code}] = {{ label = {text(notice.label)}, body = {_body(notice.body)} }},"
    yield "}"
