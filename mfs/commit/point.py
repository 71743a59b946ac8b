"""A point in time: everything that is not committed yet, taken down in one step."""

from __future__ import annotations

from mfs.file.content import Snapshot
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.tree.record import NO_STATS, Entry, pack_attributes, pack_references
from mfs.tree.tree import Tree
from mfs.unixfs.cid import CID


class Taken:
    """One node as it was at the point in time; see :class:`mfs.tree.node.Node` for the fields.

    `attributes` and `tail` are the parts of its record that the commit does not change.
    """

    __slots__ = ("attributes", "cid", "content", "entries", "node", "references", "size", "stats", "tail", "tsize")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.references = node.references
        self.attributes = pack_attributes(
            node.mode, node.uid, node.gid, node.rdev, node.nlink, node.atime, node.mtime, node.ctime, node.btime
        )
        self.tail = pack_references(node.references, node.target)
        self.cid: CID | None = node.cid
        self.tsize = node.tsize
        self.size = node.size
        self.entries = 0
        self.stats = NO_STATS
        self.content: Snapshot | None = None
        if isinstance(node, File):
            self.content = node.content.begin_commit()
        elif isinstance(node, Directory):
            self.entries, self.stats = node.entries, node.stats

    @property
    def in_unixfs(self) -> bool:
        """Whether UnixFS knows this type: FIFOs, sockets and device nodes it does not."""
        return isinstance(self.node, File | Directory | Symlink)


class PointInTime:
    """What a commit covers.

    ``nodes`` are the changed nodes by inode number, ``gone`` those that are no more, ``names`` the changed names of
    each directory.  ``log`` is the number of the first log with later records.
    """

    def __init__(self, tree: Tree, log: int) -> None:
        self.time = tree.clock()
        self.next_ino = tree.next_ino
        self.log = log
        self.nodes: dict[int, Taken] = {}
        self.gone: list[Node] = []
        self.names: dict[int, dict[bytes, Entry | None]] = {}
        dirty, tree.dirty = tree.dirty, {}
        for ino, node in dirty.items():
            if isinstance(node, Directory) and node.changed:
                self.names[ino], node.changed = node.changed, {}
            if node.nlink:
                self.nodes[ino] = Taken(node)
            else:
                self.gone.append(node)

    def put_back(self, tree: Tree) -> None:
        """The commit came to nothing: all of it is to be committed still."""
        for ino, taken in self.nodes.items():
            tree.dirty.setdefault(ino, taken.node)
            if isinstance(taken.node, File):
                taken.node.content.fail_commit()
        for node in self.gone:
            tree.dirty.setdefault(node.ino, node)
        for ino, names in self.names.items():
            directory = tree.dirty[ino]
            if isinstance(directory, Directory):
                for name, entry in names.items():
                    directory.changed.setdefault(name, entry)
