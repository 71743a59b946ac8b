"""What an operation works with: the volume, whoever asked for it, and the kernel's caches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mfs.control.frames import BrokenFrame
from mfs.control.link import Link, LinkLost
from mfs.operations.caches import Caches
from mfs.tree.node import Node
from mfs.unixfs.cid import CID
from mfs.volume import Volume

__all__ = ["Input", "Session"]


class Input:
    """The stream of what the caller sends.  LinkLost, BrokenFrame: it did not come to its end."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._ended = False

    def __aiter__(self) -> Input:
        return self

    async def __anext__(self) -> Any:
        if self._ended:
            raise StopAsyncIteration
        message = await self._link.receive()
        if message is None:
            raise LinkLost("the caller is gone in the middle of what it sent")
        if isinstance(message, bytes):
            return message
        if "item" in message:
            return message["item"]
        if message.get("end") is not True:
            raise BrokenFrame("neither an item, nor bytes, nor the end")
        self._ended = True
        raise StopAsyncIteration


class Session:
    """One operation under way.

    Attributes:
        volume: what it works on; everything between two awaits is one step that nobody sees half of.
        caches: to be told of every change of the tree, so that a mount shows it.
    """

    def __init__(self, volume: Volume, link: Link, caches: Caches, *, closes: bool) -> None:
        self.volume = volume
        self.caches = caches
        self._link = link
        self._closes = closes
        self._input = Input(link)
        self._at_end: list[Callable[[], object]] = []

    def at_end(self, do: Callable[[], object]) -> None:
        """Have something done when the operation is over, however that comes."""
        self._at_end.append(do)

    def holding(self, cids: Sequence[CID]) -> None:
        """Garbage collection leaves these, and what is below them, alone until the operation is over."""
        store = self.volume.store

        def holder() -> Sequence[CID]:
            return cids

        for cid in cids:
            store.hold(cid)
        store.holders.append(holder)
        self.at_end(lambda: store.holders.remove(holder))

    def close(self) -> None:
        """The operation is over."""
        while self._at_end:
            self._at_end.pop()()

    async def item(self, item: Any) -> None:
        """Give one item of the answer: anything JSON can say."""
        await self._link.send({"item": item})

    async def data(self, data: bytes) -> None:
        """Give bytes, at most :data:`~mfs.control.frames.MAX_DATA` of them."""
        await self._link.send(data)

    def input(self) -> Input:
        """What the caller sends, as it comes: items, and bytes; to be iterated over with ``async for``."""
        return self._input

    async def settled(self, *nodes: Node) -> None:
        """Returns when what was done to `nodes` is durable.

        Where the process ends with this operation there is nothing to do: a commit ends it.
        """
        if not self._closes:
            for node in nodes:
                await self.volume.sync(node)

    async def settled_all(self) -> None:
        """The same for everything done so far."""
        if not self._closes:
            await self.volume.commit()
