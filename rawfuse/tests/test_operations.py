"""Every operation reaches its method, waiting ones can be interrupted, and the memory example does what it says."""

from __future__ import annotations

import errno
import stat
from typing import Any

import pytest
import trio

from rawfuse import Filesystem
from rawfuse import wire as w
from rawfuse.errors import ProtocolError
from rawfuse.examples.hello import TEXT, Hello
from rawfuse.examples.memory import MemoryFS
from rawfuse.filesystem import Reply
from rawfuse.kernel import Kernel
from rawfuse.server import EARLY_INTERRUPTS
from rawfuse.tests.faked import ROOT, failing, served, waiting
from rawfuse.tests.waiting import PATIENCE
from rawfuse.wire._generated import STRUCTS
from rawfuse.wire.opcodes import OPERATIONS, Operation

NOT_A_METHOD = {"INIT", "DESTROY", "FORGET", "BATCH_FORGET", "INTERRUPT", "NOTIFY_REPLY", "CUSE_INIT"}
"""What the server itself deals with, each tested on its own; CUSE is another protocol."""


def some(operation: Operation) -> w.Request:
    """A request of that opcode with nothing special in it."""
    request: Any = getattr(w, operation.request)(nodeid=ROOT, uid=5, gid=6, pid=7)
    for attribute in ("name", "newname", "target"):
        if hasattr(request, attribute):
            setattr(request, attribute, attribute.encode())
    if isinstance(request, w.Write):
        request.data = b"x"
    if isinstance(request, w.CopyFileRange | w.CopyFileRange64):
        request.arg.len = 1
    if isinstance(request, w.RemoveMapping):
        request.mappings = [w.fuse_removemapping_one(0, 4096)]
    return request  # type: ignore[no-any-return]


FILE = w.fuse_attr(ino=2, mode=stat.S_IFREG | 0o644, nlink=1)
BELIEVED: dict[str, w.WireStruct] = {
    "fuse_attr_out": w.fuse_attr_out(attr=w.fuse_attr(ino=ROOT, mode=stat.S_IFDIR | 0o755, nlink=2)),
    "fuse_entry_out": w.fuse_entry_out(nodeid=2, attr=FILE),
    "fuse_statx_out": w.fuse_statx_out(stat=w.fuse_statx(mask=0x7FF, mode=stat.S_IFDIR | 0o755, ino=ROOT)),
    "fuse_write_out": w.fuse_write_out(size=1),
    "fuse_copy_file_range_out": w.fuse_copy_file_range_out(bytes_copied=1),
}
"""Replies that are no nonsense, where nothing but zeros would be."""
MADE = {"MKDIR": stat.S_IFDIR | 0o755, "SYMLINK": stat.S_IFLNK | 0o777}


def success(operation: Operation) -> bytes | None:
    """The least that the kernel takes for a success."""
    reply = operation.reply
    if operation.label in MADE:
        return w.fuse_entry_out(nodeid=2, attr=w.fuse_attr(ino=2, mode=MADE[operation.label], nlink=2)).pack()
    if reply.kind not in ("fixed", "xattr", "head"):
        return None
    return b"".join(BELIEVED[name].pack() if name in BELIEVED else bytes(STRUCTS[name].SIZE) for name in reply.structs)


@pytest.mark.parametrize(
    "operation", [op for op in OPERATIONS if op.label not in NOT_A_METHOD], ids=lambda operation: operation.label
)
async def test_every_opcode_reaches_its_method(operation: Operation) -> None:
    came: list[w.Request] = []

    def method(request: w.Request) -> Reply:
        came.append(request)
        return success(operation)

    filesystem = Filesystem()
    assert getattr(Filesystem, operation.label.lower()).__doc__, "every method says what it is for"
    setattr(filesystem, operation.label.lower(), method)
    request = some(operation)
    async with served(filesystem) as kernel:
        await kernel.call(request)
        assert not kernel.refused
    assert came == [request]


@pytest.mark.parametrize(
    "operation", [op for op in OPERATIONS if op.label not in NOT_A_METHOD], ids=lambda op: op.label
)
async def test_every_method_may_be_a_coroutine(operation: Operation) -> None:
    async def method(request: w.Request) -> object:
        await trio.lowlevel.checkpoint()
        return success(operation)

    filesystem = Filesystem()
    setattr(filesystem, operation.label.lower(), method)
    async with served(filesystem) as kernel:
        await kernel.call(some(operation))


