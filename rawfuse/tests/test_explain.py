"""`rawfuse explain`: every name has a page that says something, and names are found as people type them."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest

from rawfuse.cli import main
from rawfuse.explain import Item, UnknownName, catalogue, find
from rawfuse.explain.numbers import member_docs
from rawfuse.explain.structs import layouts
from rawfuse.wire.enums import CONSTANTS, ENUM_CLASSES, IOCTLS, NUMBER_DOCS, NotifyCode, Opcode
from rawfuse.wire.errnos import ERRNOS
from rawfuse.wire.flags import FLAG_CLASSES
from rawfuse.wire.meanings import MEANINGS
from rawfuse.wire.opcodes import BY_OPCODE, NOTIFICATIONS, OPERATIONS


def sentence(text: str) -> bool:
    return len(text) > 2 and text.rstrip("\"')").endswith((".", "?"))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_every_opcode_says_what_it_does_when_it_comes_and_what_errors_do(operation: object) -> None:
    opcode = operation.opcode  # type: ignore[attr-defined]
    record, meaning = BY_OPCODE[opcode], MEANINGS[opcode]
    assert sentence(record.doc) and sentence(meaning.when) and all(map(sentence, meaning.notes))
    assert bool(meaning.errors) == (record.reply.kind != "none")
    for name, text in meaning.errors:
        assert hasattr(errno, name) and len(text) > 2 and not text.endswith(".")
    assert len({name for name, _ in meaning.errors}) == len(meaning.errors)


def test_meanings_are_of_opcodes_that_exist() -> None:
    assert set(MEANINGS) == set(BY_OPCODE)


@pytest.mark.parametrize("struct", layouts())
def test_every_struct_and_every_member_says_what_it_is(struct: str) -> None:
    assert sentence(layouts()[struct].doc)
    assert [member.name for member in layouts()[struct].members if not (member.reserved or sentence(member.doc))] == []


@pytest.mark.parametrize("cls", [*FLAG_CLASSES, *ENUM_CLASSES])
def test_every_flag_and_enum_value_says_what_it_does(cls: type) -> None:
    own_records = {operation.name for operation in OPERATIONS} | {notice.name for notice in NOTIFICATIONS}
    docs = member_docs(cls)
    missing = [name for name in cls.__members__ if name not in own_records and not sentence(docs.get(name, ""))]  # type: ignore[attr-defined]
    assert missing == []
    assert cls.__doc__


def test_every_notification_ioctl_and_constant_says_what_it_does() -> None:
    assert all(sentence(notice.doc) for notice in NOTIFICATIONS)
    assert set(NUMBER_DOCS) == set(IOCTLS) | set(CONSTANTS)
    assert all(map(sentence, NUMBER_DOCS.values()))


def test_errnos_with_a_meaning_to_fuse_exist_and_are_explained() -> None:
    assert all(hasattr(errno, name) for name in ERRNOS)
    assert all(sentence(text) for texts in ERRNOS.values() for text in texts)


@pytest.mark.parametrize("item", catalogue(), ids=lambda item: f"{item.kind}-{item.name}")
def test_every_page_fits_a_terminal_and_is_json(item: Item) -> None:
    page = item.page()
    text = page.text()
    assert text.startswith(f"NAME\n       {item.name} - {item.kind}")
    assert "SOURCE\n" in text and page.summary
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii() and "`" not in text
    assert json.loads(json.dumps(page.as_json()))["name"] == item.name


def test_every_name_of_the_header_has_one_page() -> None:
    names = [item.name for item in catalogue()]
    header = {name for cls in (*FLAG_CLASSES, *ENUM_CLASSES) for name in cls.__members__}
    assert header | set(layouts()) | set(IOCTLS) | set(CONSTANTS) <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("asked", "kind", "name"),
    [
        ("FUSE_LOOKUP", "opcode", "FUSE_LOOKUP"),
        ("lookup", "opcode", "FUSE_LOOKUP"),
        ("GetAttr", "opcode", "FUSE_GETATTR"),
        ("1", "opcode", "FUSE_LOOKUP"),
        ("0x35", "opcode", "FUSE_COPY_FILE_RANGE_64"),
        ("fuse_attr", "struct", "fuse_attr"),
        ("struct fuse_attr", "struct", "fuse_attr"),
        ("attr", "struct", "fuse_attr"),
        ("statx", "opcode", "FUSE_STATX"),
        ("fuse_statx", "struct", "fuse_statx"),
        ("attr.mode", "member", "fuse_attr.mode"),
        ("fuse_entry_out.attr.mode", "member", "fuse_entry_out.attr.mode"),
        ("keep_cache", "flag", "FOPEN_KEEP_CACHE"),
        ("MAX_PAGES", "flag", "FUSE_MAX_PAGES"),
        ("initflags", "flags", "InitFlags"),
        ("Opcode", "enum", "Opcode"),
        ("notify_store", "notify code", "FUSE_NOTIFY_STORE"),
        ("INC_EPOCH", "notify code", "FUSE_NOTIFY_INC_EPOCH"),
        ("poll", "opcode", "FUSE_POLL"),
        ("backing_open", "ioctl", "FUSE_DEV_IOC_BACKING_OPEN"),
        ("0xe503", "ioctl", "FUSE_DEV_IOC_SYNC_INIT"),
        ("0x1a000000", "enum value", "FUSE_INIT_BSWAP_RESERVED"),
        ("enosys", "errno", "ENOSYS"),
        ("-38", "errno", "ENOSYS"),
        ("EWOULDBLOCK", "errno", "EWOULDBLOCK"),
        ("root_id", "constant", "FUSE_ROOT_ID"),
        ("7.38", "protocol", "7.38"),
    ],
)
def test_a_name_is_found_as_people_type_it(asked: str, kind: str, name: str) -> None:
    found = find(asked).item
    assert (found.kind, found.name) == (kind, name)


def test_every_name_finds_itself() -> None:
    assert [item.name for item in catalogue() if find(item.name).item.name != item.name] == []


def test_a_number_tells_what_else_has_it() -> None:
    assert {item.name for item in find("3").others} >= {"FUSE_NOTIFY_INVAL_ENTRY", "ESRCH"}


@pytest.mark.parametrize(
    ("asked", "near"),
    [("LOKUP", "FUSE_LOOKUP"), ("entry_valid", "fuse_entry_out.entry_valid"), ("pages", "FUSE_MAX_PAGES")],
)
def test_an_unknown_name_is_told_what_is_near(asked: str, near: str) -> None:
    with pytest.raises(UnknownName) as caught:
        find(asked)
    assert near in caught.value.near


def test_a_page_says_what_the_codec_goes_by() -> None:
    text = find("FUSE_MKNOD").item.page().text()
    assert "fuse_mknod_in (16 bytes; 8 before 7.12)" in text
    assert "fuse_entry_out (128 bytes; 120 before 7.9)" in text
    assert "u32  umask" in text
    assert "rawfuse.wire.MkNod; rawfuse.Filesystem.mknod" in text
    assert "7.1\n" in text


def test_enosys_is_told_as_the_record_has_it() -> None:
    page = find("LINK").item.page().as_json()
    assert page["sections"]["errors"][-1]["becomes"] == "EPERM"
    assert page["sections"]["errors"][-1]["remembered"] is True


def test_the_page_of_enosys_has_what_every_opcode_makes_of_it() -> None:
    entries = find("ENOSYS").item.page().as_json()["sections"]["in_replies_to"]
    answered = [operation.name for operation in OPERATIONS if operation.reply.kind != "none"]
    assert [entry["term"] for entry in entries] == answered


def test_the_command_prints_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "read", "ENOENT"]) == 0
    out = capsys.readouterr().out
    assert "FUSE_READ - opcode 15" in out and "ENOENT - errno 2" in out
    assert "\033" not in out


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--json", "7"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "FUSE_NOTIFY_RESEND"
    assert main(["explain", "--json", "read", "write"]) == 0
    assert [page["number"] for page in json.loads(capsys.readouterr().out)] == [15, 16]


def test_the_command_lists_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert all(f" {item.name} " in out.replace("\n", " \n") for item in catalogue())
    assert main(["explain", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == [item.name for item in catalogue()]


def test_the_command_does_not_know_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "LOKUP"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "'LOKUP'" in told.err and "FUSE_LOOKUP" in told.err


def test_reserved_numbers_and_codes_are_no_second_pages() -> None:
    kinds = {item.name: item.kind for item in catalogue()}
    assert {kinds[name] for name in NotifyCode.__members__} == {"notify code"}
    assert {kinds[name] for name in Opcode.__members__} == {"opcode", "enum value"}


def test_construct_comes_only_when_something_is_explained() -> None:
    program = "import sys, rawfuse.cli; sys.exit('construct' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
