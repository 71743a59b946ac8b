"""What the notifier itself does, over a socket pair."""

from __future__ import annotations

import pytest
import trio

from rawfuse import Server
from rawfuse.channel import ChannelClosed, seqpacket_pair
from rawfuse.kernel import Kernel
from rawfuse.tests.memoryfs import MemoryFs


async def test_who_retrieves_hears_that_the_connection_ended() -> None:
    ours, theirs = seqpacket_pair()
    server = Server(MemoryFs(), theirs)
    ended = trio.Event()

    async def retrieve() -> None:
        with pytest.raises(ChannelClosed, match=r"the connection (ended|is over)"):
            await server.notify.retrieve(5, 0, 4)
        ended.set()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            async with Kernel(ours) as kernel:
                await kernel.init()
                nursery.start_soon(retrieve)
                while not kernel.notifications:
                    await trio.sleep(0.001)
            await ended.wait()
