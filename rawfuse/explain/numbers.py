"""Pages about flags, enum values, ioctls, constants, errnos and minors of the protocol."""

from __future__ import annotations

import ast
import errno
import inspect
import os
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from functools import cache
from types import ModuleType

from rawfuse.explain.page import Entry, Page, sections
from rawfuse.explain.structs import layouts
from rawfuse.session.negotiation import FLAGS
from rawfuse.wire import enums, flags
from rawfuse.wire.enums import CONSTANTS, IOCTLS, NUMBER_DOCS
from rawfuse.wire.errnos import ERRNOS
from rawfuse.wire.flags import FLAG_MEMBERS, InitFlags
from rawfuse.wire.meanings import MEANINGS
from rawfuse.wire.opcodes import BY_OPCODE, NOTIFICATIONS, OPERATIONS
from rawfuse.wire.prose import HEADER, enosys_text, since_text
from rawfuse.wire.replies import MAX_ERRNO
from rawfuse.wire.since import INTRODUCED, SINCE
from rawfuse.wire.versions import SIZES

__all__ = ["class_page", "constant_page", "errno_page", "ioctl_page", "member_docs", "member_page", "minor_page"]


@cache
def _class_docs(module: ModuleType) -> dict[tuple[str, str], str]:
    """The string behind each member of the classes of a module: Python keeps it in the source alone."""
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for before, after in zip(node.body, node.body[1:], strict=False):
            match before, after:
                case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                    found[node.name, name] = " ".join(text.replace("``", "").split())
    return found


def member_docs(cls: type[IntEnum] | type[IntFlag]) -> dict[str, str]:
    """What is said of each member of an enum or flag class, by name; a member without documentation is left out."""
    docs = {**_class_docs(flags), **_class_docs(enums)}
    return {name: docs[cls.__name__, name] for name in cls.__members__ if (cls.__name__, name) in docs}


def _value(value: int) -> str:
    return f"0x{value:x}" if value > 9 else str(value)


def _carriers(cls: type[IntEnum] | type[IntFlag]) -> str:
    return ", ".join(f"{struct}.{member}" for (struct, member), held in FLAG_MEMBERS.items() if held is cls)


def _names(flag: InitFlags) -> str:
    return ", ".join(str(item.name) for item in flag)


def _negotiation(name: str) -> Iterator[Entry]:
    """What the session does with a flag of INIT, from its own table."""
    flag = InitFlags[name]
    if flag.value >> 32:
        yield Entry("", f"Bit {flag.value.bit_length() - 33} of flags2, so it counts only together with FUSE_INIT_EXT.")
    record = next(record for record in FLAGS if record.flag == flag)
    if record.never:
        yield Entry("", f"This library never returns it: {record.never}.")
        return
    if record.implied:
        yield Entry("", "This library returns it whenever it is offered: it only says what the kernel can do.")
    elif record.default:
        yield Entry("", "This library returns it unless the file system says otherwise.")
    else:
        yield Entry("", "This library returns it where the file system asks for it.")
    if record.needs:
        yield Entry("", f"Not without {_names(record.needs)}.")
    if record.excludes:
        yield Entry("", f"Stands back for {_names(record.excludes)}.")
    if record.methods:
        yield Entry("", f"Only where the file system has {', '.join(record.methods)}.")
    if record.minor:
        yield Entry("", f"Only to a kernel of minor {record.minor} or later.")
    if record.checked:
        yield Entry("", "Only where the kernel checks modes itself: default_permissions, or FUSE_POSIX_ACL.")
    if record.stacked:
        yield Entry("", "Only where max_stack_depth is 1 or 2.")


def member_page(cls: type[IntEnum] | type[IntFlag], name: str) -> Page:
    """The page of a flag, or of a value of an enum."""
    member = cls.__members__[name]
    doc = member_docs(cls).get(name, "")
    alias = f"Another name of {member.name}." if member.name != name else ""
    bit = f", bit {member.value.bit_length() - 1}" if issubclass(cls, IntFlag) else ""
    return Page(
        "flag" if issubclass(cls, IntFlag) else "enum value",
        name,
        member.value,
        doc,
        SINCE.get(name),
        sections(
            ("DESCRIPTION", [Entry("", doc), *([Entry("", alias)] if alias else [])]),
            ("VALUE", f"{member.value} (0x{member.value:x}){bit}, of {cls.__name__}"),
            ("HELD BY", _carriers(cls)),
            ("NEGOTIATION", _negotiation(name) if cls is InitFlags else ""),
            ("SINCE", since_text(SINCE.get(name))),
            ("SOURCE", f"{HEADER}; behaviour: Linux 6.18 and its source."),
        ),
    )


