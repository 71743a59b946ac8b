"""Giving out files and directories, whole: the counterpart of :mod:`mfs.operations.adding`, in the same words.

What is given: ``{"directory": NAME, ...}``, ``{"symlink": NAME, "target": ...}``, ``{"file": NAME, "mode", "mtime",
"size"}`` followed by its bytes and ``{"close": true}``; names relative to what was asked for, which is ``""`` itself.
``{"special": NAME}`` is what has no bytes.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

from mfs.blocks.errors import BlockNotFound
from mfs.control.frames import to_text
from mfs.file.bytes import stored_bytes, tree_bytes
from mfs.operations.graft import check_name
from mfs.operations.paths import error
from mfs.operations.places import Place, entries, find, information, node_cache, stored_cid
from mfs.operations.session import Session
from mfs.pace import Pace
from mfs.tree.node import File
from mfs.unixfs.errors import UnixFSError

__all__ = ["fetch"]


async def fetch(session: Session, *, path: bytes) -> dict[str, Any]:
    """Everything at `path`; the result counts ``files`` and ``bytes``.

    OSError: EINVAL for a name that no file can have; EIO, with the path, for blocks that are not here, or unsound.
    """
    volume = session.volume
    cache, pace = node_cache(volume.store), Pace()
    counts = {"files": 0, "bytes": 0}
    top = find(volume, path, cache)
    stored = stored_cid(top)
    if stored is not None:
        session.holding([stored])
    waiting: list[tuple[bytes, Place, Iterator[tuple[bytes, Place]] | None]] = [(b"", top, None)]
    while waiting:
        name, place, below = waiting.pop()
        try:
            if below is None:
                below = await _give(session, name, place, cache, counts)
            for child_name, child in below or ():
                where = b"/".join((name, child_name)) if name else child_name
                check_name(child_name, path + b"/" + where)
                waiting += [(name, place, below), (where, child, None)]
                break
        except (BlockNotFound, UnixFSError) as wrong:
            raise error(errno.EIO, b"/".join((path, name)) if name else path, str(wrong)) from wrong
        if pace.due:
            await pace.rest()
    return counts


async def _give(
    session: Session, name: bytes, place: Place, cache: Any, counts: dict[str, int]
) -> Iterator[tuple[bytes, Place]] | None:
    """One entry; of a directory, what is in it."""
    volume = session.volume
    found = information(place, cache)
    item = {"mode": found["mode"], "mtime": found["mtime"], "size": found["size"]}
    kind = found["type"]
    if kind == "directory":
        await session.item({"directory": to_text(name), **item})
        return entries(volume, place, cache)
    if kind == "symlink":
        await session.item({"symlink": to_text(name), "target": found["target"], **item})
    elif kind == "file":
        await session.item({"file": to_text(name), **item})
        counts["files"] += 1
        stored = stored_cid(place)
        if stored is not None:
            chunks = stored_bytes(volume.store, stored, cache)
        elif isinstance(place, File):
            chunks = tree_bytes(volume.tree, volume.store.segments, place)
        else:
            raise error(errno.EIO, name)
        async with aclosing(chunks):
            async for chunk in chunks:
                counts["bytes"] += len(chunk)
                await session.data(chunk)
        await session.item({"close": True})
    else:
        await session.item({"special": to_text(name)})
    return None
