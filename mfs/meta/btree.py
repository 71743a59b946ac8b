"""Reading the ordered map, and the door to changing it. The stored format is described in :mod:`mfs.meta.node`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence

from mfs.meta.cache import NodeCache
from mfs.meta.node import Far, MalformedNode, Node, decode_node
from mfs.meta.update import Updater
from mfs.unixfs.cid import CID


class BTree:
    """An ordered map of bytes to bytes over a block store; one root is one state of the map.

    `get(cid)` returns the bytes of a block and raises what the store raises when it has none; `put(cid, block)` stores
    one. `root` is the CID of the state that is read, None for the empty map; it may be set at any time, and `update`
    does not set it. Keys have at most `MAX_KEY` bytes, values at most `MAX_VALUE`.

    Every reading method raises `MalformedNode` where the stored tree breaks its format. Blocks are not held against
    their CIDs here: that is the store's part.
    """

    __slots__ = ("_cache", "_get", "_put", "root")

    def __init__(
        self,
        get: Callable[[CID], bytes],
        put: Callable[[CID, bytes], None],
        root: CID | None,
        *,
        cache: NodeCache | None = None,
    ) -> None:
        self._get = get
        self._put = put
        self.root = root
        self._cache = NodeCache() if cache is None else cache

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        if self.root is None:
            return None
        recent = self._cache.recent.get
        node = recent(self.root) or self.node(self.root)
        while node.level:
            child = node.values[bisect_right(node.keys, key) - 1]
            below = recent(child) or self.node(CID(child))
            if below.level != node.level - 1:
                raise _wrong_level(child, below.level, node.level)
            node = below
        index = bisect_left(node.keys, key)
        if index < len(node.keys) and node.keys[index] == key:
            return self.value(node.values[index])
        return None

    def items(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """The entries with start <= key < stop in order of their keys; without `stop`, to the end.

        Nodes are read as the iterator reaches them. It stays with the root it began with, whatever becomes of `root`.
        """
        if self.root is None:
            return iter(())
        return self._items(self.node(self.root), start, stop)

    def update(self, edits: Sequence[tuple[bytes, bytes | None]]) -> Generator[None, None, CID | None]:
        """Writes the map that `edits` make of this one, and returns its root (None when nothing is left in it).

        Edits are (key, value) in strictly increasing order of their keys; value None removes the key, absent or not.
        The generator yields after each leaf it has edited and each block it has put, so that a driver may do other
        things in between. The tree itself is not touched, and an update that is given up half-way leaves nothing behind
        but blocks nobody points to. Where nothing changes nothing is put. Edits close together cost one node of each
        level, where nodes are cut or joined one more; edits everywhere keep one inner node's share of them in memory.

        Raises ValueError, before anything is put, for edits out of order and for keys or values too long.
        """
        return Updater(self.node, self._store).run(self.root, edits)

    def cids(self) -> Iterator[CID]:
        """Every block of this state: nodes, parents before children, and the blocks of long values."""
        if self.root is None:
            return
        waiting = [self.root]
        while waiting:
            cid = waiting.pop()
            yield cid
            node = self.node(cid)
            if node.level:
                for child in node.values:
                    self._below(node, child)
                waiting.extend(map(CID, reversed(node.values)))
            else:
                yield from (CID(bytes(value)) for value in node.values if type(value) is Far)

    def node(self, cid: CID) -> Node:
        """The decoded node, from the cache or the store."""
        node = self._cache.get(cid)
        if node is None:
            node = decode_node(cid, self._get(cid))
            self._cache.put(cid, node)
        return node

    def _store(self, cid: CID, block: bytes, node: Node | None) -> None:
        """Puts a block; a node also goes to the cache, since the next update is likely to pass through it."""
        self._put(cid, block)
        if node is not None:
            self._cache.put(cid, node)

    def _below(self, parent: Node, child: bytes) -> Node:
        node = self.node(CID(child))
        if node.level != parent.level - 1:
            raise _wrong_level(child, node.level, parent.level)
        return node

    def value(self, value: bytes) -> bytes:
        """The value of an entry of a leaf: itself, or what the block holds that it names."""
        return self._get(CID(bytes(value))) if type(value) is Far else value

    def _items(self, node: Node, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        keys = node.keys
        end = len(keys) if stop is None else bisect_left(keys, stop)
        if node.level:
            # The first key of an inner node is empty: there is always a child to begin with.
            for index in range(bisect_right(keys, start) - 1, end):
                yield from self._items(self._below(node, node.values[index]), start, stop)
        else:
            for index in range(bisect_left(keys, start), end):
                yield keys[index], self.value(node.values[index])


def _wrong_level(cid: bytes, level: int, parent: int) -> MalformedNode:
    return MalformedNode(CID(cid), f"level {level}, its parent is of level {parent}")
