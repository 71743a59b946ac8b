"""Strategies for every request and notification, made from the opcode table."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from rawfuse.wire import (
    NOTIFICATION_CLASSES,
    REQUESTS,
    STRUCTS,
    Notification,
    Request,
    SecurityContext,
    SecurityContexts,
    SupplementaryGroups,
    WireStruct,
)
from rawfuse.wire.layout import layout_of
from rawfuse.wire.opcodes import Array, Body, Fixed, Name, Notice, Operation, Payload
from rawfuse.wire.schema import SCHEMAS

LAYOUTS = layout_of(SCHEMAS)
U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)
BITS = {"B": 8, "H": 16, "I": 32, "Q": 64, "i": 32, "q": 64}

few = settings(max_examples=15)
"""For tests that run once for each struct or opcode."""

names = st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"\0", b"n"))
entries = names.map(lambda raw: raw.replace(b"/", b"n"))


def integers(code: str) -> st.SearchStrategy[int]:
    """Every number that fits a struct code."""
    bits = BITS[code]
    if code.islower():
        return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
    return st.integers(0, (1 << bits) - 1)


@cache
def structs(name: str) -> st.SearchStrategy[WireStruct]:
    """Every value of a struct that the wire can carry."""
    cls: Any = STRUCTS[name]
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for member in LAYOUTS[name].fields:
        if member.struct is not None:
            fields[member.name] = structs(member.struct)
        elif member.code.endswith("s"):
            fields[member.name] = st.binary(min_size=member.size, max_size=member.size)
        else:
            fields[member.name] = integers(member.code)
    return st.builds(cls, **fields)


extensions = st.lists(
    st.one_of(
        st.builds(
            SecurityContexts,
            st.lists(st.builds(SecurityContext, names, st.binary(max_size=20)), max_size=3).map(tuple),
        ),
        st.builds(SupplementaryGroups, st.lists(U32, max_size=3).map(tuple)),
    ),
    max_size=2,
).map(tuple)


def _fields(body: Body) -> dict[str, st.SearchStrategy[Any]]:
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for part in body:
        match part:
            case Fixed(struct):
                fields["arg"] = structs(struct)
            case Name(attribute, entry):
                fields[attribute] = entries if entry else names
            case Payload(attribute):
                fields[attribute] = st.binary(max_size=60)
            case Array(attribute, ""):
                fields[attribute] = st.lists(U64, max_size=4)
            case Array(attribute, struct):
                fields[attribute] = st.lists(structs(struct), max_size=4)
    return fields


@cache
def requests(operation: Operation) -> st.SearchStrategy[Request]:
    """Requests of one opcode with every number at random; counts are right once they were encoded."""
    cls: Any = REQUESTS[operation.opcode]
    fields = {"unique": U64, "nodeid": U64, "uid": U32, "gid": U32, "pid": U32, **_fields(operation.body)}
    if operation.extensible:
        fields["extensions"] = extensions
    return st.builds(cls, **fields)


@cache
def notifications(notice: Notice) -> st.SearchStrategy[Notification]:
    """Notifications of one code."""
    return st.builds(NOTIFICATION_CLASSES[notice.code], **_fields(notice.body))
