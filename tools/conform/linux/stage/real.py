"""The kernel of this machine, by a mount that hangs nowhere."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rawfuse import wire as w
from rawfuse.mount import abort_connection, mount_detached
from rawfuse.mount.connections import FUSECTL
from rawfuse.mount.device import connection_of

from ..trial import Said, holds, said
from .descriptors import RealDescriptor
from .fuseblk import mount_block_device
from .script import PATIENCE, Call, Script

__all__ = ["Real"]


_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_EMPTY_PATH, _DONT_SYNC = 0x1000, 0x4000
_DEV_MINOR: Final = 140
"""Offset of stx_dev_minor in struct statx (linux/stat.h)."""


def _device_minor(root: int) -> int:
    """The number of a connection by its mount, without asking the server; for kernels whose fdinfo does not tell it."""
    found = ctypes.create_string_buffer(256)
    if _LIBC.statx(root, b"", _EMPTY_PATH | _DONT_SYNC, 0, found):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(struct.unpack_from("=I", found, _DEV_MINOR)[0])


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
        self._number = connection_of(self.fd) or _device_minor(self.root)
        self._closed = False

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
        number = str(self._number)
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
        self._closed = True
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
        # Afterwards the number may be another's.
        if not self._closed and not abort_connection(self._number):
            self._descriptor.close()

    def close(self) -> None:
        # A call that still waits is failed by this; then nobody keeps the connection.
        if not self._closed:
            abort_connection(self._number)
        self._closed = True
        self._descriptor.close()
        self.mount.close()
        for thread in self.threads:
            thread.join(PATIENCE)
