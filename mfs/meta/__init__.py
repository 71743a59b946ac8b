"""An ordered map of bytes to bytes, kept as immutable blocks: a copy-on-write B+tree whose root CID is its content.

Rooms: `node` (the format of a node, byte for byte), `cache` (decoded nodes in bounded memory), `btree` (reading),
`update` (making the next tree out of this one), `check` (holding a stored tree against its invariants).
"""

from mfs.meta.btree import BTree
from mfs.meta.cache import NodeCache
from mfs.meta.check import check
from mfs.meta.node import INLINE_VALUE, MAX_KEY, MAX_NODE, MAX_VALUE, MIN_NODE, MalformedNode

__all__ = [
    "INLINE_VALUE",
    "MAX_KEY",
    "MAX_NODE",
    "MAX_VALUE",
    "MIN_NODE",
    "BTree",
    "MalformedNode",
    "NodeCache",
    "check",
]
