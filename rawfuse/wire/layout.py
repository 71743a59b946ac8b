"""What a Construct declaration says, as plain data: the step between the schema and the generated code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from construct import Array, Bytes, Construct, Default, FormatField, Renamed, SizeofError, Struct

__all__ = ["Layout", "Member", "layout_of"]


@dataclass(frozen=True)
class Member:
    """One member of a C struct: ``code`` for :mod:`struct`, or the name of the nested ``struct``."""

    name: str
    offset: int
    size: int
    code: str
    struct: str | None
    reserved: bool
    flexible: bool
    doc: str
    since: int | None


@dataclass(frozen=True)
class Layout:
    """A C struct: ``size`` counts no flexible member."""

    name: str
    size: int
    members: tuple[Member, ...]
    doc: str
    since: int | None

    @property
    def fields(self) -> tuple[Member, ...]:
        """The members that the lowered class has."""
        return tuple(member for member in self.members if not (member.reserved or member.flexible))

    def codes(self, layouts: Mapping[str, Layout]) -> Iterator[str]:
        """The struct codes of all members in order, nested ones too, reserved ones as pad bytes."""
        for member in self.members:
            if member.flexible:
                continue
            if member.reserved:
                yield f"{member.size}x"
            elif member.struct is not None:
                yield from layouts[member.struct].codes(layouts)
            else:
                yield member.code

    def format(self, layouts: Mapping[str, Layout]) -> str:
        """The :mod:`struct` format: native byte order, standard sizes, no alignment but the declared padding."""
        return "=" + "".join(self.codes(layouts))

    def scalars(self, layouts: Mapping[str, Layout]) -> Iterator[tuple[str, ...]]:
        """The path to every value that the format packs: ``("attr", "ino")``."""
        for member in self.fields:
            if member.struct is None:
                yield (member.name,)
            else:
                for path in layouts[member.struct].scalars(layouts):
                    yield (member.name, *path)


def _unwrapped(item: Any) -> Any:
    while isinstance(item, Renamed):
        item = item.subcon
    return item


def _member(item: Any, offset: int, names: Mapping[int, str], schemas: Mapping[str, Any]) -> Member:
    inner = _unwrapped(item)
    reserved = isinstance(inner, Default)
    struct: str | None = None
    code = ""
    flexible = False
    size = 0
    if isinstance(inner, Struct):
        struct = names[id(inner)]
    elif isinstance(inner, FormatField):
        code = str(inner.fmtstr)[-1]
        code = {"L": "I", "l": "i"}.get(code, code)
    elif isinstance(inner, Bytes) and isinstance(inner.length, int):
        code = f"{inner.length}s"
    elif isinstance(inner, (Array, Bytes)):
        flexible = True
    elif not reserved:
        raise TypeError(f"{item.name}: a {type(inner).__name__} has no C layout")
    if not flexible:
        try:
            size = int(inner.sizeof())
        except SizeofError:  # a struct that ends in a flexible member
            size = -1
    doc = item.docs
    if struct is not None and doc is schemas[struct].docs:  # Construct's inheritance: what the struct says of itself
        doc = ""
    return Member(item.name, offset, size, code, struct, reserved, flexible, str(doc), getattr(doc, "since", None))


def layout_of(schemas: Mapping[str, Construct[Any, Any]]) -> dict[str, Layout]:
    """The layouts of all declared structs, by C name, nested ones before what contains them."""
    names = {id(_unwrapped(item)): name for name, item in schemas.items()}
    layouts: dict[str, Layout] = {}
    for name, item in schemas.items():
        members: list[Member] = []
        offset = 0
        for subcon in _unwrapped(item).subcons:
            member = _member(subcon, offset, names, schemas)
            if member.struct is not None:
                size = layouts[member.struct].size
                member = Member(**{**vars(member), "size": size})
            members.append(member)
            offset += member.size
        doc = item.docs
        layouts[name] = Layout(name, offset, tuple(members), str(doc), getattr(doc, "since", None))
    return layouts