def class_page(cls: type[IntEnum] | type[IntFlag]) -> Page:
    """The page of a whole flag word or enum, with all its members."""
    docs = member_docs(cls)
    summary = " ".join((cls.__doc__ or "").replace("`", "").replace(":mod:", "").split())
    width = max(len(_value(member.value)) for member in cls.__members__.values())
    members = [
        Entry(f"{_value(member.value):>{width}} {name}", docs.get(name, ""), {"name": name, "value": member.value})
        for name, member in cls.__members__.items()
    ]
    kind = "flags" if issubclass(cls, IntFlag) else "enum"
    body = sections(
        ("DESCRIPTION", summary), ("HELD BY", _carriers(cls)), ("MEMBERS", members), ("SOURCE", f"{HEADER}.")
    )
    return Page(kind, cls.__name__, None, summary, None, body)


def _number_page(kind: str, name: str, value: int) -> Page:
    doc = NUMBER_DOCS.get(name, "")
    return Page(
        kind,
        name,
        value,
        doc,
        SINCE.get(name),
        sections(
            ("DESCRIPTION", doc),
            ("VALUE", f"{value} (0x{value:x})"),
            ("SINCE", since_text(SINCE.get(name))),
            ("SOURCE", f"{HEADER}; behaviour measured on Linux 6.18." if kind == "ioctl" else f"{HEADER}."),
        ),
    )


def ioctl_page(name: str) -> Page:
    """The page of an ioctl of the device."""
    return _number_page("ioctl", name, IOCTLS[name])


def constant_page(name: str) -> Page:
    """The page of one of the header's other numbers."""
    return _number_page("constant", name, CONSTANTS[name])


def _in_replies(number: int) -> Iterator[Entry]:
    for operation in OPERATIONS if number == errno.ENOSYS else ():
        if text := enosys_text(operation):
            yield Entry(operation.name, f"{text}.", {"opcode": operation.opcode})
    for opcode, meaning in MEANINGS.items():
        for name, text in meaning.errors:
            if getattr(errno, name) == number:
                yield Entry(BY_OPCODE[opcode].name, f"{text}.", {"opcode": opcode})
    for notice in NOTIFICATIONS:
        for wrong, name in notice.errors:
            if getattr(errno, name) == number:
                yield Entry(notice.name, f"(the write of it) {wrong}.", {"code": notice.code})


def _usual(number: int) -> str:
    """Of several names of one errno the one that the records use."""
    used = [*ERRNOS, *(name for meaning in MEANINGS.values() for name, _ in meaning.errors)]
    return next((name for name in used if getattr(errno, name) == number), errno.errorcode[number])


def errno_page(name: str) -> Page:
    """The page of an errno: what it means to FUSE, and what it says in the replies to which requests."""
    number = int(getattr(errno, name))
    usual = _usual(number)
    said = os.strerror(number)
    general = ERRNOS.get(usual, ("Nothing of its own to FUSE: in a reply it is passed on to the caller as it is.",))
    return Page(
        "errno",
        name,
        number,
        said,
        None,
        sections(
            ("DESCRIPTION", f"{said}.{'' if usual == name else f' The same as {usual}.'}"),
            ("IN FUSE", [Entry("", text) for text in general]),
            ("IN REPLIES TO", _in_replies(number)),
            ("VALUE", f"{number}; -{number} in fuse_out_header.error, which takes -{MAX_ERRNO} to -1."),
            ("SOURCE", "Linux 6.18, measured, and its source; errno(3)."),
        ),
    )


def minor_page(minor: int) -> Page:
    """What one minor of protocol 7 brought."""
    structs = [name for name, layout in layouts().items() if layout.since == minor]
    members = [
        f"{name}.{member.name}"
        for name, layout in layouts().items()
        if layout.since != minor
        for member in layout.members
        if member.since == minor and not member.reserved
    ]
    grown = [
        Entry("", f"struct {name} has {size} bytes from here on.")
        for name, versions in SIZES.items()
        for first, size in versions
        if first == minor > 0
    ]
    names = INTRODUCED.get(minor, ())
    summary = ", ".join([*names, *structs, *members]) or "nothing that the header's change log names"
    return Page(
        "protocol",
        f"7.{minor}",
        None,
        summary,
        minor,
        sections(
            ("NAMES", ", ".join(names)),
            ("STRUCTS", ", ".join(structs)),
            ("MEMBERS", ", ".join(members)),
            ("SIZES", grown),
            ("SOURCE", f"The change log of {HEADER}."),
        ),
    )
