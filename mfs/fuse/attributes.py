"""A node's attributes as the kernel wants them.

Everything that changes the tree passes through the kernel's own caches, so what it knows stays valid: an entry, an
absence and attributes for a day, pages for as long as it likes.  A request that is not sent is the fastest.
"""

from __future__ import annotations

import sys

from mfs.tree.node import Node
from rawfuse.wire import fuse_attr_out, fuse_entry_out

VALID = 86_400
"""Seconds for which the kernel may believe an entry, an absence or attributes."""

BLOCK = 512
"""What ``st_blocks`` counts in."""

_ATTR_AT = fuse_entry_out.SIZE - 88
_SECOND = 1_000_000_000
_BRIEF = (1).to_bytes(8, sys.byteorder)
_U64 = 0xFFFF_FFFF_FFFF_FFFF
_ATTR_HEAD = fuse_attr_out(attr_valid=VALID).pack()[:16]
_entry = fuse_entry_out.pack_flat

ABSENT = fuse_entry_out(nodeid=0, entry_valid=VALID).pack()
"""The reply to LOOKUP of a name that is not there: the kernel remembers that."""


def entry_out(node: Node, chunk: int) -> bytes:
    """``fuse_entry_out`` of `node`, 128 bytes; packed once for as long as the node does not change.

    ``st_blocks`` is the size rounded up, holes or not: ``cp`` of coreutils takes a file with fewer blocks for a sparse
    one, and then reads and writes it instead of asking for a copy (measured with 9.1).  ``st_blksize`` is the size of a
    leaf.
    """
    packed = node.packed
    if packed is None:
        size = node.size
        atime, atimensec = divmod(node.atime, _SECOND)
        mtime, mtimensec = divmod(node.mtime, _SECOND)
        ctime, ctimensec = divmod(node.ctime, _SECOND)
        packed = node.packed = _entry(
            node.ino,
            0,
            VALID,
            VALID,
            0,
            0,
            node.ino,
            size,
            -(-size // BLOCK),
            atime & _U64,
            mtime & _U64,
            ctime & _U64,
            atimensec,
            mtimensec,
            ctimensec,
            node.mode,
            node.nlink,
            node.uid,
            node.gid,
            node.rdev,
            chunk,
            0,
        )
    return packed


def brief_entry_out(node: Node, chunk: int) -> bytes:
    """The same for a name that may come to refer to something else by itself: the kernel asks again after a second."""
    packed = entry_out(node, chunk)
    return packed[:16] + _BRIEF + packed[24:]


def attr_out(node: Node, chunk: int) -> bytes:
    """``fuse_attr_out`` of `node`, 104 bytes."""
    return _ATTR_HEAD + entry_out(node, chunk)[_ATTR_AT:]
