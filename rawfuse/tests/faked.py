"""File systems served to a kernel of our own, over a socket pair."""

from __future__ import annotations

import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from rawfuse import Filesystem, Server
from rawfuse import wire as w
from rawfuse.channel import seqpacket_pair
from rawfuse.kernel import Kernel

ROOT = 1


@asynccontextmanager
async def served(filesystem: Filesystem) -> AsyncGenerator[Kernel, None]:
    ours, theirs = seqpacket_pair()
    async with trio.open_nursery() as nursery:
        await nursery.start(Server(filesystem, theirs).serve)
        async with Kernel(ours) as kernel:
            await kernel.init()
            yield kernel


async def failing(kernel: Kernel, request: w.Request) -> int | None:
    with pytest.raises(OSError) as call:
        await kernel.call(request)
    return call.value.errno


async def waiting(kernel: Kernel, kind: type[w.Request]) -> int:
    """The unique of the one request of that kind which the server has and has not answered."""
    while not any(isinstance(request, kind) for request in kernel.session.pending.values()):
        await trio.lowlevel.checkpoint()
    await kernel.call(w.StatFs(nodeid=ROOT))
    (unique,) = (unique for unique, request in kernel.session.pending.items() if isinstance(request, kind))
    return unique


async def made(kernel: Kernel, name: bytes = b"f", parent: int = ROOT) -> int:
    reply: Any = await kernel.call(w.Create(nodeid=parent, arg=w.fuse_create_in(mode=stat.S_IFREG | 0o644), name=name))
    return reply[0].nodeid  # type: ignore[no-any-return]
