"""One node of the ordered map: its bytes, and what they become in memory.

The format
==========

A map is a tree of nodes of one shape. Leaves are level 0 and all at the same depth; an inner node of level n has
children of level n - 1. An empty map has no node at all. A node is one block of at most 8192 bytes, named by the CIDv1
of its bytes (codec raw, sha2-256). Integers are little-endian and unsigned::

    offset  size  field
         0     3  magic   "mBt"
         3     1  format  1
         4     1  level   0 is a leaf
         5     1  zero
         6     2  count   n, entries in this node: at least 1 in a leaf, 2 in an inner node
         8    2n  length of each key, 0 to 300
      8+2n    2n  length of each value, 15 bits; bit 15 (value 32768) marks a value that is kept elsewhere
      8+4n        the keys, one after the other, then the values, one after the other, to the end of the block

Keys are strictly increasing (as bytes). In a leaf, key and value are the map's; where bit 15 is set the value is longer
than 1024 bytes, lies in a raw block of its own, and the node holds that block's CID. In an inner node a value is the
CID of a child (bit 15 clear), and its key a lower bound: the child holds the keys from there to the next lower bound.
The first child has no bound of its own, so the first key of an inner node is empty. Lower bounds need not be keys of
the map; the writer keeps them as short as tells the two sides apart.

Every node but the root is at least 2048 bytes long. The shape otherwise depends on the order of the updates: two equal
maps may have different roots.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import le

from mfs.unixfs.cid import CID, cid_str

MAX_NODE = 8192
"""Bytes of a node, at most."""

MIN_NODE = MAX_NODE // 4
"""Bytes of a node that is not the root, at least."""

MAX_KEY = 300
"""Bytes of a key, at most."""

INLINE_VALUE = 1024
"""Bytes of a value that is kept in its leaf, at most. A longer one is a block of its own."""

MAX_VALUE = 1 << 20
"""Bytes of a value, at most: what every IPFS implementation takes as one block."""

HEADER_SIZE = 8
ENTRY_OVERHEAD = 4
CID_SIZE = 36

_HEADER = struct.Struct("<3sBBBH")
_MAGIC = b"mBt"
_FORMAT = 1
_FAR_BIT = 1 << 15
_CID_PREFIX = b"\x01\x55\x12\x20"

# What an entry costs in memory beside its bytes: two bytes objects (33 and rounding each) and two list slots.
_ENTRY_WEIGHT = 96
_NODE_WEIGHT = 400


class MalformedNode(Exception):
    """A block that is not a node of the ordered map, or not the node that its parent says it is.

    `cid` is the block's, `why` what was wrong with it. The map cannot be read past this node; the repository wants
    checking.
    """

    def __init__(self, cid: CID, why: str) -> None:
        super().__init__(cid, why)
        self.cid = cid
        self.why = why

    def __str__(self) -> str:
        return f"malformed map node {cid_str(self.cid)}: {self.why}"


class Far(bytes):
    """The CID of the raw block that holds a value too long for its leaf."""

    __slots__ = ()


class Node:
    """A decoded node. `values` are the map's values, or `Far` CIDs, in a leaf; the children's CIDs above.

    `weight` is an estimate of the memory it takes, in bytes. A node is never changed once made.
    """

    __slots__ = ("keys", "level", "values", "weight")

    def __init__(self, level: int, keys: list[bytes], values: list[bytes], size: int) -> None:
        self.level = level
        self.keys = keys
        self.values = values
        self.weight = _NODE_WEIGHT + size + _ENTRY_WEIGHT * len(keys)


def block_cid(block: bytes) -> CID:
    """The name of a raw block: CIDv1, codec raw, sha2-256; 36 bytes."""
    return CID(_CID_PREFIX + hashlib.sha256(block).digest())


def encode_node(level: int, keys: Sequence[bytes], values: Sequence[bytes]) -> bytes:
    """The block of a node. The caller has seen to order and size."""
    count = len(keys)
    lengths = [*map(len, keys)]
    if Far in map(type, values):
        lengths += [len(value) | _FAR_BIT if type(value) is Far else len(value) for value in values]
    else:
        lengths += map(len, values)
    header = _HEADER.pack(_MAGIC, _FORMAT, level, 0, count)
    return b"".join((header, struct.pack(f"<{2 * count}H", *lengths), *keys, *values))


def decode_node(cid: CID, block: bytes) -> Node:
    """The node in a block; `MalformedNode` when any rule of the format is broken. `cid` is for the message alone."""
    size = len(block)
    if not HEADER_SIZE <= size <= MAX_NODE:
        raise MalformedNode(cid, f"{size} bytes long, a node has {HEADER_SIZE} to {MAX_NODE}")
    magic, version, level, zero, count = _HEADER.unpack_from(block)
    if magic != _MAGIC:
        raise MalformedNode(cid, f"begins with {magic!r}, not {_MAGIC!r}")
    if version != _FORMAT:
        raise MalformedNode(cid, f"format {version}, this version reads {_FORMAT}")
    if zero or count < (2 if level else 1):
        raise MalformedNode(cid, f"level {level}, {count} entries, reserved byte {zero}")
    start = HEADER_SIZE + ENTRY_OVERHEAD * count
    if start > size:
        raise MalformedNode(cid, f"{count} entries do not fit {size} bytes")
    lengths = struct.unpack_from(f"<{2 * count}H", block, HEADER_SIZE)
    value_lengths = lengths[count:]
    far = max(value_lengths) >= _FAR_BIT
    if far:
        value_lengths = tuple(length & ~_FAR_BIT for length in value_lengths)
    if max(lengths[:count]) > MAX_KEY or max(value_lengths) > INLINE_VALUE:
        raise MalformedNode(cid, f"a key over {MAX_KEY} bytes or a value over {INLINE_VALUE}")
    key_ends = [*accumulate(lengths[:count], initial=start)]
    value_ends = [*accumulate(value_lengths, initial=key_ends[-1])]
    if value_ends[-1] != size:
        raise MalformedNode(cid, f"{size} bytes long, its entries end at {value_ends[-1]}")
    keys = [block[begin:end] for begin, end in pairwise(key_ends)]
    values = [block[begin:end] for begin, end in pairwise(value_ends)]
    if any(map(le, keys[1:], keys)):
        raise MalformedNode(cid, "keys are not strictly increasing")
    if level:
        _check_inner(cid, keys, values, far)
    elif far:
        _mark_far(cid, values, lengths[count:])
    return Node(level, keys, values, size)


def _check_inner(cid: CID, keys: list[bytes], values: list[bytes], far: bool) -> None:
    if far or keys[0] or not all(map(_is_raw_cid, values)):
        raise MalformedNode(cid, "an inner node with a first bound, a far value, or a child that is not a raw CID")


def _mark_far(cid: CID, values: list[bytes], flagged: Sequence[int]) -> None:
    for index, length in enumerate(flagged):
        if length & _FAR_BIT:
            if not _is_raw_cid(values[index]):
                raise MalformedNode(cid, f"entry {index} is kept elsewhere, but not under a raw CID")
            values[index] = Far(values[index])


def _is_raw_cid(value: bytes) -> bool:
    return len(value) == CID_SIZE and value.startswith(_CID_PREFIX)
