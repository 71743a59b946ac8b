"""Serving a file system from a thread of its own, for tests that use the real kernel from this one."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import trio

from rawfuse import DeviceChannel, Filesystem, Server
from rawfuse.mount import DetachedMount, mount_detached

_PATIENCE = 30.0
"""Seconds."""


class Mounted:
    """A detached mount: `root` is the dir_fd to reach it by; `server` runs in another thread."""

    def __init__(self, filesystem: Filesystem, mount: DetachedMount) -> None:
        self.filesystem = filesystem
        self.mount = mount
        self.server = Server(filesystem, DeviceChannel(mount.fd))
        self.token: trio.lowlevel.TrioToken | None = None
        self.error: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def root(self) -> int:
        return self.mount.root_fd

    def run(self, call: Any, *arguments: Any) -> Any:
        """Runs an async function of the server's program, from this thread."""
        return trio.from_thread.run(call, *arguments, trio_token=self.token)

    def run_sync(self, call: Any, *arguments: Any) -> Any:
        """The same for a plain function."""
        return trio.from_thread.run_sync(call, *arguments, trio_token=self.token)

    def start(self) -> None:
        self._thread.start()
        if not self._started.wait(_PATIENCE):
            raise TimeoutError("the server does not begin")

    def join(self) -> None:
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            raise TimeoutError("the server goes on although the mount is gone")
        if self.error is not None:
            raise self.error

    def _serve(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001 - raised by join
            self.error = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            await nursery.start(self.server.serve)
            self._started.set()


@contextmanager
def mounted(filesystem: Filesystem, **options: Any) -> Generator[Mounted, None, None]:
    """`filesystem` on a mount that hangs nowhere, so that a test that dies leaves nothing behind."""
    with mount_detached(**options) as mount:
        serving = Mounted(filesystem, mount)
        # A test that waits for a reply which never comes cannot be interrupted from within: the kernel holds it until
        # the connection is over, which closing the device brings about.
        watchdog = threading.Timer(_PATIENCE, serving.server.channel.close)
        watchdog.start()
        try:
            serving.start()
            yield serving
        finally:
            watchdog.cancel()
    serving.join()
