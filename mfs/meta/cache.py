"""Decoded nodes in bounded memory, the least recently used given up first."""

from __future__ import annotations

from collections import OrderedDict

from mfs.meta.node import Node


class NodeCache:
    """Nodes by CID. `capacity` is in bytes of memory, by estimate; 32 MiB hold some 1500 full nodes.

    A CID names its content, so what is in here is never stale and one cache may serve any number of trees over the
    same store. Not for use by several threads at once.
    """

    __slots__ = ("_nodes", "capacity", "weight")

    def __init__(self, capacity: int = 32 << 20) -> None:
        self.capacity = capacity
        self.weight = 0
        self._nodes: OrderedDict[bytes, Node] = OrderedDict()

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, cid: bytes) -> Node | None:
        node = self._nodes.get(cid)
        if node is not None:
            self._nodes.move_to_end(cid)
        return node

    def put(self, cid: bytes, node: Node) -> None:
        """Keeps the node; what is over the capacity goes. A node heavier than the whole cache is not kept."""
        known = self._nodes.pop(cid, None)
        if known is not None:
            self.weight -= known.weight
        self._nodes[cid] = node
        self.weight += node.weight
        while self.weight > self.capacity:
            _, oldest = self._nodes.popitem(last=False)
            self.weight -= oldest.weight
