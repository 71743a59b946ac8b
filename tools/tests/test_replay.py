"""Replaying in one process: numbers of another server, references, what diverges, and servers that fail."""

from __future__ import annotations

import errno
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from rawfuse import Filesystem, Reply, wire
from rawfuse.examples.hello import Hello
from rawfuse.examples.memory import MemoryFS
from rawfuse.kernel import Kernel
from rawfuse.trace.opening import write_trace
from tools.replay.command import main
from tools.replay.figures import figures
from tools.replay.foreseen import foresee
from tools.replay.player import Player, ServerGone, ServerHangs
from tools.tests.replayed import ROOT, Numbered, everyday, recorded, replayed

SHUFFLED = (0x5DEECE66D, 11, 1 << 48)


def shuffled(number: int) -> int:
    """Other numbers, far apart and out of order, each once."""
    factor, step, of = SHUFFLED
    return (number * factor + step) % of


@pytest.fixture(scope="module")
def messages() -> list[Any]:
    return recorded(Numbered(), everyday)


@pytest.mark.parametrize("kind", [Numbered, MemoryFS])
def test_a_server_replays_its_own_trace(kind: type[Filesystem]) -> None:
    found, player = replayed(kind(), recorded(kind(), everyday))
    assert [str(one) for one in found] == []
    assert player.outcome.compared > 40
    assert player.outcome.skipped == {}


def test_nodeids_handles_and_offsets_are_those_of_the_server(messages: list[Any]) -> None:
    server = Numbered(shuffled)
    found, player = replayed(server, messages)
    assert [str(one) for one in found] == []
    assert player.outcome.skipped == {}
    assert server.handles == {}


@pytest.mark.parametrize("options", [{}, {"few": 1}, {"few": 4}, {"backwards": True}, {"few": 2, "backwards": True}])
def test_every_reference_is_given_back(messages: list[Any], options: dict[str, Any]) -> None:
    server = Numbered(shuffled, **options)
    found, player = replayed(server, messages, another=True)
    assert [str(one) for one in found] == []
    assert set(server.references.values()) == {0}
    assert player.mapping.owed == {}


def test_references_are_given_back_in_proportion() -> None:
    """A server that lists in pieces, which the kernel asked for anew, hands out more than were recorded."""

    async def twice(kernel: Kernel) -> None:
        call: Any = kernel.call
        entry, _ = await call(wire.Create(nodeid=ROOT, arg=wire.fuse_create_in(mode=0o100644), name=b"f"))
        for _ in range(3):
            await call(wire.Lookup(nodeid=ROOT, name=b"f"))
        for count in (2, 1, 1):
            kernel.post(wire.Forget(nodeid=entry.nodeid, arg=wire.fuse_forget_in(nlookup=count)))
        await call(wire.GetAttr(nodeid=ROOT, arg=wire.fuse_getattr_in()))

    server = Numbered(shuffled)
    found, _ = replayed(server, recorded(Numbered(), twice))
    assert found == []
    assert list(server.references.values()) == [0]


def test_a_negative_entry_is_enoent_of_another_server(messages: list[Any]) -> None:
    found, _ = replayed(Numbered(negative=True), messages)
    assert {one.what for one in found} == {"ENOENT was recorded, now it is success"}
    assert replayed(Numbered(negative=True), messages, another=True)[0] == []
    assert replayed(Numbered(), recorded(Numbered(negative=True), everyday), another=True)[0] == []


def test_another_order_is_a_difference_of_the_same_server_only(messages: list[Any]) -> None:
    found, _ = replayed(Numbered(backwards=True), messages)
    assert "entries are in another order" in {one.what for one in found}
    assert replayed(Numbered(backwards=True), messages, another=True)[0] == []


def test_an_operation_that_only_one_has_is_not_compared(messages: list[Any]) -> None:
    class Without(Numbered):
        getattr = Filesystem.getattr

    found, player = replayed(Without(), messages, another=True)
    assert found == []
    assert player.outcome.skipped == {"this server does not have GETATTR": 7}
    found, player = replayed(Numbered(), recorded(MemoryFS(), asks_for_xattrs), another=True)
    assert player.outcome.skipped == {"this server does not have GETXATTR": 1}
    found, player = replayed(MemoryFS(), recorded(Numbered(), asks_for_xattrs), another=True)
    assert player.outcome.skipped == {"the recorded server does not have GETXATTR": 1}


async def asks_for_xattrs(kernel: Kernel) -> None:
    try:
        await kernel.call(wire.GetXAttr(nodeid=ROOT, arg=wire.fuse_getxattr_in(size=99), name=b"user.x"))
    except OSError as error:
        assert error.errno in (errno.ENOSYS, errno.ENODATA)


