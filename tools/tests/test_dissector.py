"""The Lua dissector in a real tshark, held against our own decoding."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from typing import Final, NamedTuple
from xml.etree import ElementTree

import pytest

from rawfuse import wire
from rawfuse.explain.structs import layouts
from rawfuse.trace.exchanges import Exchange, exchanges
from rawfuse.trace.opening import write_trace
from rawfuse.trace.pcapng import PSEUDO_HEADER
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire.opcodes import NOTIFICATIONS, OPERATIONS
from tools.decode.dump import fields
from tools.dissector.command import main
from tools.dissector.fields import abbreviation, struct_key
from tools.dissector.generate import dissector
from tools.tests.made_traces import Made, everything

TSHARK: Final = pytest.mark.kernel(programs=("tshark",))


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dissector") / "fuse.lua"
    path.write_text(dissector(), "ascii")
    return path


def tshark(script: Path, trace: Path, *arguments: str) -> str:
    """What tshark says of a trace. Anything wrong with the script is on its standard error, or is a Lua error."""
    environment = {**os.environ, "HOME": str(script.parent), "LC_ALL": "C.UTF-8"}
    command = ["tshark", "-X", f"lua_script:{script}", "-r", str(trace), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "Lua" not in ran.stderr
    assert "Lua Error" not in ran.stdout
    return ran.stdout


class Seen(NamedTuple):
    """A field of a message: its name behind `fuse.`, where it lies in the message, its bytes, what is shown."""

    name: str
    offset: int
    raw: str
    show: str


_STRUCTS: Final = {f"fuse.{struct_key(name)}" for name in layouts()}


def _packets(pdml: str) -> Iterator[list[Seen]]:
    """The fields of each packet that lie in the message; generated ones and single bits left out."""
    for packet in ElementTree.fromstring(pdml).iter("packet"):
        seen = []
        for field in packet.iter("field"):
            name, offset = field.get("name", ""), int(field.get("pos", 0)) - PSEUDO_HEADER.size
            if not name.startswith("fuse.") or not int(field.get("size", 0)) or offset < 0 or name in _STRUCTS:
                continue
            if "unmaskedvalue" not in field.attrib:
                seen.append(Seen(name.removeprefix("fuse."), offset, field.get("value", ""), field.get("show", "")))
        yield seen


def _leaf(name: str, message: Traced) -> str:
    """`attr.mode` for `fuse_entry_out.attr.mode`: what the dissector calls a field of ours."""
    struct, _, rest = name.partition(".")
    if not rest:
        return name
    member, _, inner = rest.partition(".")
    while inner:
        struct = next(str(one.struct) for one in layouts()[struct].members if one.name == member)
        member, _, inner = inner.partition(".")
    if (struct, member) == ("fuse_out_header", "error"):
        return "error" if int.from_bytes(message.data[8:16], "little") else "notify"
    return abbreviation(struct, member)


def _expected(message: Traced, exchange: Exchange) -> list[tuple[str, int, str]]:
    return [
        (_leaf(one.name, message), one.offset, message.data[one.offset : one.offset + one.length].hex())
        for one in fields(message, exchange)
        if one.length
    ]


def _by_message(messages: list[Traced]) -> dict[int, Exchange]:
    found = {}
    for exchange in exchanges(messages):
        for message in (exchange.sent, exchange.answer):
            if message is not None:
                found[message.time] = exchange
    return found


@TSHARK
@pytest.mark.parametrize(("minor", "setxattr_ext"), [(45, True), (22, False), (4, False)])
def test_every_field_of_every_message_is_where_our_own_decoding_has_it(
    script: Path, tmp_path: Path, minor: int, setxattr_ext: bool
) -> None:
    messages = everything(minor, minor=minor, setxattr_ext=setxattr_ext)
    trace = tmp_path / "t.pcapng"
    write_trace(trace, messages)
    ours = _by_message(messages)
    pdml = tshark(script, trace, "-T", "pdml")
    packets = list(_packets(pdml))
    assert len(packets) == len(messages)
    for message, packet in zip(messages, packets, strict=True):
        assert [one[:3] for one in packet] == _expected(message, ours[message.time])
        for seen, field in zip(packet, _numbers(message, ours[message.time]), strict=True):
            assert field is None or _number(seen.show) == field, seen
    for problem in ("malformed", "unmatched", "unknown", "truncated"):
        assert f"fuse.{problem}" not in pdml
    assert minor < 45 or {one.name.partition(".")[0] for packet in packets for one in packet} >= _ON_THE_WIRE


# Structs of the device's ioctls and of io_uring are in no message.
_ELSEWHERE: Final = {"backing_map", "uring_ent_in_out", "uring_req_header", "uring_cmd_req", "in_header", "out_header"}
# These hold nothing but other structs, and fuse_secctx_header is a fuse_ext_header.
_OUTER: Final = {"direntplus", "lk_out", "statfs_out", "secctx_header"}
_ON_THE_WIRE: Final = {name.removeprefix("fuse_") for name in layouts()} - _ELSEWHERE - _OUTER


def _number(show: str) -> int:
    return int(show, 16 if show.startswith("0x") else 8 if show.startswith("0") else 10)


def _numbers(message: Traced, exchange: Exchange) -> list[int | None]:
    """What the fields say, by the codes of the schema; None for names, payloads and reserved bytes."""
    found: list[int | None] = []
    for one in fields(message, exchange):
        if one.length:
            code = _CODES.get(_leaf(one.name, message), "")
            raw = message.data[one.offset : one.offset + one.length]
            found.append(int.from_bytes(raw, "little", signed=code.islower()) if code else None)
    return found


_CODES: Final = {"notify": "i"} | {
    abbreviation(struct, member.name): member.code
    for struct, layout in layouts().items()
    for member in layout.members
    if not member.reserved
}


def _lines(script: Path, trace: Path, shown: str, *wanted: str) -> list[str]:
    arguments = [word for field in wanted for word in ("-e", field)]
    return tshark(script, trace, "-Y", shown, "-T", "fields", *arguments).splitlines()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    made = Made(1)
    entry = wire.fuse_entry_out(nodeid=5, attr=wire.fuse_attr(ino=5, mode=0o40755)).pack()
    made.call(wire.Lookup(nodeid=1, name=b"x"), error=2)
    made.call(wire.Lookup(nodeid=1, name=b"dir"), entry)
    made.call(wire.Lookup(nodeid=5, name=b"x \xc3\xa9"), entry.replace(b"\x05", b"\x09"))
    made.call(wire.Open(nodeid=9, arg=wire.fuse_open_in(flags=os.O_RDWR | os.O_TRUNC)), wire.fuse_open_out(3, 2).pack())
    made.call(wire.Rename(nodeid=5, arg=wire.fuse_rename_in(1), name="x \xe9".encode(), newname=b"y"))
    made.call(wire.Read(nodeid=9, arg=wire.fuse_read_in(fh=3, size=9)), b"content", program=b"head")
    made.notify(2)
    write_trace(tmp_path / "t.pcapng", made.messages)
    return tmp_path / "t.pcapng"


@TSHARK
def test_filters_by_name_flag_error_and_program(script: Path, trace: Path) -> None:
    found = _lines(script, trace, 'fuse.opcode == 1 && fuse.name == "x"', "frame.number", "fuse.error")
    assert found == ["1\t", "2\t-2"]
    flags = "fuse.open_in.flags.o_trunc == 1 || fuse.open_out.open_flags.fopen_keep_cache == 1"
    by_other = f'{flags} || fuse.trace.program == "head" || fuse.notify == 2'
    assert _lines(script, trace, by_other, "frame.number") == ["7", "8", "11", "13"]


@TSHARK
def test_replies_are_joined_to_their_requests_and_paths_are_followed(script: Path, trace: Path) -> None:
    wanted = ("fuse.request_in", "fuse.opcode", "fuse.path", "fuse.latency", "fuse.newpath")
    assert _lines(script, trace, "fuse.error", *wanted) == [
        "1\t1\t/x\t0.001234567\t",
        "3\t1\t/dir\t0.001234567\t",
        "5\t1\t/dir/x \xe9\t0.001234567\t",
        "7\t14\t/dir/x \xe9\t0.001234567\t",
        "9\t12\t/dir/x \xe9\t0.001234567\t/y",
        "11\t15\t/y\t0.001234567\t",
    ]


@TSHARK
def test_requests_name_their_replies_in_a_second_pass(script: Path, trace: Path) -> None:
    found = tshark(script, trace, "-2", "-T", "fields", "-e", "fuse.reply_in").split()
    assert found == ["2", "4", "6", "8", "10", "12"]


@TSHARK
def test_values_have_their_names_in_what_people_read(script: Path, trace: Path) -> None:
    text = tshark(script, trace, "-O", "fuse")
    for shown in ("opcode: LOOKUP (1)", "error: ENOENT (-2)", "Access mode: O_RDWR (2)", "= O_TRUNC: True"):
        assert shown in text
    assert "FOPEN_KEEP_CACHE: True" in text
    assert "notify: NOTIFY_INVAL_INODE (2)" in text
    summary = tshark(script, trace).splitlines()
    assert re.search(r"kernel . server +FUSE \d+ LOOKUP /x$", summary[0])
    assert summary[1].endswith("LOOKUP reply ENOENT /x")


@TSHARK
def test_json_has_our_names(script: Path, trace: Path) -> None:
    (_, reply, *_) = json.loads(tshark(script, trace, "-T", "json"))
    layers = reply["_source"]["layers"]["fuse"]
    assert layers["fuse.out_header"] == {"fuse.len": "16", "fuse.error": "-2", "fuse.unique": "2"}


@TSHARK
def test_what_is_wrong_is_told(script: Path, tmp_path: Path) -> None:
    made = Made(2)
    made.call(wire.Lookup(nodeid=1, name=b"a"), b"too short")
    made.call(wire.GetAttr(nodeid=1), wire.fuse_attr_out().pack() + b"more")
    made.call(wire.Read(nodeid=1, arg=wire.fuse_read_in(size=3)), b"too long")
    made.add(Direction.TO_KERNEL, wire.fuse_out_header(len=16, unique=98).pack())
    made.add(Direction.TO_KERNEL, wire.fuse_out_header(len=16, error=99).pack())
    made.add(Direction.TO_SERVER, wire.fuse_in_header(len=40, opcode=99, unique=4).pack())
    made.add(Direction.TO_SERVER, wire.fuse_in_header(len=41, opcode=1, unique=6).pack() + b"x")
    made.add(Direction.TO_SERVER, wire.fuse_in_header(len=99, opcode=17, unique=8).pack())
    made.add(Direction.TO_SERVER, b"short")
    write = wire.encode_request(wire.Write(unique=10, nodeid=1, data=b"0123456789"))
    made.add(Direction.TO_SERVER, write, cut=4)
    trace = tmp_path / "bad.pcapng"
    write_trace(trace, made.messages)
    wanted = ("frame.number", "_ws.expert.message")
    kinds = " || ".join(f"fuse.{problem}" for problem in ("malformed", "unmatched", "unknown", "truncated"))
    assert _lines(script, trace, kinds, *wanted) == [
        "2\t9 bytes left where struct fuse_entry_out has 128",
        "4\t4 bytes more than belong here",
        "6\t8 bytes where at most 3 were asked for",
        "7\tno request with this unique waits for a reply",
        "8\tunknown notify code 99",
        "9\tunknown opcode 99",
        "10\tthe name has no NUL at its end",
        "11\tthe header says 99 bytes, there are 40",
        "12\t5 bytes left where struct fuse_in_header has 40",
        "13\t4 more bytes were not kept",
    ]


@TSHARK
def test_what_init_agreed_on_is_followed_where_the_recorder_did_not_say(script: Path, tmp_path: Path) -> None:
    made = Made(3, minor=8, setxattr_ext=False)
    made.call(wire.Init(arg=wire.fuse_init_in(7, 45)), wire.fuse_init_out(7, 8).pack()[:24])
    entry = wire.fuse_entry_out(nodeid=2, attr=wire.fuse_attr(mode=0o100600)).pack()
    made.call(wire.Lookup(nodeid=1, name=b"old"), entry[:120])
    trace = tmp_path / "t.pcapng"
    write_trace(trace, [message._replace(minor=0) for message in made.messages])
    wanted = ("fuse.attr.mode", "fuse.malformed")
    assert _lines(script, trace, "fuse.attr.mode || fuse.malformed", *wanted) == [f"{0o100600}\t"]


@TSHARK
def test_messages_of_the_other_byte_order_are_read_alike(script: Path, tmp_path: Path) -> None:
    asked = pack(">IIQQIIIHH", 45, 1, 2, 1, 1000, 100, 4711, 0, 0) + b"name\0"
    answer = pack(">IiQ", 16, -13, 2)
    trace = tmp_path / "big.pcapng"
    messages = [
        Traced(time, direction, data, len(data), minor=45, byteorder="big")
        for time, (direction, data) in enumerate([(Direction.TO_SERVER, asked), (Direction.TO_KERNEL, answer)])
    ]
    write_trace(trace, messages)
    wanted = ("fuse.opcode", "fuse.pid", "fuse.name", "fuse.error", "fuse.malformed")
    assert _lines(script, trace, "fuse", *wanted) == ["1\t4711\tname\t\t", "1\t\tname\t-13\t"]


def test_every_struct_member_flag_opcode_and_notification_is_in_the_script() -> None:
    text = dissector()
    for struct, layout in layouts().items():
        assert f"  {struct} = {{ size = {layout.size}, " in text
        for member in layout.members:
            if member.struct is None and not member.flexible and (struct, member.name) != ("fuse_out_header", "error"):
                assert f'("fuse.{abbreviation(struct, member.name)}", "{member.name}"' in text
    labels = [operation.label for operation in OPERATIONS] + [notice.label for notice in NOTIFICATIONS]
    for label in labels:
        assert f'label = "{label}"' in text
    assert '"fuse.init_out.flags2.passthrough", "FUSE_PASSTHROUGH", 32, nil, 0x20' in text


@pytest.mark.parametrize(
    ("options", "end"), [((), "add((wtap_encaps or wtap).USER0, fuse)"), (("--encap", "USER3"), "USER3, fuse)")]
)
def test_the_link_type_can_be_chosen(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], end: str) -> None:
    assert main(options) == 0
    assert capsys.readouterr().out.rstrip().endswith(end)


@TSHARK
def test_without_a_link_type_the_preferences_decide(
    tmp_path: Path, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--encap", "none"]) == 0
    script = tmp_path / "plain.lua"
    script.write_text(capsys.readouterr().out, "ascii")
    given = tshark(script, trace, "-o", 'uat:user_dlts:"User 0 (DLT=147)","fuse","0","","0",""')
    assert "LOOKUP /x" in given


@TSHARK
def test_the_largest_messages_are_packets_too(script: Path, tmp_path: Path) -> None:
    """Wireshark takes 256 KiB of each, and says that there was more."""
    made = Made(3)
    data = bytes(1 << 20)
    made.call(wire.Write(nodeid=9, arg=wire.fuse_write_in(size=len(data)), data=memoryview(data)), bytes(8))
    made.call(wire.Read(nodeid=9, arg=wire.fuse_read_in(size=len(data))), data)
    write_trace(tmp_path / "t.pcapng", made.messages)
    lengths = tshark(script, tmp_path / "t.pcapng", "-T", "fields", "-e", "frame.len", "-e", "frame.cap_len")
    found = [tuple(map(int, line.split())) for line in lengths.splitlines()]
    assert [one for one in found if one[0] > 1 << 20] == [(1048688, 262144), (1048624, 262144)]
    assert len(found) == 4
