"""Serving a volume on a mounted descriptor, until it is unmounted or told to stop."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Callable, Sequence

import trio

from mfs.binds import IPFS_ROOT, Bind, Binds
from mfs.control.server import serve_control
from mfs.fuse import MFS
from mfs.operations.caches import Caches
from mfs.volume import Volume
from rawfuse import Server
from rawfuse.channel import channel_of_fd
from rawfuse.mount import Mounted
from rawfuse.serve import watchable
from rawfuse.trace.keeping import KeptTrace

logger = logging.getLogger("mfs")

_READ_AHEAD = 1 << 20
"""Bytes the kernel reads ahead where we may say so: READs of that size are 1.5 times as fast as those of 128 KiB."""
_SWITCH = 0.0002
"""Seconds after which a worker thread hands the interpreter to the thread that answers the kernel (Python's own: 5 ms,
as long as four hundred requests)."""

GRACE = 5.0
"""Seconds that those who use the mount have to finish, when the server was told to stop."""


async def serve(
    volume: Volume,
    mounted: Mounted,
    *,
    read_only: bool = False,
    ready: Callable[[], None] | None = None,
    binds: Sequence[Bind] = (),
    trace: KeptTrace | None = None,
) -> None:
    """Serve `volume` at `mounted`; returns after the unmount, with everything committed.

    SIGINT, SIGTERM and (unless it is ignored) SIGHUP unmount and commit.  Who still uses the mount then keeps it for
    `GRACE` seconds, or until the signal comes again; after that their calls fail.  `ready` is called when INIT was
    answered and `binds` are there; they are unmounted with it.  `trace` keeps every message; the caller closes it.

    MountError: one of `binds` cannot be made; then there is none.
    OSError: the last commit failed; what was fsynced is safe in the log.
    """
    sys.setswitchinterval(_SWITCH)
    # What start-up left behind lives as long as the process: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    server = Server(MFS(volume), channel_of_fd(mounted.fd))
    if trace is not None:
        server.record(trace.recorder(mounted.connection))
    serving = trio.CancelScope()
    beside = Binds(mounted.mountpoint, binds)
    volume.naming.watcher = Caches(volume.tree, server.notify)
    volume.views.ipfs_directory = beside.directory_of(IPFS_ROOT)
    failure: OSError | None = None
    async with trio.open_nursery() as listening:
        # To the very end: a signal must not end the process in the middle of the last commit.
        await listening.start(_stop_on_signal, volume, mounted, beside, serving)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(volume.run)
                nursery.start_soon(_begin, server, mounted, beside, ready)
                nursery.start_soon(_answer_commands, volume, server)
                with serving, watchable(server, mounted):
                    await server.serve()
                nursery.cancel_scope.cancel()
        finally:
            # Where the connection was cut, they would be left behind, dead.
            beside.detach()
        try:
            await volume.commit()
            await volume.naming.catch_up()
        except OSError as error:
            failure = error
        listening.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _begin(server: Server, mounted: Mounted, beside: Binds, ready: Callable[[], None] | None) -> None:
    await server.initialized.wait()
    await trio.to_thread.run_sync(beside.attach)
    await trio.to_thread.run_sync(mounted.set_read_ahead, _READ_AHEAD)
    if ready is not None:
        ready()


async def _answer_commands(volume: Volume, server: Server) -> None:
    # Not before there is a kernel that can be told of changes.
    await server.initialized.wait()
    await serve_control(volume, server.notify)


async def _stop_on_signal(
    volume: Volume,
    mounted: Mounted,
    beside: Binds,
    serving: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]  # nohup(1)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, *hangup) as signals:
        task_status.started()
        stopping = False
        async for number in signals:
            logger.info("%s: unmounting %s", signal.Signals(number).name, mounted.mountpoint)
            serving.deadline = trio.current_time() + (0 if stopping or mounted.method == "passed" else GRACE)
            stopping = True
            try:
                await trio.to_thread.run_sync(beside.detach)
                await trio.to_thread.run_sync(mounted.unmount)
                # Who lingers in the mount does not keep what was done from being safe.
                await volume.commit()
            except OSError as error:
                logger.error("stopping %s: %s", mounted.mountpoint, error)
