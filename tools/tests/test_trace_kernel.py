"""`rawfuse trace` between the kernel and servers that are sound, that die, that hang, and that break the protocol."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rawfuse.trace.exchanges import Exchange, exchanges
from rawfuse.trace.opening import read_trace
from tools.decode.lines import name_of

pytestmark = pytest.mark.kernel("root")

MEMORY = [sys.executable, "-c", "import sys; from rawfuse.cli import main; sys.exit(main())", "mount"]
MEMORY += ["rawfuse.examples.memory:MemoryFS", "{}"]
# Breaks the protocol, or dies or hangs, when it is asked for the name in its second argument.
UNSOUND = """
import os, signal, stat, sys, time
from rawfuse import Server, wire
from rawfuse.channel import channel_of_fd
from rawfuse.examples.hello import Hello
import trio
class Unsound(Hello):
    def lookup(self, request):
        match request.name:
            case b"die":
                os.kill(os.getpid(), signal.SIGKILL)
            case b"hang":
                time.sleep(60)
            case b"long":
                CHANNEL.send_bytes(wire.fuse_out_header(len=20, unique=request.unique).pack() + b"four")
            case b"framed":
                CHANNEL.send_bytes(wire.fuse_out_header(len=99, unique=request.unique).pack())
                return later()
            case b"errno":
                CHANNEL.send_bytes(wire.fuse_out_header(len=16, error=-1000, unique=request.unique).pack())
                return later()
            case b"told":
                self.server.notify.soon(self.server.notify.inval_entry, 1, b"told")
                return later(0.3)
        return super().lookup(request)
async def later(seconds=60):
    await trio.sleep(seconds)
    raise FileNotFoundError(2, "no such file")
