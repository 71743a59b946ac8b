"""Pages about C structs and their members."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from rawfuse.explain.page import Entry, Page, sections
from rawfuse.wire.flags import FLAG_MEMBERS
from rawfuse.wire.layout import Layout, Member, layout_of
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS, Array, Fixed, Notice, Operation
from rawfuse.wire.prose import HEADER, older_sizes, since_text
from rawfuse.wire.schema import SCHEMAS

__all__ = ["field_entries", "layouts", "member_page", "size_of", "struct_page"]

_TYPES = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64", "i": "s32", "q": "s64"}


@cache
def layouts() -> dict[str, Layout]:
    """Every struct by its C name, as the schema declares it."""
    return layout_of(SCHEMAS)


def size_of(struct: str) -> int:
    """Bytes, without a flexible last member."""
    return layouts()[struct].size


def _type(member: Member) -> str:
    if member.struct is not None:
        return member.struct
    if member.flexible:
        return "bytes" if member.name == "name" else "u32[]"
    if member.code.endswith("s"):
        return f"u8[{member.code[:-1]}]"
    return _TYPES[member.code]


def _text(struct: str, member: Member) -> str:
    text = member.doc
    flags = FLAG_MEMBERS.get((struct, member.name))
    if flags is not None:
        if flags.__name__ not in text:
            text = f"{text} {flags.__name__}.".strip()
        if len(flags) <= 4:
            text = f"{text.removesuffix('.')}: {', '.join(flags.__members__)}."
    if member.since is not None:
        text = f"{text} Since 7.{member.since}."
    return text


def field_entries(struct: str, offset: int = 0, prefix: str = "", about: str = "") -> Iterator[Entry]:
    """The members with their offsets and types; those of nested structs too, reserved ones left out.

    ``offset``, ``prefix`` and ``about`` are of the member that is this struct, where it is nested in another.
    """
    for member in layouts()[struct].members:
        if member.reserved:
            continue
        place = offset + member.offset
        if member.struct is not None:
            small = len(layouts()[member.struct].fields) <= 2  # a time: what it is of says more than its members do
            about_it = f"{member.doc.removesuffix('.')}: " if small and member.doc else ""
            yield from field_entries(member.struct, place, f"{prefix}{member.name}.", about_it)
            continue
        name = prefix + member.name
        facts = {
            "name": name,
            "type": _type(member),
            "offset": place,
            "size": None if member.flexible else member.size,
            "since": None if member.since is None else f"7.{member.since}",
            "flags": flags.__name__ if (flags := FLAG_MEMBERS.get((struct, member.name))) else None,
        }
        yield Entry(f"{place:>3} {_type(member):<4} {name}", about + _text(struct, member), facts)


def _users(struct: str) -> Iterator[str]:
    records: tuple[Operation | Notice, ...] = (*OPERATIONS, *NOTIFICATIONS)
    for record in records:
        if any(isinstance(part, (Fixed, Array)) and part.struct == struct for part in record.body):
            yield record.name
    for operation in OPERATIONS:
        if struct in operation.reply.structs:
            yield f"{operation.name} (reply)"
    for name, layout in layouts().items():
        if any(member.struct == struct for member in layout.members):
            yield f"struct {name}"


def struct_page(struct: str) -> Page:
    """The page of one struct."""
    layout = layouts()[struct]
    older = older_sizes(struct)
    size = f"{layout.size} bytes{' and what follows them' if any(m.flexible for m in layout.members) else ''}"
    return Page(
        "struct",
        struct,
        None,
        layout.doc,
        layout.since,
        sections(
            ("DESCRIPTION", layout.doc),
            ("SIZE", f"{size}{f'; {older}' if older else ''}. Native byte order, reserved members zero."),
            ("MEMBERS", _members(struct)),
            ("CARRIED BY", ", ".join(_users(struct))),
            ("SINCE", since_text(layout.since)),
            ("SOURCE", f"{HEADER}."),
        ),
    )


def _members(struct: str) -> Iterator[Entry]:
    yield Entry("", "Offset in bytes, type, name." if size_of(struct) else "")
    yield from field_entries(struct)


def member_page(struct: str, member: str) -> Page | None:
    """The page of one member, of a nested struct too (``attr.mode``); None where there is none."""
    for entry in field_entries(struct):
        if entry.facts["name"] == member:
            size = entry.facts["size"]
            what = f"{entry.facts['type']} at offset {entry.facts['offset']}{f', {size} bytes' if size else ''}"
            body = sections(
                ("DESCRIPTION", entry.text), ("TYPE", what), ("SEE ALSO", f"struct {struct}"), ("SOURCE", f"{HEADER}.")
            )
            since = next((item.since for item in layouts()[struct].members if item.name == member), None)
            return Page("member", f"{struct}.{member}", None, entry.text, since, body)
    return None
