"""Listings, split in any way: each name once, and the references given are the references forgotten."""

from __future__ import annotations

import stat
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from rawfuse import wire as w
from rawfuse.examples.memory import MemoryFS
from rawfuse.kernel import Kernel
from rawfuse.tests.faked import ROOT, made, served


async def listing(kernel: Kernel, sizes: list[int], plus: bool) -> tuple[list[bytes], list[int]]:
    """Names and referenced nodeids of the root, each reply no larger than the next of `sizes`."""
    names: list[bytes] = []
    nodeids: list[int] = []
    offset, turn = 0, 0
    while True:
        arg = w.fuse_read_in(offset=offset, size=sizes[turn % len(sizes)])
        turn += 1
        request = w.ReadDirPlus(nodeid=ROOT, arg=arg) if plus else w.ReadDir(nodeid=ROOT, arg=arg)
        entries: Any = await kernel.call(request)
        if not entries:
            return names, nodeids
        for one in entries:
            dirent = one.dirent if plus else one
            names.append(dirent.name)
            if plus and one.entry.nodeid and dirent.name not in (b".", b".."):
                nodeids.append(one.entry.nodeid)
            offset = dirent.off


NAMES = st.lists(st.binary(min_size=1, max_size=40).filter(lambda n: not {0, 0x2F} & {*n} and n not in (b".", b"..")))


@settings(max_examples=60)
@given(
    names=NAMES.map(lambda names: [*dict.fromkeys(names)]),
    sizes=st.lists(st.integers(min_value=152 + 48, max_value=4096), min_size=1, max_size=5),
    plus=st.booleans(),
)
def test_any_split_of_a_listing_has_each_name_once_and_every_reference_is_forgotten(
    names: list[bytes], sizes: list[int], plus: bool
) -> None:
    async def run() -> None:
        filesystem = MemoryFS()
        async with served(filesystem) as kernel:
            for name in names:
                reply: Any = await kernel.call(
                    w.MkNod(nodeid=ROOT, arg=w.fuse_mknod_in(mode=stat.S_IFREG | 0o644), name=name)
                )
                kernel.post(w.Forget(nodeid=reply.nodeid, arg=w.fuse_forget_in(1)))
            found, nodeids = await listing(kernel, sizes, plus)
            assert found == [b".", b"..", *names]
            assert sum(node.nlookup for node in filesystem.nodes.values()) == len(nodeids) == len(names) * plus
            kernel.post(w.BatchForget(forgets=[w.fuse_forget_one(nodeid, 1) for nodeid in nodeids]))
            await kernel.call(w.StatFs(nodeid=ROOT))
            assert all(node.nlookup == 0 for node in filesystem.nodes.values())

    trio.run(run)


@settings(max_examples=15)
@given(
    data=st.data(), count=st.integers(min_value=1, max_value=60), size=st.integers(min_value=152 + 48, max_value=900)
)
def test_what_is_there_throughout_a_listing_is_listed_once_whatever_comes_and_goes(
    data: st.DataObject, count: int, size: int
) -> None:
    async def run() -> None:
        filesystem = MemoryFS()
        async with served(filesystem) as kernel:
            for number in range(count):
                await made(kernel, b"stays%d" % number)
                await made(kernel, b"goes%d" % number)
            found: list[bytes] = []
            offset, turn = 0, 0
            while entries := await kernel.call(w.ReadDir(nodeid=ROOT, arg=w.fuse_read_in(offset=offset, size=size))):
                assert isinstance(entries, list)
                found += [entry.name for entry in entries if isinstance(entry, w.Dirent)]
                offset = entries[-1].off if isinstance(entries[-1], w.Dirent) else 0
                goes = data.draw(st.integers(min_value=0, max_value=count - 1))
                if b"goes%d" % goes in filesystem.root.children:
                    await kernel.call(w.Unlink(nodeid=ROOT, name=b"goes%d" % goes))
                if turn < 20:
                    await made(kernel, b"comes%d" % turn)
                turn += 1
            assert len(found) == len({*found})
            assert {b"stays%d" % number for number in range(count)} <= {*found}

    trio.run(run)
