"""Telling the kernel what changed without it: names, attributes and pages that it keeps for a mount."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from mfs.tree.node import Directory, Node
from mfs.tree.record import ROOT_INO
from mfs.tree.tree import Tree
from rawfuse.channel.base import ChannelClosed
from rawfuse.notifier import Notifier

__all__ = ["Caches"]

logger = logging.getLogger("mfs")


class Caches:
    """Gathers what an operation changes, and tells the kernel in :meth:`told`.

    The kernel keeps names (absences too), attributes, listings and pages until it is told otherwise.  What it does not
    know of, it is not told of: of a thousand files added to a new directory, none.  ``notifier`` is None where nothing
    is mounted.
    """

    def __init__(self, tree: Tree, notifier: Notifier | None) -> None:
        self._tree = tree
        self._notifier = notifier
        self._names: dict[tuple[int, bytes], None] = {}
        self._inodes: dict[int, None] = {}

    @property
    def pending(self) -> int:
        """How much waits to be told."""
        return len(self._names) + len(self._inodes)

    def entry(self, directory: Directory, name: bytes) -> None:
        """`name` in `directory` is, or is not, something else than before."""
        if self._known(directory.ino):
            self._names[directory.ino, name] = None
            self._inodes[directory.ino] = None

    def inode(self, node: Node) -> None:
        """Attributes or bytes of `node` are not what they were."""
        if self._known(node.ino):
            self._inodes[node.ino] = None

    def _known(self, ino: int) -> bool:
        return self._notifier is not None and (ino == ROOT_INO or bool(self._tree.lookups[ino]))

    async def told(self) -> None:
        """Returns when the kernel shows everything that was gathered."""
        notifier = self._notifier
        if notifier is None:
            return
        names, self._names = self._names, {}
        inodes, self._inodes = self._inodes, {}
        for parent, name in names:
            await self._tell(lambda at=parent, which=name: notifier.inval_entry(at, which))  # type: ignore[misc]
        for ino in inodes:
            await self._tell(lambda which=ino: notifier.inval_inode(which))  # type: ignore[misc]

    async def _tell(self, notify: Callable[[], Awaitable[bool]]) -> None:
        try:
            await notify()
        except ChannelClosed:
            return
        except OSError as error:
            # ENOTEMPTY, say: a name that something is mounted on stays.  The change is made all the same.
            logger.warning("the kernel could not be told of a change: %s", error)
