"""The wire package against fuse_kernel.h 7.45 as a C compiler sees it, and against what Linux 6.18 was seen to do."""

from __future__ import annotations

import json
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

import pytest

from rawfuse.wire import constants, opcodes, versions
from rawfuse.wire._generated import NOTIFICATION_CLASSES, REQUESTS, STRUCTS
from rawfuse.wire.enums import CONSTANTS, IOCTLS, ExtType, NotifyCode, Opcode, UringCmd
from rawfuse.wire.flags import FLAG_CLASSES, FLAG_MEMBERS, InitFlags
from rawfuse.wire.layout import Layout, layout_of
from rawfuse.wire.opcodes import BY_OPCODE, NOTIFICATIONS, OPERATIONS, Array, Fixed, Name, Payload
from rawfuse.wire.replies import fixed_reply_size
from rawfuse.wire.schema import SCHEMAS
from rawfuse.wire.since import SINCE

DATA = Path(__file__).with_name("data")
ABI: dict[str, Any] = json.loads((DATA / "fuse-abi-7.45.json").read_text())
OPS: dict[str, Any] = json.loads((DATA / "fuse-ops-7.45.json").read_text())
LAYOUTS = layout_of(SCHEMAS)
FLAGS: list[dict[str, Any]] = [item for group in ABI["flags"].values() for item in group] + ABI["init_flags"]


def test_every_struct_is_declared_and_none_is_invented() -> None:
    assert set(SCHEMAS) == set(STRUCTS) == set(ABI["structs"])


@pytest.mark.parametrize("name", ABI["structs"])
def test_struct_has_the_members_offsets_and_sizes_of_the_header(name: str) -> None:
    declared = [(member.name, member.offset, member.size, member.struct) for member in LAYOUTS[name].members]
    fields = ABI["structs"][name]["fields"]
    assert declared == [(item["name"], item["offset"], item["size"], item.get("struct")) for item in fields]
    assert LAYOUTS[name].size == STRUCTS[name].SIZE == ABI["structs"][name]["size"]


@pytest.mark.parametrize("name", ABI["structs"])
def test_member_is_signed_as_in_the_header(name: str) -> None:
    layout: Layout = LAYOUTS[name]
    signed = {item["name"]: item["signed"] for item in ABI["structs"][name]["fields"] if item["kind"] == "int"}
    for member in layout.fields:
        if member.name in signed:
            assert member.code.islower() == signed[member.name], member.name


@pytest.mark.parametrize("name", ABI["structs"])
def test_struct_and_members_know_their_minor(name: str) -> None:
    struct = ABI["structs"][name]
    assert LAYOUTS[name].since == struct["since"]
    assert [member.since for member in LAYOUTS[name].members] == [item["since"] for item in struct["fields"]]


@pytest.mark.parametrize("name", ABI["structs"])
def test_struct_says_what_it_is_for(name: str) -> None:
    assert LAYOUTS[name].doc


@pytest.mark.parametrize(
    ("enum", "items"),
    [
        (Opcode, ABI["opcodes"]),
        (NotifyCode, ABI["notify_codes"]),
        (ExtType, ABI["enums"]["fuse_ext_type"]),
        (UringCmd, ABI["enums"]["fuse_uring_cmd"]),
    ],
)
def test_enum_has_the_names_and_values_of_the_header(enum: type[IntEnum], items: list[dict[str, Any]]) -> None:
    assert {name: member.value for name, member in enum.__members__.items()} == {
        item["name"]: item["value"] for item in items
    }


def test_every_flag_has_its_value_and_is_in_one_class() -> None:
    declared = [(name, member.value) for flags in FLAG_CLASSES for name, member in flags.__members__.items()]
    assert sorted(declared) == sorted((item["name"], item["value"]) for item in FLAGS)


@pytest.mark.parametrize("group", [*ABI["flags"].values(), ABI["init_flags"]])
def test_flags_of_one_word_are_one_class(group: list[dict[str, Any]]) -> None:
    names = {item["name"] for item in group}
    assert sum(set(flags.__members__) == names for flags in FLAG_CLASSES) == 1


def test_flags_of_the_second_init_word_are_in_the_high_half() -> None:
    for item in ABI["init_flags"]:
        shift = 32 if item["word"] == "flags2" else 0
        assert InitFlags[item["name"]].value >> shift == item["word_value"]


def test_flag_members_name_real_members() -> None:
    for struct, member in FLAG_MEMBERS:
        assert member in {field.name for field in LAYOUTS[struct].fields}
    assert all(issubclass(flags, IntFlag) for flags in FLAG_MEMBERS.values())


def test_names_know_the_minor_that_brought_them() -> None:
    items = FLAGS + ABI["opcodes"] + ABI["notify_codes"] + [item for enum in ABI["enums"].values() for item in enum]
    expected = {item["name"]: item["since"] for item in items if item["since"] is not None}
    expected |= {name: item["since"] for name, item in ABI["ioctls"].items() if item["since"] is not None}
    assert expected == SINCE


