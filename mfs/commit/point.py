"""A point in time: everything that is not committed yet, taken down in one step."""

from __future__ import annotations

from mfs.file.content import Snapshot
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.tree.record import NO_STATS, Entry, pack_references
from mfs.tree.tree import Tree
from mfs.unixfs.cid import CID


class Taken:
    """One node as it was at the point in time; see :class:`mfs.tree.node.Node` for the fields.

    `attributes` and `tail` are the parts of its record that the commit does not change; `xattrs` are the extended
    attributes that changed.
    """

    __slots__ = (
        "attributes",
        "cid",
        "content",
        "entries",
        "mode",
        "mtime",
        "node",
        "references",
        "size",
        "stats",
        "tail",
        "tsize",
        "xattrs",
    )

    def __init__(self, node: Node) -> None:
        self.node = node
        self.references = node.references
        self.mode, self.mtime = node.mode, node.mtime
        self.attributes = node.attributes()
        self.xattrs, node.unsaved_xattrs = node.unsaved_xattrs, None
        self.tail = pack_references(node.references, node.target)
        self.cid: CID | None = node.cid
        self.tsize = node.tsize
        self.size = node.size
        self.entries = 0
        self.stats = NO_STATS
        self.content: Snapshot | None = None
        if isinstance(node, File):
            self.content = node.content.begin_commit()
            self.entries = int(self.content.foreign)
        elif isinstance(node, Directory):
            self.entries, self.stats = node.entries, node.stats

    @property
    def in_unixfs(self) -> bool:
        """Whether UnixFS knows this type: FIFOs, sockets and device nodes it does not."""
        return isinstance(self.node, File | Directory | Symlink)


class PointInTime:
    """What a commit covers.

    ``nodes`` are the changed nodes by inode number, ``gone`` those that are no more, ``names`` the changed names of
    each directory, ``xattrs`` the nodes with changed extended attributes.  ``log`` is the number of the first log with
    later records.
    """

    def __init__(self, tree: Tree, log: int) -> None:
        self.time = tree.clock()
        self.next_ino = tree.next_ino
        self.log = log
        self.nodes: dict[int, Taken] = {}
        self.gone: list[Node] = []
        self.xattrs: list[Taken] = []
        self.names: dict[int, dict[bytes, Entry | None]] = {}
        self.grafted, tree.grafted = tree.grafted, {}
        dirty, tree.dirty = tree.dirty, {}
        tree.xattr_bytes = 0
        for ino, node in dirty.items():
            if isinstance(node, Directory) and node.changed:
                self.names[ino], node.changed = node.changed, {}
            if node.nlink:
                taken = self.nodes[ino] = Taken(node)
                if taken.xattrs is not None:
                    self.xattrs.append(taken)
            else:
                self.gone.append(node)

    def put_back(self, tree: Tree) -> None:
        """The commit came to nothing: all of it is to be committed still."""
        for ino, taken in self.nodes.items():
            tree.dirty.setdefault(ino, taken.node)
            if taken.xattrs is not None:
                taken.node.unsaved_xattrs = {**taken.xattrs, **(taken.node.unsaved_xattrs or {})}
            if isinstance(taken.node, File):
                taken.node.content.fail_commit()
        tree.grafted = {**self.grafted, **tree.grafted}
        for node in self.gone:
            tree.dirty.setdefault(node.ino, node)
        for ino, names in self.names.items():
            directory = tree.dirty[ino]
            if isinstance(directory, Directory):
                for name, entry in names.items():
                    directory.changed.setdefault(name, entry)
