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
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import accumulate, pairwise

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


class _Open:
    """A node that is being made: (key, value) in a leaf; (lower bound, CID or open child) above.

    The first lower bound of an inner node is meaningless here and empty once it is written.
    """

    __slots__ = ("entries", "level")

    def __init__(self, level: int, entries: list[_Entry]) -> None:
        self.level = level
        self.entries = entries

    def size(self) -> int:
        return HEADER_SIZE + sum(map(_entry_size, self.entries))


_Entry = tuple[bytes, "bytes | _Open"]
_Steps = Generator[None, None, "_Open | None"]


class Updater:
    """One update. `load(cid)` gives a decoded node, `store(cid, block, node)` takes a block (node None: a value's)."""

    def __init__(self, load: Callable[[CID], Node], store: Callable[[CID, bytes, Node | None], None]) -> None:
        self._load = load
        self._store = store
        self._keys: list[bytes] = []
        self._values: list[bytes | None] = []

    def run(self, root: CID | None, edits: Sequence[tuple[bytes, bytes | None]]) -> Generator[None, None, CID | None]:
        """See `BTree.update`."""
        _check_edits(edits)
        if not edits:
            return root
        self._keys = [key for key, _ in edits]
        for _, value in edits:
            self._values.append((yield from self._shorten(value)))
        if root is None:
            top: _Open | None = _Open(
                0, [(k, v) for k, v in zip(self._keys, self._values, strict=True) if v is not None]
            )
        else:
            top = yield from self._edit(root, self._load(root), 0, len(self._keys))
        if top is None:
            return root
        return (yield from self._finish(top))

    def _shorten(self, value: bytes | None) -> Generator[None, None, bytes | None]:
        if value is None or len(value) <= INLINE_VALUE:
            return value
        cid = block_cid(value)
        self._store(cid, value, None)
        yield
        return Far(cid)

    def _edit(self, cid: CID, node: Node, start: int, stop: int) -> _Steps:
        """The node with the edits from `start` to `stop`, open; None when they change nothing."""
        if node.level == 0:
            return self._edit_leaf(node, start, stop)
        entries: list[_Entry] = list(zip(node.keys, node.values, strict=True))
        changed = False
        while start < stop:
            index = bisect_right(node.keys, self._keys[start]) - 1
            last = index + 1 == len(node.keys)
            end = stop if last else bisect_left(self._keys, node.keys[index + 1], start, stop)
            child = self._load_below(node.level, node.values[index])
            opened = yield from self._edit(CID(node.values[index]), child, start, end)
            if opened is not None:
                entries[index] = (node.keys[index], opened)
                changed = True
            start = end
        if not changed:
            return None
        return _Open(node.level, (yield from self._settle(entries)))

    def _edit_leaf(self, node: Node, start: int, stop: int) -> _Open | None:
        merged = dict(zip(node.keys, node.values, strict=True))
        changed = grown = False
        for index in range(start, stop):
            key, value = self._keys[index], self._values[index]
            old = merged.get(key)
            if value is None:
                if old is not None:
                    del merged[key]
                    changed = True
            elif old != value or type(old) is not type(value):
                merged[key] = value
                changed = True
                grown = grown or old is None
        if not changed:
            return None
        return _Open(0, [(key, merged[key]) for key in sorted(merged)] if grown else list(merged.items()))

    def _settle(self, entries: list[_Entry]) -> Generator[None, None, list[_Entry]]:
        """Joins, cuts and writes the open ones among the children of one node.

        What comes back has CIDs only; or is one child, still open, that is too small and has no sibling; or nothing.
        """
        index = 0
        while index < len(entries):
            bound, child = entries[index]
            if not isinstance(child, _Open):
                index += 1
            elif not child.entries:
                del entries[index]
            elif len(entries) > 1 and child.size() < MIN_NODE:
                index = min(index, len(entries) - 2)
                joined = yield from self._join(child.level, entries[index], entries[index + 1])
                entries[index : index + 2] = [(entries[index][0], joined)]
            else:
                index += 1
        if len(entries) == 1 and isinstance(child := entries[0][1], _Open) and child.size() < MIN_NODE:
            return entries
        settled: list[_Entry] = []
        for bound, child in entries:
            if isinstance(child, _Open):
                settled += yield from self._write(bound, child)
            else:
                settled.append((bound, child))
        return settled

    def _join(self, level: int, left: _Entry, right: _Entry) -> Generator[None, None, _Open]:
        """Two neighbours of `level` as one open node; a small child that either could not place finds a sibling."""
        former, latter = self._opened(level, left[1]), self._opened(level, right[1])
        if level == 0:
            return _Open(0, former + latter)
        # The first bound of the right one counts again: it is what separated the two.
        entries = [*former, (right[0], latter[0][1]), *latter[1:]] if latter else former
        return _Open(level, (yield from self._settle(entries)))

    def _opened(self, level: int, child: bytes | _Open) -> list[_Entry]:
        if isinstance(child, _Open):
            return child.entries
        node = self._load_below(level + 1, child)
        return list(zip(node.keys, node.values, strict=True))

    def _finish(self, top: _Open) -> Generator[None, None, CID | None]:
        """Writes what is left, adding levels while there is more than one node, leaving out those with one child."""
        while top.entries:
            if top.level and len(top.entries) == 1:
                only = top.entries[0][1]
                if not isinstance(only, _Open):
                    return CID(only)
                top = only
                continue
            written = yield from self._write(b"", top)
            if len(written) == 1 and not isinstance(cid := written[0][1], _Open):
                return CID(cid)
            top = _Open(top.level + 1, written)
        return None

    def _write(self, bound: bytes, node: _Open) -> Generator[None, None, list[_Entry]]:
        """Writes an open node whose children are all written, as one block or several: (lower bound, CID) of each."""
        written: list[_Entry] = []
        previous = b""
        for part in _parts(node.entries):
            keys = [key for key, _ in part]
            values = [value for _, value in part if not isinstance(value, _Open)]
            if written:
                bound = _separator(previous, keys[0]) if node.level == 0 else keys[0]
            previous = keys[-1]
            if node.level:
                keys[0] = b""
            block = encode_node(node.level, keys, values)
            cid = block_cid(block)
            self._store(cid, block, Node(node.level, keys, values, len(block)))
            written.append((bound, cid))
            yield
        return written

    def _load_below(self, parent: int, cid: bytes) -> Node:
        node = self._load(CID(cid))
        if node.level != parent - 1:
            raise MalformedNode(CID(cid), f"level {node.level}, its parent is of level {parent}")
        return node


