"""Fields of structs as people write them: modes in octal, flags by name, times with their fraction."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import Any, Final

from rawfuse.wire import Notification, Request
from rawfuse.wire.base import WireStruct
from rawfuse.wire.flags import FLAG_MEMBERS
from rawfuse.wire.opcodes import BY_OPCODE

from .names import CALL_FLAGS, NUMBERS

__all__ = [
    "HEX_MEMBERS",
    "MODE_MEMBERS",
    "OPENING_STRUCTS",
    "OPEN_FLAGS",
    "errno_text",
    "field_text",
    "fields_of",
    "flag_names",
    "is_plain",
    "label",
    "name_text",
    "open_flag_names",
]

_OTHER_NAMES: Final = frozenset({"O_FSYNC", "O_RSYNC", "O_NDELAY"})
OPEN_FLAGS: Final = sorted(
    ((name, getattr(os, name)) for name in dir(os) if name.startswith("O_") and name not in _OTHER_NAMES),
    # O_SYNC before the O_DSYNC, O_TMPFILE before the O_DIRECTORY that is in it.
    key=lambda item: (-item[1].bit_count(), item[0]),
)
_ACCESS: Final = {os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY", os.O_RDWR: "O_RDWR"}
_O_ACCMODE: Final = 3
_O_LARGEFILE: Final = 0o100000
OPENING_STRUCTS: Final = frozenset(
    {"fuse_open_in", "fuse_create_in", "fuse_release_in", "fuse_read_in", "fuse_write_in"}
)
MODE_MEMBERS: Final = frozenset({"mode", "umask"})
HEX_MEMBERS: Final = frozenset({"lock_owner", "lk_owner", "owner"})


def name_text(name: bytes) -> str:
    """A name for one line: what cannot be printed, and spaces at its ends, as `\\xNN`."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode())


def errno_text(number: int) -> str:
    """`ENOENT` for 2; the number where it has no name."""
    return errno.errorcode.get(number, f"error {number}")


def label(message: Request | Notification) -> str:
    """`LOOKUP`, `NOTIFY_INVAL_INODE`; the number of an unknown opcode."""
    if isinstance(message, Request):
        operation = BY_OPCODE.get(message.opcode)
        return operation.label if operation is not None else f"OPCODE_{message.opcode}"
    words = type(message).__name__.removeprefix("Notify")
    return "NOTIFY" + "".join(f"_{char}" if char.isupper() else char for char in words).upper()


def open_flag_names(flags: int) -> str:
    """`O_RDWR|O_TRUNC`; the kernel's own O_LARGEFILE is left out."""
    names = [_ACCESS.get(flags & _O_ACCMODE, "O_ACCMODE")]
    left = flags & ~_O_ACCMODE & ~_O_LARGEFILE
    for name, value in OPEN_FLAGS:
        if value & ~_O_ACCMODE and left & value == value:
            names.append(name)
            left &= ~value
    if left:
        names.append(f"{left:#x}")
    return "|".join(names)


def flag_names(struct: str, member: str, value: int) -> str | None:
    """The flags of a member by name; None where it holds none."""
    if struct in OPENING_STRUCTS and member == "flags":
        return open_flag_names(value)
    if member == "flags2":  # INIT's upper half
        return flag_names(struct, "flags", value << 32)
    kind = FLAG_MEMBERS.get((struct, member))
    call = CALL_FLAGS.get((struct, member))
    if kind is not None:
        names = [str(flag.name) for flag in kind if value & flag]
        left = value & ~sum(flag.value for flag in kind)
    elif call is not None:
        names = [name for flag, name in call.items() if value & flag]
        left = value & ~sum(call)
    else:
        return None
    if left:
        names.append(f"{left:#x}")
    return "|".join(names) or "0"


def is_plain(struct: str, member: str) -> bool:
    """Whether :func:`field_text` says a number as it is."""
    key = struct, member
    named = key in FLAG_MEMBERS or key in CALL_FLAGS or key in NUMBERS
    named = named or (struct in OPENING_STRUCTS and member == "flags")
    return not named and member != "flags2" and member not in MODE_MEMBERS and member not in HEX_MEMBERS


def field_text(struct: str, member: str, value: Any) -> str:
    """One member for one line."""
    if not isinstance(value, int):
        return str(value)
    names = flag_names(struct, member, value)
    if names is not None:
        return names
    number = NUMBERS.get((struct, member), {}).get(value)
    if number is not None:
        return number
    if member in MODE_MEMBERS:
        return f"{value:#o}" if not stat.S_IFMT(value) else f"{stat.filemode(value)} ({value:#o})"
    if member in HEX_MEMBERS:
        return f"{value:#x}"
    return str(value)


def fields_of(struct: WireStruct, *, zeros: bool = False) -> Iterator[tuple[str, str]]:
    """Member and text, those of nested structs with a dot; zeros only where asked for.

    Nanoseconds are joined to the seconds that they belong to.
    """
    kind = type(struct).__name__
    for member in struct.FIELDS:
        value = getattr(struct, member)
        if isinstance(value, WireStruct):
            for inner, text in fields_of(value, zeros=zeros):
                yield f"{member}.{inner}", text
            continue
        if member.endswith(("nsec", "_nsec")) and member.removesuffix("nsec").rstrip("_") in struct.FIELDS:
            continue
        nanoseconds = _nanoseconds(struct, member)
        if nanoseconds:
            yield member, f"{value}.{nanoseconds:09d}"
        elif zeros or value or (kind in OPENING_STRUCTS and member == "flags"):
            yield member, field_text(kind, member, value)


def _nanoseconds(struct: WireStruct, member: str) -> int:
    for other in (f"{member}nsec", f"{member}_nsec"):
        if other in struct.FIELDS:
            return int(getattr(struct, other))
    return 0
