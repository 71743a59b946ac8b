"""Serving a volume on a mounted descriptor, until it is unmounted or told to stop."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Callable

import trio

from mfs.fuse import MFS
from mfs.volume import Volume
from rawfuse import DeviceChannel, Server
from rawfuse.mount import Mounted

logger = logging.getLogger("mfs")

_SWITCH = 0.0002
"""Seconds after which a worker thread hands the interpreter to the thread that answers the kernel (Python's own: 5 ms,
as long as four hundred requests)."""


async def serve(
    volume: Volume, mounted: Mounted, *, read_only: bool = False, ready: Callable[[], None] | None = None
) -> None:
    """Serve `volume` at `mounted`; returns after the unmount, with everything committed.

    SIGINT and SIGTERM unmount.  `ready` is called when INIT was answered.  OSError: the last commit failed; what was
    fsynced is safe in the log.
    """
    sys.setswitchinterval(_SWITCH)
    # What start-up left behind lives as long as the process: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    server = Server(MFS(volume), DeviceChannel(mounted.fd))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(volume.run)
        await nursery.start(_unmount_on_signal, mounted)
        if ready is not None:
            nursery.start_soon(_tell, server, ready)
        await server.serve()
        nursery.cancel_scope.cancel()
    await volume.commit()


async def _tell(server: Server, ready: Callable[[], None]) -> None:
    await server.initialized.wait()
    ready()


async def _unmount_on_signal(mounted: Mounted, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            logger.info("%s: unmounting %s", signal.Signals(number).name, mounted.mountpoint)
            try:
                await trio.to_thread.run_sync(mounted.unmount)
            except OSError as error:
                logger.error("%s could not be unmounted: %s", mounted.mountpoint, error)
