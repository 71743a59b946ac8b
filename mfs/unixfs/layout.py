"""Files as balanced trees of leaves, built in whole or from a base tree of which little has changed.

Leaf ``i`` holds bytes ``[i * chunk, (i + 1) * chunk)`` of the file. Leaves are grouped by ``max_links`` into File
nodes, those again, until one root is left. All leaves have the same depth: a lone last leaf in a deeper tree is still
wrapped once per level ("balanced" in IPIP-499). One leaf alone is the file, and so is the one empty leaf of 0 bytes.
"""

from __future__ import annotations

import functools
import hashlib
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from mfs.unixfs.cid import CID, DAG_PB, RAW, cid_v0, cid_v1
from mfs.unixfs.dagpb import decode_node, encode_frame, join_node
from mfs.unixfs.data import DataType, UnixFSData, encode_data
from mfs.unixfs.errors import MalformedBlock
from mfs.unixfs.varint import encode_uvarint

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from mfs.unixfs.profile import Profile

__all__ = [
    "Link",
    "build_file",
    "encode_file_node",
    "leaf_count",
    "leaf_length",
    "leaf_link",
    "leaf_wrapping",
    "tree_height",
    "zero_leaf",
    "zero_subtrees",
]


class Link(NamedTuple):
    """What a parent says of a child: its CID, its file bytes, and the bytes of all blocks of its tree."""

    cid: CID
    size: int
    tsize: int


def encode_file_node(children: Sequence[Link]) -> bytes:
    """The block of a file's inner node over these children."""
    frames = [encode_frame(cid, b"", tsize) for cid, _size, tsize in children]
    sizes = [child.size for child in children]
    return join_node(frames, encode_data(UnixFSData(DataType.File, filesize=sum(sizes), blocksizes=sizes)))


