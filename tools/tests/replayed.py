"""Traces made and replayed in one process, and a server that numbers things as it is told to."""

from __future__ import annotations

import errno
import stat
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import trio

from rawfuse import Filesystem, Reply, Server, wire
from rawfuse.channel import seqpacket_pair
from rawfuse.kernel import Kernel
from rawfuse.tests.waiting import PATIENCE
from rawfuse.trace import Recorder, Traced, TracedChannel
from tools.replay.compare import ANOTHER, CHOSEN
from tools.replay.foreseen import foresee
from tools.replay.player import Divergence, Player
from tools.replay.served import serving_thread

__all__ = ["Numbered", "Script", "everyday", "recorded", "replayed"]

Script: TypeAlias = Callable[[Kernel], Awaitable[None]]
ROOT: Final = 1
_REGULAR: Final = stat.S_IFREG | 0o644


class Kept:
    """A trace in memory."""

    def __init__(self) -> None:
        self.messages: list[Traced] = []

    def write(self, message: Traced) -> None:
        self.messages.append(message)


def recorded(filesystem: Filesystem, script: Script) -> list[Traced]:
    """What goes between `filesystem` and a kernel that does what `script` says."""
    kept = Kept()

    async def main() -> None:
        kernels, servers = seqpacket_pair()
        async with trio.open_nursery() as nursery:
            await nursery.start(Server(filesystem, TracedChannel(servers, Recorder(kept))).serve)
            async with Kernel(kernels) as kernel:
                await kernel.init()
                await script(kernel)
            nursery.cancel_scope.cancel()

    trio.run(main)
    return kept.messages


def replayed(
    filesystem: Filesystem, messages: list[Traced], *, another: bool = False, **options: Any
) -> tuple[list[Divergence], Player]:
    """What differs, and the player, when all is over."""
    served = serving_thread(filesystem)
    ignored = CHOSEN + (ANOTHER if another else ())
    options = {"patience": PATIENCE, **options}
    player = Player(served.socket, foresee(messages), ignored=ignored, another=another, **options)
    try:
        return list(player.play(messages)), player
    finally:
        served.end()


class Numbered(Filesystem):
    """A directory of files whose nodeids and handles `numbers` makes of 2, 3, 4, ...; it counts its references.

    `few`: entries in a reply; `backwards`: the order of listings; `negative`: whether an absent name is an entry.
    """

    def __init__(
        self,
        numbers: Callable[[int], int] = lambda number: number,
        *,
        few: int = 100,
        backwards: bool = False,
        negative: bool = False,
    ) -> None:
        self._numbers = numbers
        self._next = 2
        self._few = few
        self._backwards = backwards
        self._negative = negative
        self.names: dict[bytes, int] = {}
        self.files: dict[int, bytearray] = {}
        self.handles: dict[int, int] = {}
        self.references: dict[int, int] = {}

    def _number(self) -> int:
        self._next += 1
        return self._numbers(self._next)

    def _entry(self, nodeid: int) -> wire.fuse_entry_out:
        self.references[nodeid] = self.references.get(nodeid, 0) + 1
        return wire.fuse_entry_out(nodeid=nodeid, attr=self._attr(nodeid))

    def _attr(self, nodeid: int) -> wire.fuse_attr:
        if nodeid == ROOT:
            return wire.fuse_attr(ino=ROOT, mode=stat.S_IFDIR | 0o755, nlink=2)
        return wire.fuse_attr(ino=nodeid, mode=_REGULAR, nlink=1, size=len(self.files[nodeid]))

    def lookup(self, request: wire.Lookup) -> Reply:
        nodeid = self.names.get(request.name)
        if nodeid is not None:
            return self._entry(nodeid)
        if self._negative:
            return wire.fuse_entry_out(nodeid=0, entry_valid=1)
        raise FileNotFoundError(errno.ENOENT, "absent")

    def forget(self, nodeid: int, nlookup: int) -> None:
        self.references[nodeid] -= nlookup

    def getattr(self, request: wire.GetAttr) -> Reply:
        return wire.fuse_attr_out(attr=self._attr(request.nodeid))

    def create(self, request: wire.Create) -> Reply:
        nodeid = self._number()
        self.names[request.name] = nodeid
        self.files[nodeid] = bytearray()
        return self._entry(nodeid), self._opened(nodeid)

    def open(self, request: wire.Open) -> Reply:
        return self._opened(request.nodeid)

    def opendir(self, request: wire.OpenDir) -> Reply:
        return self._opened(request.nodeid)

    def _opened(self, nodeid: int) -> wire.fuse_open_out:
        handle = self._number()
        self.handles[handle] = nodeid
        return wire.fuse_open_out(fh=handle)

    def read(self, request: wire.Read) -> Reply:
        data = self.files[self.handles[request.arg.fh]]
        return bytes(data[request.arg.offset : request.arg.offset + request.arg.size])

    def write(self, request: wire.Write) -> Reply:
        data = self.files[self.handles[request.arg.fh]]
        data[request.arg.offset : request.arg.offset + len(request.data)] = request.data
        return wire.fuse_write_out(size=len(request.data))

    def release(self, request: wire.Release) -> Reply:
        del self.handles[request.arg.fh]
        return None

    def releasedir(self, request: wire.ReleaseDir) -> Reply:
        del self.handles[request.arg.fh]
        return None

    def readdirplus(self, request: wire.ReadDirPlus) -> Reply:
        assert self.handles[request.arg.fh] == ROOT
        listing = wire.DirentPlusBuffer(request.arg.size)
        names = sorted(self.names, reverse=self._backwards)
        places = [self._numbers(place) for place in range(len(names) + 1)]
        start = places.index(request.arg.offset) if request.arg.offset else 0
        for place in range(start, min(start + self._few, len(names))):
            name = names[place]
            listing.add(name, self.names[name], places[place + 1], 8, self._entry(self.names[name]).pack())
        return listing.data

    def unlink(self, request: wire.Unlink) -> Reply:
        del self.names[request.name]
        return None


