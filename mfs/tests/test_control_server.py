"""The control socket: who may, who stalls, who speaks nonsense, and where it lies."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mfs.control import server as control
from mfs.control.address import SOCKET, connect, listen
from mfs.control.link import LinkLost
from mfs.control.reach import OperationFailed, WrongServer, reached
from mfs.repo import RepoMissing
from mfs.tests.controlling import served
from mfs.volume import Volume
from rawfuse.tests.waiting import PATIENCE


@pytest.fixture
def place() -> Iterator[Path]:
    # Not tmp_path: the path of a socket is short.
    made = Path(tempfile.mkdtemp(prefix="mfs-"))
    yield made
    shutil.rmtree(made)


async def spoken(repo: str, sent: bytes) -> list[dict[str, object]]:
    """What the server answers to these bytes, greeting and all."""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(connect(repo)))
    async with stream:
        await stream.send_all(sent)
        await stream.send_eof()
        got = b""
        while part := await stream.receive_some():
            got += part
    return [json.loads(line) for line in got.splitlines()]


async def test_an_operation_is_done_and_its_result_told() -> None:
    async with served() as at:
        await at.ask("mkdir", path="/a")
        (entry,) = await at.ask("describe", paths=["/a"])
        assert entry["type"] == "directory"
        assert at.volume.head.root is not None


async def test_an_answer_that_is_there_before_the_end_of_the_input_is_heard() -> None:
    async with served() as on, on.reached.call("commit") as call:
        # Long enough for the other end to be closed.
        await trio.sleep(0.2)
        await call.end()
        assert (await call.finish())["root"].startswith("bafy")


async def test_an_error_has_its_errno_and_the_path() -> None:
    async with served() as at:
        with pytest.raises(OperationFailed) as caught:
            await at.ask("remove", path="/a/b")
        assert (caught.value.errno, caught.value.filename) == (2, "/a/b")


@pytest.mark.parametrize(
    ("request_line", "says"),
    [
        (b'{"control":1,"operation":"fly","arguments":{}}', "no operation 'fly'"),
        (b'{"control":1,"operation":"mkdir","arguments":{}}', "needs 'path'"),
        (b'{"control":1,"operation":"mkdir","arguments":{"path":1}}', "not a text"),
        (b'{"control":1,"operation":"mkdir","arguments":{"path":"a\\u0000"}}', "NUL"),
        (b'{"control":1,"operation":"mkdir","arguments":{"path":"\\ud800"}}', "path"),
        (b'{"control":1,"operation":"mkdir","arguments":{"path":"/a","parents":1}}', "neither true nor false"),
        (b'{"control":1,"operation":"mkdir","arguments":{"path":"/a","more":1}}', "no argument 'more'"),
        (b'{"control":1,"operation":"mkdir","arguments":[]}', "not an object"),
        (b'{"control":2,"operation":"mkdir","arguments":{"path":"/a"}}', "version 1 of the control protocol, not 2"),
        (b'{"operation":"mkdir","arguments":{"path":"/a"}}', "not None"),
    ],
)
async def test_a_request_that_is_wrong_is_answered(request_line: bytes, says: str) -> None:
    async with served() as at:
        _, answer = await spoken(at.repo, request_line + b"\n")
        assert says in str(answer["error"])
        await at.ask("mkdir", path="/still")


@pytest.mark.parametrize("sent", [b"", b"nonsense\n", b'{"control":1', b'{"data":10}\nabc', b"\0" * 100_000])
async def test_nonsense_ends_that_connection_alone(sent: bytes) -> None:
    async with served() as at:
        assert len(await spoken(at.repo, sent)) <= 2
        await at.ask("mkdir", path="/still")


async def test_input_that_breaks_off_ends_the_operation() -> None:
    async with served() as at:
        request = b'{"control":1,"operation":"add","arguments":{"path":"/"}}\n'
        assert len(await spoken(at.repo, request + b'{"item":{"file":"f","mode":420}}\n{"data":3}\nabc')) == 1
        await at.ask("mkdir", path="/still")


async def test_callers_that_stall_hold_up_nobody_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as at:
        stalled = [connect(at.repo) for _ in range(5)]
        reading = connect(at.repo)
        await at.ask("mkdir", path="/d", parents=True)
        reading.sendall(b'{"control":1,"operation":"list","arguments":{"path":"/"}}\n')
        with trio.fail_after(PATIENCE):
            await at.ask("mkdir", path="/still")
    for one in (*stalled, reading):
        one.close()


async def test_a_caller_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.2)
    async with served() as at:
        silent = trio.socket.from_stdlib_socket(connect(at.repo))
        with trio.fail_after(PATIENCE), silent:
            while await silent.recv(1000):
                pass


async def test_more_callers_than_are_served_at_once_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST", 2)
    async with served() as at, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(lambda name=f"/d{number}": at.ask("mkdir", path=name))  # type: ignore[misc]


async def test_another_user_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as at:
        monkeypatch.setattr(control, "_peer", lambda _: os.geteuid() + 1)
        with pytest.raises(WrongServer, match="served by user"):
            async with reached(at.repo):
                pass


async def test_the_kernel_says_who_connects() -> None:
    left, right = trio.socket.socketpair()
    with left, right:
        assert control._peer(left) == os.geteuid()


async def test_the_socket_is_for_its_owner_and_gone_at_the_end() -> None:
    async with served() as at:
        path = Path(at.repo) / SOCKET
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_socket_that_a_killed_server_left_is_replaced(place: Path) -> None:
    listen(str(place)).close()
    assert (place / SOCKET).exists()
    with pytest.raises(ConnectionRefusedError):
        connect(str(place))
    with listen(str(place)):
        connect(str(place)).close()


def test_what_is_no_socket_stays(place: Path) -> None:
    (place / SOCKET).write_text("mine")
    with pytest.raises(OSError, match="in use"):
        listen(str(place))
    assert (place / SOCKET).read_text() == "mine"


async def test_a_path_longer_than_a_socket_takes(place: Path) -> None:
    repo = place / ("d" * 100) / ("e" * 100)
    repo.mkdir(parents=True)
    with Volume.open(repo) as volume:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.run)
            await nursery.start(control.serve_control, volume)
            async with reached(os.fspath(repo)) as found:
                await found.ask("mkdir", path="/a")
            nursery.cancel_scope.cancel()
    assert not (repo / SOCKET).exists()


async def test_a_server_of_another_version_is_not_asked(place: Path) -> None:
    with trio.socket.from_stdlib_socket(listen(str(place))) as listening:

        async def answer() -> None:
            connected, _ = await listening.accept()
            with connected:
                await connected.send(b'{"control":99,"version":"9.9","pid":1}\n')

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            with pytest.raises(WrongServer, match=r"mfs 9\.9"):
                async with reached(str(place)):
                    pass
            nursery.cancel_scope.cancel()


async def test_a_server_that_ends_in_the_middle_is_told(place: Path) -> None:
    with trio.socket.from_stdlib_socket(listen(str(place))) as listening:

        async def answer() -> None:
            connected, _ = await listening.accept()
            with connected:
                await connected.send(b'{"control":1,"version":"1","pid":1}\n')
                await connected.recv(1000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            async with reached(str(place)) as found:
                with pytest.raises(LinkLost):
                    await found.ask("commit")


async def test_a_repository_that_nobody_holds_is_opened_and_committed(place: Path) -> None:
    repo = os.fspath(place / "repo")
    async with reached(repo, create=True) as found:
        await found.ask("mkdir", path="/a")
        # Others find this process meanwhile.
        async with reached(repo) as again:
            await again.ask("mkdir", path="/b")
    async with reached(repo) as found:
        described = await found.ask("describe", paths=["/a", "/b", "/c"])
    assert [entry.get("type") for entry in described] == ["directory", "directory", None]


async def test_a_repository_that_is_missing_is_not_made_unless_asked(place: Path) -> None:
    with pytest.raises(RepoMissing):
        async with reached(os.fspath(place / "none")):
            pass


async def test_who_opened_it_ends_after_those_who_asked_meanwhile(place: Path) -> None:
    opened, ended, asked = trio.Event(), trio.Event(), trio.Event()
    repo = os.fspath(place / "repo")

    async def first() -> None:
        async with reached(repo, create=True) as own:
            opened.set()
            await asked.wait()
            await own.ask("mkdir", path="/own")
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await opened.wait()
        async with reached(repo) as other, other.call("add", path="/") as call:
            await call.send({"directory": "others", "mode": 0o755, "mtime": None})
            asked.set()
            with trio.move_on_after(0.5):
                await ended.wait()
            assert not ended.is_set()
            await call.end()
            await call.finish()
    with Volume.open(repo) as volume:
        assert sorted(volume.tree.names(volume.tree.directory(1))) == [b"others", b"own"]


def test_two_commands_at_once_both_succeed(place: Path) -> None:
    repo = os.fspath(place / "repo")
    commands = [[sys.executable, "-m", "mfs", "mkdir", "--repo", repo, f"/d{number}"] for number in range(3)]
    subprocess.run(commands[0], check=True)
    running = [subprocess.Popen(command) for command in commands[1:]]
    assert [one.wait(60) for one in running] == [0, 0]
