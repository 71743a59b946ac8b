"""The words that the declarations are written in."""

from __future__ import annotations

from typing import Any

from construct import Array, Construct, Default, Int8un, Int16un, Int32sn, Int32un, Int64sn, Int64un, Struct

__all__ = ["Doc", "c_struct", "i32", "i64", "reserved", "since", "u8", "u16", "u32", "u64"]

u8, u16, u32, u64 = Int8un, Int16un, Int32un, Int64un
i32, i64 = Int32sn, Int64sn


class Doc(str):
    """A doc line that knows the first minor of protocol 7 with what it describes."""

    since: int


def since(minor: int, text: str) -> Doc:
    """The doc line of a struct or member that came with protocol 7.``minor``."""
    doc = Doc(text)
    doc.since = minor
    return doc


def reserved(item: Construct[Any, Any], count: int | None = None) -> Construct[Any, Any]:
    """A member without a meaning: zero when built, whatever it holds when parsed, absent from the lowered class."""
    if count is None:
        return Default(item, 0)
    return Default(Array(count, item), [0] * count)


def c_struct(name: str, doc: str, *members: Construct[Any, Any]) -> Construct[Any, Any]:
    """The declaration of ``struct name``; a last member of variable length is C's flexible array member."""
    return name / Struct(*members) * doc
