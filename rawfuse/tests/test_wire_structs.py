"""The lowered structs against the Construct declarations they come from."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawfuse.tests.wire_samples import few, structs
from rawfuse.wire import STRUCTS, WireStruct, fuse_attr, fuse_entry_out, fuse_syncfs_in
from rawfuse.wire import lower as lowering
from rawfuse.wire.layout import layout_of
from rawfuse.wire.schema import SCHEMAS

LAYOUTS = layout_of(SCHEMAS)
FLEXIBLE = {"fuse_dirent", "fuse_direntplus", "fuse_supp_groups"}


def _as_dict(value: WireStruct) -> dict[str, Any]:
    found = {}
    for name in value.FIELDS:
        item = getattr(value, name)
        found[name] = _as_dict(item) if isinstance(item, WireStruct) else item
    return found


def _with_empty_tail(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """What Construct wants besides: a flexible member, of which the lowered class knows only the count."""
    if name == "fuse_dirent":
        value["name"] = b""
    elif name == "fuse_direntplus":
        value["dirent"]["name"] = b""
    elif name == "fuse_supp_groups":
        value["groups"] = []
    return value


def _contains(parsed: Any, expected: Mapping[str, Any]) -> bool:
    for name, value in expected.items():
        if isinstance(value, dict):
            if not _contains(parsed[name], value):
                return False
        elif parsed[name] != value:
            return False
    return True


def _without_tail(name: str, value: WireStruct) -> WireStruct:
    any_value: Any = value
    if name == "fuse_dirent":
        any_value.namelen = 0
    elif name == "fuse_direntplus":
        any_value.dirent.namelen = 0
    elif name == "fuse_supp_groups":
        any_value.nr_groups = 0
    return value


@pytest.mark.parametrize("name", STRUCTS)
@few
@given(data=st.data())
def test_lowered_and_declared_struct_agree_both_ways(name: str, data: st.DataObject) -> None:
    value = _without_tail(name, data.draw(structs(name)))
    fields = _with_empty_tail(name, _as_dict(value))
    packed = value.pack()
    assert packed == SCHEMAS[name].build(fields)
    assert _contains(SCHEMAS[name].parse(packed), fields)
    assert STRUCTS[name].unpack_from(packed) == value


@pytest.mark.parametrize("name", [name for name in STRUCTS if name not in FLEXIBLE])
@few
@given(data=st.data())
def test_any_bytes_are_read_alike(name: str, data: st.DataObject) -> None:
    cls = STRUCTS[name]
    raw = data.draw(st.binary(min_size=cls.SIZE, max_size=cls.SIZE))
    assert _contains(SCHEMAS[name].parse(raw), _as_dict(cls.unpack_from(raw)))


@pytest.mark.parametrize("name", STRUCTS)
def test_every_value_lands_at_its_offset(name: str) -> None:
    layout = LAYOUTS[name]
    for member in layout.fields:
        if member.struct is not None or member.code.endswith("s"):
            continue
        cls: Any = STRUCTS[name]
        packed = cls(**{member.name: 1}).pack()
        expected = struct.pack("=" + member.code, 1)
        assert packed[member.offset : member.offset + member.size] == expected
        assert sum(packed) == 1


@pytest.mark.parametrize("name", STRUCTS)
def test_flat_packing_of_zeros_is_the_default_struct(name: str) -> None:
    cls: Any = STRUCTS[name]
    zeros = struct.unpack(cls.FORMAT, bytes(cls.SIZE))
    assert cls.pack_flat(*zeros) == cls().pack() == bytes(cls.SIZE)


def test_packs_into_a_buffer_at_an_offset() -> None:
    buffer = bytearray(b"\xff" * (8 + fuse_attr.SIZE + 8))
    fuse_attr(ino=3, mode=0o100644).pack_into(buffer, 8)
    assert buffer[:8] == buffer[-8:] == b"\xff" * 8
    assert fuse_attr.unpack_from(buffer, 8) == fuse_attr(ino=3, mode=0o100644)


def test_reads_at_an_offset_of_a_memoryview() -> None:
    raw = b"abc" + fuse_entry_out(nodeid=7, attr=fuse_attr(ino=7, size=9)).pack()
    assert fuse_entry_out.unpack_from(memoryview(raw), 3).attr.size == 9


def test_too_few_bytes_are_an_error_even_without_fields() -> None:
    with pytest.raises(struct.error):
        fuse_syncfs_in.unpack_from(b"1234567")


def test_a_number_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(struct.error):
        fuse_attr(mode=1 << 32).pack()


def test_structs_differ_when_one_field_does() -> None:
    assert fuse_attr(ino=1) != fuse_attr(ino=2)
    assert fuse_attr() != fuse_syncfs_in()


def test_each_default_entry_has_attributes_of_its_own() -> None:
    one, other = fuse_entry_out(), fuse_entry_out()
    one.attr.size = 1
    assert other.attr.size == 0


def test_generated_modules_are_not_stale() -> None:
    for path, text in lowering.outputs().items():
        assert path.read_text(encoding="ascii") == text, f"{path.name}: run python -m rawfuse.wire.lower"
    assert lowering.main(["--check"]) == 0
