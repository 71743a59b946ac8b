"""Holding a stored map against what its format promises of the tree as a whole."""

from __future__ import annotations

from collections.abc import Callable, Generator

from mfs.meta.node import INLINE_VALUE, MIN_NODE, Far, MalformedNode, decode_node
from mfs.unixfs.cid import CID


def check(get: Callable[[CID], bytes], root: CID | None) -> Generator[None, None, int]:
    """Reads every block of the map under `root` and returns how many entries it has; yields after each node.

    Raises `MalformedNode` at the first node that breaks its format, has another level than its parent says, keys
    outside its bounds, less than `MIN_NODE` bytes without being the root, or a long value that is not long.
    """
    count = 0
    waiting: list[tuple[CID, int | None, bytes, bytes | None]] = [] if root is None else [(root, None, b"", None)]
    while waiting:
        cid, level, low, high = waiting.pop()
        block = get(cid)
        node = decode_node(cid, block)
        if level is not None and node.level != level:
            raise MalformedNode(cid, f"level {node.level}, its parent is of level {level + 1}")
        if level is not None and len(block) < MIN_NODE:
            raise MalformedNode(cid, f"{len(block)} bytes, a node below the root has {MIN_NODE}")
        # The first key of an inner node is empty and stands for the bound itself.
        first = node.keys[1] if node.level else node.keys[0]
        if first < low or (node.level and first == low) or (high is not None and node.keys[-1] >= high):
            raise MalformedNode(cid, f"keys {first!r} to {node.keys[-1]!r} outside its bounds {low!r} to {high!r}")
        if node.level:
            lows = [low, *node.keys[1:]]
            for child, below, above in zip(node.values, lows, [*lows[1:], high], strict=True):
                waiting.append((CID(child), node.level - 1, below, above))
        else:
            count += len(node.keys)
            for value in node.values:
                if type(value) is Far and len(get(CID(bytes(value)))) <= INLINE_VALUE:
                    raise MalformedNode(cid, "a value that would fit its leaf lies in a block of its own")
        yield
    return count
