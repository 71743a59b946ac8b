"""Making the next tree out of a tree and a batch of edits.

The way down cuts the batch at the bounds of each inner node, until the leaves take their edits. The way up settles
one level at a time: a child that was touched is *open*, its entries in memory and not yet a block. Before the children
of a node are written, an open child below the least size joins a neighbour (which is opened for it), and one above
the greatest is cut into even parts. A lone child that is too small has nobody to join among its siblings: it stays
open inside its parent, which is then too small itself, so that their level above joins the parents and, with them, the
children. What is left alone at the top is the new root.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Sequence
from itertools import accumulate, pairwise
from typing import cast

from mfs.meta.node import (
    CID_SIZE,
    ENTRY_OVERHEAD,
    HEADER_SIZE,
    INLINE_VALUE,
    MAX_KEY,
    MAX_NODE,
    MAX_VALUE,
    MIN_NODE,
    Far,
    MalformedNode,
    Node,
    block_cid,
    encode_node,
)
from mfs.unixfs.cid import CID

_FILL = MAX_NODE * 3 // 4
"""Size that the parts of a node too large aim at: room for some more before they are cut in their turn."""

_STRIDE = 1024
"""Edits looked at between two yields."""


class _Open:
    """A node that is being made: keys and values in a leaf; lower bounds and CIDs or open children above.

    The first lower bound of an inner node is meaningless here and empty once it is written. A node that is being made
    counts in its parent with the length of the CID it will have.
    """

    __slots__ = ("keys", "level", "values")

    def __init__(self, level: int, keys: list[bytes], values: list[_Value]) -> None:
        self.level = level
        self.keys = keys
        self.values = values

    def __len__(self) -> int:
        return CID_SIZE

    def size(self) -> int:
        return HEADER_SIZE + ENTRY_OVERHEAD * len(self.keys) + sum(map(len, self.keys)) + sum(map(len, self.values))


_Value = bytes | _Open
_Edited = Generator[None, None, _Open | None]


class Updater:
    """One update. `load(cid)` gives a decoded node, `store(cid, block, node)` takes a block (node None: a value's)."""

    def __init__(self, load: Callable[[CID], Node], store: Callable[[CID, bytes, Node | None], None]) -> None:
        self._load = load
        self._store = store
        self._keys: list[bytes] = []
        self._edits: list[bytes | None] = []

    def run(self, root: CID | None, edits: Sequence[tuple[bytes, bytes | None]]) -> Generator[None, None, CID | None]:
        """See `BTree.update`."""
        yield from _check_edits(edits)
        if not edits:
            return root
        self._keys = [key for key, _ in edits]
        self._edits = [value for _, value in edits]
        yield from self._store_long_values()
        top: _Open | None
        if root is None:
            present = [index for index, value in enumerate(self._edits) if value is not None]
            top = _Open(0, [self._keys[index] for index in present], [self._edits[index] or b"" for index in present])
        else:
            top = yield from self._edit(self._load(root), 0, len(edits))
        if top is None:
            return root
        return (yield from self._finish(top))

    def _store_long_values(self) -> Generator[None, None, None]:
        for index, value in enumerate(self._edits):
            if value is not None and len(value) > INLINE_VALUE:
                cid = block_cid(value)
                self._store(cid, value, None)
                self._edits[index] = Far(cid)
                yield

    def _edit(self, node: Node, start: int, stop: int) -> _Edited:
        """The node with the edits from `start` to `stop`, open; None when they change nothing."""
        if node.level == 0:
            return (yield from self._edit_leaf(node, start, stop))
        bounds = node.keys
        keys, values = [*bounds], [*node.values]
        opened: dict[int, _Open] = {}
        while start < stop:
            index = bisect_right(bounds, self._keys[start]) - 1
            last = index + 1 == len(bounds)
            end = stop if last else bisect_left(self._keys, bounds[index + 1], start, stop)
            child = self._load_below(node.level, node.values[index])
            edited = yield from self._edit(child, start, end)
            if edited is not None:
                opened[index] = edited
            start = end
        if not opened:
            return None
        result = _Open(node.level, keys, [opened.get(index, value) for index, value in enumerate(values)])
        yield from self._settle(result)
        return result

    def _edit_leaf(self, node: Node, start: int, stop: int) -> _Edited:
        merged = dict(zip(node.keys, node.values, strict=True))
        changed = grown = False
        for index in range(start, stop):
            key, value = self._keys[index], self._edits[index]
            old = merged.get(key)
            if value is None:
                if old is not None:
                    del merged[key]
                    changed = True
            elif old != value or type(old) is not type(value):
                merged[key] = value
                changed = True
                grown = grown or old is None
            if index % _STRIDE == 0:
                yield
        yield
        if not changed:
            return None
        keys = sorted(merged) if grown else [*merged]
        return _Open(0, keys, [*map(merged.__getitem__, keys)])

    def _settle(self, parent: _Open) -> Generator[None, None, None]:
        """Joins, cuts and writes the open ones among the children of a node.

        It is left with CIDs only; or with one child, still open, that is too small and has no sibling; or with nothing.
        """
        keys, values = parent.keys, parent.values
        index = 0
        while index < len(values):
            child = values[index]
            if not isinstance(child, _Open):
                index += 1
            elif not child.keys:
                del keys[index], values[index]
            elif len(values) > 1 and child.size() < MIN_NODE:
                index = min(index, len(values) - 2)
                values[index] = yield from self._join(child.level, values[index], keys[index + 1], values[index + 1])
                del keys[index + 1], values[index + 1]
            else:
                index += 1
        if len(values) == 1 and isinstance(child := values[0], _Open) and child.size() < MIN_NODE:
            return
        # From the right, so that several nodes in the place of one do not move those still to be written.
        for index in range(len(values) - 1, -1, -1):
            child = values[index]
            if isinstance(child, _Open):
                bounds, cids = yield from self._write(keys[index], child)
                keys[index : index + 1] = bounds
                values[index : index + 1] = cids

    def _join(self, level: int, left: _Value, bound: bytes, right: _Value) -> Generator[None, None, _Open]:
        """Two neighbours of `level` as one open node; a small child that either could not place finds a sibling.

        `bound` is what separated the two: in an inner node it is the first lower bound of the right one.
        """
        one, other = self._open(level, left), self._open(level, right)
        joined = _Open(level, one.keys + other.keys, one.values + other.values)
        if level:
            if other.keys:
                joined.keys[len(one.keys)] = bound
            yield from self._settle(joined)
        return joined

    def _open(self, level: int, child: _Value) -> _Open:
        if isinstance(child, _Open):
            return child
        node = self._load_below(level + 1, child)
        return _Open(level, node.keys, [*node.values])

    def _finish(self, top: _Open) -> Generator[None, None, CID | None]:
        """Writes what is left, adding levels while there is more than one node, leaving out those with one child."""
        while top.keys:
            if top.level and len(top.values) == 1:
                only = top.values[0]
                if not isinstance(only, _Open):
                    return CID(only)
                top = only
                continue
            bounds, cids = yield from self._write(b"", top)
            if len(cids) == 1:
                return cids[0]
            top = _Open(top.level + 1, bounds, [*cids])
        return None

    def _write(self, bound: bytes, node: _Open) -> Generator[None, None, tuple[list[bytes], list[CID]]]:
        """Writes an open node with no open child, as one block or several: the lower bounds and the CIDs of these."""
        bounds: list[bytes] = []
        cids: list[CID] = []
        level, previous = node.level, b""
        for start, stop in _parts(node):
            keys = node.keys[start:stop]
            values = cast("list[bytes]", node.values[start:stop])
            if start:
                bound = keys[0] if level else _separator(previous, keys[0])
            previous = keys[-1]
            if level:
                keys[0] = b""
            block = encode_node(level, keys, values)
            cid = block_cid(block)
            self._store(cid, block, Node(level, keys, values, len(block)))
            bounds.append(bound)
            cids.append(cid)
            yield
        return bounds, cids

    def _load_below(self, parent: int, cid: bytes) -> Node:
        node = self._load(CID(cid))
        if node.level != parent - 1:
            raise MalformedNode(CID(cid), f"level {node.level}, its parent is of level {parent}")
        return node


def _check_edits(edits: Sequence[tuple[bytes, bytes | None]]) -> Generator[None, None, None]:
    previous: bytes | None = None
    for index, (key, value) in enumerate(edits, 1):
        if previous is not None and key <= previous:
            raise ValueError(f"edits out of order: {key!r} after {previous!r}")
        if len(key) > MAX_KEY:
            raise ValueError(f"a key of {len(key)} bytes, at most {MAX_KEY}: {key!r}")
        if value is not None and len(value) > MAX_VALUE:
            raise ValueError(f"a value of {len(value)} bytes, at most {MAX_VALUE}, under the key {key!r}")
        previous = key
        if index % _STRIDE == 0:
            yield


def _parts(node: _Open) -> list[tuple[int, int]]:
    """Where to cut the entries so that each part fits a node and all are about the same size: (start, stop) of each.

    The largest entry is 1328 bytes. Each cut is at most half of that off its ideal place, so that no part is
    under `MIN_NODE` and, as a part aims at three quarters of a node, none is over `MAX_NODE`.
    """
    count = len(node.keys)
    total = node.size() - HEADER_SIZE
    if HEADER_SIZE + total <= MAX_NODE:
        return [(0, count)]
    ends = [0]
    ends += accumulate(
        ENTRY_OVERHEAD + len(key) + len(value) for key, value in zip(node.keys, node.values, strict=True)
    )
    parts = -(-total // _FILL)
    cuts = [0]
    for part in range(1, parts):
        ideal = total * part // parts
        cut = bisect_left(ends, ideal)
        cuts.append(cut - 1 if ideal - ends[cut - 1] < ends[cut] - ideal else cut)
    return [*pairwise([*cuts, count])]


def _separator(before: bytes, after: bytes) -> bytes:
    """The shortest bytes that are greater than `before` and not greater than `after`; `before` < `after`."""
    length = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        length += 1
    return after[: length + 1]
