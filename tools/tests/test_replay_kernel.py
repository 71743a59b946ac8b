"""Traces recorded between the real kernel and a server, played to the same and to another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.replay.command import main
from tools.tests.test_trace_kernel import MEMORY, tracing

pytestmark = pytest.mark.kernel("root")

MOUNT = MEMORY[:-2]
PASSTHROUGH = "rawfuse.examples.passthrough:Passthrough"
WORK = """
set -e
mkdir d; echo hello > d/a; cat d/a > /dev/null; cp d/a d/b; ln -s a d/l; mv d/b d/c; ln d/a d/h; chmod 600 d/a
for i in $(seq 60); do echo $i > d/file-with-a-long-name-$i; done
ls -la d > /dev/null; touch -d 2020-01-01 d/a; readlink d/l > /dev/null
head -c 700000 /dev/urandom > big; cat big > /dev/null & cat big d/a > /dev/null; wait
truncate -s 1000 big; cat big > /dev/null; rm -r d; stat -f . > /dev/null
"""


def recorded(directory: Path, server: list[str], work: str = WORK) -> str:
    """The trace of a shell's work in a mount of `server`."""
    with tracing(directory, server) as tracer:
        subprocess.run(["sh", "-c", work], cwd=tracer.mountpoint, check=True)
        tracer.end()
    return str(tracer.trace)


def test_the_memory_example_replays_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = recorded(tmp_path, MEMORY)
    assert main([trace, "--", *MEMORY]) == 0
    assert ", 0 differ" in capsys.readouterr().out
    assert main([trace, "--module", MEMORY[-2]]) == 0


def test_passthrough_replays_itself_and_in_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)  # as the other's root, whatever the umask is
    trace = recorded(tmp_path, [*MOUNT, PASSTHROUGH, "{}", str(tmp_path / "one")])
    assert main([trace, "--", *MOUNT, PASSTHROUGH, "{}", str(tmp_path / "two")]) == 0
    assert os.listdir(tmp_path / "two") == ["big"]
    assert main([trace, "--another", "--module", MEMORY[-2]]) == 0
    assert main([trace, "--module", PASSTHROUGH, "--", str(tmp_path / "three")]) == 0
    assert capsys.readouterr().out.count(", 0 differ") == 3


def test_hello_replays_itself_and_not_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hello = "rawfuse.examples.hello:Hello"
    work = "cat hello; ls -l . absent || stat hello"
    trace = recorded(tmp_path, [*MOUNT, hello, "{}"], work)
    assert main([trace, "--module", hello]) == 0
    assert main([trace, "--another", "--module", MEMORY[-2]]) == 1
    assert "LOOKUP /hello: success was recorded, now it is ENOENT" in capsys.readouterr().out


def test_a_server_that_dies_ends_the_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = recorded(tmp_path, MEMORY, "echo hello > file; cat file > /dev/null")
    dying = "import sys, os; os.read(int(sys.argv[1].rsplit('/', 1)[1]), 99999); os.kill(os.getpid(), 6)"
    assert main([trace, "--", sys.executable, "-c", dying, "{}"]) == 1
    assert "before it replied to exchange 1, INIT (SIGABRT)" in capsys.readouterr().err
