"""A file system behind a kernel of our own, over a socket pair."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

from rawfuse import Filesystem, Server
from rawfuse import wire as w
from rawfuse.channel import seqpacket_pair
from rawfuse.kernel import Kernel
from rawfuse.session.kernel_session import KernelSession


@asynccontextmanager
async def served(filesystem: Filesystem, session: KernelSession | None = None) -> AsyncGenerator[Kernel, None]:
    """`filesystem` behind a kernel that has sent INIT."""
    ours, theirs = seqpacket_pair()
    async with trio.open_nursery() as nursery:
        await nursery.start(Server(filesystem, theirs).serve)
        async with Kernel(ours, session) as kernel:
            await kernel.init()
            yield kernel


def errno_of(call: pytest.ExceptionInfo[BaseException]) -> int | None:
    assert isinstance(call.value, OSError)
    return call.value.errno


async def failing(kernel: Kernel, request: w.Request) -> int | None:
    with pytest.raises(OSError) as call:
        await kernel.call(request)
    return errno_of(call)
