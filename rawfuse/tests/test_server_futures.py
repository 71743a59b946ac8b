"""Handlers that return a `concurrent.futures.Future`: the reply goes out from the thread that completes it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio

from rawfuse import Server, serving
from rawfuse import wire as w
from rawfuse.channel import ChannelClosed, seqpacket_pair
from rawfuse.examples.memory import MemoryFS
from rawfuse.filesystem import Reply
from rawfuse.kernel import Kernel
from rawfuse.tests.memoryfs import ROOT, MemoryFs
from rawfuse.tests.served import failing, served
from rawfuse.tests.waiting import PATIENCE

LOOKUP = w.Lookup(nodeid=ROOT, name=b"x")


class Promising(MemoryFs):
    """LOOKUP is answered with what `future` comes to."""

    def __init__(self, future: Future[Any]) -> None:
        super().__init__()
        self.future = future

    def lookup(self, request: w.Lookup) -> Reply:
        return self.future


def done(value: object) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def failed(error: BaseException) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


async def test_what_another_thread_completes_is_answered() -> None:
    future: Future[Any] = Future()
    async with served(Promising(future)) as kernel, trio.open_nursery() as nursery:
        nursery.start_soon(kernel.call, LOOKUP)
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert kernel.session.pending
        await trio.to_thread.run_sync(future.set_result, bytes(128))
    assert not kernel.refused


async def test_what_is_done_already_is_answered_at_once() -> None:
    async with served(Promising(done(bytes(128)))) as kernel:
        assert await kernel.call(LOOKUP) is not None


@pytest.mark.parametrize(
    ("future", "number"),
    [
        (failed(OSError(errno.ENOSPC, "full")), errno.ENOSPC),
        (failed(RuntimeError("a defect")), errno.EIO),
        (done(done(None)), errno.EIO),
        (done(b"too short"), errno.EIO),
    ],
    ids=["an OSError", "a defect", "another future", "a reply that does not fit"],
)
async def test_what_goes_wrong_is_the_errno(future: Future[Any], number: int) -> None:
    async with served(Promising(future)) as kernel:
        assert await failing(kernel, LOOKUP) == number
        await kernel.call(w.StatFs(nodeid=ROOT))


async def test_an_interrupt_cancels_what_has_not_begun() -> None:
    async with served(Promising(Future())) as kernel, trio.open_nursery() as nursery:

        async def ask() -> None:
            assert await failing(kernel, LOOKUP) == errno.EINTR

        nursery.start_soon(ask)
        await kernel.call(w.StatFs(nodeid=ROOT))
        (target,) = kernel.session.pending
        await kernel.interrupt(target)


async def test_an_interrupt_leaves_what_has_begun() -> None:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    async with served(Promising(future)) as kernel, trio.open_nursery() as nursery:
        nursery.start_soon(kernel.call, LOOKUP)
        await kernel.call(w.StatFs(nodeid=ROOT))
        (target,) = kernel.session.pending
        await kernel.interrupt(target)
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert list(kernel.session.pending) == [target]
        future.set_result(bytes(128))


async def test_a_write_that_is_answered_later_keeps_its_payload() -> None:
    go = threading.Event()
    seen: list[bytes] = []

    class SlowWrite(MemoryFs):
        def write(self, request: w.Write) -> Reply:
            def work() -> w.fuse_write_out:
                go.wait(PATIENCE)
                seen.append(bytes(request.data))
                return w.fuse_write_out(size=len(request.data))

            return pool.submit(work)

    with ThreadPoolExecutor(3) as pool:
        async with served(SlowWrite()) as kernel, trio.open_nursery() as nursery:
            for letter in (b"a", b"b", b"c"):
                nursery.start_soon(kernel.call, w.Write(nodeid=ROOT, data=letter * 5000))
            await kernel.call(w.StatFs(nodeid=ROOT))
            go.set()
    assert sorted(seen) == [letter * 5000 for letter in (b"a", b"b", b"c")]


async def test_what_comes_after_the_end_is_sent_nowhere() -> None:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    ours, theirs = seqpacket_pair()
    async with trio.open_nursery() as nursery, Kernel(ours) as kernel:
        server = Server(Promising(future), theirs)
        await nursery.start(server.serve)
        await kernel.init()

        async def ask() -> None:
            with pytest.raises(ChannelClosed):
                await kernel.call(LOOKUP)

        nursery.start_soon(ask)
        await kernel.call(w.StatFs(nodeid=ROOT))
        ours.close()
        await server.ended.wait()
        # What is opened now gets the numbers of both ends.
        files = [os.memfd_create(name) for name in ("one", "other")]
        future.set_result(bytes(128))
        assert [os.fstat(file).st_size for file in files] == [0, 0]
        for file in files:
            os.close(file)


ASKS = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR)
print("opened", flush=True)
os.fsync(file)
print("synced", flush=True)
"""


@pytest.mark.kernel("root")
async def test_the_reply_does_not_wait_for_the_event_loop(tmp_path: Path) -> None:
    asked, completing = trio.Event(), threading.Event()

    class Busy(MemoryFS):
        def fsync(self, request: w.FSync) -> Reply:
            future: Future[None] = Future()

            def complete() -> None:
                completing.wait(PATIENCE)
                future.set_result(None)

            threading.Thread(target=complete).start()
            asked.set()
            return future

    async with serving(Busy(), tmp_path):
        file = trio.Path(tmp_path / "f")
        await file.write_bytes(b"x")
        with subprocess.Popen([sys.executable, "-c", ASKS, str(file)], stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            assert await trio.to_thread.run_sync(program.stdout.readline) == "opened\n"
            await asked.wait()
            completing.set()
            # The loop's thread is held here until the program has its answer.
            assert program.stdout.readline() == "synced\n"
            assert await trio.to_thread.run_sync(program.wait) == 0
