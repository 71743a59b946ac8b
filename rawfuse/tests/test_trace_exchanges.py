"""Requests of a trace joined to their replies, and names followed through nodeids."""

from __future__ import annotations

import errno
import random
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from rawfuse import Server, wire
from rawfuse.channel import seqpacket_pair
from rawfuse.examples.memory import MemoryFS
from rawfuse.kernel import Kernel
from rawfuse.trace import Direction, Recorder, Traced, TracedChannel
from rawfuse.trace.exchanges import Exchange, Follower, exchanges
from rawfuse.trace.paths import Paths
from rawfuse.wire.requests import encode_notification, encode_request

REGULAR = stat.S_IFREG | 0o644


class Kept:
    """A trace in memory."""

    def __init__(self) -> None:
        self.messages: list[Traced] = []

    def write(self, message: Traced) -> None:
        self.messages.append(message)


@asynccontextmanager
async def traced(**keywords: Any) -> AsyncGenerator[tuple[Kernel, Kept], None]:
    kept = Kept()
    kernels, servers = seqpacket_pair()
    async with trio.open_nursery() as nursery:
        channel = TracedChannel(servers, Recorder(kept, **keywords))
        await nursery.start(Server(MemoryFS(), channel).serve)
        async with Kernel(kernels) as kernel:
            await kernel.init()
            yield kernel, kept
        nursery.cancel_scope.cancel()


async def create(kernel: Kernel, parent: int, name: bytes) -> tuple[int, int]:
    reply: Any = await kernel.call(wire.Create(nodeid=parent, arg=wire.fuse_create_in(mode=REGULAR), name=name))
    return reply[0].nodeid, reply[1].fh


async def mkdir(kernel: Kernel, parent: int, name: bytes) -> int:
    reply: Any = await kernel.call(wire.MkDir(nodeid=parent, arg=wire.fuse_mkdir_in(mode=0o755), name=name))
    return int(reply.nodeid)


def told(found: list[Exchange]) -> list[tuple[str, bytes, bytes, int | None]]:
    return [(type(one.request).__name__, one.path, one.newpath, one.error) for one in found]


async def test_names_are_followed_through_nodeids() -> None:
    async with traced() as (kernel, kept):
        directory = await mkdir(kernel, 1, b"d")
        node, handle = await create(kernel, directory, b"f")
        write = wire.fuse_write_in(fh=handle, size=5)
        await kernel.call(wire.Write(nodeid=node, arg=write, data=memoryview(b"bytes")))
        rename = wire.fuse_rename_in(newdir=1)
        await kernel.call(wire.Rename(nodeid=directory, arg=rename, name=b"f", newname=b"g"))
        await kernel.call(wire.GetAttr(nodeid=node))
        await kernel.call(wire.Unlink(nodeid=1, name=b"g"))
        await kernel.call(wire.GetAttr(nodeid=node))
        with pytest.raises(OSError):
            await kernel.call(wire.RmDir(nodeid=1, name=b"g"))
        kernel.post(wire.Forget(nodeid=node, arg=wire.fuse_forget_in(nlookup=1)))
        await kernel.call(wire.StatFs(nodeid=1))
    assert told(list(exchanges(kept.messages))) == [
        ("Init", b"", b"", 0),
        ("MkDir", b"/d", b"", 0),
        ("Create", b"/d/f", b"", 0),
        ("Write", b"/d/f", b"", 0),
        ("Rename", b"/d/f", b"/g", 0),
        ("GetAttr", b"/g", b"", 0),
        ("Unlink", b"/g", b"", 0),
        ("GetAttr", b"/g", b"", 0),
        ("RmDir", b"/g", b"", errno.ENOENT),
        ("Forget", b"/g", b"", None),
        ("StatFs", b"/", b"", 0),
    ]


async def test_a_reply_is_decoded_beside_its_request() -> None:
    async with traced(program=lambda pid: b"cat") as (kernel, kept):
        node, handle = await create(kernel, 1, b"f")
        await kernel.call(wire.Read(nodeid=node, arg=wire.fuse_read_in(fh=handle, size=100)))
    created, read = list(exchanges(kept.messages))[1:]
    assert isinstance(created.value, tuple)
    assert created.value[0].nodeid == node  # type: ignore[attr-defined]
    assert read.value == b""
    assert created.latency is not None
    assert created.latency >= 0
    assert created.time == kept.messages[2].time


async def test_a_request_without_an_answer_comes_at_the_end() -> None:
    async with traced() as (kernel, kept):
        await create(kernel, 1, b"f")
    found = list(exchanges(kept.messages[:-1]))
    assert told(found)[-1] == ("Create", b"/f", b"", None)
    assert found[-1].answer is None


async def test_what_was_before_the_trace_is_named_by_its_number() -> None:
    async with traced() as (kernel, kept):
        directory = await mkdir(kernel, 1, b"d")
        await create(kernel, directory, b"f")
    assert told(list(exchanges(kept.messages[-2:])))[0][1] == b"#%d/f" % directory


