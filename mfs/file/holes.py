"""Holes: ranges of zeros that nothing holds."""

from __future__ import annotations

from mfs.blocks.pieces import slice_pieces, zeros
from mfs.file.content import Content
from mfs.file.leaf import Leaf, join


def punch(content: Content, start: int, stop: int, most: int) -> int:
    """Make the bytes `start` to `stop` zeros, the file's length staying what it is; says up to where that is done.

    At most `most` leaves that hold data are changed; go on with the number returned until it is `stop`.  What is a
    hole already costs nothing, and neither does a range that reaches the end of the file.
    """
    end = content.size
    if start >= min(stop, end):
        return stop
    if stop >= end:
        content.truncate(start)
        content.truncate(end)
        return stop
    chunk = content.medium.chunk
    changed = 0
    done = start
    for first, last in content.data_from(start):
        if first >= stop:
            break
        for index in range(max(first, done) // chunk, -(-min(last, stop) // chunk)):
            at = index * chunk
            if changed == most:
                return max(at, start)
            _clear(content, index, max(start - at, 0), min(stop - at, chunk))
            changed += 1
            done = at + chunk
    return stop


def _clear(content: Content, index: int, start: int, stop: int) -> None:
    """The bytes `start` to `stop` of leaf `index` are now zeros; its length stays."""
    held = content.length_of(index)
    if start >= held:
        return
    pieces = content.pieces_of(index)
    left = slice_pieces(pieces, 0, start)
    if stop >= held:
        content.put_leaf(index, Leaf(left, start))
    else:
        right = slice_pieces(pieces, stop, held)
        content.put_leaf(index, Leaf(join(join(left, zeros(stop - start)), right), held))
