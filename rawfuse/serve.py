"""A file system that is mounted and served inside a block of one's own program."""

from __future__ import annotations

import errno
import functools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from os import PathLike
from typing import Final, Unpack

import trio

from rawfuse.channel import channel_of_fd
from rawfuse.filesystem import Filesystem
from rawfuse.mount import MountArguments, Mounted, MountError, UnmountError, mount
from rawfuse.mount.mounting import Method
from rawfuse.server import Server
from rawfuse.trace.agreed import Agreed
from rawfuse.trace.keeping import KeptTrace
from rawfuse.trace.watching import WatchPost

__all__ = ["READ_AHEAD", "let_read_ahead", "serving", "unmounted", "watchable"]

READ_AHEAD: Final = 1 << 20
"""Bytes."""


@asynccontextmanager
async def serving(
    filesystem: Filesystem,
    mountpoint: str | PathLike[str],
    *,
    max_write: int | None = None,
    device: str | PathLike[str] | None = None,
    method: Method = "auto",
    read_ahead: int = READ_AHEAD,
    trace: str | PathLike[str] | None = None,
    **arguments: Unpack[MountArguments],
) -> AsyncGenerator[Server, None]:
    """Mounts `filesystem` and serves it while the block runs:

        async with rawfuse.serving(Hello(), "/mnt/hello") as server:
            ...

    The arguments are those of `rawfuse.mount` (`MountArguments`), and `max_write` that of `Server`. `read_ahead` is how
    many bytes the kernel may read ahead, where root may say so (`Mounted.set_read_ahead`) and the file system does not
    want less. `trace` is a file in which every message is kept for `rawfuse decode`; a full disk ends that, and not the
    mount (:mod:`rawfuse.trace.keeping`). `rawfuse top` and `rawfuse trace --follow` can watch it (:func:`watchable`).
    On the way out it is unmounted, lazily, and the connection closed: who is still in there gets ENOTCONN. When
    somebody else unmounts it the block goes on; `await server.ended.wait()` waits for that.

    The block runs on the thread that answers the kernel: it must not touch the mount except from another one
    (`trio.Path`, `trio.to_thread.run_sync`, `trio.run_process`), or both wait for each other for good.

    Raises what `rawfuse.mount` raises, KernelTooOld, and OSError for a trace that cannot be made.
    """
    failures: list[Exception] = []
    with KeptTrace(trace) if trace is not None else nullcontext() as kept:
        mounting = functools.partial(mount, mountpoint, device=device, method=method, **arguments)
        # A thread of its own, as the mount point may lie in a file system that this very program serves.
        mounted = await trio.to_thread.run_sync(mounting)
        server = Server(filesystem, channel_of_fd(mounted.fd), max_write=max_write)
        if kept is not None:
            server.record(kept.recorder(mounted.connection))
        async with trio.open_nursery() as nursery:
            try:
                nursery.start_soon(_serve, server, failures, nursery.cancel_scope)
                await server.initialized.wait()
                await let_read_ahead(mounted, filesystem, read_ahead)
                with watchable(server, mounted):
                    yield server
            except Exception as error:  # noqa: BLE001 - raised below, outside the nursery that would wrap it
                failures.append(error)
            finally:
                with trio.CancelScope(shield=True):
                    await unmounted(mounted)
                nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _serve(server: Server, failures: list[Exception], block: trio.CancelScope) -> None:
    try:
        await server.serve()
    except Exception as error:  # noqa: BLE001 - raised by `serving`
        failures.append(error)
        block.cancel()
    else:
        if not server.initialized.is_set():
            failures.append(MountError(errno.ENOTCONN, "the connection ended before it began: unmounted, or aborted"))
            block.cancel()


async def let_read_ahead(mounted: Mounted, filesystem: Filesystem, size: int = READ_AHEAD) -> None:
    """Lets the kernel read up to `size` bytes ahead, where it can be told so and the file system does not want less.

    To be called when INIT was answered. At 128 KiB, what the kernel does by itself, a whole file is read at two thirds
    of the speed.
    """
    limit = filesystem.max_readahead
    await trio.to_thread.run_sync(mounted.set_read_ahead, size if limit is None else min(size, limit))


def watchable(server: Server, mounted: Mounted) -> WatchPost:
    """A context manager in which `rawfuse top` and `rawfuse trace --follow` can watch what `server` serves."""

    def agreed() -> Agreed:
        if not server.initialized.is_set():
            return Agreed()
        return Agreed(server.negotiated.minor, setxattr_ext=server.negotiated.setxattr_ext)

    return WatchPost(mounted.connection, server, agreed)


async def unmounted(mounted: Mounted) -> None:
    """Takes a mount away from a worker thread, while this one still answers: its last pages may have to be written."""
    try:
        await trio.to_thread.run_sync(mounted.unmount)
    except UnmountError:
        # Not ours to take away any more; the end of the connection makes it a dead mount, which says so itself.
        if mounted.is_standing():
            raise
