"""All views of a volume, found by inode number."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from mfs.commit.record import Commit, DamagedCommit
from mfs.file.medium import StoreMedium
from mfs.history.commits import kept, load_commit
from mfs.history.names import snapshots
from mfs.history.past import Past
from mfs.meta.btree import BTree
from mfs.meta.cache import NodeCache
from mfs.tree.node import Directory, File, Node
from mfs.tree.numbers import COMMITS_INO, IPFS_INO, SNAPSHOTS_INO, is_view, view_number
from mfs.tree.tree import Tree
from mfs.unixfs.cid import CID, parse_cid
from mfs.unixfs.errors import InvalidCID
from mfs.views.content_view import ContentView
from mfs.views.control_view import ControlView
from mfs.views.snapshot_view import SnapshotView, reading_past
from mfs.views.view import View

__all__ = ["Views"]

_CONTENT, _FIRST_SNAPSHOT = 1, 2
_MOST_VIEWS = 1 << 16
_OPENED = 16
"""Snapshots of which nodes are kept in memory."""
_CACHE = 16 << 20


class Views:
    """The views beside `tree`; files lie where `medium` says, what has no owner belongs to `owner` (uid, gid)."""

    def __init__(self, tree: Tree, medium: StoreMedium, owner: tuple[int, int]) -> None:
        self.ipfs_directory: str | None = None
        """Where the view of CIDs is mounted by itself, for symbolic links that lead there."""
        self._tree = tree
        self._medium = medium
        self._content = ContentView(medium, owner)
        medium.store.holders.append(self._content.held)
        self._control = ControlView(owner, self.node, self._snapshot_roots, self._commit_root)
        self._numbers: dict[tuple[str, CID], int] = {}
        self._commits: list[tuple[CID, int]] = []
        self._opened: dict[int, SnapshotView] = {}
        self._cache = NodeCache(_CACHE)

    def commits(self) -> list[CID]:
        """The commits of the snapshots that were looked at lately; their names may be gone since."""
        return [self._commits[number - _FIRST_SNAPSHOT][0] for number in self._opened]

    def of(self, ino: int) -> View:
        """The view that knows `ino` (:func:`mfs.tree.numbers.is_view`).  ESTALE: there is none."""
        number = view_number(ino)
        if number == _CONTENT or ino == IPFS_INO:
            return self._content
        if not number:
            return self._control
        return self._snapshot(number)

    def forget(self, ino: int, count: int) -> None:
        """The kernel dropped `count` of its references to `ino`; a snapshot that is not open has none to drop."""
        number = view_number(ino)
        if number < _FIRST_SNAPSHOT or number in self._opened:
            self.of(ino).forget(ino, count)

    def node(self, ino: int) -> Node:
        """The node of any inode number, the live tree's included.  ESTALE: there is none."""
        return self.of(ino).node(ino) if is_view(ino) else self._tree.node(ino)

    def directory(self, ino: int) -> Directory:
        """The directory of any inode number.  ESTALE, ENOTDIR."""
        return self.of(ino).directory(ino) if is_view(ino) else self._tree.directory(ino)

    def file(self, ino: int) -> File:
        """The regular file of any inode number.  ESTALE, EISDIR, EINVAL."""
        return self.of(ino).file(ino) if is_view(ino) else self._tree.file(ino)

    def _snapshot_roots(self) -> Mapping[bytes, int]:
        """A number for every snapshot there is.  A name that leads to another commit now is another snapshot."""
        roots = {}
        try:
            for name, commit, _ in snapshots(self._medium.store):
                roots[name.encode()] = self._root_of(name, commit)
        except DamagedCommit as error:
            raise OSError(errno.EIO, str(error)) from error
        return roots

    def _commit_root(self, name: bytes) -> int:
        """The root of the commit whose CID `name` writes.  ENOENT: it is none, or not kept."""
        store = self._medium.store
        try:
            cid = parse_cid(name.decode("ascii"))
        except (InvalidCID, UnicodeDecodeError):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        if ("", cid) not in self._numbers or not store.has(cid):
            with reading_past():
                commit = kept(store, self._head(), cid)
            if commit is None:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            # The newest one is no block yet.
            store.put(cid, commit.encode())
        return self._root_of("", cid)

    def _head(self) -> Commit:
        record = self._medium.store.commit_record()
        if record is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return Commit.decode(record)

    def _root_of(self, name: str, commit: CID) -> int:
        """The root of the view of `commit`, as the snapshot `name` or ("") as itself."""
        number = self._numbers.get((name, commit))
        if number is None:
            number = _FIRST_SNAPSHOT + len(self._commits)
            if number >= _MOST_VIEWS:
                raise OSError(errno.ENFILE, f"{_MOST_VIEWS} commits were looked at since the mount")
            self._numbers[name, commit] = number
            self._commits.append((commit, SNAPSHOTS_INO if name else COMMITS_INO))
        return SnapshotView.root_ino(number)

    def _snapshot(self, number: int) -> SnapshotView:
        view = self._opened.pop(number, None)
        if view is None:
            if number >= _FIRST_SNAPSHOT + len(self._commits):
                raise OSError(errno.ESTALE, "a commit that was looked at before this mount")
            store = self._medium.store
            cid, above = self._commits[number - _FIRST_SNAPSHOT]
            with reading_past():
                commit = load_commit(store, cid)
            past = Past(BTree(store.get, store.put, commit.meta, cache=self._cache))
            view = SnapshotView(number, past, self._medium, above)
            if len(self._opened) >= _OPENED:
                del self._opened[next(iter(self._opened))]
        self._opened[number] = view
        return view