async def everyday(kernel: Kernel) -> None:
    """Files made, read, listed and removed; every reference given back."""
    call: Any = kernel.call
    nodes: dict[int, int] = {}

    def took(entry: wire.fuse_entry_out) -> int:
        if entry.nodeid:
            nodes[entry.nodeid] = nodes.get(entry.nodeid, 0) + 1
        return entry.nodeid

    for number in range(6):
        name = b"file-%d" % number
        try:
            assert (await call(wire.Lookup(nodeid=ROOT, name=name))).nodeid == 0
        except FileNotFoundError:
            pass
        entry, opened = await call(wire.Create(nodeid=ROOT, arg=wire.fuse_create_in(mode=_REGULAR), name=name))
        node = took(entry)
        data = name * (number + 1)
        written = wire.fuse_write_in(fh=opened.fh, size=len(data))
        await call(wire.Write(nodeid=node, arg=written, data=memoryview(data)))
        await call(wire.Release(nodeid=node, arg=wire.fuse_release_in(fh=opened.fh)))
    listed: list[wire.DirentPlus] = []
    for _ in range(2):
        opened = await call(wire.OpenDir(nodeid=ROOT, arg=wire.fuse_open_in()))
        offset = 0
        listed.clear()
        while True:
            asked = wire.fuse_read_in(fh=opened.fh, offset=offset, size=4096)
            entries = await call(wire.ReadDirPlus(nodeid=ROOT, arg=asked))
            if not entries:
                break
            for one in entries:
                offset = one.dirent.off
                if one.dirent.name not in (b".", b".."):
                    took(one.entry)
                    listed.append(one)
        await call(wire.ReleaseDir(nodeid=ROOT, arg=wire.fuse_release_in(fh=opened.fh)))
    for one in listed:
        node = one.entry.nodeid
        opened = await call(wire.Open(nodeid=node, arg=wire.fuse_open_in()))
        await call(wire.Read(nodeid=node, arg=wire.fuse_read_in(fh=opened.fh, size=4096)))
        await call(wire.GetAttr(nodeid=node, arg=wire.fuse_getattr_in()))
        await call(wire.Release(nodeid=node, arg=wire.fuse_release_in(fh=opened.fh)))
    await call(wire.Unlink(nodeid=ROOT, name=b"file-0"))
    for node, count in sorted(nodes.items()):
        kernel.post(wire.Forget(nodeid=node, arg=wire.fuse_forget_in(nlookup=count - 1)))
    rest = [wire.fuse_forget_one(nodeid=node, nlookup=1) for node in sorted(nodes)]
    kernel.post(wire.BatchForget(arg=wire.fuse_batch_forget_in(count=len(rest)), forgets=rest))
    await call(wire.GetAttr(nodeid=ROOT, arg=wire.fuse_getattr_in()))
