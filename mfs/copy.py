"""Copying within the volume: pointers change hands, bytes do not.

* A whole file onto one that is not longer: the destination becomes what the source is, one dictionary copied.
* A range whose two offsets lie alike in their leaves: whole leaves are shared, holes stay holes.
* The ragged ends, and any range that lies differently: the pieces of the source's leaves are shared.

A source that is still being written is copied as it is at that moment: its leaves never change, and whichever is
hashed first serves both.
"""

from __future__ import annotations

from mfs.file.content import Content, NotInPieces
from mfs.file.leaf import Leaf

MAX_LEAVES = 4096
"""One call copies at most so many leaves one by one and then reports a short copy, which the kernel goes on with: the
thread that answers requests is never away for long."""
FOREIGN_LEAVES = 16
"""The same for a source of another layout, of which bytes may have to be given a place first."""


def copy_range(source: Content, start: int, target: Content, at: int, length: int) -> int:
    """Copy `length` bytes of `source` from `start` to `target` at `at`; says how many were copied.

    That is fewer at the end of the source and after :data:`MAX_LEAVES` leaves, and 0 at or behind the end.  Ranges of
    one file must not overlap (the kernel sees to that: EINVAL).
    """
    length = min(length, source.size - start)
    if length <= 0:
        return 0
    if source is not target and start == at and start + length == source.size and target.size <= source.size:
        if start == 0 or _is_prefix(source, target, start):
            target.become(source)
            return length
    chunk = source.medium.chunk
    most = FOREIGN_LEAVES if source.foreign else MAX_LEAVES
    if (start - at) % chunk:
        length = min(length, most * chunk)
        target.write_pieces(at, source.take(start, length))
        return length
    if source is not target and start == at == 0 and target.size == 0:
        target.become(source)
        target.truncate(length)
        return length
    return _copy_alike(source, start, target, at, length, most)


def _is_prefix(source: Content, target: Content, start: int) -> bool:
    """Whether `target` is the first `start` bytes of `source`, as a copy in two pieces leaves it behind."""
    if target.size != start or target.base != source.base or target.base_size != source.base_size:
        return False
    index, ragged = divmod(start, source.medium.chunk)
    if min(source.base_leaves, index) != min(target.base_leaves, index):
        return False
    if ragged and not _same(source, target, start - ragged, ragged):
        return False
    mine = {i: leaf for i, leaf in target.leaves.items() if i < index}
    return mine == {i: leaf for i, leaf in source.leaves.items() if i < index}


def _same(source: Content, target: Content, start: int, length: int) -> bool:
    try:
        return target.read(start, length) == source.read(start, length)
    except NotInPieces:
        return target.read_bytes(start, length) == source.read_bytes(start, length)


def _copy_alike(source: Content, start: int, target: Content, at: int, length: int, most: int) -> int:
    chunk = source.medium.chunk
    end = start + length
    first = -(-start // chunk)
    last = end // chunk
    if first >= last:
        target.write_pieces(at, source.take(start, length))
        return length
    if start < first * chunk:
        head = first * chunk - start
        target.write_pieces(at, source.take(start, head))
    if last - first > most:
        last = first + most
        end = last * chunk
    shift = (at - start) // chunk
    if target.size < (last + shift) * chunk:
        target.truncate((last + shift) * chunk)
    for index in range(first, last):
        leaf = source.leaves.get(index)
        if leaf is None:
            pieces = source.pieces_of(index)
            held = source.length_of(index)
            if not held and not target.length_of(index + shift):
                continue
            leaf = Leaf(pieces, held)
        target.put_leaf(index + shift, leaf)
    if end > last * chunk:
        tail = end - last * chunk
        target.write_pieces(at + last * chunk - start, source.take(last * chunk, tail))
    return end - start
