"""The view of one commit: the tree with everything it had, owners and times included.

Nothing has to be kept for it: an inode number is that of the live tree, shifted into the view's range.  The trees of
the keys are below it as they are in the live tree, in ``.mfs/ipns``, which is not listed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from mfs.blocks.errors import BlockNotFound
from mfs.commit.record import DamagedCommit
from mfs.file.content import Medium
from mfs.history.past import Past
from mfs.meta.node import MalformedNode
from mfs.tree.node import Directory, Node, from_inode
from mfs.tree.numbers import CONTROL_INO, IPNS_INO, RANGE, RESERVED_NAME
from mfs.tree.record import ROOT_INO, DamagedRecord, Entry, entry_key, unpack_entries
from mfs.views.view import FixedListing, Listed, Listing, View

__all__ = ["SnapshotView"]

_KEYS = b"ipns"
_KEPT_NODES = 1024
_WINDOW = 256


class SnapshotView(View):
    """The tree of `past`: its inode numbers begin at `number` * :data:`RANGE`, its root is in the directory `above`."""

    def __init__(self, number: int, past: Past, medium: Medium, above: int) -> None:
        self._base = number * RANGE
        self._past = past
        self._medium = medium
        self._above = above
        self._nodes: dict[int, Node] = {}

    @staticmethod
    def root_ino(number: int) -> int:
        """The inode number of the root of the view `number`."""
        return number * RANGE + ROOT_INO

    def node(self, ino: int) -> Node:
        node = self._nodes.get(ino)
        if node is not None:
            return node
        if ino == self._base + CONTROL_INO:
            return self._control(ino)
        with reading_past():
            kept = self._past.inode(ino - self._base)
            if kept is None:
                raise OSError(errno.ESTALE, f"inode {ino} is gone")
            node = from_inode(ino, kept, self._medium)
        if ino == self._base + ROOT_INO:
            node.references = ((self._above, b""),)
        elif ino == self._base + IPNS_INO:
            node.references = ((self._base + CONTROL_INO, b""),)
        else:
            node.references = tuple((self._base + parent, name) for parent, name in node.references)
        if len(self._nodes) >= _KEPT_NODES:
            del self._nodes[next(iter(self._nodes))]
        self._nodes[ino] = node
        return node

    def _control(self, ino: int) -> Directory:
        """``.mfs``, where the trees of the keys are as in the live tree."""
        root = self.node(self._base + ROOT_INO)
        directory = Directory(ino, stat.S_IFDIR | 0o555, root.uid, root.gid, 0)
        directory.references = ((root.ino, b""),)
        return directory

    def child(self, directory: Directory, name: bytes) -> Node | None:
        at = directory.ino - self._base
        if at == ROOT_INO and name == RESERVED_NAME:
            return self.node(self._base + CONTROL_INO)
        with reading_past():
            if at == CONTROL_INO:
                has_keys = name == _KEYS and self._past.inode(IPNS_INO) is not None
                return self.node(self._base + IPNS_INO) if has_keys else None
            entry = self._past.entry(at, name)
        return None if entry is None else self.node(self._base + entry.ino)

    def listing(self, directory: Directory) -> Listing:
        if directory.ino == self._base + CONTROL_INO:
            keys = self.child(directory, _KEYS)
            found = {_KEYS: keys.ino} if keys is not None else {}
            return FixedListing(found)
        return _PastListing(self._past, directory.ino - self._base, self._base)


class _PastListing:
    """The names of a directory in the order of their cookies, which are the offsets."""

    def __init__(self, past: Past, directory: int, base: int) -> None:
        self._past = past
        self._directory = directory
        self._base = base

    def after(self, offset: int) -> list[Listed]:
        start = entry_key(self._directory, offset + 1)
        stop = self._directory.to_bytes(8, "big") + b"\x02"
        found: list[Listed] = []
        with reading_past():
            for key, value in islice(self._past.meta.items(start, stop), _WINDOW):
                cookie = int.from_bytes(key[9:], "big")
                entries = sorted(unpack_entries(value, cookie).items())
                for place, (name, entry) in enumerate(entries, 1):
                    # Two names with one cookie: whoever stops between them sees the first again, and loses none.
                    behind = cookie if place == len(entries) else cookie - 1
                    found.append(Listed(behind, name, Entry(self._base + entry.ino, entry.dtype, cookie)))
        return found


@contextmanager
def reading_past() -> Iterator[None]:
    """What is wrong with an old commit or its metadata map is EIO, with the reason."""
    try:
        yield
    except (BlockNotFound, MalformedNode, DamagedRecord, DamagedCommit) as error:
        raise OSError(errno.EIO, f"{os.strerror(errno.EIO)}: {error}") from error
