"""The README: every command in it is run, as it stands there, by somebody who has nothing but a checkout."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
README = (TOP / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SETUP, TESTS = (text.strip() for kind, text in BLOCKS if kind == "sh")
CONSOLES = [text for kind, text in BLOCKS if kind == "console"]
SESSION, ROOTLESS, KEPT, HELLO, WATCHED, JUDGED = (re.findall(r"^[#$] (.*)", text, re.MULTILINE) for text in CONSOLES)


class Reader:
    """Somebody in a fresh checkout, with a mount namespace and a home of their own."""

    def __init__(self, home: Path) -> None:
        self.checkout = home / "rawfuse"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=TOP,
            capture_output=True,
            check=True,
        ).stdout
        for name in listed.decode().split("\0"):
            if name and (source := TOP / name).exists():
                (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, self.checkout / name, follow_symlinks=False)
        kept = {name: os.environ[name] for name in ("PATH", "PIP_INDEX_URL", "PIP_CACHE_DIR") if name in os.environ}
        self.environment = {**kept, "HOME": str(home), "MFS_PATH": str(home / "repo"), "LC_ALL": "C"}

    def types(self, *lines: str) -> str:
        """What the lines print; the first that fails ends them, and the test."""
        ran = subprocess.run(
            ["unshare", "--mount", "bash", "-e", "-c", "\n".join(lines)],
            cwd=self.checkout,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    try:
        socket.create_connection(("pypi.org", 443), timeout=5).close()
    except OSError as error:
        if "PIP_INDEX_URL" not in os.environ and not Path("/etc/pip.conf").exists():
            pytest.skip(f"pip needs a package index, and there is none: {error}")
    yield Reader(tmp_path)


class TracedCopies:
    """The kernel records every COPY_FILE_RANGE_64. `begun` and `done` are commands: between them is our own time, in
    which the number of a connection is that of one mount alone."""

    def __init__(self, instance: Path) -> None:
        self._trace = instance / "trace"
        self.begun, self.done = (f"echo our time: {word} > {instance}/trace_marker" for word in ("begun", "done"))

    def of(self, connection: int) -> int:
        """How many there were, in our own time."""
        ours = self._trace.read_text().split("our time: ")[1]
        return ours.count(f"connection {connection} req ")


@contextmanager
def traced_copies() -> Iterator[TracedCopies]:
    tracing = Path("/sys/kernel/tracing")
    if not (tracing / "instances").exists():
        subprocess.run(["mount", "-t", "tracefs", "none", tracing], check=True)
    own = tracing / "instances" / f"rawfuse-{os.getpid()}"
    own.mkdir()
    try:
        sent = own / "events" / "fuse" / "fuse_request_send"
        (sent / "filter").write_text("opcode == 53")
        (sent / "enable").write_text("1")
        yield TracedCopies(own)
    finally:
        own.rmdir()


def counts(report: str) -> list[list[str]]:
    """Of each tier: its name, and how many probes came to which verdict."""
    return [line.split() for line in report.splitlines() if line.startswith(("must ", "should ", "may "))]


@pytest.mark.kernel("root", programs=("git", "unshare", "getfattr"))
@pytest.mark.timeout(300)
def test_the_first_command_and_the_session_do_what_they_show(reader: Reader) -> None:
    # 4 GiB of holes and a little data: as large, and quickly made.
    with open(reader.checkout / "some-4G.iso", "wb") as iso:
        iso.truncate(4 << 30)
        iso.seek(1 << 30)
        iso.write(os.urandom(1 << 20))
    over = SESSION.index(".venv/bin/mfs umount /mnt/mfs")
    with traced_copies() as copies:
        ours = [copies.begun, *SESSION[:over], "stat -c 'device %d' /mnt/mfs", copies.done]
        said = reader.types(SETUP, *ours, *SESSION[over:])
        device = re.search(r"^device (\d+)$", said, re.MULTILINE)
        assert device is not None, said
        assert copies.of(os.minor(int(device[1]))) == 1
    said += reader.types(*ROOTLESS)
    kept = reader.types(*KEPT)
    gone = re.compile(r"^removed\tdirectory\t.*", re.MULTILINE)
    assert gone.findall(kept) == gone.findall(CONSOLES[2]) != []
    assert kept.endswith("\nsound\n")
    assert "Hello from Python!\n" in reader.types("mkdir -p /mnt/mfs", *HELLO)
    watched = reader.types(*WATCHED)
    assert re.search(r"COPY_FILE_RANGE_64 +/a -> /b", watched), watched
    assert ", 0 differ\n" in watched
    assert counts(reader.types(*JUDGED)) == counts(CONSOLES[5])
    cids = re.findall(r"bafy[a-z2-7]{55}", said)
    assert cids[0] == cids[1] != cids[2], said
    # In a pipe the paragraph that a terminal shows is a line of fields.
    assert "\tfile\t4294967301\t" in said
    assert re.search(r"^-rw.* a$", said, re.MULTILINE) and re.search(r"^-rw.* b$", said, re.MULTILINE)


def test_the_first_code_is_the_example() -> None:
    code = [text for kind, text in BLOCKS if kind == "python"]
    assert code == [(TOP / "rawfuse" / "examples" / "hello.py").read_text()]
    assert code[0].count("\n") < 40


def test_the_test_command_is_what_continuous_integration_runs() -> None:
    pattern = re.search(r"grep -m 1 -E '(.*)' README.md", (TOP / ".ci" / "run").read_text())
    assert pattern is not None
    assert re.fullmatch(pattern[1], TESTS), TESTS


def test_paths_that_the_readme_names_are_there() -> None:
    named = [path for path in re.findall(r"`([\w./-]+/[\w./-]*)`", README) if not path.startswith((".", "/"))]
    assert named
    assert [path for path in named if not (TOP / path).exists()] == []
