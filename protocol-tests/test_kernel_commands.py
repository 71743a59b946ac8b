"""Serving in a block of one's own, the fixture for authors, and the commands mount, list and abort."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

import rawfuse
from rawfuse import wire
from rawfuse.cli import main
from rawfuse.cli.mount import LoadError, load
from rawfuse.examples.hello import TEXT, Hello
from rawfuse.examples.memory import MemoryFS
from rawfuse.filesystem import Reply
from rawfuse.mount import find_mount, umount
from rawfuse.testing import FuseMount, fuse_mount, mounted
from rawfuse.tests.waiting import PATIENCE, until

__all__ = ["fuse_mount"]  # a fixture is found by being here

kernel = pytest.mark.kernel("root")


@kernel
async def test_a_block_of_ones_own_serves(tmp_path: Path) -> None:
    async with rawfuse.serving(Hello(), tmp_path) as server:
        assert await (trio.Path(tmp_path) / "hello").read_bytes() == TEXT
        assert server.negotiated.minor >= 28
    assert find_mount(tmp_path) is None and server.ended.is_set()


@kernel
async def test_what_the_block_raises_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with rawfuse.serving(Hello(), tmp_path):
            raise ZeroDivisionError
    assert find_mount(tmp_path) is None


@kernel
async def test_the_block_learns_that_somebody_has_unmounted(tmp_path: Path) -> None:
    async with rawfuse.serving(Hello(), tmp_path) as server:
        await trio.to_thread.run_sync(umount, tmp_path)
        with trio.fail_after(PATIENCE):
            await server.ended.wait()


@kernel
async def test_a_cancelled_block_leaves_no_mount(tmp_path: Path) -> None:
    with trio.move_on_after(0.05) as scope:
        async with rawfuse.serving(Hello(), tmp_path):
            await trio.sleep_forever()
    assert scope.cancelled_caught and find_mount(tmp_path) is None


async def test_a_block_without_a_mount_point_says_so(tmp_path: Path) -> None:
    with pytest.raises(rawfuse.MountError, match="mount point"):
        async with rawfuse.serving(Hello(), tmp_path / "nothing"):
            pass


@kernel
async def test_the_fixture_mounts_several(fuse_mount: FuseMount) -> None:
    hello, filesystem = await fuse_mount(Hello()), MemoryFS(1 << 20)
    memory = await fuse_mount(filesystem)
    await (memory / "copy").write_bytes(await (hello / "hello").read_bytes())
    assert list(filesystem.root.children) == [b"copy"]


@kernel
def test_mounted_serves_tests_without_trio() -> None:
    with mounted(Hello(), read_only=True) as root:
        assert (root / "hello").read_bytes() == TEXT
    assert not root.exists()


@contextmanager
def command(directory: Path, *arguments: str) -> Generator[subprocess.Popen[str], None, None]:
    """`rawfuse mount`, from when it says that it has mounted."""
    line = [sys.executable, "-m", "rawfuse.cli", "mount", *arguments]
    paths = [str(directory.parent), str(Path(rawfuse.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            assert process.stderr.readline() == f"rawfuse mount: {directory} is mounted\n"
            yield process
        finally:
            process.kill()
            if find_mount(directory) is not None:
                umount(directory, lazy=True)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "mnt"
    path.mkdir()
    return path


@kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unmounts_and_ends_the_command(directory: Path, number: signal.Signals) -> None:
    with command(directory, "rawfuse.examples.hello:Hello", str(directory)) as process:
        assert (directory / "hello").read_bytes() == TEXT
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
        assert find_mount(directory) is None


@kernel
def test_unmounting_ends_the_command(directory: Path) -> None:
    with command(directory, "rawfuse.examples.memory:MemoryFS", str(directory)) as process:
        (directory / "f").touch()
        umount(directory)
        assert process.wait(PATIENCE) == 0


@kernel
def test_options_and_arguments_arrive(directory: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_text("theirs")
    name = "rawfuse.examples.passthrough:Passthrough"
    with command(
        directory, "--allow-other", "--read-only", "-o", "noexec,max_read=65536", name, str(directory), str(source)
    ):
        assert (directory / "f").read_text() == "theirs"
        with pytest.raises(OSError, match="Read-only"):
            (directory / "g").touch()
        entry = find_mount(directory)
        assert entry is not None and {"ro", "noexec"} <= {*entry.options}
        assert {"allow_other", "max_read=65536", "default_permissions"} <= {*entry.super_options}
        assert (entry.fstype, entry.source) == ("fuse.rawfuse", name)


@kernel
def test_list_shows_the_mount_and_its_server(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with command(directory, "rawfuse.examples.hello:Hello", str(directory)) as process:
        assert main(["list"]) == 0
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        (row,) = [row for row in rows if row[1] == str(directory)]
        connection = os.stat(directory).st_dev & 0xFF | os.stat(directory).st_dev >> 12 & ~0xFF
        assert row[:4] == [str(connection), str(directory), "fuse.rawfuse", "rawfuse.examples.hello:Hello"]
        assert row[5] == str(process.pid) and "rawfuse.cli mount" in row[6]
        assert main(["list", "--json"]) == 0
        (found,) = [one for one in json.loads(capsys.readouterr().out) if one["connection"] == connection]
        assert found["mounts"][0]["mountpoint"] == str(directory)
        assert [server["pid"] for server in found["servers"]] == [process.pid]


HANGS = """
from pathlib import Path

