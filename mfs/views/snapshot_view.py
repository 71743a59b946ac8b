"""The view of one commit: the tree with everything it had, owners and times included.

Nothing has to be kept for it: an inode number is that of the live tree, shifted into the view's range.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from mfs.blocks.errors import BlockNotFound
from mfs.commit.record import DamagedCommit
from mfs.file.content import Medium
from mfs.history.past import Past
from mfs.meta.node import MalformedNode
from mfs.tree.node import Directory, Node, from_inode
from mfs.tree.numbers import RANGE
from mfs.tree.record import ROOT_INO, DamagedRecord, Entry, entry_key, unpack_entries
from mfs.views.view import Listed, Listing, View

__all__ = ["SnapshotView"]

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
        with reading_past():
            kept = self._past.inode(ino - self._base)
            if kept is None:
                raise OSError(errno.ESTALE, f"inode {ino} is gone")
            node = from_inode(ino, kept, self._medium)
        if ino == self._base + ROOT_INO:
            node.references = ((self._above, b""),)
        else:
            node.references = tuple((self._base + parent, name) for parent, name in node.references)
        if len(self._nodes) >= _KEPT_NODES:
            del self._nodes[next(iter(self._nodes))]
        self._nodes[ino] = node
        return node

    def child(self, directory: Directory, name: bytes) -> Node | None:
        with reading_past():
            entry = self._past.entry(directory.ino - self._base, name)
        return None if entry is None else self.node(self._base + entry.ino)

    def listing(self, directory: Directory) -> Listing:
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
