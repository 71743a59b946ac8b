"""Which bytes of a file are lost."""

from __future__ import annotations

from mfs.blocks.errors import BlockNotFound
from mfs.blocks.pieces import total_length
from mfs.fsck.sound import CLEAN, Sound
from mfs.unixfs.cid import CID, DAG_PB, RAW, codec_of
from mfs.unixfs.errors import UnixFSError
from mfs.unixfs.nodes import FileNode, decode_block

__all__ = ["complement", "lost_ranges"]

_DEEPEST = 128


def lost_ranges(sound: Sound, cid: CID, size: int) -> list[tuple[int, int]]:
    """The bytes (from, up to) of the file `cid` of `size` bytes that cannot be read, in order; none of a sound file.

    What was found to be sound is not looked at again.  A node that cannot be read costs all the bytes below it.
    """
    lost: list[tuple[int, int]] = []
    _visit(sound, cid, 0, size, lost, 0)
    return lost


def complement(lost: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """The ranges of `size` bytes that are not lost."""
    kept = []
    at = 0
    for start, stop in lost:
        if start > at:
            kept.append((at, start))
        at = stop
    if at < size:
        kept.append((at, size))
    return kept


def _visit(sound: Sound, cid: CID, start: int, length: int, lost: list[tuple[int, int]], depth: int) -> None:
    """Add what is lost of the subtree whose bytes begin at `start`."""
    if codec_of(cid) == RAW:
        sound.reached(cid)
        if sound.length(cid) != length:
            _add(lost, start, start + length)
        return
    if sound.reached(cid) & CLEAN:
        return
    if cid in sound.dead:
        # Subtrees of zeros are the same over and over again.
        _add(lost, start, start + length)
        return
    before = lost[-1] if lost else None
    node = _node(sound, cid)
    if isinstance(node, int):
        if node != length:
            _add(lost, start, start + length)
    elif node is None or node.size != length or depth > _DEEPEST:
        _add(lost, start, start + length)
    else:
        begin = node.inline
        for child, end in zip(node.children, node.ends, strict=True):
            _visit(sound, child, start + begin, end - begin, lost, depth + 1)
            begin = end
    if not lost or lost[-1] == before:
        sound.reached(cid, CLEAN)
    elif lost[-1][0] <= start and lost[-1][1] == start + length:
        sound.dead.add(cid)


def _add(lost: list[tuple[int, int]], start: int, stop: int) -> None:
    if lost and lost[-1][1] == start:
        lost[-1] = (lost[-1][0], stop)
    else:
        lost.append((start, stop))


def _node(sound: Sound, cid: CID) -> FileNode | int | None:
    """The node, or of a leaf its length; None where it cannot be read."""
    try:
        pieces = sound.leaf_pieces(cid)
        if pieces is not None:
            return total_length(pieces)
        if codec_of(cid) != DAG_PB:
            return None
        node = decode_block(cid, sound.get(cid))
    except (BlockNotFound, UnixFSError):
        return None
    return node if isinstance(node, FileNode) else None
