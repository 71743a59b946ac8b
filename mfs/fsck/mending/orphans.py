"""Files and directories that no name leads to any more: they get one in ``/lost+found``.

Where a directory's own record and its name are both lost, what was in it is still there.
"""

from __future__ import annotations

import stat
from collections.abc import Collection

from mfs.fsck.paths import paths_of
from mfs.fsck.report import Finding, Report
from mfs.history.past import NAMES_INO
from mfs.tree.node import Directory, Node
from mfs.tree.record import ROOT_INO, Entry, cookie_of, inode_key
from mfs.tree.tree import NAME_MAX, Tree

__all__ = ["MODE", "PLACE", "Orphans", "free_name"]

PLACE = b"lost+found"
"""The directory in the root, which only its owner can enter."""
MODE = stat.S_IFDIR | 0o700


def free_name(name: bytes, ino: int, taken: Collection[bytes]) -> bytes:
    """A name for inode `ino`, which was called `name` once, that is not in `taken`."""
    suffix = b"#%d" % ino
    if not name:
        return suffix
    return name if name not in taken else name[: NAME_MAX - len(suffix)] + suffix


class Orphans:
    """Those of a tree onto which the log was played: what it says may be of a directory that is lost."""

    def __init__(self, tree: Tree, report: Report) -> None:
        self._tree = tree
        self._report = report
        self._made: Directory | None = None

    def adopt(self) -> None:
        """Forget names in directories that are not there, and names of what is not there; name what has none left."""
        tree = self._tree
        for node in list(tree.dirty.values()):
            if isinstance(node, Directory):
                self._without_dangling(node)
        for ino, node in list(tree.dirty.items()):
            if ino not in (ROOT_INO, NAMES_INO) and node.nlink and node.references:
                left = tuple(reference for reference in node.references if self._is_there(reference[0]))
                if left != node.references:
                    self._renamed(node, left)

    def _is_there(self, ino: int) -> bool:
        node = self._tree.nodes.get(ino)
        if node is not None:
            return bool(node.nlink)
        return ino not in self._tree.dirty and (ino == NAMES_INO or self._tree.meta.get(inode_key(ino)) is not None)

    def _without_dangling(self, directory: Directory) -> None:
        for name, entry in list(directory.changed.items()):
            if entry is not None and not self._is_there(entry.ino):
                directory.names[name] = directory.changed[name] = None
                path = b"/".join(filter(None, (*paths_of(self._tree, directory)[:1], name)))
                self._report.findings.append(
                    Finding("inode", "nothing is known of it but its name", path, repair="removed")
                )

    def _renamed(self, node: Node, left: tuple[tuple[int, bytes], ...]) -> None:
        name = node.references[0][1]
        node.references = left
        if not isinstance(node, Directory):
            node.nlink = max(len(left), 1)
        self._tree.touched(node)
        if left:
            return
        place = self._place()
        self._tree.names(place)
        own = free_name(name, node.ino, {known for known, _ in place.present()})
        entry = Entry(node.ino, node.dtype, cookie_of(own))
        place.names[own] = place.changed[own] = entry
        place.entries += 1
        node.references = ((place.ino, own),)
        self._tree.touched(place)
        self._report.findings.append(
            Finding(
                "inode", f"the directory of {name!r} is lost", paths_of(self._tree, node)[0], repair="given this name"
            )
        )

    def _place(self) -> Directory:
        root = self._tree.directory(ROOT_INO)
        found = self._tree.child(root, PLACE)
        if isinstance(found, Directory):
            return found
        if self._made is not None:
            return self._made
        name = PLACE
        while self._tree.entry(root, name) is not None:
            name += b"+"
        made = self._tree.create(root, name, MODE, root.uid, root.gid)
        if not isinstance(made, Directory):
            raise TypeError(f"{name!r} is no directory")
        self._made = made
        return made