async def test_listings_teach_names() -> None:
    async with traced() as (kernel, kept):
        node, _ = await create(kernel, 1, b"listed")
        opened: Any = await kernel.call(wire.OpenDir(nodeid=1))
        await kernel.call(wire.ReadDirPlus(nodeid=1, arg=wire.fuse_read_in(fh=opened.fh, size=4096)))
        await kernel.call(wire.GetAttr(nodeid=node))
    after_creation = kept.messages[4:]
    assert told(list(exchanges(after_creation)))[-1][1] == b"/listed"


async def test_a_notification_is_one_of_its_own() -> None:
    message = wire.NotifyInvalEntry(arg=wire.fuse_notify_inval_entry_out(parent=1, namelen=4), name=b"gone")
    data = encode_notification(message)
    (found,) = exchanges([Traced(1, Direction.TO_KERNEL, data, len(data))])
    assert found.notification == message
    assert found.path == b"/gone"


async def test_cut_messages_say_what_is_left_of_them() -> None:
    async with traced(largest=80) as (kernel, kept):
        node, handle = await create(kernel, 1, b"f")
        write = wire.fuse_write_in(fh=handle, size=5000)
        await kernel.call(wire.Write(nodeid=node, arg=write, data=memoryview(bytes(5000))))
    created, written = list(exchanges(kept.messages))[1:]
    assert "cut to 80 bytes" in created.problem
    assert created.error == 0
    assert isinstance(written.request, wire.Write)
    assert written.request.arg.size == 5000


def test_connections_are_kept_apart() -> None:
    requests = [encode_request(wire.StatFs(unique=2, nodeid=1)) for _ in range(2)]
    follower = Follower()
    for number, data in enumerate(requests):
        assert not follower.feed(Traced(number, Direction.TO_SERVER, data, len(data), number))
    assert len(follower.finish()) == 2


def test_a_foreign_byte_order_is_said_and_nothing_more_decoded() -> None:
    data = encode_request(wire.StatFs(unique=2, nodeid=1))
    foreign = "big" if Traced(0, Direction.TO_SERVER, data, len(data)).byteorder == "little" else "little"
    (found,) = exchanges([Traced(0, Direction.TO_SERVER, data, len(data), byteorder=foreign)])
    assert "endian" in found.problem
    assert found.request is None


@pytest.mark.parametrize("seed", range(20))
async def test_damaged_messages_are_told_and_nothing_raises(seed: int) -> None:
    chance = random.Random(seed)
    async with traced() as (kernel, kept):
        node, _ = await create(kernel, 1, b"f")
        await kernel.call(wire.GetAttr(nodeid=node))
        await kernel.call(wire.Rename(nodeid=1, arg=wire.fuse_rename_in(newdir=1), name=b"f", newname=b"g"))
    damaged = []
    for message in kept.messages:
        data = bytearray(message.data)
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if not chance.randrange(4):
            del data[chance.randrange(len(data)) :]
        length = len(data) + chance.choice([0, 0, 0, 5, 1 << 31])
        damaged.append(message._replace(data=bytes(data), length=length))
    found = list(exchanges(damaged))
    assert sum(one.sent is not None for one in found) == sum(m.direction is Direction.TO_SERVER for m in damaged)


def test_only_so_many_names_are_remembered() -> None:
    paths = Paths(kept=100)
    for number in range(1000):
        request = wire.Lookup(nodeid=1, name=b"%d" % number)
        paths.learn(request, wire.fuse_entry_out(nodeid=number + 2))
    assert paths.of(2) == b"#2"
    assert paths.of(1001) == b"/999"
    assert len(paths._places) <= 100
    assert len(paths._nodes) <= 100


def test_a_path_that_goes_in_a_circle_ends() -> None:
    paths = Paths()
    paths.learn(wire.Lookup(nodeid=2, name=b"a"), wire.fuse_entry_out(nodeid=3))
    paths.learn(wire.Lookup(nodeid=3, name=b"b"), wire.fuse_entry_out(nodeid=2))
    assert paths.of(2).startswith(b"#")


def test_an_interrupt_may_have_a_reply() -> None:
    ask = wire.encode_request(wire.Interrupt(unique=9, arg=wire.fuse_interrupt_in(unique=8)))
    answer = wire.fuse_out_header(len=16, error=-11, unique=9).pack()
    found = list(
        exchanges(
            [
                Traced(5, Direction.TO_SERVER, ask, len(ask), minor=45),
                Traced(7, Direction.TO_KERNEL, answer, len(answer), minor=45),
                Traced(8, Direction.TO_KERNEL, answer, len(answer), minor=45),
            ]
        )
    )
    assert [(one.error, one.latency, bool(one.problem)) for one in found] == [
        (None, None, False),
        (11, 2, False),
        (None, None, True),
    ]
