"""`rawfuse decode`: lines, filters, fields over bytes, statistics, JSON."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from rawfuse import wire
from rawfuse.trace.exchanges import Exchange, exchanges
from rawfuse.trace.opening import read_trace, write_trace
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import Request
from rawfuse.wire.base import WireStruct
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS
from rawfuse.wire.requests import encode_notification, encode_request
from tools.decode.command import main
from tools.decode.dump import dump, fields
from tools.decode.figures import HEADINGS
from tools.decode.filters import BadFilter, by_error, by_opcode, by_path, slower_than
from tools.decode.lines import Style, line
from tools.decode.values import field_text, fields_of, flag_names, name_text, open_flag_names

START = 1_700_000_000_000_000_000
FILE = stat.S_IFREG | 0o644
ENTRY = wire.fuse_entry_out(nodeid=5, attr=wire.fuse_attr(ino=5, mode=FILE, size=7, mtime=9, mtimensec=5))


class Making:
    """A trace that is made message by message, a millisecond between any two."""

    def __init__(self) -> None:
        self.messages: list[Traced] = []
        self._unique = 0

    def _add(self, direction: Direction, data: bytes, program: bytes = b"") -> None:
        moment = START + len(self.messages) * 1_000_000
        self.messages.append(Traced(moment, direction, data, len(data), minor=45, setxattr_ext=True, program=program))

    def call(self, request: Request, *reply: WireStruct | bytes, error: int = 0, program: bytes = b"cat") -> None:
        self._unique += 2
        request.unique = self._unique
        self._add(Direction.TO_SERVER, encode_request(request), program)
        body = b"".join(part if isinstance(part, bytes) else part.pack() for part in reply)
        header = wire.fuse_out_header(len=16 + len(body), error=-error, unique=self._unique)
        self._add(Direction.TO_KERNEL, header.pack() + body)

    def notify(self, notification: wire.Notification) -> None:
        self._add(Direction.TO_KERNEL, encode_notification(notification))


@pytest.fixture
def making() -> Making:
    made = Making()
    made.call(wire.Lookup(nodeid=1, pid=41, name=b"missing"), error=2)
    made.call(wire.Lookup(nodeid=1, pid=42, name=b"file"), ENTRY)
    made.call(wire.Open(nodeid=5, pid=42, arg=wire.fuse_open_in(flags=os.O_RDWR)), wire.fuse_open_out(fh=3))
    made.call(wire.Read(nodeid=5, pid=42, arg=wire.fuse_read_in(fh=3, size=4096)), b"content")
    made.notify(wire.NotifyInvalInode(arg=wire.fuse_notify_inval_inode_out(ino=5)))
    return made


@pytest.fixture
def trace(making: Making, tmp_path: Path) -> Path:
    write_trace(tmp_path / "t.pcapng", making.messages)
    return tmp_path / "t.pcapng"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[str]:
    assert main([str(word) for word in arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_one_line_says_opcode_path_arguments_outcome_latency_and_program(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(capsys, trace)
    assert [" ".join(one.split()) for one in lines] == [
        "0.000000 LOOKUP /missing = ENOENT <1.0 ms> cat[41]",
        "0.002000 LOOKUP /file = nodeid 5, -rw-r--r-- (0o100644), 7 bytes <1.0 ms> cat[42]",
        "0.004000 OPEN /file flags=O_RDWR = fh 3 <1.0 ms> cat[42]",
        "0.006000 READ /file fh=3 size=4096 flags=O_RDONLY = 7 bytes <1.0 ms> cat[42]",
        "0.008000 NOTIFY_INVAL_INODE /file ino=5",
    ]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ((), 5),
        (("--opcode", "lookup"), 2),
        (("--opcode", "READ,OPEN"), 2),
        (("--opcode", "NOTIFY_*"), 1),
        (("--opcode", "1"), 2),
        (("--path", "/file"), 4),
        (("--path", "/*s*"), 1),
        (("--path", "/"), 5),
        (("--pid", "41"), 1),
        (("--program", "c?t"), 4),
        (("--error", "ENOENT"), 1),
        (("--error", "2"), 1),
        (("--error", "any"), 1),
        (("--slower", "500us"), 4),
        (("--slower", "2ms"), 0),
        (("--opcode", "LOOKUP", "--pid", "42"), 1),
    ],
)
def test_filters_show_what_holds(
    trace: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], count: int
) -> None:
    assert len(shown(capsys, trace, *arguments)) == count


@pytest.mark.parametrize(
    ("make", "text"),
    [(by_opcode, "LOKUP"), (by_error, "EWHAT"), (by_error, "strerror"), (slower_than, "fast"), (slower_than, "5h")],
)
def test_a_filter_that_cannot_be_says_what_can(make: object, text: str) -> None:
    with pytest.raises(BadFilter, match=text.upper() if make is by_opcode else text):
        make(text)  # type: ignore[operator]


def test_a_path_is_not_a_prefix_of_a_name(making: Making) -> None:
    (found,) = [one for one in exchanges(making.messages) if by_path("/missing")(one)]
    assert not by_path("/miss")(found)


def test_statistics_count_errors_and_latencies(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = [row.split("\t") for row in shown(capsys, trace, "--stats")]
    assert tuple(head) == HEADINGS
    assert rows[0] == ["LOOKUP", "2", "1", "1000.0", "1000.0", "1000.0", "ENOENT:1"]
    assert {row[0]: row[1] for row in rows} == {"LOOKUP": "2", "OPEN": "1", "READ": "1", "NOTIFY_INVAL_INODE": "1"}


def test_json_has_an_object_a_line(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing, found, opened, read, notified = map(json.loads, shown(capsys, trace, "--json", "--data"))
    assert (missing["error"], missing["path"], missing["program"]) == ("ENOENT", "/missing", "cat")
    assert found["reply"]["attr"]["size"] == 7
    assert opened["fields"]["arg"]["flags_names"] == ["O_RDWR"]
    assert read["reply"] == "content"
    assert notified["kind"] == "notification"


def test_payloads_of_json_are_their_lengths_or_base64(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Making()
    made.call(wire.Read(nodeid=5, arg=wire.fuse_read_in(size=9)), b"\0\1")
    write_trace(tmp_path / "t", made.messages)
    assert json.loads(shown(capsys, tmp_path / "t", "--json")[0])["reply"] == {"bytes": 2}
    assert json.loads(shown(capsys, tmp_path / "t", "--json", "--data")[0])["reply"]["base64"] == "AAE="


def samples() -> list[Exchange]:
    """An exchange of every opcode and notification, with what it has at the least."""
    made = Making()
    for operation in OPERATIONS:
        request = getattr(wire, operation.request)()
        for part in operation.body:
            attribute = getattr(part, "attribute", "")
            if type(part).__name__ == "Name":
                setattr(request, attribute, b"name")
        made.call(request, error=5)
    for notice in NOTIFICATIONS:
        notification = getattr(wire, notice.message)()
        if hasattr(notification, "name"):
            notification.name = b"name"
            notification.arg.namelen = 4
        made.notify(notification)
    return list(exchanges(made.messages))


@pytest.mark.parametrize("exchange", samples(), ids=lambda one: line(one, Style(start=0)).split()[1])
def test_every_message_has_a_line_and_fields_without_gaps(exchange: Exchange) -> None:
    assert line(exchange, Style())
    for message in (exchange.sent, exchange.answer):
        if message is not None:
            at = 0
            for one in fields(message, exchange):
                assert one.offset == at
                at += one.length
            assert at == len(message.data)
            assert list(dump(message, exchange))


def test_fields_stand_over_their_bytes(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, trace, "--opcode", "READ", "--hex")
    assert any(
        one.split()[:5] == ["000038", "00", "10", "00", "00"] and "fuse_read_in.size = 4096" in one for one in lines
    )
    assert any("63 6f 6e 74 65 6e 74" in one and "|content|" in one for one in lines)


def test_a_damaged_file_shows_what_was_before_and_fails(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(trace, "ab") as file:
        file.write(b"\6\0\0\0\7\0\0\0")
    assert main([str(trace)]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 5
    assert "a block of 7 bytes" in err


def test_a_file_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err


def test_colour_is_for_terminals_alone(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not any("\033" in one for one in shown(capsys, trace))
    assert any("\033[1;31mENOENT" in one for one in shown(capsys, trace, "--colour", "always"))


def test_names_and_flags_are_written_for_people() -> None:
    assert name_text(b"plain name") == "plain name"
    assert name_text(b"new\nline\xff") == "new\\x0aline\\xff"
    assert open_flag_names(os.O_WRONLY | os.O_TRUNC | os.O_SYNC) == "O_WRONLY|O_SYNC|O_TRUNC"
    assert flag_names("fuse_setattr_in", "valid", 1 | 8 | 1 << 30) == "FATTR_MODE|FATTR_SIZE|0x40000000"
    assert dict(fields_of(ENTRY))["attr.mtime"] == "9.000000005"


def test_a_trace_of_any_format_is_decoded(making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("fusedump", "fusedump1"):
        write_trace(tmp_path / form, making.messages, form)
        assert len(list(read_trace(tmp_path / form))) == len(making.messages)
        assert len(shown(capsys, tmp_path / form)) == 5


@pytest.mark.parametrize(
    ("struct", "member", "value", "text"),
    [
        ("fuse_access_in", "mask", 5, "R_OK|X_OK"),
        ("fuse_fallocate_in", "mode", 3, "FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE"),
        ("fuse_fallocate_in", "mode", 0, "0"),
        ("fuse_rename2_in", "flags", 0x12, "RENAME_EXCHANGE|0x10"),
        ("fuse_setxattr_in", "flags", 2, "XATTR_REPLACE"),
        ("fuse_lseek_in", "whence", 4, "SEEK_HOLE"),
        ("fuse_lseek_in", "whence", 9, "9"),
        ("fuse_file_lock", "type", 1, "F_WRLCK"),
        ("fuse_dirent", "type", 4, "DT_DIR"),
        ("fuse_statx_in", "sx_mask", 0x800, "STATX_BTIME"),
        ("fuse_poll_in", "events", 5, "POLLIN|POLLOUT"),
    ],
)
def test_numbers_of_other_interfaces_have_their_names(struct: str, member: str, value: int, text: str) -> None:
    assert field_text(struct, member, value) == text
