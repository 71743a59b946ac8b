"""A file system that is mounted and served inside a block of one's own program."""

from __future__ import annotations

import errno
import functools
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from os import PathLike

import trio

from rawfuse.channel import DeviceChannel
from rawfuse.filesystem import Filesystem
from rawfuse.mount import Mounted, MountError, UnmountError, mount
from rawfuse.mount.mounting import Method
from rawfuse.server import Server

__all__ = ["serving", "unmounted"]


@asynccontextmanager
async def serving(
    filesystem: Filesystem,
    mountpoint: str | PathLike[str],
    *,
    max_write: int | None = None,
    fsname: str = "rawfuse",
    subtype: str | None = None,
    options: Iterable[str] = (),
    allow_other: bool = False,
    read_only: bool = False,
    default_permissions: bool = False,
    max_read: int | None = None,
    device: str | PathLike[str] | None = None,
    method: Method = "auto",
    read_ahead: int = 1 << 20,
) -> AsyncGenerator[Server, None]:
    """Mounts `filesystem` and serves it while the block runs:

        async with rawfuse.serving(Hello(), "/mnt/hello") as server:
            ...

    The arguments are those of `rawfuse.mount`, and `max_write` that of `Server`. `read_ahead` is how many bytes the
    kernel may read ahead, where root may say so (`Mounted.set_read_ahead`) and the file system does not want less. On
    the way out it is unmounted, lazily, and the connection closed: who is still in there gets ENOTCONN. When somebody
    else unmounts it the block goes on; `await server.ended.wait()` waits for that.

    The block runs on the thread that answers the kernel: it must not touch the mount except from another one
    (`trio.Path`, `trio.to_thread.run_sync`, `trio.run_process`), or both wait for each other for good.

    Raises what `rawfuse.mount` raises, and KernelTooOld.
    """
    mounting = functools.partial(
        mount,
        mountpoint,
        fsname=fsname,
        subtype=subtype,
        options=options,
        allow_other=allow_other,
        read_only=read_only,
        default_permissions=default_permissions,
        max_read=max_read,
        device=device,
        method=method,
    )
    # A thread of its own, as the mount point may lie in a file system that this very program serves.
    mounted = await trio.to_thread.run_sync(mounting)
    server = Server(filesystem, DeviceChannel(mounted.fd), max_write=max_write)
    failures: list[Exception] = []
    async with trio.open_nursery() as nursery:
        try:
            nursery.start_soon(_serve, server, failures, nursery.cancel_scope)
            await server.initialized.wait()
            limit = filesystem.max_readahead
            await trio.to_thread.run_sync(
                mounted.set_read_ahead, read_ahead if limit is None else min(read_ahead, limit)
            )
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


async def unmounted(mounted: Mounted) -> None:
    """Takes a mount away from a worker thread, while this one still answers: its last pages may have to be written."""
    try:
        await trio.to_thread.run_sync(mounted.unmount)
    except UnmountError:
        # Not ours to take away any more; the end of the connection makes it a dead mount, which says so itself.
        if mounted.is_standing():
            raise
