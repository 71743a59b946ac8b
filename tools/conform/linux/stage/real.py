"""The kernel of this machine, by a mount that hangs nowhere."""

from __future__ import annotations

import fcntl
import select
import signal
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rawfuse import wire as w
from rawfuse.mount import abort_connection, mount_detached
from rawfuse.mount.connections import FUSECTL
from rawfuse.mount.device import connection_of

from ..trial import Said, holds, said
from .descriptors import RealDescriptor
from .fuseblk import mount_block_device
from .script import PATIENCE, Call, Script

__all__ = ["Real"]


class Real(Script):
    """The kernel of this machine, by a mount that hangs nowhere."""

    name = "real"

    def __init__(self, descriptor: RealDescriptor | None = None, *, block: bool = False, **options: Any) -> None:
        super().__init__()
        self._descriptor = RealDescriptor() if descriptor is None else descriptor
        self.mount = mount_block_device(self.fd) if block else mount_detached(fd=self.fd, **options)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)
        self.threads: list[threading.Thread] = []

    @property
    def descriptor(self) -> RealDescriptor:
        return self._descriptor

    @property
    def fd(self) -> int:
        return self._descriptor.fd

    @property
    def root(self) -> int:
        return self.mount.root_fd

    def read(self) -> bytes | None:
        return super().read() if self._poll.poll(20) else None

    def call(self, call: Call) -> Callable[[], object]:
        results: list[object] = []

        def run() -> None:
            try:
                results.append(call.real(self.root))
            except OSError as failed:
                results.append(failed)

        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()

        def finish() -> object:
            self.until(-1, done=lambda: not thread.is_alive())
            if isinstance(results[0], OSError):
                raise results[0]
            return results[0]

        return finish

    def signal(self, request: w.Request, *, fatal: bool = False) -> None:
        (thread,) = (one for one in self.threads if one.is_alive())
        signal.pthread_kill(thread.ident or 0, signal.SIGUSR1)

    def drop(self, names: list[tuple[int, bytes]]) -> None:
        for _, name in names:
            gone = w.NotifyInvalEntry(w.fuse_notify_inval_entry_out(1, len(name), 0), name)
            self.write(w.encode_notification(gone))

    def abort(self) -> None:
        with self._fusectl() as directory:
            (directory / "abort").write_text("1")

    def queued(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        with self._fusectl() as directory:
            while int((directory / "waiting").read_bytes()) < count:
                holds(time.monotonic() < deadline, f"{count} requests wait within {PATIENCE} s")
                time.sleep(0.001)
        time.sleep(0.01)  # a request is counted just before it is queued

    def ended(self, finish: Callable[[], object]) -> Callable[[], object]:
        for thread in self.threads:
            thread.join(5)
        return finish

    @contextmanager
    def _fusectl(self) -> Generator[Path, None, None]:
        """The connection's directory, where it belongs or else where it can be mounted for a moment."""
        number = str(connection_of(self.fd))
        if (FUSECTL / number).exists():
            yield FUSECTL / number
            return
        with tempfile.TemporaryDirectory() as path:
            subprocess.run(["mount", "-t", "fusectl", "fusectl", path], check=True)
            try:
                yield Path(path) / number
            finally:
                subprocess.run(["umount", path], check=True)

    def unmount(self) -> None:
        self.mount.close()
        deadline = time.monotonic() + PATIENCE
        while self.descriptor.poll() != select.POLLERR and time.monotonic() < deadline:
            time.sleep(0.001)

    def clone(self) -> RealDescriptor:
        clone = RealDescriptor()
        clone.clone(self._descriptor)
        return clone

    def backing_open(self) -> Said:
        with tempfile.TemporaryFile() as file:
            operation = bytearray(struct.pack("=iIQ", file.fileno(), 0, 0))
            return said(lambda: fcntl.ioctl(self.fd, 0x4010E501, operation))

    def end(self) -> None:
        with suppress(OSError):
            # By the descriptor: a number that was ours may be another's by now.
            number = connection_of(self.fd) if self.fd >= 0 else None
            if number is None or not abort_connection(number):
                self._descriptor.close()

    def close(self) -> None:
        # A call that still waits is failed by this; then nobody keeps the connection.
        with suppress(OSError):
            number = connection_of(self.fd)
            if number is not None:
                abort_connection(number)
        self._descriptor.close()
        self.mount.close()
        for thread in self.threads:
            thread.join(PATIENCE)
