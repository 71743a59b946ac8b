"""Exercise 6: when may an inode go?

This is the file system in memory, with two mistakes in it. `node.nlink` is how many names an inode has, `node.nlookup`
how many references the kernel holds. `collect` is called whenever one of them has become less, and drops the inode when
nobody can come back to it. Find both mistakes.
"""

from __future__ import annotations

from rawfuse.examples.memory import MemoryFS
from rawfuse.examples.memory.nodes import Node


class Lifetimes(MemoryFS):
    max_write = 1 << 17

    def forget(self, nodeid: int, nlookup: int) -> None:
        node = self.nodes.get(nodeid)
        if node is not None:
            node.nlookup -= 1  # TODO: right?
            self.collect(node)

    def collect(self, node: Node) -> None:
        if node.nlink == 0:  # TODO: right?
            self.nodes.pop(node.ino, None)
