"""Wireshark's fields, one for each member of each struct, and the bits of those that hold flags."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rawfuse.explain.structs import layouts
from rawfuse.wire.flags import FLAG_MEMBERS, InitFlags
from rawfuse.wire.layout import Member
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS

from ..decode.names import CALL_FLAGS, NUMBERS
from ..decode.values import HEX_MEMBERS, MODE_MEMBERS, OPEN_FLAGS, OPENING_STRUCTS

__all__ = ["PROTOCOL", "LuaField", "abbreviation", "lua_fields", "struct_key"]

PROTOCOL: Final = "fuse"

_HEADERS: Final = frozenset({"fuse_in_header", "fuse_out_header"})
_TYPES: Final = {"B": "uint8", "H": "uint16", "I": "uint32", "Q": "uint64", "i": "int32", "q": "int64"}
_ACCESS: Final = {os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY", os.O_RDWR: "O_RDWR"}

VALUES: Final[Mapping[tuple[str, str], Mapping[int, str]]] = {
    **NUMBERS,
    ("fuse_in_header", "opcode"): {one.opcode: one.label for one in OPERATIONS},
}
"""Members whose numbers have names."""

NOTIFY_CODES: Final = {notice.code: notice.label for notice in NOTIFICATIONS}
# Names that enums have by themselves, and are no member of a struct: attribute, type, what it is.
_LOOSE: Final = (
    ("name", "string", "A name, without the NUL that ends it"),
    ("newname", "string", "The name that RENAME gives"),
    ("target", "string", "Where a new symbolic link points"),
    ("value", "bytes", "Value of an extended attribute"),
    ("data", "bytes", "What is read, written or handed to ioctl(2)"),
    ("rest", "bytes", "Bytes that are not understood"),
    ("padding", "bytes", "Zeros up to a multiple of 8"),
    ("extension", "bytes", "An extension of a type that is not known"),
    ("secctx_name", "string", "Name of a security attribute of the new inode"),
    ("secctx_value", "bytes", "Value of a security attribute of the new inode"),
    ("path", "string", "From the root of the mount, followed through nodeids; #NODEID where the trace names it not"),
    ("newpath", "string", "Where RENAME, LINK or a copy puts it"),
    ("trace.program", "string", "The program behind the request"),
)


@dataclass(frozen=True)
class LuaField:
    """A ProtoField: `kind` is its function, `values` are numbers with names, `bits` stand below it."""

    key: str
    kind: str
    name: str
    base: str = ""
    values: Mapping[int, str] = field(default_factory=dict)
    mask: int = 0
    width: int = 0
    doc: str = ""
    bits: tuple[LuaField, ...] = ()

    @property
    def abbreviation(self) -> str:
        """What filters call it."""
        return f"{PROTOCOL}.{self.key}"


def abbreviation(struct: str, member: str) -> str:
    """What comes after `fuse.` in the filter for a member: that of the header is there by itself."""
    return member if struct in _HEADERS else f"{struct_key(struct)}.{member}"


def struct_key(struct: str) -> str:
    """What comes after `fuse.` in the filter for messages with a struct."""
    return struct.removeprefix("fuse_")


def _base(member: Member, flags: bool) -> str:
    if member.code.islower():
        return "DEC"
    if flags:
        return "HEX"
    if member.name in MODE_MEMBERS:
        return "OCT"
    return "HEX" if member.name in HEX_MEMBERS else "DEC"


def _flags(struct: str, member: Member) -> Iterator[LuaField]:
    """The bits of a word of flags, lowest first."""
    key, width = abbreviation(struct, member.name), 8 * member.size
    if struct in OPENING_STRUCTS and member.name == "flags":
        yield LuaField(f"{key}.accmode", f"uint{width}", "Access mode", "DEC", _ACCESS, os.O_ACCMODE)
        for name, value in sorted(OPEN_FLAGS, key=lambda flag: flag[1]):
            if value & ~os.O_ACCMODE:
                kind = "bool" if value.bit_count() == 1 else f"uint{width}"
                values = {} if kind == "bool" else {0: "no", value // (value & -value): name}
                yield LuaField(f"{key}.{name.lower()}", kind, name, "DEC", values, value, width)
        return
    for value, name in CALL_FLAGS.get((struct, member.name), {}).items():
        yield LuaField(f"{key}.{name.lower()}", "bool", name, "", {}, value, width)
    shift = 32 if member.name == "flags2" else 0
    kind_of_flags = FLAG_MEMBERS.get((struct, member.name)) or (InitFlags if shift else None)
    for flag in kind_of_flags or ():
        value = flag.value >> shift
        if 0 < value < 1 << width:
            name = str(flag.name)
            yield LuaField(f"{key}.{name.removeprefix('FUSE_').lower()}", "bool", name, "", {}, value, width)


def _member(struct: str, member: Member) -> LuaField:
    key, doc = abbreviation(struct, member.name), f"{struct}.{member.name}: {member.doc}".rstrip(": ")
    if member.reserved or member.code.endswith("s"):
        return LuaField(key, "bytes", member.name, doc=doc)
    bits = tuple(_flags(struct, member))
    values = VALUES.get((struct, member.name), {})
    return LuaField(key, _TYPES[member.code], member.name, _base(member, bool(bits)), values, doc=doc, bits=bits)


def lua_fields(errnos: Mapping[int, str]) -> dict[str, LuaField]:
    """Every field by its key. `errnos`: negative numbers and their names."""
    made: dict[str, LuaField] = {}
    for struct, layout in layouts().items():
        made[struct_key(struct)] = LuaField(struct_key(struct), "none", f"struct {struct}", doc=layout.doc)
        for member in layout.members:
            if member.struct is None and not member.flexible:
                one = _member(struct, member)
                made.setdefault(one.key, one)
    made["error"] = LuaField("error", "int32", "error", "DEC", errnos, doc="0, or an errno with a minus")
    made["notify"] = LuaField("notify", "int32", "notify", "DEC", NOTIFY_CODES, doc="The code of a notification")
    made |= {key: LuaField(key, kind, key.rpartition(".")[2], doc=doc) for key, kind, doc in _LOOSE}
    made["nodeids"] = LuaField("nodeids", "uint64", "nodeid", "DEC", doc="An inode to be pruned")
    made["supp_group"] = LuaField("supp_group", "uint32", "gid", "DEC", doc="A group of the caller's")
    made["resent"] = LuaField("resent", "bool", "resent", doc="Read again after NOTIFY_RESEND: bit 63 of unique")
    made["request_in"] = LuaField("request_in", "framenum", "Request in", "REQUEST")
    made["reply_in"] = LuaField("reply_in", "framenum", "Reply in", "RESPONSE")
    made["latency"] = LuaField("latency", "relative_time", "Latency", doc="From the request to its reply")
    made |= {one.key: one for one in _of_the_trace()}
    return made


def _of_the_trace() -> Iterator[LuaField]:
    """The pseudo-header, see :mod:`rawfuse.trace.pcapng`."""
    yield LuaField("trace", "none", "Pseudo-header", doc="What is known of the message besides its bytes")
    yield LuaField("trace.version", "uint8", "version", "DEC", doc="Of this header")
    yield LuaField("trace.direction", "uint8", "direction", "DEC", {1: "to the server", 2: "to the kernel"})
    yield LuaField("trace.byteorder", "uint8", "byte order", "DEC", {1: "little-endian", 2: "big-endian"})
    yield LuaField("trace.minor", "uint8", "minor", "DEC", doc="As negotiated; 0 before INIT was answered")
    yield LuaField("trace.connection", "uint32", "connection", "DEC", doc="Number under /sys/fs/fuse/connections")
    yield LuaField("trace.descriptor", "uint32", "descriptor", "DEC", doc="Which one of the connection; 0 is the first")
    agreed = LuaField("trace.agreed.setxattr_ext", "bool", "FUSE_SETXATTR_EXT", mask=1, width=32)
    yield LuaField("trace.agreed", "uint32", "agreed", "HEX", doc="What the minor does not tell", bits=(agreed,))
