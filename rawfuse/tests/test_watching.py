"""Recording while a server serves, and watching it from another program."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from rawfuse import serving
from rawfuse import wire as w
from rawfuse.mount.connections import Connection, Process, fuse_connections
from rawfuse.mount.mountinfo import find_mount
from rawfuse.tests.faked import ROOT, made, served
from rawfuse.tests.memoryfs import MemoryFs
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


def test_only_programs_that_have_the_device_open_are_believed() -> None:
    pretended = Pretended()
    with WatchPost(987_654_321, pretended, Agreed):
        assert watch(987_654_321) is None
    assert watch(987_654_321) is None


def test_a_name_that_is_taken_is_no_error() -> None:
    with WatchPost(987_654_322, Pretended(), Agreed), WatchPost(987_654_322, Pretended(), Agreed):
        assert watch(987_654_322) is None


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n", b"rawfuse-watch 2 0\n", b"rawfuse-watch 1 many\n"])
def test_who_says_something_else_is_given_nothing(said: bytes) -> None:
    pretended = Pretended()
    with WatchPost(987_654_323, pretended, Agreed), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect("\0rawfuse/watch/987654323")
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""
    assert pretended.recorders == []


def test_a_slow_watcher_loses_messages_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawfuse.trace.watching._ROOM", 1 << 14)
    monkeypatch.setattr("rawfuse.trace.watching.fuse_connections", lambda: [_ourselves(987_654_324)])
    pretended, message = Pretended(), w.fuse_in_header(len=4096, opcode=1).pack().ljust(4096, b"\0")
    with WatchPost(987_654_324, pretended, Agreed):
        watched = watch(987_654_324)
        assert watched is not None
        while not pretended.recorders:
            time.sleep(0.01)
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
    """MemoryFS, served by the command."""
    command = [sys.executable, "-m", "rawfuse.cli", "mount", "rawfuse.examples.memory:MemoryFS", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        assert "is mounted" in process.stderr.readline()
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=False, capture_output=True)
        process.terminate()
        process.wait(20)
        process.stderr.close()


@pytest.mark.kernel("root")
def test_a_mount_is_watched_from_outside_as_long_as_one_looks(mounted: Path) -> None:
    entry = find_mount(mounted)
    assert entry is not None
    number = entry.device[1]
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
    watched = watch(entry.device[1])
    assert watched is not None
    with watched:
        subprocess.run(["umount", mounted], check=True)
        assert all(isinstance(message, Traced) for message in watched)


@pytest.mark.kernel("root")
async def test_programs_that_serve_a_block_are_watched_too(tmp_path: Path) -> None:
    def look() -> Traced:
        entry = find_mount(tmp_path)
        assert entry is not None
        watched = watch(entry.device[1])
        assert watched is not None
        with watched:
            (tmp_path / "made").mkdir()
            return next(message for message in watched if opcodes([message]) == [w.constants.FUSE_MKDIR])

    async with serving(MemoryFs(), tmp_path):
        found = await trio.to_thread.run_sync(look)
    assert found.data.endswith(b"made\0")
