"""Recording while a server serves, and watching it from another program."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from rawfuse import serving
from rawfuse import wire as w
from rawfuse.mount.connections import Connection, Process, fuse_connections
from rawfuse.mount.mountinfo import find_mount
from rawfuse.tests.commanded import command_serving
from rawfuse.tests.faked import ROOT, made, served
from rawfuse.tests.memoryfs import MemoryFs
from rawfuse.tests.waiting import PATIENCE, until
from rawfuse.trace import Direction, Recorder, Traced
from rawfuse.trace.agreed import Agreed
from rawfuse.trace.exchanges import Exchange, Follower
from rawfuse.trace.watching import WatchPost, watch


class Kept(list[Traced]):
    """A writer into a list."""

    def write(self, message: Traced) -> None:
        self.append(message)


def opcodes(messages: list[Traced]) -> list[int]:
    sent = [message for message in messages if message.direction is Direction.TO_SERVER]
    return [w.fuse_in_header.unpack_from(message.data).opcode for message in sent]


async def test_a_server_gives_its_messages_to_recorders_while_it_is_asked_to() -> None:
    filesystem, kept, more = MemoryFs(), Kept(), Kept()
    async with served(filesystem) as kernel:
        server = filesystem.server
        assert server is not None
        await kernel.call(w.StatFs(nodeid=ROOT))
        first, second = Recorder(kept, agreed=Agreed(45, setxattr_ext=True)), Recorder(more)
        server.record(first)
        node = await made(kernel, b"file")
        server.record(second)
        await kernel.call(w.GetAttr(nodeid=node))
        server.stop_recording(first)
        await server.notify.inval_inode(node)
        await kernel.call(w.StatFs(nodeid=ROOT))
        server.stop_recording(second)
        await kernel.call(w.StatFs(nodeid=ROOT))
    assert opcodes(kept) == [w.constants.FUSE_CREATE, w.constants.FUSE_GETATTR]
    assert opcodes(more) == [w.constants.FUSE_GETATTR, w.constants.FUSE_STATFS]
    assert len(kept) == 4
    assert len(more) == 5
    assert {(message.minor, message.setxattr_ext) for message in kept} == {(45, True)}


class Pretended:
    """Stands for a server: gives what the test puts in."""

    def __init__(self) -> None:
        self.recorders: list[Recorder] = []

    def record(self, recorder: Recorder) -> None:
        self.recorders.append(recorder)

    def stop_recording(self, recorder: Recorder) -> None:
        self.recorders.remove(recorder)


@pytest.fixture
def number() -> int:
    """Of a connection that there is not. The names of posts are seen by everybody, so it is this process's own."""
    return 1_000_000_000 + os.getpid()


def test_only_programs_that_have_the_device_open_are_believed(number: int) -> None:
    pretended = Pretended()
    with WatchPost(number, pretended, Agreed):
        assert watch(number) is None
    assert watch(number) is None


def test_a_name_that_is_taken_is_no_error(number: int) -> None:
    with WatchPost(number, Pretended(), Agreed), WatchPost(number, Pretended(), Agreed):
        assert watch(number) is None


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n", b"rawfuse-watch 2 0\n", b"rawfuse-watch 1 many\n"])
def test_who_says_something_else_is_given_nothing(number: int, said: bytes) -> None:
    pretended = Pretended()
    with WatchPost(number, pretended, Agreed), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(f"\0rawfuse/watch/{number}")
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""
    assert pretended.recorders == []


def test_a_slow_watcher_loses_messages_and_is_told(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawfuse.trace.watching._ROOM", 1 << 14)
    monkeypatch.setattr("rawfuse.trace.watching.fuse_connections", lambda: [_ourselves(number)])
    pretended, message = Pretended(), w.fuse_in_header(len=4096, opcode=1).pack().ljust(4096, b"\0")
    with WatchPost(number, pretended, Agreed):
        watched = watch(number)
        assert watched is not None
        until(lambda: pretended.recorders)
        for _ in range(100):
            pretended.recorders[0].request(message)
        found = []
        for one in watched:
            found.append(one)
            pretended.recorders[0].request(message)
            if watched.lost:
                break
        watched.close()
    assert 0 < watched.lost < 100 + len(found)
    assert {one.data for one in found} == {message}


def _ourselves(number: int) -> Connection:
    return Connection(number, servers=[Process(os.getpid(), "pytest")])


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    with command_serving(tmp_path):
        yield tmp_path


@pytest.mark.kernel("root")
def test_a_mount_is_watched_from_outside_as_long_as_one_looks(mounted: Path) -> None:
    entry = find_mount(mounted)
    assert entry is not None
    number = entry.connection
    found: list[Exchange] = []
    for name in (b"first", b"second"):
        watched = watch(number)
        assert watched is not None
        follower = Follower()
        with watched:
            messages = iter(watched)
            subprocess.run(["touch", mounted / os.fsdecode(name)], check=True)
            while not found or found[-1].path != b"/" + name or not isinstance(found[-1].request, w.Release):
                found += follower.feed(next(messages))
    assert {one.answer.minor for one in found if one.answer} == {45}
    assert b"touch" in {one.sent.program for one in found if one.sent}
    assert any(one.number == number for one in fuse_connections())


@pytest.mark.kernel("root")
def test_it_ends_with_the_mount(mounted: Path) -> None:
    entry = find_mount(mounted)
    assert entry is not None
    watched = watch(entry.connection)
    assert watched is not None
    with watched:
        subprocess.run(["umount", mounted], check=True)
        assert all(isinstance(message, Traced) for message in watched)


@pytest.mark.kernel("root")
async def test_programs_that_serve_a_block_are_watched_too(tmp_path: Path) -> None:
    def look() -> Traced:
        entry = find_mount(tmp_path)
        assert entry is not None
        watched = watch(entry.connection)
        assert watched is not None
        with watched:
            (tmp_path / "made").mkdir()
            return next(message for message in watched if opcodes([message]) == [w.constants.FUSE_MKDIR])

    async with serving(MemoryFs(), tmp_path):
        found = await trio.to_thread.run_sync(look)
    assert found.data.endswith(b"made\0")
