"""Extended attributes of the nodes of the tree.

Which there are is known of every node that is new, or that was asked; values stay in the metadata map, but for those
that were set since the last commit.  So asking for one that is not there, as the kernel does before the first write to
a file, is looking into a dictionary.
"""

from __future__ import annotations

import errno
import os

from mfs.tree.node import BARE, Node
from mfs.tree.record import inode_key, unpack_xattr, xattr_key
from mfs.tree.tree import Tree

CAPABILITY = b"security.capability"
NAME_MAX = 255
VALUE_MAX = 1 << 16
"""Bytes of a value (E2BIG)."""
LIST_MAX = 1 << 16
"""Bytes of all names of one node, each with a NUL behind it: no more can be listed (ENOSPC)."""
KEPT = 16 << 20
"""More bytes of values than that are to be committed before further ones are set: so memory stays bounded."""


def _loaded(tree: Tree, node: Node) -> dict[bytes, bytes | None]:
    held = node.xattrs
    if held is None:
        start = xattr_key(node.ino)
        held = node.xattrs = {key[len(start) :]: None for key, _ in tree.meta.items(start, inode_key(node.ino + 1))}
    return held


def xattr_names(tree: Tree, node: Node) -> list[bytes]:
    """The names there are, in no order."""
    return list(_loaded(tree, node))


def get_xattr(tree: Tree, node: Node, name: bytes) -> bytes | None:
    """The value of `name`, None where there is none."""
    held = node.xattrs
    if held is None:
        held = _loaded(tree, node)
    if name not in held:
        return None
    value = held[name]
    if value is not None:
        return value
    kept = tree.meta.get(xattr_key(node.ino, name))
    if kept is None:
        raise OSError(errno.EIO, f"the extended attribute {name!r} of inode {node.ino} is lost")
    return unpack_xattr(kept)


def set_xattr(tree: Tree, node: Node, name: bytes, value: bytes) -> None:
    """`name` is now `value`.  ERANGE for a name and E2BIG for a value that is too long, ENOSPC for too many."""
    if not 0 < len(name) <= NAME_MAX:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    if len(value) > VALUE_MAX:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    held = _loaded(tree, node)
    if name not in held and sum(map(len, held)) + len(held) + len(name) + 1 > LIST_MAX:
        raise OSError(errno.ENOSPC, "too many extended attributes")
    _change(tree, node, name, value)


def remove_xattr(tree: Tree, node: Node, name: bytes) -> bool:
    """`name` is gone; says whether it was there."""
    if name not in _loaded(tree, node):
        return False
    _change(tree, node, name, None)
    return True


def drop_capability(tree: Tree, node: Node) -> None:
    """What a write does to a program: it has no file capabilities any more."""
    if CAPABILITY in _loaded(tree, node):
        _change(tree, node, CAPABILITY, None)


def log_xattrs(tree: Tree, node: Node) -> None:
    """Have all of them logged with the node: it gets its first name."""
    for name in _loaded(tree, node):
        tree.unlogged_xattrs[node.ino, name] = None


def saved(node: Node, xattrs: dict[bytes, bytes | None]) -> None:
    """A commit of these is durable: the metadata map has what was not set anew since."""
    held = node.xattrs
    if held:
        for name, value in xattrs.items():
            if value is not None and held.get(name) is value:
                held[name] = None


def _change(tree: Tree, node: Node, name: bytes, value: bytes | None) -> None:
    held = _loaded(tree, node)
    if held is BARE:
        held = node.xattrs = {}
    if node.unsaved_xattrs is None:
        node.unsaved_xattrs = {}
    if value is None:
        del held[name]
    else:
        held[name] = value
        tree.xattr_bytes += len(value)
    node.unsaved_xattrs[name] = value
    tree.unlogged_xattrs[node.ino, name] = None
    tree.touched(node)
