"""From a request to its operation, and from what came of it to the answer."""

from __future__ import annotations

import errno
import logging
import os
from typing import Any

from mfs.blocks.errors import BlockNotFound
from mfs.control.frames import CONTROL, BrokenFrame, Message, to_text
from mfs.control.link import Link, LinkLost
from mfs.operations.caches import Caches
from mfs.operations.session import Session
from mfs.operations.table import OPERATIONS, BadArguments, arguments_of
from mfs.unixfs.errors import UnixFSError
from mfs.volume import Volume
from rawfuse.notifier import Notifier

__all__ = ["perform"]

logger = logging.getLogger("mfs")


async def perform(
    volume: Volume, link: Link, request: Message, notifier: Notifier | None = None, *, closes: bool = False
) -> None:
    """Do what `request` asks for and send the answer; raises only what ends the link.

    `notifier` reaches the kernel where the volume is mounted.  `closes`: the volume is committed and closed when this
    is done.
    """
    caches = Caches(volume.tree, notifier)
    session = Session(volume, link, caches, closes=closes)
    answer: dict[str, Any]
    try:
        operation, arguments = _understood(request)
        try:
            result = await OPERATIONS[operation].resolve()(session, **arguments)
        finally:
            session.close()
            # Also what was done before it failed.
            await caches.told()
        answer = {"result": result}
    except (LinkLost, BrokenFrame):
        raise
    except Exception as error:  # noqa: BLE001 - told to the caller, and logged where it is a defect
        answer = {"error": _error(request, error)}
    await link.send(answer)


def _understood(request: Message) -> tuple[str, dict[str, Any]]:
    if not isinstance(request, dict):
        raise BadArguments("bytes where a request was expected")
    if request.get("control") != CONTROL:
        raise BadArguments(
            f"this server speaks version {CONTROL} of the control protocol, not {request.get('control')!r}:"
            " use the same version of mfs"
        )
    name = request.get("operation")
    operation = OPERATIONS.get(name) if isinstance(name, str) else None
    if operation is None:
        raise BadArguments(f"this server knows no operation {name!r}: use the same version of mfs")
    return operation.name, arguments_of(operation, request.get("arguments", {}))


def _error(request: Message, error: Exception) -> dict[str, Any]:
    """What is said of an exception: `errno` and `path` where it has them."""
    if isinstance(error, OSError):
        path = error.filename
        return {
            "message": error.strerror or str(error),
            "errno": error.errno or errno.EIO,
            "path": to_text(os.fsencode(path)) if isinstance(path, str | bytes) else None,
        }
    if isinstance(error, BlockNotFound):
        return {"message": str(error), "errno": errno.EIO, "path": None}
    if isinstance(error, BadArguments | UnixFSError):
        return {"message": str(error), "errno": errno.EINVAL, "path": None}
    name = request.get("operation") if isinstance(request, dict) else None
    logger.error("the operation %s failed", name, exc_info=error)
    return {"message": f"the operation failed: {error!r}", "errno": errno.EIO, "path": None}