def leaf_count(profile: Profile, size: int) -> int:
    """The leaves of a file of ``size`` bytes; at least 1."""
    return max(1, -(-size // profile.chunk_size))


def tree_height(profile: Profile, leaves: int) -> int:
    """The levels of nodes above so many leaves: 0 for one."""
    height = 0
    while leaves > 1:
        leaves = -(-leaves // profile.max_links)
        height += 1
    return height


def leaf_length(profile: Profile, size: int, index: int) -> int:
    """The bytes in leaf ``index`` of a file of ``size`` bytes."""
    return min(profile.chunk_size, size - index * profile.chunk_size)


def leaf_wrapping(profile: Profile, n: int) -> tuple[bytes, bytes]:
    """What stands before and after the ``n`` bytes of a leaf in its block: nothing in a raw leaf."""
    return (b"", b"") if profile.raw_leaves else _file_wrapping(n)


@functools.lru_cache(64)
def _file_wrapping(n: int) -> tuple[bytes, bytes]:
    before = b"\x08\x02" + (b"\x12" + encode_uvarint(n) if n else b"")
    after = b"\x18" + encode_uvarint(n)
    return b"\x0a" + encode_uvarint(len(before) + n + len(after)) + before, after


def leaf_link(profile: Profile, digest: bytes, n: int) -> Link:
    """The link to a leaf of ``n`` bytes, given the sha2-256 ``digest`` of its whole block (wrapping included)."""
    if profile.raw_leaves:
        return Link(cid_v1(RAW, digest), n, n)
    before, after = _file_wrapping(n)
    cid = cid_v1(DAG_PB, digest) if profile.cid_version else cid_v0(digest)
    return Link(cid, n, len(before) + n + len(after))


@functools.lru_cache(256)
def zero_leaf(profile: Profile, n: int) -> tuple[Link, bytes]:
    """The link to the leaf of ``n`` zero bytes, and the digest of its block."""
    before, after = leaf_wrapping(profile, n)
    digest = hashlib.sha256(before + bytes(n) + after).digest()
    return leaf_link(profile, digest, n), digest


@functools.lru_cache(16)
def zero_subtrees(profile: Profile, size: int) -> frozenset[CID]:
    """The CIDs of all subtrees and leaves of zeros that the tree of a file of ``size`` bytes can have: its holes."""
    found: set[CID] = set()

    def zero_leaf_of(n: int) -> Link:
        link, _digest = zero_leaf(profile, n)
        found.add(link.cid)
        return link

    def nothing_to_get(cid: CID) -> bytes:
        raise MalformedBlock("a file built from nothing has no base", cid)

    builder = _Builder(
        profile, size, (), zero_leaf_of, 0, nothing_to_get, lambda cid, _block: found.add(cid), zero_leaf_of
    )
    for _ in builder.build(None):
        pass
    return frozenset(found)


def build_file(
    profile: Profile,
    size: int,
    changed: Sequence[int],
    leaf_of: Callable[[int], Link],
    base: CID | None,
    base_leaves: int,
    get: Callable[[CID], bytes],
    put: Callable[[CID, bytes], object],
    zero_leaf_of: Callable[[int], Link],
    *,
    base_valid: int | None = None,
) -> Generator[None, None, Link]:
    """Build the canonical tree of a file of ``size`` bytes; returns the link to its root.

    Args:
        changed: the leaves whose content is new, as sorted indexes; ``leaf_of(i)`` gives each, in rising order.
        base: the root of a canonical tree of this profile with ``base_leaves`` leaves, or None (then 0 leaves). Every
            leaf below ``base_valid`` that is not in ``changed`` has the same content *and length* there: a last leaf
            that has become longer or shorter is a changed one.
        base_valid: how many leaves of the base still count, all of them unless said: those behind were cut off.
        zero_leaf_of: called with a length when a leaf of zeros is needed (`zero_leaf` makes the link). All leaves
            that are neither in the base, as far as it counts, nor changed are zeros.

    Whole subtrees are taken from the base by their CID, and no block is read but on the paths to what changed; equal
    subtrees of zeros are built once, so holes cost a few nodes per level whatever their size. Yields after every node
    that it puts, so that a driver can let others run.

    Raises:
        MalformedBlock: a node of the base is not what such a tree has at that place.
    """
    if size < 0:
        raise ValueError(f"a file of {size} bytes")
    builder = _Builder(profile, size, changed, leaf_of, base_leaves if base is not None else 0, get, put, zero_leaf_of)
    if base_valid is not None:
        builder.cut_base(base_valid)
    return (yield from builder.build(base))


class _Base(NamedTuple):
    """A node of the base tree. ``tsize`` is None for the root, which no link describes."""

    cid: CID
    tsize: int | None


class _Builder:
    """One run of `build_file`. Nodes are addressed by level (leaves: 0) and index within it."""

    def __init__(
        self,
        profile: Profile,
        size: int,
        changed: Sequence[int],
        leaf_of: Callable[[int], Link],
        base_leaves: int,
        get: Callable[[CID], bytes],
        put: Callable[[CID, bytes], object],
        zero_leaf_of: Callable[[int], Link],
    ) -> None:
        self._profile = profile
        self._width = profile.max_links
        self._chunk = profile.chunk_size
        self._size = size
        self._leaves = leaf_count(profile, size)
        self._changed = changed
        self._leaf_of = leaf_of
        self._base_leaves = base_leaves
        self._valid = base_leaves
        self._base_height = tree_height(profile, base_leaves)
        self._base_root: _Base | None = None
        self._get = get
        self._put = put
        self._zero_leaf_of = zero_leaf_of
        self._zero_links: dict[tuple[int, int, int], Link] = {}

    def cut_base(self, leaves: int) -> None:
        """Of the base only the first ``leaves`` leaves count."""
        self._valid = min(leaves, self._base_leaves)

    def build(self, base: CID | None) -> Generator[None, None, Link]:
        height = tree_height(self._profile, self._leaves)
        if base is not None and self._base_leaves:
            self._base_root = _Base(base, None)
            # A base that is taller has the place of the new root on its leftmost path.
            while self._base_height > height:
                self._base_root = self._base_children(self._base_root, self._base_height, 0)[0]
                self._base_height -= 1
        return (yield from self._node(height, 0, self._base_root if height == self._base_height else None))

    def _node(self, level: int, index: int, base: _Base | None) -> Generator[None, None, Link]:
        """The link to a node of the new tree; ``base`` is what the base tree has at its place."""
        width_below = self._width**level
        first = index * width_below
        end = min(first + width_below, self._leaves)
        at = bisect_left(self._changed, first)
        changes = bisect_left(self._changed, end, at) - at
        if not changes:
            if first >= self._valid:
                last = leaf_length(self._profile, self._size, end - 1)
                return (yield from self._zeros(level, end - first, last))
            if base is not None and end <= self._valid and min(first + width_below, self._base_leaves) == end:
                return self._reused(level, first, end, base)
        if level == 0:
            return self._leaf_of(first)
        olds: Sequence[_Base | None] = ()
        if base is not None:
            # Where nothing old stays there is no need to read it.
            if changes < end - first:
                olds = self._base_children(base, level, index)
        elif index == 0 and level == self._base_height + 1:
            olds = (self._base_root,)
        children: list[Link] = []
        index *= self._width
        for place in range(-(-(end - first) * self._width // width_below)):
            old = olds[place] if place < len(olds) else None
            children.append((yield from self._node(level - 1, index + place, old)))
        return (yield from self._encode(children))

    def _reused(self, level: int, first: int, end: int, base: _Base) -> Link:
        size = min(end * self._chunk, self._size) - first * self._chunk
        if level == 0:
            return Link(base.cid, size, size + sum(map(len, leaf_wrapping(self._profile, size))))
        tsize = base.tsize
        if tsize is None:
            block = self._get(base.cid)
            links = decode_node(block).links
            tsize = len(block) + sum(link.tsize or 0 for link in links)
        return Link(base.cid, size, tsize)

    def _base_children(self, base: _Base, level: int, index: int) -> list[_Base]:
        below = self._width ** (level - 1)
        expected = min(self._width, -(-self._base_leaves // below) - index * self._width)
        try:
            links = decode_node(self._get(base.cid)).links
        except MalformedBlock as error:
            raise MalformedBlock(error.why, base.cid) from None
        if len(links) != expected:
            raise MalformedBlock(f"{len(links)} links where a file of its size has {expected}", base.cid)
        return [_Base(link.hash, link.tsize) for link in links]

    def _zeros(self, level: int, leaves: int, last: int) -> Generator[None, None, Link]:
        """The subtree of ``leaves`` leaves of zeros, full ones but for the last, of ``last`` bytes."""
        key = (level, leaves, last)
        link = self._zero_links.get(key)
        if link is None:
            if level == 0:
                link = self._zero_leaf_of(last)
            else:
                below = self._width ** (level - 1)
                full = (leaves - 1) // below
                children = []
                if full:
                    children = [(yield from self._zeros(level - 1, below, self._chunk))] * full
                children.append((yield from self._zeros(level - 1, leaves - full * below, last)))
                link = yield from self._encode(children)
            self._zero_links[key] = link
        return link

    def _encode(self, children: list[Link]) -> Generator[None, None, Link]:
        block = encode_file_node(children)
        size = sum([child.size for child in children])
        cid = self._profile.node_cid(block)
        self._put(cid, block)
        yield
        return Link(cid, size, len(block) + sum([child.tsize for child in children]))