import trio
from rawfuse.examples.memory import MemoryFS

class Hangs(MemoryFS):
    async def statfs(self, request):
        Path(__file__).with_name("asked").touch()
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()
"""


@kernel
def test_abort_frees_who_hangs(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    with command(directory, "hangs:Hangs", str(directory)):
        child = subprocess.Popen(
            [sys.executable, "-c", f"import os; os.statvfs({str(directory)!r})"], stderr=subprocess.PIPE
        )
        # Until the server has read it, a killed caller takes its request back and does not hang.
        until((tmp_path / "asked").exists)
        main(["list"])
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert [row[4] for row in rows if row[1] == str(directory)] == ["1"]
        child.kill()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.1)
        assert main(["abort", str(directory)]) == 0
        _, error = child.communicate(timeout=PATIENCE)
        assert child.returncode == -signal.SIGKILL or b"ECONNABORTED" in error or b"connection abort" in error


def test_abort_wants_a_fuse_mount(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["abort", str(tmp_path)]) == 1
    assert "is not the mount point of a FUSE file system" in capsys.readouterr().err


class NotOne:
    pass


class Picky(rawfuse.Filesystem):
    def __init__(self, needed: str) -> None:
        raise FileNotFoundError(2, "no such thing", needed)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nocolon", "not of the form MODULE:CLASS"),
        ("rawfuse.nowhere:X", r"no module rawfuse\.nowhere"),
        ("rawfuse.examples.hello:Goodbye", "has no Goodbye"),
        ("rawfuse.examples.hello:TEXT", "not a class"),
        (f"{__name__}:NotOne", "makes a NotOne, not a rawfuse.Filesystem"),
        (f"{__name__}:Picky", "no such thing"),
        ("rawfuse.examples.passthrough:Passthrough", "missing 1 required"),
    ],
)
def test_what_cannot_be_loaded_is_said(name: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        load(name, ["argument"] if "Picky" in name else [])


@kernel
def test_a_failure_in_a_handler_is_logged_and_the_mount_lives(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryFS):
        def mkdir(self, request: wire.MkDir) -> Reply:
            return 1 // 0  # type: ignore[return-value]

        async def symlink(self, request: wire.Symlink) -> bytes:
            await trio.lowlevel.checkpoint()
            raise KeyError("lost")

    with mounted(Broken()) as root:
        calls: list[Callable[[], None]] = [root.joinpath("d").mkdir, lambda: root.joinpath("l").symlink_to("x")]
        for failing in calls:
            with pytest.raises(OSError, match="Input/output error"):
                failing()
        (root / "f").write_text("alive")
        assert (root / "f").read_text() == "alive"
    first, second = caplog.records
    assert "MkDir(" in first.message and first.exc_info is not None and first.exc_info[0] is ZeroDivisionError
    assert "Symlink(" in second.message and second.exc_info is not None and second.exc_info[0] is KeyError


@kernel
async def test_a_connection_that_never_begins_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(server: rawfuse.Server) -> None:
        server.channel.close()

    monkeypatch.setattr(rawfuse.Server, "serve", gone)
    with pytest.raises(rawfuse.MountError, match="ended before it began"):
        async with rawfuse.serving(Hello(), tmp_path):
            pass
    assert find_mount(tmp_path) is None
