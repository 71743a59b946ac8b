"""`rawfuse trace --follow DIR`: mounts that are there, ours and other people's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rawfuse.tests.commanded import command_serving
from rawfuse.tests.memoryfs import MemoryFs
from rawfuse.tests.mounted import mounted
from rawfuse.trace.exchanges import exchanges
from rawfuse.trace.opening import read_trace
from tools.trace.command import main

TRACE = [sys.executable, "-m", "tools.trace"]


class Following:
    """A command that follows; the lines that it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def until(self, *words: str) -> str:
        """The next line with all of the words."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.lines.append(line.rstrip("\n"))
            if all(word in line for word in words):
                return line
        raise AssertionError(f"{words} never came: {self.lines}")


@contextmanager
def following(*words: str | Path) -> Iterator[Following]:
    command = [*TRACE, "--follow", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    watchdog = threading.Timer(40, process.kill)
    watchdog.start()
    try:
        one = Following(process)
        one.lines.append(process.stderr.readline())
        yield one
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


@pytest.mark.kernel("root")
def test_our_own_mount_is_followed_with_names_and_kept(tmp_path: Path) -> None:
    mount, kept = tmp_path / "mnt", tmp_path / "t.pcapng"
    mount.mkdir()
    with command_serving(mount):
        with following("-o", kept, mount) as one:
            assert "every message" in one.lines[0]
            (mount / "file").write_bytes(b"data")
            line = one.until("WRITE", "/file", "size=4")
            assert f"[{os.getpid()}]" in line or "[0]" in line
        written = [found for found in exchanges(read_trace(kept)) if found.path == b"/file"]
    assert written
    assert not [found.problem for found in written if found.problem]


@pytest.mark.kernel("root")
def test_a_relayed_mount_is_followed_beside_its_trace(tmp_path: Path) -> None:
    mount = tmp_path / "mnt"
    mount.mkdir()
    server = [sys.executable, "-m", "rawfuse.cli", "mount", "rawfuse.examples.memory:MemoryFS", "{}"]
    command = [*TRACE, "-o", str(tmp_path / "t.pcapng"), "-m", str(mount), "--", *server]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as relay:
        assert relay.stderr is not None
        try:
            while "is mounted" not in (line := relay.stderr.readline()):
                assert line
            with following(mount) as one:
                assert "every message" in one.lines[0]
                (mount / "made").mkdir()
                one.until("MKDIR", "/made")
        finally:
            subprocess.run(["umount", "-l", mount], check=False)
            relay.communicate(timeout=30)


@pytest.mark.kernel("root")
def test_a_mount_of_others_is_followed_by_the_kernels_events(tmp_path: Path) -> None:
    with mounted(MemoryFs()) as mount:
        number = str(os.minor(os.stat(".", dir_fd=mount.root).st_dev))
        with following(number) as one:
            assert "the kernel's events: no names and no data" in one.lines[0]
            # It has begun when something comes.
            while "MKDIR" not in one.lines[-1]:
                os.mkdir(f"d{len(one.lines)}", dir_fd=mount.root)
                one.until("MKDIR")
            line = one.lines[-1]
        assert main(["--follow", "-o", str(tmp_path / "t.pcapng"), number]) == 1
    assert " bytes = 144 bytes <" in line
    assert f"[{os.getpid()}]" in line
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("words", [["--follow", "/", "more"], ["-o", "t.pcapng", "/"], ["/"], ["--follow"]])
def test_a_command_line_that_makes_no_sense_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "usage: rawfuse trace" in capsys.readouterr().err


def test_a_directory_that_is_no_fuse_mount_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--follow", "/proc"]) == 1
    assert "is in no FUSE mount" in capsys.readouterr().err
