"""The directories above the views: ``.mfs``, ``.mfs/snapshots`` and ``.mfs/commits``."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Mapping

from mfs.tree.node import Directory, Node
from mfs.tree.numbers import COMMITS_INO, CONTROL_INO, IPFS_INO, IPNS_INO, SNAPSHOTS_INO
from mfs.tree.record import ROOT_INO
from mfs.views.view import FixedListing, Listing, View

__all__ = ["ControlView"]

_NAMES = {b"commits": COMMITS_INO, b"ipfs": IPFS_INO, b"ipns": IPNS_INO, b"snapshots": SNAPSHOTS_INO}


class ControlView(View):
    """`node_of` finds nodes everywhere, `snapshots` has the inode numbers of the snapshots' roots by name, `commit`
    finds that of a commit's root by its CID."""

    def __init__(
        self,
        owner: tuple[int, int],
        node_of: Callable[[int], Node],
        snapshots: Callable[[], Mapping[bytes, int]],
        commit: Callable[[bytes], int],
    ) -> None:
        self._node_of = node_of
        self._snapshots = snapshots
        self._commit = commit
        self._directories: dict[int, Directory] = {}
        for ino, parent, mode in (
            (CONTROL_INO, ROOT_INO, 0o555),
            (SNAPSHOTS_INO, CONTROL_INO, 0o555),
            (COMMITS_INO, CONTROL_INO, 0o111),
        ):
            directory = self._directories[ino] = Directory(ino, stat.S_IFDIR | mode, *owner, 0)
            directory.references = ((parent, b""),)

    def node(self, ino: int) -> Node:
        return self._directories.get(ino) or super().node(ino)

    def child(self, directory: Directory, name: bytes) -> Node | None:
        if directory.ino == COMMITS_INO:
            return self._node_of(self._commit(name))
        ino = self._entries(directory).get(name)
        if ino is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._node_of(ino)

    def listing(self, directory: Directory) -> Listing:
        if directory.ino == COMMITS_INO:
            raise OSError(errno.EPERM, "commits are listed by mfs log: name the CID of one")
        return FixedListing(self._entries(directory))

    def _entries(self, directory: Directory) -> Mapping[bytes, int]:
        return _NAMES if directory.ino == CONTROL_INO else self._snapshots()
