"""Where a node of a tree is, said with as much of its path as can be read."""

from __future__ import annotations

from mfs.blocks.errors import BlockNotFound
from mfs.history.past import NAMES_INO, NAMES_PATH
from mfs.meta.node import MalformedNode
from mfs.tree.node import Node
from mfs.tree.record import ROOT_INO, DamagedRecord
from mfs.tree.tree import Tree

__all__ = ["paths_of"]

_DEEPEST = 1 << 12


def paths_of(tree: Tree, node: Node) -> list[bytes]:
    """All paths of a node, without a slash in front; of the root, an empty one."""
    if node.ino == ROOT_INO:
        return [b""]
    return [_path(tree, parent, name) for parent, name in node.references]


def _path(tree: Tree, parent: int, name: bytes) -> bytes:
    parts = [name]
    while parent != ROOT_INO and len(parts) < _DEEPEST:
        if parent == NAMES_INO:
            parts.append(NAMES_PATH)
            break
        try:
            references = tree.node(parent).references
        except (OSError, BlockNotFound, DamagedRecord, MalformedNode):
            break
        if not references:
            break
        parent, own = references[0]
        parts.append(own)
    return b"/".join(reversed(parts))