def test_ioctls_and_constants_have_the_values_of_the_header() -> None:
    assert {name: item["value"] for name, item in ABI["ioctls"].items()} == IOCTLS
    assert ABI["constants"] == CONSTANTS
    assert ABI["compat_sizes"] == versions.COMPAT_SIZES


def test_plain_constants_are_all_there() -> None:
    items = FLAGS + ABI["opcodes"] + ABI["notify_codes"] + [item for enum in ABI["enums"].values() for item in enum]
    expected = {item["name"]: item["value"] for item in items} | IOCTLS | ABI["constants"]
    assert {name: value for name, value in vars(constants).items() if name.isupper()} == expected


def test_every_opcode_has_a_record_and_a_request_class() -> None:
    numbers = {item["value"] for item in ABI["opcodes"] if not item["name"].endswith("BSWAP_RESERVED")}
    assert set(BY_OPCODE) == numbers == set(REQUESTS)
    assert len(OPERATIONS) == len(numbers)
    assert {opcode: cls.__name__ for opcode, cls in REQUESTS.items()} == {
        operation.opcode: operation.request for operation in OPERATIONS
    }


def _request_shape(operation: opcodes.Operation | opcodes.Notice) -> list[str]:
    shape = []
    for part in operation.body:
        match part:
            case Fixed(struct):
                shape.append(struct)
            case Name():
                shape.append("name")
            case Payload(_, size):
                shape.append(f"bytes:{size}")
            case Array(_, struct, count):
                shape.append(f"array:{struct or 'u64'}:{count}")
    return shape


@pytest.mark.parametrize("seen", OPS["operations"], ids=lambda seen: str(seen["name"]))
def test_record_says_what_the_kernel_sends(seen: dict[str, Any]) -> None:
    operation = BY_OPCODE[seen["opcode"]]
    assert (operation.name, operation.since) == (seen["name"], seen["since"])
    assert operation.nodeid == seen["nodeid"].replace("0", "none")
    assert _request_shape(operation) == seen["request"]
    fixed = sum(LAYOUTS[part.struct].size for part in operation.body if isinstance(part, Fixed))
    assert fixed == seen["request_fixed_size"]


@pytest.mark.parametrize("seen", OPS["operations"], ids=lambda seen: str(seen["name"]))
def test_record_says_what_the_kernel_wants_back(seen: dict[str, Any]) -> None:
    reply = BY_OPCODE[seen["opcode"]].reply
    match reply.kind:
        case "fixed":
            assert list(reply.structs) == seen["reply"]
            assert fixed_reply_size(seen["opcode"], 45) == seen["reply_fixed_size"]
        case "empty" | "none":
            assert seen["reply"] == [reply.kind]
        case "optional":
            assert seen["reply"][0].startswith("optional empty")
        case "bytes":
            assert seen["reply"] == [f"var:{reply.limit}"]
        case "dirents":
            assert seen["reply"] == [f"dirents:{reply.structs[0]}:{reply.limit}"]
        case "xattr":
            assert seen["reply"] == [f"size==0:{reply.structs[0]} else var:{reply.limit}"]
        case "prefix":
            assert seen["reply"] == [f"var:{reply.structs[0]}"]
        case "head":
            assert seen["reply"] == [*reply.structs, f"var:{reply.limit}"]
        case _:
            raise AssertionError(reply.kind)


@pytest.mark.parametrize("seen", OPS["operations"], ids=lambda seen: str(seen["name"]))
def test_record_says_whether_enosys_is_remembered(seen: dict[str, Any]) -> None:
    enosys = BY_OPCODE[seen["opcode"]].enosys
    remembered = seen["enosys"].startswith("remember") or seen["name"] == "FUSE_INIT"
    assert enosys.remembered == remembered
    if seen["enosys"].startswith("remember:E"):
        assert enosys.becomes.startswith(seen["enosys"].removeprefix("remember:").split()[0])
    assert bool(enosys.becomes) or seen["enosys"] in ("never", "-")


@pytest.mark.parametrize("seen", OPS["notify"], ids=lambda seen: str(seen["name"]))
def test_notification_has_its_record_and_class(seen: dict[str, Any]) -> None:
    notice = next(item for item in NOTIFICATIONS if item.code == seen["code"])
    assert notice.name == seen["name"]
    assert _request_shape(notice) == seen["body"]
    assert NOTIFICATION_CLASSES[notice.code].__name__ == notice.message
    assert notice.since == next(item["since"] for item in ABI["notify_codes"] if item["value"] == notice.code)


@pytest.mark.parametrize("entry", OPS["versioned_sizes"], ids=lambda entry: str(entry["struct"]))
def test_older_sizes_are_known(entry: dict[str, Any]) -> None:
    name = entry["struct"]
    if name in ("fuse_read_in", "BATCH_FORGET"):
        assert name not in versions.SIZES
    elif name == "fuse_setxattr_in":
        assert versions.SETXATTR_COMPAT_SIZE == entry["sizes"][0][1]
    else:
        assert [list(item) for item in versions.SIZES[name]] == entry["sizes"]
        assert versions.size_at(name, 0, 45) == LAYOUTS[name].size
