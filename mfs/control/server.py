"""Answering on the control socket of a repository that this process holds."""

from __future__ import annotations

import logging
import os
import socket
import struct

import trio

from mfs.control.address import listen, remove
from mfs.control.frames import CONTROL, BrokenFrame
from mfs.control.link import LinkLost, SocketLink
from mfs.operations.dispatch import perform
from mfs.volume import Volume
from rawfuse._version import __version__
from rawfuse.notifier import Notifier

__all__ = ["serve_control"]

logger = logging.getLogger("mfs")

MOST = 64
"""Callers that are served at once; others wait in the kernel's queue."""
PATIENCE = 20.0
"""Seconds a caller has to send its request, and to take what ends the answer."""

_PEER = struct.Struct("3i")
_PAUSE = 0.1


async def serve_control(
    volume: Volume,
    notifier: Notifier | None = None,
    *,
    ending: trio.Event | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Perform what callers ask for, until cancelled; then the socket is gone.

    When `ending` is set the socket goes at once, and this returns when those who are being served have their answers.
    `notifier` reaches the kernel where the volume is mounted.  Where no socket can be made (a file system without
    them) that is logged, and the volume goes without.
    """
    try:
        listening = listen(volume.path)
    except OSError as error:
        logger.warning("no control socket in %s: %s", volume.path, error)
        task_status.started()
        return
    limit = trio.CapacityLimiter(MOST)
    try:
        with trio.socket.from_stdlib_socket(listening) as listener:
            async with trio.open_nursery() as nursery:
                task_status.started()
                with trio.CancelScope() as accepting:
                    if ending is not None:
                        nursery.start_soon(_cancel_when, ending, accepting)
                    while True:
                        await _accept(volume, notifier, listener, nursery, limit)
                remove(volume.path)
                listener.close()
    finally:
        remove(volume.path)


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _accept(
    volume: Volume,
    notifier: Notifier | None,
    listener: trio.socket.SocketType,
    nursery: trio.Nursery,
    limit: trio.CapacityLimiter,
) -> None:
    ticket = object()
    await limit.acquire_on_behalf_of(ticket)
    try:
        connected, _ = await listener.accept()
    except OSError as error:
        # Out of descriptors: somebody will close one.
        limit.release_on_behalf_of(ticket)
        logger.warning("the control socket cannot take a caller: %s", error)
        await trio.sleep(_PAUSE)
        return
    except BaseException:
        limit.release_on_behalf_of(ticket)
        raise
    nursery.start_soon(_attend, volume, notifier, connected, limit, ticket)


async def _attend(
    volume: Volume,
    notifier: Notifier | None,
    connected: trio.socket.SocketType,
    limit: trio.CapacityLimiter,
    ticket: object,
) -> None:
    link = SocketLink(trio.SocketStream(connected))
    try:
        await _converse(volume, notifier, connected, link)
    except (LinkLost, BrokenFrame, trio.TooSlowError) as error:
        logger.debug("a caller of the control socket: %s", error or "no request came")
    except Exception:
        # Its defect is not the mount's end.
        logger.exception("a caller of the control socket could not be answered")
    finally:
        limit.release_on_behalf_of(ticket)
        with trio.move_on_after(PATIENCE) as scope:
            scope.shield = True
            await link.aclose()


async def _converse(
    volume: Volume, notifier: Notifier | None, connected: trio.socket.SocketType, link: SocketLink
) -> None:
    uid = _peer(connected)
    with trio.fail_after(PATIENCE):
        if uid not in (os.geteuid(), 0):
            logger.warning("a process of user %d was turned away from the control socket", uid)
            await link.send({"error": {"message": f"this repository is served by user {os.geteuid()}", "errno": 1}})
            return
        await link.send({"control": CONTROL, "version": __version__, "pid": os.getpid()})
        request = await link.receive()
    if request is not None:
        await perform(volume, link, request, notifier)


def _peer(connected: trio.socket.SocketType) -> int:
    """The user whose process connected; -1 where the kernel has no number for it here."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    if not isinstance(credentials, bytes):
        return -1
    uid: int = _PEER.unpack(credentials)[1]
    return uid