def test_without_readdirplus_the_names_are_looked_up(messages: list[Any]) -> None:
    class Without(Numbered):
        readdirplus = Filesystem.readdirplus

    server = Without(shuffled)
    found, player = replayed(server, messages, another=True)
    assert found == []
    assert list(player.outcome.skipped) == ["this server does not have READDIRPLUS"]
    assert set(server.references.values()) == {0}


def test_handles_of_a_server_without_open_are_its_own() -> None:
    async def reads(kernel: Kernel) -> None:
        call: Any = kernel.call
        await call(wire.Lookup(nodeid=ROOT, name=b"hello"))
        with pytest.raises(OSError):
            await call(wire.Open(nodeid=2, arg=wire.fuse_open_in()))
        await call(wire.Read(nodeid=2, arg=wire.fuse_read_in(fh=0, size=99)))

    found, player = replayed(Hello(), recorded(Hello(), reads))
    assert found == []
    assert player.outcome.compared == 4


class Wrong(Numbered):
    """Reads one byte otherwise, of one file."""

    def read(self, request: wire.Read) -> Reply:
        data = super().read(request)
        return bytes(data).replace(b"file-3", b"file-X", 1)  # type: ignore[arg-type]


def test_the_first_difference_is_where_it_is(messages: list[Any]) -> None:
    found, _ = replayed(Wrong(), messages)
    assert [str(one) for one in found] == ["exchange 47, READ /file-3: byte 5 was 0x33, now it is 0x58"]


