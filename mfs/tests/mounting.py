"""Real mounts for tests: a server in a process of its own, which can be killed and started again.

    with mounted() as mount:
        (mount.path / "file").write_bytes(b"...")
        mount.kill()
        mount.remount()

Servers are forked from one process that has everything imported (:mod:`mfs.tests.zygote`).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rawfuse.mount import UnmountError, abort_connection, clean_dead_mount, find_mount, umount

PATIENCE = 60.0
"""Seconds after which a server that should have mounted, ended or died is given up."""

PLAIN = "mfs.fuse:MFS"
"""The file system that answers the kernel, unless a test wants another."""


class ServerFailed(Exception):
    """The server did not do what it was asked; the message has what it logged."""


class Zygote:
    """The client's end of :mod:`mfs.tests.zygote`."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, "-m", "mfs.tests.zygote"]
            top = Path(__file__).parents[2]
            self._process = subprocess.Popen(command, stdin=other.fileno(), cwd=top, start_new_session=True)

    def start(self, request: Mapping[str, object], pipe: int) -> int:
        """Fork a server that reports to `pipe`; returns its pid."""
        socket.send_fds(self._socket, [json.dumps(request).encode()], [pipe])
        answer = self._socket.recv(64)
        if not answer:
            raise ServerFailed("the process that forks servers is gone")
        return int(answer)

    def close(self) -> None:
        """End it; servers that still run are told to unmount."""
        self._socket.close()
        self._process.wait()


@functools.cache
def zygote() -> Zygote:
    """The one of this process, started on first use."""
    made = Zygote()
    atexit.register(made.close)
    return made


class Mount:
    """A repository, mounted at `path` by the server with the number `pid`.

    Mounted with allow_other, default_permissions, suid and dev.  What the server logged, warnings and up, is in the
    file `log`.
    """

    def __init__(
        self, path: Path, repo: Path, log: Path, *, profile: str | None = None, filesystem: str = PLAIN
    ) -> None:
        self.path = path
        self.repo = repo
        self.log = log
        self.profile = profile
        self.filesystem = filesystem
        self.pid = 0
        self._pidfd = -1
        self._reports = -1
        self._connection: int | None = None
        self._start(False)

    @property
    def running(self) -> bool:
        """Whether the server lives, as far as this object knows: it was neither killed nor unmounted by it."""
        return self._pidfd >= 0

    def _start(self, read_only: bool) -> None:
        self._reports, pipe = os.pipe()
        try:
            request = {
                "repo": os.fspath(self.repo),
                "path": os.fspath(self.path),
                "profile": self.profile,
                "read_only": read_only,
                "log": os.fspath(self.log),
                "filesystem": self.filesystem,
            }
            self.pid = zygote().start(request, pipe)
            try:
                self._pidfd = os.pidfd_open(self.pid)
            except ProcessLookupError:
                self._pidfd = -1
        finally:
            os.close(pipe)
        report = self._report()
        if report != "ready":
            self._close()
            raise ServerFailed(f"cannot mount: {report or 'the server died'}\n{self.logged()}")
        entry = find_mount(self.path)
        self._connection = entry.connection if entry is not None else None

    def _report(self) -> str:
        """The next line the server writes; empty when it is gone."""
        line = b""
        deadline = time.monotonic() + PATIENCE
        while not line.endswith(b"\n"):
            if not select.select([self._reports], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise ServerFailed(f"the server {self.pid} said nothing for {PATIENCE} s\n{self.logged()}")
            more = os.read(self._reports, 1)
            if not more:
                break
            line += more
        return line.decode().strip()

    def _gone(self, seconds: float) -> bool:
        """Wait for the end of the server."""
        return self._pidfd < 0 or bool(select.select([self._pidfd], [], [], seconds)[0])

    def _close(self) -> None:
        for fd in (self._pidfd, self._reports):
            if fd >= 0:
                os.close(fd)
        self._pidfd = self._reports = -1

    def logged(self) -> str:
        """What the server and those before it complained of."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal that ends the server and wait for that.  After SIGKILL the mount is dead (ENOTCONN)."""
        if self.running:
            signal.pidfd_send_signal(self._pidfd, number)
            if not self._gone(PATIENCE):
                raise ServerFailed(f"the server {self.pid} survived signal {number}\n{self.logged()}")
            self._close()

    def umount(self, *, lazy: bool = False) -> None:
        """Unmount, and wait until the server has committed and ended.

        `lazy`: even where something in it is open; the server ends when that is closed, or is killed after a second.
        Raises UnmountError (EBUSY), ServerFailed.
        """
        if not self.running:
            clean_dead_mount(self.path)
            return
        if find_mount(self.path) is not None:
            umount(self.path, lazy=lazy)
        if lazy and not self._gone(1.0) and self._connection is not None:
            abort_connection(self._connection)
        report = self._report()
        if not self._gone(PATIENCE):
            raise ServerFailed(f"the server {self.pid} does not end\n{self.logged()}")
        self._close()
        if report != "done":
            raise ServerFailed(f"the server did not end in order: {report or 'it died'}\n{self.logged()}")

    def remount(self, *, read_only: bool = False) -> None:
        """Mount the same repository at the same place again, after unmounting it where it is still mounted."""
        self.umount()
        self._start(read_only)

    def discard(self) -> None:
        """Unmount and end the server by whatever helps; raises nothing."""
        try:
            self.umount(lazy=True)
        except (ServerFailed, UnmountError):
            self.kill()
        with contextlib.suppress(UnmountError):
            clean_dead_mount(self.path)


@contextlib.contextmanager
def mounted(repo: Path | None = None, *, profile: str | None = None, filesystem: str = PLAIN) -> Iterator[Mount]:
    """Mount `repo`, or a new one, at a new mount point that every user can reach; all gone afterwards but `repo`.

    `filesystem` (module, colon, class) answers the kernel.

    Raises ServerFailed also at the end, when the body went well but the server logged something: a handler's
    exception answers EIO and is logged, and no test should pass over that.
    """
    place = Path(tempfile.mkdtemp(prefix="mfs-test-"))
    place.chmod(0o755)
    path = place / "mnt"
    path.mkdir()
    try:
        mount = Mount(path, repo or place / "repo", place / "log", profile=profile, filesystem=filesystem)
        try:
            yield mount
            if mount.running:
                mount.umount(lazy=True)
            if complaints := mount.logged():
                raise ServerFailed(f"the server complained:\n{complaints}")
        finally:
            mount.discard()
    finally:
        shutil.rmtree(place)
