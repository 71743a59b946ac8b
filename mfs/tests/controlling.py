"""A volume that is served on its control socket, without a mount, and operations asked of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from mfs.control.reach import Reached, reached
from mfs.control.server import serve_control
from mfs.volume import Volume

__all__ = ["Served", "fetched", "put", "served", "tree_of"]

Tree = dict[str, bytes | str | None]
"""Files by name, None for a directory, a text for a symbolic link to it."""


class Served:
    """`volume` in `repo`, served; `reached` asks it over the socket."""

    def __init__(self, volume: Volume, found: Reached) -> None:
        self.volume = volume
        self.reached = found
        self.repo = volume.path

    async def ask(self, operation: str, **arguments: Any) -> Any:
        return await self.reached.ask(operation, **arguments)


@asynccontextmanager
async def served(profile: str = "test-small-v1") -> AsyncIterator[Served]:
    place = Path(tempfile.mkdtemp(prefix="mfs-control-"))
    try:
        with Volume.open(place / "repo", profile=profile) as volume:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(volume.run)
                await nursery.start(serve_control, volume)
                async with reached(volume.path) as found:
                    yield Served(volume, found)
                nursery.cancel_scope.cancel()
    finally:
        shutil.rmtree(place)


async def put(asked: Reached, path: str, tree: Tree) -> dict[str, str]:
    """Add `tree` below the directory `path`; the CIDs by name."""
    found: dict[str, str] = {}
    async with asked.call("add", path=path) as call:
        for name, what in tree.items():
            if what is None:
                await call.send({"directory": name, "mode": 0o755, "mtime": None})
            elif isinstance(what, str):
                await call.send({"symlink": name, "target": what, "mtime": None})
            elif len(what) > 5000:
                await call.send({"file": name, "mode": 0o644, "mtime": None})
                for start in range(0, len(what), 1 << 20):
                    await call.send_data(what[start : start + (1 << 20)])
                await call.send({"close": True})
            else:
                await call.send({"files": [[name, 0o644, None, len(what)]]})
                await call.send_data(what)
        await call.end()
        async for entries in call.answers():
            found.update({entry["name"]: entry["cid"] for entry in entries})
    return found


async def fetched(asked: Reached, path: str) -> Tree:
    """Everything at `path`, as `put` takes it; "" is the path itself."""
    tree: Tree = {}
    name = ""
    parts: list[bytes] = []
    async with asked.call("fetch", path=path) as call:
        await call.end()
        async for item in call.answers():
            if isinstance(item, bytes):
                parts.append(item)
            elif "directory" in item:
                tree[item["directory"]] = None
            elif "symlink" in item:
                tree[item["symlink"]] = item["target"]
            elif "file" in item:
                name, parts = item["file"], []
            elif "close" in item:
                tree[name] = b"".join(parts)
    return tree


def tree_of(seed: int, count: int = 3) -> Tree:
    """Some files and directories, the same for the same seed."""
    tree: Tree = {"top": None, "top/empty": b"", "top/deep": None, "top/deep/link": "../empty"}
    for number in range(count):
        size = (seed * 7919 + number * 104_729) % 40_000
        tree[f"top/deep/file-{number}"] = bytes((seed + number + i) % 251 for i in range(size))
    return tree
