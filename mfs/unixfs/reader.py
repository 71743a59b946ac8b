"""Reading files, whoever made them: balanced or trickle, any chunk size, data inline, raw leaves."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from mfs.unixfs.cid import CID, RAW, codec_of
from mfs.unixfs.errors import MalformedBlock

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from mfs.unixfs.nodes import FileNode, NodeCache

__all__ = ["Leaf", "file_size", "leaves", "read_file"]

# A trickle tree of 2**63 bytes in 1-byte leaves has fewer levels; deeper is an attack.
_MAX_DEPTH = 128


class Leaf(NamedTuple):
    """A stretch of a file within one block: file bytes ``[offset, offset + length)`` are bytes ``[skip, skip +
    length)`` of the *data* in the block ``cid`` (`nodes.leaf_data`; in a raw block that is the block)."""

    offset: int
    length: int
    cid: CID
    skip: int


def file_size(root: CID, nodes: NodeCache) -> int:
    """The file's bytes.

    Raises:
        MalformedBlock, WrongKind: the root is no sound file node.
    """
    return nodes.file(root).size


def leaves(root: CID, start: int, stop: int, nodes: NodeCache, holes: Container[CID] = frozenset()) -> Iterator[Leaf]:
    """The leaves under file bytes ``[start, stop)``, in order, clipped to that range and to the file.

    Nodes are read as the iterator comes to them. Subtrees and leaves whose CID is in ``holes``
    (`layout.zero_subtrees`) are passed over unread.

    Raises:
        MalformedBlock: a node on the way is unsound, or of another size than its parent says.
        WrongKind: one is no file.
    """
    node = nodes.file(root)
    stop = min(stop, node.size)
    if start >= stop or root in holes:
        return
    # Of every node from the root down to the present one: it, its first byte's offset, and the next child.
    path: list[tuple[FileNode, int, int]] = []
    cid, offset = root, 0
    while True:
        if node.inline and start < offset + node.inline and offset < stop:
            skip = max(start - offset, 0)
            yield Leaf(offset + skip, min(offset + node.inline, stop) - offset - skip, cid, skip)
        if node.children:
            if len(path) == _MAX_DEPTH:
                raise MalformedBlock(f"file tree with more than {_MAX_DEPTH} levels", root)
            path.append((node, offset, bisect_right(node.ends, start - offset)))
        # On to the next node that is not a bare leaf, yielding the leaves passed.
        while True:
            if not path:
                return
            parent, base, index = path.pop()
            if index == len(parent.children):
                continue
            begin = base + (parent.ends[index - 1] if index else parent.inline)
            if begin >= stop:
                continue
            path.append((parent, base, index + 1))
            cid, end = parent.children[index], base + parent.ends[index]
            if begin == end or end <= start or cid in holes:
                continue
            known = nodes.leaf_size(cid)
            if known is None and codec_of(cid) == RAW:
                # Its true length shows when it is read; the parent's word is all there is before.
                known = end - begin
            if known is None:
                node, offset = nodes.file(cid), begin
                known = node.size
                if known == end - begin:
                    break
            if known != end - begin:
                raise MalformedBlock(f"{known} bytes of file where its parent says {end - begin}", cid)
            skip = max(start - begin, 0)
            yield Leaf(begin + skip, min(end, stop) - begin - skip, cid, skip)


def read_file(root: CID, start: int, stop: int, nodes: NodeCache) -> bytes:
    """File bytes ``[start, stop)``, fewer at the end of the file. For small files and tests: it holds all in memory.

    Raises:
        MalformedBlock, WrongKind: as `leaves`, and when a leaf is shorter than its parent says.
    """
    from mfs.unixfs.nodes import leaf_data

    parts = []
    for leaf in leaves(root, start, stop, nodes):
        part = leaf_data(leaf.cid, nodes.block(leaf.cid))[leaf.skip : leaf.skip + leaf.length]
        if len(part) != leaf.length:
            raise MalformedBlock("leaf is shorter than its parent says", leaf.cid)
        parts.append(part)
    return b"".join(parts)
