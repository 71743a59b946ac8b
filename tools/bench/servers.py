"""Starting a FUSE server as its user would, finding its process, and stopping it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from .machine import Unavailable, run

START_SECONDS = 30
STOP_SECONDS = 120  # a last commit of gigabytes is part of stopping


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to run a server.

    `start` and `stop` are command lines in which {dir} is the mount point, {repo} a directory for what it stores and
    {src} a directory that it may pass through. A command that returns with status 0 has left a server behind; one that
    stays is the server. Without `stop` it is stopped by umount(8). Reading the extended attribute `settle` of the
    mount's root makes everything durable (after `sync -f`); None: there is none.
    """

    name: str
    start: tuple[str, ...]
    stop: tuple[str, ...] | None = None
    settle: str | None = None

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """From the command line: NAME=COMMAND. Raises ValueError that says what is wrong."""
        name, equals, command = text.partition("=")
        words = tuple(shlex.split(command))
        if not equals or not name or not words:
            raise ValueError(f"{text!r} is not NAME=COMMAND")
        if not any("{dir}" in word for word in words):
            raise ValueError(f"{text!r}: the command has no {{dir}}, where the mount point goes")
        return cls(name, words)


MFS = Recipe(
    "mfs",
    (sys.executable, "-m", "mfs", "mount", "--repo", "{repo}", "{dir}"),
    stop=(sys.executable, "-m", "mfs", "umount", "{dir}"),
    settle="ipfs.cid",
)
MEMORY = Recipe(
    "memory",
    (sys.executable, "-m", "rawfuse.cli", "mount", "rawfuse.examples.memory:MemoryFS", "{dir}"),
)
PASSTHROUGH = Recipe(
    "passthrough",
    (sys.executable, "-m", "rawfuse.cli", "mount", "rawfuse.examples.passthrough:Passthrough", "{dir}", "{src}"),
)
_TRACE = "{repo}/trace.pcapng"
RELAYED = Recipe(
    "relayed",
    (
        *(sys.executable, "-m", "rawfuse.cli", "trace", "-o", _TRACE, "-m", "{dir}", "--"),
        *(sys.executable, "-m", "rawfuse.cli", "mount", "rawfuse.examples.memory:MemoryFS", "{}"),
    ),
)
RECORDING = Recipe(
    "recording",
    (sys.executable, "-m", "rawfuse.cli", "mount", "--trace", _TRACE, "rawfuse.examples.memory:MemoryFS", "{dir}"),
)
RECORDING_MFS = Recipe(
    "mfs-recording",
    (sys.executable, "-m", "mfs", "mount", "--trace", "{repo}.pcapng", "--repo", "{repo}", "{dir}"),
    stop=MFS.stop,
    settle=MFS.settle,
)
BARE = Recipe("bare", (sys.executable, str(Path(__file__).with_name("bare.py")), "{dir}"))


class Server:
    """One server on a mount point of its own, below `scratch`. Use as a context manager."""

    def __init__(self, recipe: Recipe, scratch: Path) -> None:
        self.recipe = recipe
        self.home = scratch / recipe.name
        self.mount = self.home / "mount"
        self.repo = self.home / "repo"
        self.trace = self.home / "repo.pcapng"
        self.source = self.home / "source"
        self.pids: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        for directory in (self.mount, self.repo, self.source):
            directory.mkdir(parents=True)
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        self.stop()
        shutil.rmtree(self.home)

    def start(self) -> None:
        """Returns when the mount answers. Raises Unavailable with the server's last words."""
        command = self._fill(self.recipe.start)
        said = self.home / "log"
        try:
            with open(said, "wb") as log:
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        except OSError as error:
            raise Unavailable(f"{self.recipe.name}: {error}") from error
        deadline = monotonic() + START_SECONDS
        while not is_mounted(self.mount):
            status = self._process.poll()
            if status or monotonic() > deadline:
                lines = said.read_text(errors="replace").strip().splitlines()
                problem = lines[-1] if lines else f"exit status {status}"
                if status is None:
                    self._end_process()
                    problem = f"no mount after {START_SECONDS} s"
                raise Unavailable(f"{self.recipe.name}: {problem}")
            sleep(0.01)
        os.stat(self.mount)  # waits for INIT
        self.pids = serving(self.mount)

    def stop(self) -> None:
        """Unmounts and waits for the end of the process, which may have much to commit. Raises Unavailable."""
        if is_mounted(self.mount):
            try:
                run(*(self._fill(self.recipe.stop) if self.recipe.stop else ("umount", str(self.mount))))
            except Unavailable:
                if is_mounted(self.mount):  # else the server was leaving by itself, and was faster
                    raise
        self.wait()

    def wait(self) -> None:
        """Until the server's process is gone. Raises Unavailable when it stays."""
        deadline = monotonic() + STOP_SECONDS
        while self._alive():
            if monotonic() > deadline:
                self._end_process()
                raise Unavailable(f"{self.recipe.name}: still there {STOP_SECONDS} s after its mount was gone")
            sleep(0.01)

    def restart(self) -> None:
        """A fresh mount of the same content: the kernel has nothing of it in its caches."""
        self.stop()
        self.start()

    def settle(self) -> None:
        """Everything written so far is durable when this returns."""
        run("sync", "-f", self.mount)
        if self.recipe.settle is not None:
            os.getxattr(self.mount, self.recipe.settle)

    def _fill(self, words: Sequence[str]) -> list[str]:
        places = {"{dir}": self.mount, "{repo}": self.repo, "{src}": self.source}
        filled = []
        for word in words:
            for placeholder, path in places.items():
                word = word.replace(placeholder, str(path))
            filled.append(word)
        return filled

    def _alive(self) -> bool:
        if self._process is not None and self._process.poll() is None:
            return True
        return any(os.path.exists(f"/proc/{pid}") for pid in self.pids)

    def _end_process(self) -> None:
        """Last resort, and only for the process that we started ourselves."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def is_mounted(directory: Path) -> bool:
    """Looks into the mount table: asking the directory itself would wait for a server that is not there yet."""
    path = str(directory.resolve()) if directory.parent.exists() else str(directory)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
        return any(line.split(" ")[4] == path for line in table)


def serving(mount: Path) -> list[int]:
    """The processes that hold the device of this mount, by the connection's number in their fdinfo, and their children:
    a relay's server has a socket."""
    wanted = f"fuse_connection:\t{os.minor(os.stat(mount).st_dev)}\n"
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for number in os.listdir(f"/proc/{pid}/fdinfo"):
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii", errors="replace") as info:
                    if wanted in info.readlines():
                        found.append(int(pid))
                        break
        except OSError:  # ended meanwhile, or not ours to look into
            continue
    return found + [child for pid in found for child in _children(pid) if child not in found]


def _children(pid: int) -> list[int]:
    try:
        tasks = [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in os.listdir(f"/proc/{pid}/task")]
    except OSError:  # ended meanwhile
        return []
    return [int(word) for text in tasks for word in text.split()]