def test_the_command_says_what_differs_and_fails(
    messages: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trace(tmp_path / "t.pcapng", messages)
    module = "tools.tests.test_replay:Wrong"
    assert main([str(tmp_path / "t.pcapng"), "--module", module]) == 1
    said = capsys.readouterr()
    assert "READ /file-3: byte 5" in said.out
    assert "not compared: times" in said.err
    assert main([str(tmp_path / "t.pcapng"), "--module", "tools.tests.replayed:Numbered"]) == 0
    assert ", 0 differ" in capsys.readouterr().out
    assert main([str(tmp_path / "t.pcapng"), "--module", module, "--bench"]) == 0
    assert capsys.readouterr().out.startswith("request\tcount\tp50 us\tp90 us\tp99 us\tmax us\n")


@pytest.mark.parametrize("form", ["fusedump", "fusedump1"])
def test_a_fusedump_is_replayed(
    messages: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    write_trace(tmp_path / "t.dump", messages, form)
    assert main([str(tmp_path / "t.dump"), "--module", "tools.tests.replayed:Numbered"]) == 0
    assert ", 0 differ" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [(["t"], "give a server's command line"), (["t", "--module", "m:C", "--rhythm", "-1"], "--rhythm is a factor")],
)
def test_a_wrong_command_line_says_what_is_wrong(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_what_was_there_before_the_trace_is_left_out(messages: list[Any]) -> None:
    """A trace that lacks its beginning: INIT is made up, and what refers to what nobody knows is not sent."""
    found, player = replayed(Numbered(), messages[14:])
    assert player.outcome.sent > 10
    assert any("is not known here" in why or "was opened before" in why for why in player.outcome.skipped)
    assert {one.exchange.path for one in found} <= {b"/", b"/file-0"}  # one file fewer


def talking_to(answer: Any) -> socket.socket:
    """A server that answers INIT, and then does what `answer` does with each message."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def serve() -> None:
        with theirs:
            init = theirs.recv(1 << 16)
            body = wire.fuse_init_out(major=7, minor=45, max_write=1 << 17).pack()
            unique = wire.fuse_in_header.unpack_from(init).unique
            theirs.send(wire.fuse_out_header(len=16 + len(body), unique=unique).pack() + body)
            while message := theirs.recv(1 << 20):
                if answer(theirs, wire.fuse_in_header.unpack_from(message)):
                    return

    threading.Thread(target=serve, daemon=True).start()
    return ours


def test_a_server_that_ends_is_told_with_the_request(messages: list[Any]) -> None:
    with talking_to(lambda sock, header: True) as sock:
        player = Player(sock, foresee(messages), ignored=("*",))
        with pytest.raises(ServerGone, match=r"before it replied to exchange 2, LOOKUP /file-0"):
            list(player.play(messages))


def test_a_server_that_hangs_is_told_with_the_request(messages: list[Any]) -> None:
    with talking_to(lambda sock, header: False) as sock:
        player = Player(sock, foresee(messages), ignored=("*",), patience=2.0)
        with pytest.raises(ServerHangs, match=r"no reply within 2 s to exchange 2, LOOKUP /file-0"):
            list(player.play(messages))


def test_a_malformed_reply_is_a_difference(messages: list[Any]) -> None:
    def short(sock: socket.socket, header: wire.fuse_in_header) -> bool:
        sock.send(wire.fuse_out_header(len=20, unique=header.unique).pack() + b"four")
        return False

    with talking_to(short) as sock:
        player = Player(sock, foresee(messages), ignored=("*",))
        found = next(one for one in player.play(messages) if "malformed" in one.what)
        assert "LOOKUP /file-0" in str(found)


class Together(Filesystem):
    """A READ waits until three are asked for: only a player that sends them together gets an answer."""

    def __init__(self) -> None:
        self.waiting = 0
        self.enough = trio.Event()

    def read(self, request: wire.Read) -> Reply:
        return self._read()

    async def _read(self) -> bytes:
        self.waiting += 1
        if self.waiting == 3:
            self.enough.set()
        await self.enough.wait()
        return b"together"

    def open(self, request: wire.Open) -> Reply:
        return wire.fuse_open_out(fh=1)


async def three_at_once(kernel: Kernel) -> None:
    await kernel.call(wire.Open(nodeid=ROOT, arg=wire.fuse_open_in()))
    async with trio.open_nursery() as nursery:
        for offset in range(3):
            nursery.start_soon(kernel.call, wire.Read(nodeid=ROOT, arg=wire.fuse_read_in(fh=1, offset=offset, size=9)))


def test_what_was_asked_together_is_asked_together() -> None:
    found, player = replayed(Together(), recorded(Together(), three_at_once))
    assert found == []
    assert player.outcome.compared == 5


LONG = 1 << 17


class Long(Filesystem):
    """128 KiB whatever is read."""

    def open(self, request: wire.Open) -> Reply:
        return wire.fuse_open_out(fh=1)

    async def _read(self, request: wire.Read) -> bytes:
        await trio.sleep(0.01)
        return bytes(LONG)

    def read(self, request: wire.Read) -> Reply:
        return self._read(request)


async def three_long_ones(kernel: Kernel) -> None:
    await kernel.call(wire.Open(nodeid=ROOT, arg=wire.fuse_open_in()))
    async with trio.open_nursery() as nursery:
        for offset in range(3):
            arg = wire.fuse_read_in(fh=1, offset=offset, size=LONG)
            nursery.start_soon(kernel.call, wire.Read(nodeid=ROOT, arg=arg))


def test_long_replies_of_a_server_that_splices_do_not_mix() -> None:
    """Its threads put pieces of 16 pages into the socket, in any order: it is asked for one at a time."""
    answered: list[int] = []

    def splice(sock: socket.socket, header: wire.fuse_in_header) -> bool:
        if header.opcode == wire.Open.opcode:
            sock.send(wire.fuse_out_header(len=32, unique=header.unique).pack() + wire.fuse_open_out(fh=7).pack())
            return False

        def reply(data: bytes) -> None:
            message = wire.fuse_out_header(len=16 + len(data), unique=header.unique).pack() + data
            for start, end in ((0, 61456), (61456, 126992), (126992, len(message))):
                sock.send(message[start:end])
                time.sleep(0.02)

        answered.append(header.unique)
        threading.Thread(target=reply, args=(bytes(LONG),), daemon=True).start()
        return False

    messages = recorded(Long(), three_long_ones)
    with talking_to(splice) as sock:
        player = Player(sock, foresee(messages), ignored=("fuse_init_out.*", "fuse_open_out.*"))
        assert [str(one) for one in player.play(messages)] == []
    assert len(answered) == 3


def test_the_rhythm_is_the_recorded_one(messages: list[Any]) -> None:
    slow = [one._replace(time=messages[0].time + place * 5_000_000) for place, one in enumerate(messages[:40])]
    _, player = replayed(Numbered(), slow, rhythm=2.0)
    assert player.outcome.seconds >= 0.039 * 2.5
    _, hurried = replayed(Numbered(), slow)
    assert hurried.outcome.compared == player.outcome.compared


def test_percentiles_are_of_each_opcode(messages: list[Any]) -> None:
    _, player = replayed(Numbered(), messages)
    rows = {one.name: one for one in figures(player.outcome)}
    assert rows["WRITE"].count == 6
    assert rows["READ"].count == 6
    assert list(rows["READ"].percentiles) == sorted(rows["READ"].percentiles)
    assert rows["READ"].percentiles[-1] <= rows["READ"].longest