CHANNEL = channel_of_fd(int(sys.argv[1].rsplit("/", 1)[1]))
trio.run(Server(Unsound(), CHANNEL).serve)
"""


class Tracing:
    """A tracer that runs: where it mounted, what it kept."""

    def __init__(self, process: subprocess.Popen[str], mountpoint: Path, trace: Path) -> None:
        self.process = process
        self.mountpoint = mountpoint
        self.trace = trace
        self.said = ""
        self.status = -1

    def end(self) -> list[Exchange]:
        """Unmounts, unless that has happened; the exchanges that were kept."""
        if self.process.poll() is None:
            subprocess.run(["umount", "-l", self.mountpoint], check=False, capture_output=True)
        self.said += self.process.communicate(timeout=30)[1]
        self.status = self.process.returncode
        return list(exchanges(read_trace(self.trace)))


@contextmanager
def tracing(directory: Path, server: list[str], *options: str) -> Iterator[Tracing]:
    mountpoint, trace = directory / "mnt", directory / "t.pcapng"
    mountpoint.mkdir()
    command = [sys.executable, "-m", "tools.trace", "-o", str(trace), "-m", str(mountpoint), *options, "--", *server]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    one = Tracing(process, mountpoint, trace)
    try:
        while "is mounted" not in (line := process.stderr.readline()):
            assert line, "the tracer ended"
        yield one
    finally:
        subprocess.run(["umount", "-l", mountpoint], check=False, capture_output=True)
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        process.stderr.close()


def test_everything_is_passed_on_and_kept(tmp_path: Path) -> None:
    with tracing(tmp_path, MEMORY) as tracer:
        file = tracer.mountpoint / "file"
        data = os.urandom(3 << 20)
        file.write_bytes(data)
        assert file.read_bytes() == data
        subprocess.run(["ls", "-l", tracer.mountpoint], check=True, stdout=subprocess.DEVNULL)
        file.unlink()
        found = tracer.end()
    assert tracer.status == 0
    assert not [one.problem for one in found if one.problem]
    assert {"INIT", "CREATE", "WRITE", "UNLINK"} <= {name_of(one) for one in found}
    writes = [one for one in found if name_of(one) == "WRITE"]
    assert {one.path for one in writes} == {b"/file"}
    assert b"".join(bytes(one.request.data) for one in writes if one.request) == data  # type: ignore[attr-defined]
    (made,) = [one for one in found if name_of(one) == "CREATE"]
    assert made.sent is not None
    assert made.sent.minor == 45
    assert made.sent.connection


def test_programs_that_are_gone_have_names(tmp_path: Path) -> None:
    with tracing(tmp_path, MEMORY) as tracer:
        subprocess.run(["mkdir", tracer.mountpoint / "made"], check=True)
        found = tracer.end()
    assert [one.sent.program for one in found if name_of(one) == "MKDIR" and one.sent] == [b"mkdir"]


def test_a_signal_unmounts(tmp_path: Path) -> None:
    with tracing(tmp_path, MEMORY) as tracer:
        tracer.process.send_signal(signal.SIGINT)
        assert tracer.process.wait(30) == 0
        assert not os.path.ismount(tracer.mountpoint)


def test_a_server_that_dies_lets_its_callers_go_and_is_told(tmp_path: Path) -> None:
    with tracing(tmp_path, [sys.executable, "-c", UNSOUND, "{}"]) as tracer:
        with pytest.raises(OSError):
            os.stat(tracer.mountpoint / "die")
        found = tracer.end()
    assert tracer.status == 1
    assert "SIGKILL" in tracer.said
    assert "unanswered: LOOKUP of nodeid 1, name 'die'" in tracer.said
    assert (name_of(found[-1]), found[-1].answer) == ("LOOKUP", None)


def test_a_server_that_hangs_is_told_and_the_mount_can_be_ended(tmp_path: Path) -> None:
    with tracing(tmp_path, [sys.executable, "-c", UNSOUND, "{}"], "--patience", "0.5") as tracer:
        caller = subprocess.Popen(["cat", tracer.mountpoint / "hang"], stderr=subprocess.DEVNULL)
        assert tracer.process.stderr is not None
        while "name 'hang'" not in (line := tracer.process.stderr.readline()):
            assert "no reply for" in line  # of another one, on a machine that is busy
        assert "no reply for" in line
        tracer.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        tracer.process.send_signal(signal.SIGTERM)
        tracer.end()
        assert caller.wait(20)
    assert tracer.status == 1


def test_a_reply_that_the_kernel_refuses_is_shown(tmp_path: Path) -> None:
    with tracing(tmp_path, [sys.executable, "-c", UNSOUND, "{}"]) as tracer:
        with pytest.raises(OSError):
            os.stat(tracer.mountpoint / "long")
        tracer.end()
    assert tracer.status == 1
    assert "the kernel refused a reply of 20 bytes" in tracer.said
    assert "LOOKUP of nodeid 1, name 'long'" in tracer.said
    assert "EINVAL" in tracer.said


@pytest.mark.parametrize("name", ["framed", "errno"])
def test_whose_reply_the_kernel_refuses_and_waits_on_is_let_go(tmp_path: Path, name: str) -> None:
    with tracing(tmp_path, [sys.executable, "-c", UNSOUND, "{}"]) as tracer:
        with pytest.raises(OSError) as refused:
            os.stat(tracer.mountpoint / name)
        assert refused.value.errno == errno.EIO
        tracer.end()
    assert "the kernel refused a reply" in tracer.said


def test_a_caller_is_let_go_after_a_while(tmp_path: Path) -> None:
    options = ("--patience", "0.2", "--give-up", "0.6")
    with tracing(tmp_path, [sys.executable, "-c", UNSOUND, "{}"], *options) as tracer:
        with pytest.raises(OSError) as late:
            os.stat(tracer.mountpoint / "hang")
        assert late.value.errno == errno.ETIMEDOUT
        tracer.end()
    assert tracer.status == 1
    assert "it was answered with ETIMEDOUT in the server's place" in tracer.said


def test_a_notification_that_the_kernel_holds_holds_no_reply(tmp_path: Path) -> None:
    """INVAL_ENTRY waits in the kernel for the LOOKUP in that directory, whose answer comes behind it."""
    with tracing(tmp_path, [sys.executable, "-c", UNSOUND, "{}"]) as tracer:
        with pytest.raises(FileNotFoundError):
            os.stat(tracer.mountpoint / "told")
        found = tracer.end()
    assert tracer.status == 0
    assert "NOTIFY_INVAL_ENTRY" in [name_of(one) for one in found]


def test_an_error_is_put_in_for_the_server(tmp_path: Path) -> None:
    with tracing(tmp_path, MEMORY, "--fault", "MKDIR every=2 error=ENOSPC") as tracer:
        (tracer.mountpoint / "a").mkdir()
        with pytest.raises(OSError, match="No space"):
            (tracer.mountpoint / "b").mkdir()
        assert os.listdir(tracer.mountpoint) == ["a"]
        tracer.end()
    assert "struck 1 of 2 requests" in tracer.said


def test_short_reads_are_the_end_of_the_data(tmp_path: Path) -> None:
    with tracing(tmp_path, MEMORY, "--fault", "READ short=3") as tracer:
        (tracer.mountpoint / "f").write_bytes(b"content")
        with open(tracer.mountpoint / "f", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert file.read(7).rstrip(b"\0") == b"con"
        tracer.end()


def test_a_fault_is_for_the_paths_that_it_names(tmp_path: Path) -> None:
    with tracing(tmp_path, MEMORY, "--fault", "CREATE,WRITE path=/d/*.db error=EIO") as tracer:
        (tracer.mountpoint / "d").mkdir()
        (tracer.mountpoint / "d" / "file").write_text("text")
        (tracer.mountpoint / "a.db").write_text("text")
        with pytest.raises(OSError, match="Input/output"):
            (tracer.mountpoint / "d" / "a.db").write_text("text")
        tracer.end()
    assert "struck 1 of 1 requests" in tracer.said


def test_a_short_write_is_gone_on_with(tmp_path: Path) -> None:
    with tracing(tmp_path, MEMORY, "--fault", "WRITE times=1 short=4096") as tracer:
        with open(tracer.mountpoint / "f", "wb", buffering=0) as file:
            assert [file.write(bytes(8192)), file.write(bytes(8192))] == [4096, 8192]
        tracer.end()


def test_a_delayed_reply_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    with tracing(tmp_path, MEMORY, "--fault", "MKDIR delay=700ms") as tracer:
        caller = subprocess.Popen(["mkdir", tracer.mountpoint / "slow"])
        while tracer.mountpoint.stat().st_nlink != 2:
            pass
        os.statvfs(tracer.mountpoint)
        assert caller.wait(20) == 0
        found = tracer.end()
    (made,) = [one for one in found if name_of(one) == "MKDIR"]
    assert made.latency is not None
    assert made.latency > 600_000_000


def test_a_lost_reply_leaves_the_caller_waiting_until_the_end(tmp_path: Path) -> None:
    with tracing(tmp_path, MEMORY, "--fault", "MKDIR drop") as tracer:
        caller = subprocess.Popen(["mkdir", tracer.mountpoint / "lost"], stderr=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            caller.wait(0.5)
        for _ in range(2):
            tracer.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        tracer.end()
        assert caller.wait(20) != 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-m", ".", "--", "server", "{}"], "nothing to do"),
        (["--follow", "-m", ".", "--fault", "LOKUP drop", "--", "server", "{}"], "no opcode is called"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(words: list[str], says: str) -> None:
    done = subprocess.run([sys.executable, "-m", "tools.trace", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("server", "says"), [(["server"], "write {} where"), (["/nonexistent/server", "{}"], "No such file")]
)
def test_a_server_that_cannot_be_started_is_said(tmp_path: Path, server: list[str], says: str) -> None:
    command = [sys.executable, "-m", "tools.trace", "--follow", "-m", str(tmp_path), "--", *server]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert says in done.stderr
