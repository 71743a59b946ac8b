"""What the bench asks of the machine: a CPU to stay on, a clock for a command, memory and disk used, OpenSSL."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep
from types import TracebackType

MIB = 1 << 20
GIB = 1 << 30
COMMAND_SECONDS = 600  # a command that takes longer has failed


class Unavailable(Exception):
    """Something that a row needs is not here, or failed; the text says what, and what to do."""


def run(*command: str | Path) -> str:
    """Runs a command to its end and returns what it printed. Raises Unavailable, with its words, when it fails."""
    words = [str(word) for word in command]
    try:
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{words[0]}: {error}") from error
    if ran.returncode != 0:
        said = (ran.stderr or ran.stdout).strip().splitlines()
        raise Unavailable(f"{' '.join(words)}: {said[-1] if said else f'exit status {ran.returncode}'}")
    return ran.stdout


def seconds_of(*command: str | Path) -> float:
    """How long a whole process takes, from before it is started until it has ended. Raises Unavailable."""
    words = [str(word) for word in command]
    program = shutil.which(words[0])
    if program is None:
        raise Unavailable(f"{words[0]}: not installed")
    start = perf_counter()
    pid = os.posix_spawn(program, words, os.environ)
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        if not poll.poll(COMMAND_SECONDS * 1000):
            os.kill(pid, 15)
            raise Unavailable(f"{' '.join(words)}: not done after {COMMAND_SECONDS} s, ended")
        elapsed = perf_counter() - start
    finally:
        os.close(ended)
        _, status = os.waitpid(pid, 0)
    if status != 0:
        raise Unavailable(f"{' '.join(words)}: exit status {os.waitstatus_to_exitcode(status)}")
    return elapsed


def pin_process(pid: int, cpus: set[int]) -> None:
    """Moves every thread of a process to these CPUs; threads that it starts later follow the one that starts them."""
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            os.sched_setaffinity(int(task), cpus)
        except ProcessLookupError:  # a thread that has just ended
            continue


@contextmanager
def on_one_cpu(pids: Sequence[int]) -> Iterator[None]:
    """This process (the clients it starts inherit it) and those servers share one CPU inside the block.

    Across CPUs a round trip is mostly the time it takes to wake the other one up, and that hides the server.
    """
    everywhere = os.sched_getaffinity(0)
    everyone = [os.getpid(), *pids]
    try:
        for pid in everyone:
            pin_process(pid, {max(everywhere)})
        yield
    finally:
        for pid in everyone:
            if os.path.exists(f"/proc/{pid}"):
                pin_process(pid, everywhere)


def anonymous_bytes(pid: int) -> int:
    """RssAnon: memory of its own, without mapped files (an LMDB map counts as resident, but is page cache)."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0  # a process that is ending has none


class PeakMemory:
    """Samples the anonymous memory of processes every 20 ms inside its `with` block; `bytes` is the largest sum."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.bytes = 0
        self._pids = pids
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, where: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            try:
                self.bytes = max(self.bytes, sum(map(anonymous_bytes, self._pids)))
            except OSError:  # the server has ended; the row finds out by itself
                return
            if self._done.wait(0.02):
                return


def disk_bytes(directory: Path) -> int:
    """What the files below a directory occupy; a hole occupies nothing."""
    total = 0
    for where, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except FileNotFoundError:  # removed meanwhile
                continue
    return total


def sha256_speed() -> float:
    """MB/s of SHA-256 on one core, as OpenSSL measures it for blocks of 1 MiB. Raises Unavailable."""
    said = run("openssl", "speed", "-evp", "sha256", "-seconds", "1", "-bytes", str(MIB))
    found = re.search(r"^sha256\s+([0-9.]+)k", said, re.MULTILINE | re.IGNORECASE)
    if found is None:
        raise Unavailable(f"openssl speed: no figure in its output: {said.strip()[-80:]!r}")
    return float(found[1]) / 1000


@contextmanager
def xfs_image(directory: Path, size: int) -> Iterator[Path]:
    """An xfs with reflinks on a loop device, mounted below `directory`. Raises Unavailable where that cannot be."""
    image = directory / "xfs.img"
    where = directory / "xfs"
    where.mkdir()
    with open(image, "wb") as file:
        file.truncate(max(size, 512 * MIB))  # mkfs.xfs refuses less than 300 MiB
    try:
        run("mkfs.xfs", "-q", "-m", "reflink=1", image)
        run("mount", "-o", "loop", image, where)
        try:
            yield where
        finally:
            for wait in (0.1, 0.5, 2.0):  # somebody may be looking at the new mount for a moment
                try:
                    run("umount", where)
                    break
                except Unavailable:
                    sleep(wait)
            else:
                run("umount", where)
    finally:
        image.unlink()
        if not os.path.ismount(where):
            where.rmdir()
