"""Decoded nodes in bounded memory."""

from __future__ import annotations

from mfs.meta.node import Node


class NodeCache:
    """Nodes by CID. `capacity` is in bytes of memory, by estimate; 32 MiB hold some 3000 nodes.

    A CID names its content, so what is in here is never stale and one cache may serve any number of trees over the
    same store. Not for use by several threads at once.

    Nodes live in two generations of half the capacity each. When the recent one is full it becomes the former one, and
    the former one is dropped with all in it that nobody asked for since. A hit in the recent generation, which is
    nearly every hit, thus moves nothing; a strict order of use cost a third of the time of a lookup.
    """

    __slots__ = ("_former", "_former_weight", "_recent_weight", "capacity", "recent")

    def __init__(self, capacity: int = 32 << 20) -> None:
        self.capacity = capacity
        self.recent: dict[bytes, Node] = {}
        """The recent generation, to be read by those in a hurry; `get` knows both."""
        self._recent_weight = 0
        self._former: dict[bytes, Node] = {}
        self._former_weight = 0

    def __len__(self) -> int:
        return len(self.recent) + len(self._former)

    @property
    def weight(self) -> int:
        """Bytes of memory that the nodes in here take, by estimate."""
        return self._recent_weight + self._former_weight

    def get(self, cid: bytes) -> Node | None:
        node = self.recent.get(cid)
        if node is None:
            node = self._former.pop(cid, None)
            if node is not None:
                self._former_weight -= node.weight
                self.put(cid, node)
        return node

    def put(self, cid: bytes, node: Node) -> None:
        """Keeps the node. One that is heavier than half the capacity is not kept."""
        if cid in self.recent or node.weight > self.capacity // 2:
            return
        if self._recent_weight + node.weight > self.capacity // 2:
            self._former, self._former_weight = self.recent, self._recent_weight
            self.recent, self._recent_weight = {}, 0
        former = self._former.pop(cid, None)
        if former is not None:
            self._former_weight -= former.weight
        self.recent[cid] = node
        self._recent_weight += node.weight
