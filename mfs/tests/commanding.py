"""The command `mfs`, run as its users run it, in a directory of its own that is cleaned up whatever happens."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mfs.cli.mounts import is_beneath
from mfs.repo import holder_of
from rawfuse.mount import mount_entries, umount

PATIENCE = 60.0
CHECKOUT = Path(__file__).parents[2]
MFS = (sys.executable, "-m", "mfs")
_WAITS = re.compile(
    r"^mfs umount: (.* is still committing to .*|.* is unmounted here, but .*|done after \d+ s)\n", re.M
)
"""What `mfs umount` says when it takes longer than usual, which is the machine's affair."""


class Place:
    """A directory with a mount point `mnt`, a home for an ordinary user, and room for repositories."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mnt = path / "mnt"
        self.repo = path / "repo"
        self.home = path / "home"
        self.mnt.mkdir()
        self.home.mkdir()
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if name not in ("MFS_PATH", "PYTHONDONTWRITEBYTECODE")
            },
            "PYTHONPATH": str(CHECKOUT),
            # What is compiled once need not be compiled for every command, and the checkout stays as it is.
            "PYTHONPYCACHEPREFIX": os.path.join(tempfile.gettempdir(), f"mfs-test-bytecode-{os.getuid()}"),
            "MFS_PATH": str(self.repo),
        }

    def mfs(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return self.run([*MFS, *words], **variables)

    def run(self, command: Sequence[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run any command; its `stderr` is without what `mfs umount` says of a wait."""
        ran = subprocess.run(
            command,
            cwd=self.path,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        ran.stderr = _WAITS.sub("", ran.stderr)
        return ran

    def at_a_terminal(self, *words: str | Path) -> str:
        """Run the command with a terminal for its output, and return what it shows there. It has to succeed."""
        ours, theirs = pty.openpty()
        with subprocess.Popen([*MFS, *words], stdout=theirs, stderr=theirs, env=self.environment) as running:
            os.close(theirs)
            shown = b""
            # EIO, when nobody has the other side any more.
            with contextlib.suppress(OSError):
                while part := os.read(ours, 4096):
                    shown += part
        os.close(ours)
        assert running.returncode == 0, shown
        return shown.decode()

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start the command and let it run."""
        return subprocess.Popen(
            [*MFS, *words],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def mount(self, *words: str | Path) -> int:
        """`mfs mount` on `mnt`; returns the number of the server's process."""
        ran = self.mfs("mount", *words, self.mnt)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
        server = holder_of(self.repo)
        assert server is not None
        return server

    def umount(self) -> None:
        ran = self.mfs("umount", self.mnt)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

    def ordinary(
        self, script: str, *, device: str = "666", more: Sequence[str] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script as an ordinary user, in a home of its own; `mfs` in it is the command.

        So is `"$PYTHON" -m mfs` in what it starts.
        """
        os.chmod(self.path, 0o755)
        os.chown(self.home, 65534, 65534)
        script = f'mfs() {{ "{sys.executable}" -m mfs "$@"; }}\n{script}'
        harness: list[str | Path] = [
            sys.executable,
            "-m",
            "mfs.tests.ordinary",
            "--home",
            self.home,
            "--device",
            device,
            *more,
            "--",
        ]
        variables = {"MFS_PATH": str(self.home / "repo"), "PYTHON": sys.executable} | variables
        return self.run([*harness, "sh", "-c", script], **variables)

    def clean(self) -> None:
        """Take every mount away and wait for the servers; one that stays is killed."""
        for entry in reversed(mount_entries()):
            if is_beneath(entry.mountpoint, str(self.path)):
                umount(entry.mountpoint, lazy=True)
        repos = [marker.parent for marker in self.path.rglob("mfs.repo")]
        if not until(lambda: not any(map(holder_of, repos))):
            for repo in repos:
                if (server := holder_of(repo)) is not None:
                    os.kill(server, signal.SIGKILL)
        shutil.rmtree(self.path)


@contextlib.contextmanager
def new_place() -> Iterator[Place]:
    place = Place(Path(tempfile.mkdtemp(prefix="mfs-cli-")).resolve())
    try:
        yield place
    finally:
        place.clean()


def until(condition: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Wait for a condition; whether it came."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
