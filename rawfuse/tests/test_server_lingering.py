"""A server whose socket leads to another program: it blocks there for the next request, and still does all the rest."""

from __future__ import annotations

from typing import Any

import trio

from rawfuse import Server
from rawfuse import wire as w
from rawfuse.channel import SeqpacketChannel, seqpacket_pair
from rawfuse.kernel import Kernel
from rawfuse.tests.memoryfs import ROOT, MemoryFs


class Slow(MemoryFs):
    """LISTXATTR takes a while."""

    def listxattr(self, request: w.ListXAttr) -> Any:
        return self._listed()

    async def _listed(self) -> bytes:
        await trio.sleep(0.02)
        return b"slow\0"


async def _asked(kernel: Kernel, lingered: list[bool], theirs: SeqpacketChannel) -> None:
    await kernel.init()
    for _ in range(50):
        await kernel.call(w.StatFs(nodeid=ROOT))
        lingered.append(theirs.lingers)
    for _ in range(3):
        assert await kernel.call(w.ListXAttr(nodeid=ROOT, arg=w.fuse_getxattr_in(size=99))) == b"slow\0"
        await kernel.call(w.StatFs(nodeid=ROOT))


async def _until_the_kernel_ends(theirs: SeqpacketChannel, ours: SeqpacketChannel) -> list[bool]:
    """The kernel has a thread of its own, as if it were another program."""
    lingered: list[bool] = []
    theirs.another_process = True

    async def work() -> None:
        async with Kernel(ours) as kernel:
            await _asked(kernel, lingered, theirs)

    async with trio.open_nursery() as nursery:
        await nursery.start(Server(Slow(), theirs).serve)
        await trio.to_thread.run_sync(trio.run, work)
    return lingered


async def test_it_lingers_for_the_next_request_and_lets_handlers_wait() -> None:
    ours, theirs = seqpacket_pair()
    lingered = await _until_the_kernel_ends(theirs, ours)
    assert any(lingered)


async def test_it_does_not_keep_tasks_from_running() -> None:
    ours, theirs = seqpacket_pair()
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            await trio.sleep(0.001)
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(turning)
        await _until_the_kernel_ends(theirs, ours)
        nursery.cancel_scope.cancel()
    assert turns > 10


async def test_a_pair_within_a_program_is_not_lingered_at() -> None:
    ours, theirs = seqpacket_pair()
    async with trio.open_nursery() as nursery:
        await nursery.start(Server(MemoryFs(), theirs).serve)
        async with Kernel(ours) as kernel:
            await kernel.init()
            await kernel.call(w.StatFs(nodeid=ROOT))
            assert not theirs.lingers
