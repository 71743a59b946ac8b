"""What files and directories take in a repository, and what of it they share.

Everything is counted in bytes of the repository, not in blocks: two leaves that differ in 4 KiB may share the rest of
their bytes (the index gives a list of pieces for a leaf), and a hole takes nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from mfs.blocks.pieces import total_length
from mfs.blocks.store import EmbeddedStore
from mfs.unixfs.cid import CID, RAW, codec_of, multihash_of
from mfs.unixfs.directory import entries
from mfs.unixfs.nodes import FileNode, Node, NodeCache, SymlinkNode

__all__ = ["Usage", "usages"]

Span: TypeAlias = tuple[int, int]
"""First byte, and the byte behind the last."""


class Usage(NamedTuple):
    """What one file or directory takes.

    Attributes:
        size: bytes; of a directory, of all files in it.
        blocks: how many different blocks it is made of.
        stored: bytes of the repository that hold them, each counted once.
        repeated: bytes more that would be needed if everything were stored as often as it occurs in it.
        shared: bytes of `stored` that hold something else in the tree as well.
    """

    size: int
    blocks: int
    stored: int
    repeated: int
    shared: int


def usages(store: EmbeddedStore, root: CID, wanted: Sequence[tuple[CID, tuple[bytes, ...]]]) -> list[Usage]:
    """The usage of each of `wanted`: its CID, and its path from the directory `root`, which is all of the tree.

    Takes a walk over the whole tree: some 10 us for a file of one block, as much for a MiB of a larger one. No data is
    read. Memory is proportional to the blocks of what is wanted, and to the number of files.

    Raises:
        BlockNotFound, MalformedBlock, WrongKind: the tree is not whole.
    """
    inventories = [_Inventory(store, cid) for cid, _ in wanted]
    others = _Others(store, inventories)
    others.walk(root, [path for _, path in wanted])
    return [
        Usage(found.size, len(found.inline) + found.pieced, found.stored, found.referenced - found.stored, shared)
        for found, shared in zip(inventories, others.shared(), strict=True)
    ]


class _Reader:
    """Reads nodes; `noted` is called for every block, leaves included, as often as it is met."""

    def __init__(self, store: EmbeddedStore) -> None:
        self.store = store
        self.nodes = NodeCache(self._get, 0, self._leaf_size)

    def _get(self, cid: CID) -> bytes:
        self.noted(cid)
        return self.store.get(cid)

    def _leaf_size(self, cid: CID) -> int | None:
        inline, pieces = self.store.places(cid)
        if codec_of(cid) == RAW:
            return inline + total_length(pieces)
        kept = self.store.leaf_pieces(cid)
        return None if kept is None else total_length(kept)

    def noted(self, cid: CID) -> None:
        raise NotImplementedError

    def node(self, cid: CID) -> Node:
        """The node, noted whether its block was read or (a leaf's) only looked up."""
        if self.is_leaf(cid):
            self.noted(cid)
        return self.nodes.node(cid)

    def is_leaf(self, cid: CID) -> bool:
        """Whether it is known to be the end of a file, without a look at its block."""
        return self._leaf_size(cid) is not None

    def below(self, cid: CID, node: Node) -> Iterator[CID]:
        """The nodes that this one links to, those of a directory's shards passed through."""
        if isinstance(node, FileNode):
            yield from node.children
        elif not isinstance(node, SymlinkNode):
            for _, link in entries(cid, self.nodes):
                yield link.hash


class _Frame:
    """A node whose children are being counted."""

    __slots__ = ("below", "cid", "is_file", "referenced", "size")

    def __init__(self, cid: CID, below: Iterator[CID], size: int, is_file: bool) -> None:
        self.cid = cid
        self.below = below
        self.size = size
        self.is_file = is_file
        self.referenced = 0


class _Inventory(_Reader):
    """Everything that one file or directory is made of.

    Attributes:
        inline: the sizes of its blocks that lie in the index, by multihash.
        spans: where the others lie: spans that neither touch nor overlap, in order, by segment.
        pieced: how many those are.
        stored, referenced: bytes of all of them, each once, and as often as it occurs.
        size: bytes of file.
    """

    def __init__(self, store: EmbeddedStore, root: CID) -> None:
        super().__init__(store)
        self.inline: dict[bytes, int] = {}
        self._seen: set[bytes] = set()
        self._raw: dict[int, list[Span]] = defaultdict(list)
        self._met = 0
        self.size, self.referenced = self._count(root)
        self.pieced = len(self._seen)
        self._seen.clear()
        self.spans = {segment: _merged(spans) for segment, spans in self._raw.items()}
        self._raw.clear()
        self.stored = sum(self.inline.values()) + sum(map(_length, self.spans.values()))

    def noted(self, cid: CID) -> None:
        multihash = multihash_of(cid)
        inline, pieces = self.store.places(cid)
        if pieces:
            self._met += total_length(piece for piece in pieces if piece[0])
            if multihash not in self._seen:
                self._seen.add(multihash)
                for segment, offset, length in pieces:
                    if segment:
                        self._raw[segment].append((offset, offset + length))
        else:
            self._met += inline
            self.inline[multihash] = inline

    def _count(self, root: CID) -> tuple[int, int]:
        """File bytes, and bytes referenced, below `root`: every node is looked at once, however often it occurs."""
        known: dict[CID, tuple[int, int]] = {}
        path: list[_Frame] = [self._frame(root)]
        while True:
            frame = path[-1]
            self._met = 0
            # Going on in a sharded directory reads shards, which are noted.
            child = next(frame.below, None)
            frame.referenced += self._met
            if child is None:
                path.pop()
                known[frame.cid] = frame.size, frame.referenced
                if not path:
                    return known[root]
                _add(path[-1], known[frame.cid])
            elif frame.is_file and self.is_leaf(child):
                self._met = 0
                self.noted(child)
                frame.referenced += self._met
            elif child in known:
                _add(frame, known[child])
            else:
                path.append(self._frame(child))

    def _frame(self, cid: CID) -> _Frame:
        self._met = 0
        node = self.node(cid)
        is_file = isinstance(node, FileNode)
        if is_file or isinstance(node, SymlinkNode):
            frame = _Frame(cid, self.below(cid, node), node.size if isinstance(node, FileNode) else 0, is_file)
            frame.referenced = self._met
            return frame
        # A directory's own block is met again when its entries are read.
        return _Frame(cid, self.below(cid, node), 0, False)


def _add(frame: _Frame, child: tuple[int, int]) -> None:
    size, referenced = child
    frame.referenced += referenced
    if not frame.is_file:
        frame.size += size


class _Others(_Reader):
    """A walk over the whole tree that finds out which bytes of some inventories are used from outside them.

    Where the walk is, is told by a set of bits: bit i is set inside the i-th inventory. What is met there is used from
    outside all inventories whose bit is not set.
    """

    def __init__(self, store: EmbeddedStore, inventories: Sequence[_Inventory]) -> None:
        super().__init__(store)
        self._inventories = inventories
        self._all = (1 << len(inventories)) - 1
        self._inside = 0
        # Which inventories have a block in the index, and from outside which of them it is used.
        self._inline: dict[bytes, int] = {multihash: 0 for found in inventories for multihash in found.inline}
        joined: dict[int, list[Span]] = defaultdict(list)
        for found in inventories:
            for segment, spans in found.spans.items():
                joined[segment] += spans
        self._joined = {segment: _merged(spans) for segment, spans in joined.items()}
        self._used: dict[tuple[int, int], set[Span]] = defaultdict(set)

    def noted(self, cid: CID) -> None:
        inline, pieces = self.store.places(cid)
        if inline:
            multihash = multihash_of(cid)
            if multihash in self._inline:
                self._inline[multihash] |= self._all & ~self._inside
        for segment, offset, length in pieces:
            if segment in self._joined and _overlaps(self._joined[segment], offset, offset + length):
                self._used[segment, self._inside].add((offset, offset + length))

    def walk(self, root: CID, paths: Sequence[tuple[bytes, ...]]) -> None:
        """Look at everything in the directory `root`; the i-th inventory lies at the i-th path."""
        inside = sum(1 << i for i, path in enumerate(paths) if not path)
        ahead = [(i, path) for i, path in enumerate(paths) if path]
        visited: set[tuple[CID, int]] = set()
        waiting: list[tuple[CID, int, list[tuple[int, tuple[bytes, ...]]]]] = [(root, inside, ahead)]
        while waiting:
            cid, inside, ahead = waiting.pop()
            if inside == self._all or (not ahead and (cid, inside) in visited):
                continue
            visited.add((cid, inside))
            self._inside = inside
            node = self.node(cid)
            if isinstance(node, FileNode):
                waiting += [(child, inside, []) for child in self._subtrees(node)]
            elif not isinstance(node, SymlinkNode):
                for name, link in entries(cid, self.nodes):
                    here = inside | sum(1 << i for i, path in ahead if path == (name,))
                    beyond = [(i, path[1:]) for i, path in ahead if path[0] == name and len(path) > 1]
                    if self.is_leaf(link.hash):
                        self._inside = here
                        self.noted(link.hash)
                        self._inside = inside
                    else:
                        waiting.append((link.hash, here, beyond))

    def _subtrees(self, node: FileNode) -> Iterator[CID]:
        """The children that are no leaves; the leaves are noted."""
        for child in node.children:
            if self.is_leaf(child):
                self.noted(child)
            else:
                yield child

    def shared(self) -> list[int]:
        """For every inventory, how many of its bytes are used from outside it."""
        return [self._shared(i, found) for i, found in enumerate(self._inventories)]

    def _shared(self, i: int, found: _Inventory) -> int:
        count = sum(size for multihash, size in found.inline.items() if self._inline[multihash] >> i & 1)
        outside: dict[int, list[Span]] = defaultdict(list)
        for (segment, inside), spans in self._used.items():
            if not inside >> i & 1:
                outside[segment] += spans
        return count + sum(
            _common(found.spans[segment], _merged(spans))
            for segment, spans in outside.items()
            if segment in found.spans
        )


def _merged(spans: Iterable[Span]) -> list[Span]:
    """The same bytes as spans in order that neither touch nor overlap."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


def _length(spans: Iterable[Span]) -> int:
    return sum(stop - start for start, stop in spans)


def _overlaps(merged: Sequence[Span], start: int, stop: int) -> bool:
    at = bisect_right(merged, (start, stop))
    return (at < len(merged) and merged[at][0] < stop) or (at > 0 and merged[at - 1][1] > start)


def _common(one: Sequence[Span], other: Sequence[Span]) -> int:
    """How many bytes two merged lists have in common."""
    count = i = j = 0
    while i < len(one) and j < len(other):
        count += max(0, min(one[i][1], other[j][1]) - max(one[i][0], other[j][0]))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return count
