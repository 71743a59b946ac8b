"""Traces that our own servers keep of themselves, and MFS served to a kernel of ours."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from rawfuse import serving
from rawfuse.examples.memory import MemoryFS
from rawfuse.trace.exchanges import Exchange, exchanges
from rawfuse.trace.opening import read_trace
from tools.decode.lines import name_of
from tools.replay.command import main
from tools.tests.test_replay_kernel import WORK, recorded

pytestmark = pytest.mark.kernel("root")

MFS = [sys.executable, "-m", "mfs"]
MOUNT = [sys.executable, "-m", "rawfuse.cli", "mount"]
MEMORY = "rawfuse.examples.memory:MemoryFS"


def kept(trace: Path) -> list[Exchange]:
    return list(exchanges(read_trace(trace)))


def test_a_block_that_serves_keeps_all(tmp_path: Path) -> None:
    async def block() -> None:
        mountpoint = trio.Path(tmp_path / "mnt")
        await mountpoint.mkdir()
        async with serving(MemoryFS(), mountpoint, trace=tmp_path / "t.pcapng"):
            await (mountpoint / "file").write_text("text")
            assert await (mountpoint / "file").read_text() == "text"

    trio.run(block)
    found = kept(tmp_path / "t.pcapng")
    assert not [one.problem for one in found if one.problem]
    assert {"INIT", "CREATE", "WRITE"} <= {name_of(one) for one in found}
    (write,) = [one for one in found if name_of(one) == "WRITE"]
    assert write.path == b"/file"
    assert write.sent is not None
    assert (write.sent.minor, bool(write.sent.connection), bool(write.sent.program)) == (45, True, True)


def test_rawfuse_mount_goes_on_when_the_disk_is_full(tmp_path: Path) -> None:
    server = subprocess.Popen([*MOUNT, "--trace", "/dev/full", MEMORY, tmp_path], stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    assert "is mounted" in server.stderr.readline()
    (tmp_path / "file").write_text("text")
    assert "the trace ends here, serving goes on" in server.stderr.readline()
    for _ in range(3):
        (tmp_path / "file").read_text()
        time.sleep(0.3)
    subprocess.run(["umount", tmp_path], check=True)
    _, said = server.communicate(timeout=20)
    assert said == ""
    assert server.returncode == 0


@pytest.mark.parametrize(
    "command", [[*MOUNT, "--trace", "{dir}/t", MEMORY, "{dir}"], [*MFS, "mount", "--trace", "{dir}/t", "{dir}"]]
)
def test_a_trace_that_the_mount_would_hide_is_refused(tmp_path: Path, command: list[str]) -> None:
    words = [word.replace("{dir}", str(tmp_path)) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "beneath the mount" in done.stderr


def test_mfs_mount_keeps_a_fusedump(tmp_path: Path) -> None:
    mountpoint, trace = tmp_path / "mnt", tmp_path / "t.fusedump"
    mountpoint.mkdir()
    subprocess.run([*MFS, "mount", "--trace", trace, "--repo", tmp_path / "repo", mountpoint], check=True)
    (mountpoint / "file").write_text("text")
    subprocess.run([*MFS, "umount", mountpoint], check=True)
    assert (b"/file", "CREATE") in {(one.path, name_of(one)) for one in kept(trace)}


def test_mfs_run_keeps_one_of_its_own_mount(tmp_path: Path) -> None:
    words = [*MFS, "run", "--temp", "--trace", str(tmp_path / "t.pcapng"), "--", "sh", "-c", "mkdir $MFS/made"]
    subprocess.run(words, check=True)
    assert (b"/made", "MKDIR") in {(one.path, name_of(one)) for one in kept(tmp_path / "t.pcapng")}


def test_mfs_behind_a_socket_replays_itself_and_in_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = recorded(tmp_path, [*MFS, "mount", "--repo", str(tmp_path / "one"), "{}"], WORK)
    assert main([trace, "--", *MFS, "mount", "--repo", str(tmp_path / "two"), "{}"]) == 0
    assert main([trace, "--another", "--module", MEMORY]) == 0
    assert capsys.readouterr().out.count(", 0 differ") == 2


def test_mfs_behind_a_socket_has_no_places_beside(tmp_path: Path) -> None:
    words = [*MFS, "mount", "--repo", str(tmp_path), "--ipfs", str(tmp_path), "/dev/fd/0"]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    assert done.returncode == 1
    assert "no place that --ipfs and --ipns could be beside" in done.stderr
