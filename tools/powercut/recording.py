"""The recording file system around a program."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

import trio

from rawfuse.serve import serving

from .events import Event, Mark, read_events
from .faults import Fault
from .filesystem import COUNTS, FAULT, MARK, SPACE, Recorder

__all__ = ["Recording", "load", "record", "recording"]

PATIENCE = 30.0
"""Seconds that the server has to mount, and to end."""


def load(path: str | os.PathLike[str]) -> list[Event]:
    """All events of a recording. Raises OSError, NotARecording."""
    with open(path, "rb") as file:
        return list(read_events(file))


async def record(
    log: IO[bytes],
    command: Sequence[str],
    *,
    at: Path | None = None,
    origin: Path | None = None,
    space: int | None = None,
) -> int:
    """Mounts a recording file system at `at` (None: a directory for now), runs `command` with `{}` for it, and returns
    its exit status. Without a command it is served until it is unmounted, or SIGINT or SIGTERM comes: 0.

    What the command prints is passed on, and each line is a mark in the recording. `origin`: a directory whose files
    are there from the start, durable. `space`: bytes that all files may take. `log` is written from its beginning.

    Raises what `rawfuse.mount` raises; OSError.
    """
    with contextlib.ExitStack() as stack:
        if at is None:
            at = Path(tempfile.mkdtemp(prefix="powercut-"))
            stack.callback(at.rmdir)
        recorder = Recorder(log, space)
        async with serving(recorder, at, fsname="powercut", subtype="rawfuse", default_permissions=True) as server:
            if origin is not None:
                await trio.to_thread.run_sync(_copy, origin, at)
            if command:
                return await _run([word.replace("{}", str(at)) for word in command], recorder)
            async with trio.open_nursery() as nursery:
                with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                    nursery.start_soon(_until_signal, signals, nursery.cancel_scope)
                    print(f"recording {at}", flush=True)
                    await server.ended.wait()
                    nursery.cancel_scope.cancel()
    return 0


async def _until_signal(signals: object, scope: trio.CancelScope) -> None:
    async for _ in signals:  # type: ignore[attr-defined]
        scope.cancel()


async def _run(command: Sequence[str], recorder: Recorder) -> int:
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    rest = b""
    async for data in process.stdout:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            recorder.record(Mark(line.decode("utf-8", "replace")))
    return await process.wait()


def _copy(origin: Path, to: Path) -> None:
    shutil.copytree(origin, to, symlinks=True, dirs_exist_ok=True)
    for top, _, files in os.walk(to):
        for path in (*(os.path.join(top, name) for name in files), top):
            if not os.path.islink(path):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)


class Recording:
    """A recording file system that another process serves, mounted at `path`; made by `recording`."""

    def __init__(self, path: Path, log: Path) -> None:
        self.path = path
        self.log = log

    def mark(self, text: str) -> None:
        """Add a mark."""
        os.setxattr(self.path, MARK, text.encode())

    def fault(self, fault: Fault | None) -> None:
        """Refuse these calls from now on; None: refuse none."""
        os.setxattr(self.path, FAULT, fault.encode() if fault is not None else b"")

    def space(self, size: int) -> None:
        """There is room for so many bytes from now on."""
        os.setxattr(self.path, SPACE, str(size).encode())

    def counts(self) -> dict[str, int]:
        """How many calls came so far, by kind (`KINDS`), and how many were refused."""
        counted: dict[str, int] = json.loads(os.getxattr(self.path, COUNTS))
        return counted

    def events(self) -> list[Event]:
        """What was recorded so far."""
        self.counts()
        return load(self.log)


@contextlib.contextmanager
def recording(log: Path) -> Generator[Recording, None, None]:
    """Mounts a recording file system, served by a process of its own, while the block runs.

    Its own, so that what runs here may also map files of it: a page fault stops this whole process until it is
    answered. Raises OSError where it cannot be mounted.
    """
    at = Path(tempfile.mkdtemp(prefix="powercut-"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", str(__package__), "record", str(log), "--at", str(at)]
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, start_new_session=True
    )
    try:
        assert server.stdout is not None
        if not server.stdout.readline():
            raise OSError(f"cannot mount a recording file system: exit status {server.wait(PATIENCE)}")
        yield Recording(at, log)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        if server.stdout is not None:
            server.stdout.close()
        at.rmdir()
