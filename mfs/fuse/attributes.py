"""A node's attributes as the kernel wants them.

Everything that changes the tree passes through the kernel's own caches, so what it knows stays valid: an entry, an
absence and attributes for a day, pages for as long as it likes.  A request that is not sent is the fastest.
"""

from __future__ import annotations

import sys

from mfs.tree.node import Node
from mfs.tree.record import ROOT_INO
from rawfuse.wire import fuse_attr_out, fuse_entry_out, fuse_statx, fuse_statx_out, fuse_sx_time

VALID = 86_400
"""Seconds for which the kernel may believe an entry, an absence or attributes."""

BLOCK = 512
"""What ``st_blocks`` counts in."""

_ATTR_AT = fuse_entry_out.SIZE - 88
_SECOND = 1_000_000_000
_BRIEF = (1).to_bytes(8, sys.byteorder)
_STATX_BASIC_STATS = 0x7FF
_STATX_BTIME = 0x800
_U64 = 0xFFFF_FFFF_FFFF_FFFF
_ATTR_HEAD = fuse_attr_out(attr_valid=VALID).pack()[:16]
_entry = fuse_entry_out.pack_flat

ABSENT = fuse_entry_out(nodeid=0, entry_valid=VALID).pack()
"""The reply to LOOKUP of a name that is not there: the kernel remembers that."""


def generation(node: Node) -> int:
    """What tells two nodes that had one number apart, to who comes with a file handle.

    Numbers are given out once; but one that was given out shortly before a crash, to a node that the crash took, is
    given out again.  The two were made at different times.
    """
    return 0 if node.ino == ROOT_INO else (node.btime ^ node.btime >> 32) & 0xFFFF_FFFF


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
            generation(node),
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


def statx_out(node: Node, chunk: int) -> fuse_statx_out:
    """``fuse_statx_out`` of `node`, 288 bytes: the kernel asks for it where somebody wants the time of birth."""
    size = node.size
    return fuse_statx_out(
        attr_valid=VALID,
        stat=fuse_statx(
            mask=_STATX_BASIC_STATS | _STATX_BTIME,
            blksize=chunk,
            nlink=node.nlink,
            uid=node.uid,
            gid=node.gid,
            mode=node.mode,
            ino=node.ino,
            size=size,
            blocks=-(-size // BLOCK),
            atime=_sx_time(node.atime),
            btime=_sx_time(node.btime),
            ctime=_sx_time(node.ctime),
            mtime=_sx_time(node.mtime),
            # As st_rdev is packed in fuse_attr (Linux, new_encode_dev).
            rdev_major=node.rdev >> 8 & 0xFFF,
            rdev_minor=node.rdev & 0xFF | node.rdev >> 12 & 0xFFF00,
        ),
    )


def _sx_time(time: int) -> fuse_sx_time:
    return fuse_sx_time(*divmod(time, _SECOND))