async def test_init_forgets_and_destroy_reach_theirs() -> None:
    calls: list[tuple[object, ...]] = []

    class Telling(Filesystem):
        def init(self, negotiated: object) -> None:
            calls.append(("init",))

        def forget(self, nodeid: int, nlookup: int) -> None:
            calls.append(("forget", nodeid, nlookup))

        def destroy(self) -> None:
            calls.append(("destroy",))

    async with served(Telling()) as kernel:
        kernel.post(w.Forget(nodeid=8, arg=w.fuse_forget_in(3)))
        kernel.post(w.BatchForget(forgets=[w.fuse_forget_one(9, 1), w.fuse_forget_one(10, 2)]))
        await kernel.call(w.Destroy())
    assert calls == [("init",), ("forget", 8, 3), ("forget", 9, 1), ("forget", 10, 2), ("destroy",)]


class Stuck(MemoryFS):
    """GETXATTR of user.stuck waits for ever."""

    cancelled = 0

    def getxattr(self, request: w.GetXAttr) -> Reply:
        return self.wait() if request.name == b"user.stuck" else super().getxattr(request)

    async def wait(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.cancelled += 1


async def stuck(kernel: Kernel) -> None:
    assert await failing(kernel, w.GetXAttr(nodeid=ROOT, name=b"user.stuck")) == errno.EINTR


async def test_an_interrupt_that_overtakes_its_request_is_applied_when_that_comes() -> None:
    filesystem, asked = Stuck(), w.StatFs(nodeid=ROOT)
    async with served(filesystem) as kernel:
        await kernel.call(asked)
        await kernel.interrupt(asked.unique + 2)
        with trio.fail_after(PATIENCE):
            await stuck(kernel)
        assert filesystem.cancelled == 1 and not kernel.refused


async def test_an_overtaking_interrupt_of_what_is_answered_at_once_does_no_harm() -> None:
    asked = w.StatFs(nodeid=ROOT)
    async with served(Stuck()) as kernel:
        await kernel.call(asked)
        await kernel.interrupt(asked.unique + 2)
        await kernel.call(w.StatFs(nodeid=ROOT))
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert not kernel.refused


async def test_early_interrupts_are_kept_in_bounds_the_oldest_given_up() -> None:
    filesystem, asked = Stuck(), w.StatFs(nodeid=ROOT)
    async with served(filesystem) as kernel, trio.open_nursery() as nursery:
        await kernel.call(asked)
        for ahead in range(EARLY_INTERRUPTS + 1):
            kernel.channel.send_bytes(kernel.session.interrupt(asked.unique + 2 + 2 * ahead))
        nursery.start_soon(stuck, kernel)
        target = await waiting(kernel, w.GetXAttr)
        assert filesystem.cancelled == 0, "its interrupt was the oldest"
        assert len(filesystem.server._early) <= EARLY_INTERRUPTS
        await kernel.interrupt(target)
    assert filesystem.cancelled == 1


async def test_a_late_interrupt_hits_nobody_else() -> None:
    filesystem, asked = Stuck(), w.StatFs(nodeid=ROOT)
    async with served(filesystem) as kernel, trio.open_nursery() as nursery:
        await kernel.call(asked)
        nursery.start_soon(stuck, kernel)
        target = await waiting(kernel, w.GetXAttr)
        await kernel.interrupt(asked.unique)
        await kernel.call(w.StatFs(nodeid=ROOT))
        assert filesystem.cancelled == 0
        await kernel.interrupt(target)
    assert filesystem.cancelled == 1


async def test_twice_interrupted_is_once_cancelled() -> None:
    filesystem = Stuck()
    async with served(filesystem) as kernel, trio.open_nursery() as nursery:
        nursery.start_soon(stuck, kernel)
        target = await waiting(kernel, w.GetXAttr)
        await kernel.interrupt(target)
        await kernel.interrupt(target)
        await kernel.call(w.StatFs(nodeid=ROOT))
    assert filesystem.cancelled == 1 and not kernel.refused


async def test_hello_says_hello() -> None:
    async with served(Hello()) as kernel:
        entry: Any = await kernel.call(w.Lookup(nodeid=ROOT, name=b"hello"))
        read = w.Read(nodeid=entry.nodeid, arg=w.fuse_read_in(size=100))
        assert await kernel.call(read) == TEXT
        assert await failing(kernel, w.Lookup(nodeid=ROOT, name=b"other")) == errno.ENOENT


async def test_a_coroutine_that_returns_nonsense_is_eio() -> None:
    class Odd(MemoryFS):
        async def statfs(self, request: w.StatFs) -> Any:
            return 7

    async with served(Odd()) as kernel:
        with pytest.raises((OSError, ProtocolError)) as call:
            await kernel.call(w.StatFs(nodeid=ROOT))
        assert isinstance(call.value, OSError) and call.value.errno == errno.EIO
