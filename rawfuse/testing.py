"""For the tests of those who write a file system: mounts that go away by themselves. Needs pytest and pytest-trio.

In `conftest.py`:

    pytest_plugins = ["rawfuse.testing"]

or import what you need from here.

    async def test_hello(fuse_mount):
        root = await fuse_mount(Hello())
        assert await (root / "hello").read_text() == "Hello from Python!\\n"

`fuse_mount` serves from the test's own event loop, where the test can look into the file system's objects at any time.
It gives a `trio.Path`, whose methods run in worker threads: a call that blocks this thread on the mount would wait for
itself. For tests without trio there is `mounted`, which serves from a thread of its own.

Where one may not mount, the test is skipped and says why. Without root and without fusermount3 one may in namespaces of
one's own, where the device's mode is 0666: `unshare -Urm pytest`.
"""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_trio
import trio

from rawfuse.filesystem import Filesystem
from rawfuse.mount import DeviceError, HelperError, MountPermissionError
from rawfuse.serve import serving
from rawfuse.server import Server

__all__ = ["FuseMount", "fuse_mount", "mounted"]

PATIENCE = 30.0
"""Seconds after which `mounted` ends the connection, so that a test which hangs in the kernel fails instead."""

_IMPOSSIBLE = (DeviceError, HelperError, MountPermissionError)


class FuseMount(Protocol):
    """Mounts a file system for the rest of the test; `options` are those of `rawfuse.serving`."""

    def __call__(self, filesystem: Filesystem, **options: Any) -> Awaitable[trio.Path]: ...


@pytest_trio.trio_fixture  # type: ignore[untyped-decorator]
async def fuse_mount(tmp_path: Path) -> AsyncGenerator[FuseMount, None]:
    """A function to await: `root = await fuse_mount(filesystem)`. Everything is unmounted when the test is over."""
    numbers = itertools.count()
    over = trio.Event()

    async def hold(
        filesystem: Filesystem,
        directory: Path,
        options: dict[str, Any],
        *,
        task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        try:
            async with serving(filesystem, directory, **options):
                task_status.started(None)
                await over.wait()
        except _IMPOSSIBLE as error:
            task_status.started(str(error))

    async with trio.open_nursery() as nursery:

        async def mount(filesystem: Filesystem, **options: Any) -> trio.Path:
            directory = tmp_path / f"fuse{next(numbers)}"
            directory.mkdir()
            # A task of the fixture's, as what is mounted here is unmounted after the test's own task has ended.
            problem = await nursery.start(hold, filesystem, directory, options)
            if problem is not None:
                pytest.skip(f"cannot mount: {problem}")
            return trio.Path(directory)

        yield mount
        over.set()


@contextmanager
def mounted(filesystem: Filesystem, **options: Any) -> Generator[Path, None, None]:
    """Mounts `filesystem` on a directory of its own and serves it from another thread, while the block runs.

    The file system's methods run in that thread. What it raises while it starts and ends is raised here.
    """
    serving_thread = _Thread(filesystem, options)
    with tempfile.TemporaryDirectory(prefix="rawfuse-") as directory:
        try:
            serving_thread.start(directory)
        except _IMPOSSIBLE as error:
            pytest.skip(f"cannot mount: {error}")
        watchdog = threading.Timer(PATIENCE, serving_thread.abandon)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield Path(directory)
        finally:
            watchdog.cancel()
            serving_thread.stop()


class _Thread:
    """`serving` in a thread with an event loop of its own."""

    def __init__(self, filesystem: Filesystem, options: dict[str, Any]) -> None:
        self._filesystem = filesystem
        self._options = options
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._server: Server | None = None
        self._call: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None

    def start(self, directory: str) -> None:
        self._thread = threading.Thread(target=self._run, args=(directory,), daemon=True, name="rawfuse.testing")
        self._thread.start()
        self._ready.wait()
        if self._server is None and self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        if self._call is not None and self._thread is not None:
            self._call()
            self._thread.join(PATIENCE)
            if self._thread.is_alive():
                raise TimeoutError("the file system's thread does not end: a method of it blocks")
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        if self._server is not None:
            self._server.channel.close()

    def _run(self, directory: str) -> None:
        try:
            trio.run(self._main, directory)
        except BaseException as error:  # noqa: BLE001 - raised by start and stop
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self, directory: str) -> None:
        over = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def call() -> None:
            try:
                token.run_sync_soon(over.set)
            except trio.RunFinishedError:
                pass

        async with serving(self._filesystem, directory, **self._options) as server:
            self._server, self._call = server, call
            self._ready.set()
            await over.wait()