def _check_edits(edits: Sequence[tuple[bytes, bytes | None]]) -> None:
    for (key, _), (following, _) in pairwise(edits):
        if key >= following:
            raise ValueError(f"edits out of order: {following!r} after {key!r}")
    for key, value in edits:
        if len(key) > MAX_KEY:
            raise ValueError(f"a key of {len(key)} bytes, at most {MAX_KEY}: {key!r}")
        if value is not None and len(value) > MAX_VALUE:
            raise ValueError(f"a value of {len(value)} bytes, at most {MAX_VALUE}, under the key {key!r}")


def _entry_size(entry: _Entry) -> int:
    key, value = entry
    return ENTRY_OVERHEAD + len(key) + (CID_SIZE if isinstance(value, _Open) else len(value))


def _parts(entries: list[_Entry]) -> Iterator[list[_Entry]]:
    """The entries cut into runs that fit a node each, even in size.

    The largest entry is 1328 bytes. Each cut is at most half of that off its ideal place, so that no part is
    under `MIN_NODE` and, as a part aims at three quarters of a node, none is over `MAX_NODE`.
    """
    ends = [*accumulate(map(_entry_size, entries), initial=0)]
    total = ends[-1]
    if HEADER_SIZE + total <= MAX_NODE:
        yield entries
        return
    count = -(-total // _FILL)
    start = 0
    for part in range(1, count):
        ideal = total * part // count
        stop = bisect_left(ends, ideal)
        if ideal - ends[stop - 1] < ends[stop] - ideal:
            stop -= 1
        yield entries[start:stop]
        start = stop
    yield entries[start:]


def _separator(before: bytes, after: bytes) -> bytes:
    """The shortest bytes that are greater than `before` and not greater than `after`; `before` < `after`."""
    length = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        length += 1
    return after[: length + 1]
