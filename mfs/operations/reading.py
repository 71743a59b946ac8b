"""Operations that change nothing: what is there, and its bytes."""

from __future__ import annotations

import errno
from contextlib import aclosing
from typing import Any

from mfs.control.frames import to_text
from mfs.file.bytes import stored_bytes, tree_bytes
from mfs.operations.paths import error
from mfs.operations.places import entries, find, information, kind_of, node_cache, stored_cid
from mfs.operations.session import Session
from mfs.pace import Pace
from mfs.tree.node import File

__all__ = ["describe", "list_directory", "read"]

_TOGETHER = 500
"""Entries in one item."""


async def list_directory(session: Session, *, path: bytes, cids: bool) -> None:
    """Items are lists of entries, each with its ``name`` and what :func:`information` says.

    `cids`: everything is committed first, so that each has its CID.  A path that is no directory is its only entry.
    """
    volume = session.volume
    if cids:
        await volume.commit()
    cache, pace = node_cache(volume.store), Pace()
    place = find(volume, path, cache)
    if kind_of(place, cache) != "directory":
        name = path.rstrip(b"/").rpartition(b"/")[2]
        await session.item([{"name": to_text(name), **information(place, cache)}])
        return
    gathered: list[dict[str, Any]] = []
    for name, entry in entries(volume, place, cache):
        gathered.append({"name": to_text(name), **information(entry, cache)})
        if len(gathered) == _TOGETHER:
            await session.item(gathered)
            gathered = []
        if pace.due:
            await pace.rest()
    await session.item(gathered)


async def describe(session: Session, *, paths: list[bytes]) -> list[dict[str, Any]]:
    """For each path what :func:`information` says, committed; ``error`` and ``errno`` where there is nothing."""
    volume = session.volume
    await volume.commit()
    cache = node_cache(volume.store)
    found: list[dict[str, Any]] = []
    for path in paths:
        try:
            found.append(information(find(volume, path, cache), cache))
        except OSError as wrong:
            found.append({"error": wrong.strerror, "errno": wrong.errno})
    return found


async def read(session: Session, *, path: bytes) -> dict[str, Any]:
    """The bytes of a file, streamed; the result has its ``size``.  EISDIR, EINVAL for what has no bytes."""
    volume = session.volume
    cache = node_cache(volume.store)
    place = find(volume, path, cache)
    kind = kind_of(place, cache)
    if kind == "directory":
        raise error(errno.EISDIR, path)
    if kind != "file":
        raise error(errno.EINVAL, path, "is no file")
    size = 0
    stored = stored_cid(place)
    if stored is not None:
        session.holding([stored])
        chunks = stored_bytes(volume.store, stored, cache)
    elif isinstance(place, File):
        chunks = tree_bytes(volume.tree, volume.store.segments, place)
    else:
        raise error(errno.EINVAL, path)
    async with aclosing(chunks):
        async for chunk in chunks:
            size += len(chunk)
            await session.data(chunk)
    return {"size": size}
