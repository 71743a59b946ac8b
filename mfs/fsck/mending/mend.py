"""Mending what can be mended, so that the repository opens and everything that is left is as it was.

* A block that is not what its CID says is removed from the index; whoever stores those bytes again heals it.
* Of a file, the bytes that are lost become zeros: the file keeps its name, size and everything else, and is told of.
* A directory block is made again from the metadata map; the map, from what is left (:mod:`mfs.fsck.mending.rebuild`).
* The log is played as far as it can be.

All of it ends in a commit of its own; until that is durable, the old one stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from mfs.blocks.errors import BlockNotFound
from mfs.commit.record import Commit
from mfs.file.content import Content
from mfs.file.medium import StoreMedium
from mfs.fsck.files import complement, lost_ranges
from mfs.fsck.mending.orphans import Orphans
from mfs.fsck.paths import paths_of
from mfs.fsck.report import Finding, Report
from mfs.fsck.sound import Sound
from mfs.fsck.tree import Damage
from mfs.journal.items import DamagedLog
from mfs.journal.replay import replay
from mfs.log import LogDamaged, Replay
from mfs.meta.node import MalformedNode
from mfs.tree.node import Directory, File, Symlink
from mfs.tree.record import NO_STATS, ROOT_INO, DamagedRecord, inode_key
from mfs.tree.tree import Tree
from mfs.unixfs.errors import UnixFSError
from mfs.volume import Volume

if TYPE_CHECKING:
    from mfs.blocks.segments import Segments
    from mfs.repo import Repo

__all__ = ["Mender", "mend"]

_STEP = 1 << 20
_DTYPE_DIRECTORY = 4


def mend(repo: Repo, damage: Damage, sound: Sound, report: Report) -> Commit:
    """Open the repository, mend what `damage` says of its newest commit, and commit that.

    The metadata map is whole already, and the store of `sound` is the caller's and may be closed: `sound` knows what
    is bad.  Returns the new commit.  OSError: the disk.
    """
    mending = Mender(damage, sound, report)

    async def work() -> Commit:
        with Volume.mended(repo, mending) as volume:
            mending.check_log(volume.tree, volume.store.segments)
            volume.tree.touched(volume.tree.node(ROOT_INO))
            return await volume.commit()

    return trio.run(work)


class Mender:
    """What opens a damaged volume (:class:`mfs.volume.Mending`), and mends any tree of one."""

    def __init__(self, damage: Damage, sound: Sound, report: Report) -> None:
        self._damage = damage
        self._sound = sound
        self._report = report

    def play(self, tree: Tree, medium: StoreMedium, logs: Replay, restore: Callable[[int, int, bytes], None]) -> None:
        self._sound.store = medium.store
        self.mend(tree, medium)
        self._play(tree, logs, restore)
        Orphans(tree, self._report).adopt()
        for node in list(tree.dirty.values()):
            if isinstance(node, Directory):
                self._counted(tree, node)
            if isinstance(node, File) and node.content.base is not None:
                content = node.content
                base = content.base
                again = lost_ranges(self._sound, base, content.base_size) if base is not None else []
                if again:
                    self._zeroed(content, medium, again)

    def mend(self, tree: Tree, medium: StoreMedium) -> None:
        """Put zeros in the place of what is lost of files, and have the blocks of directories made again."""
        for ino, lost in self._damage.files.items():
            if tree.meta.get(inode_key(ino)) is not None:
                file = tree.file(ino)
                self._zeroed(file.content, medium, lost)
                tree.touched(file)
        for ino in self._damage.directories:
            if tree.meta.get(inode_key(ino)) is not None:
                self._made_again(tree, ino)

    def _counted(self, tree: Tree, directory: Directory) -> None:
        """The log counts names that may be lost."""
        tree.names(directory)
        kinds = [entry.dtype for _, entry in directory.present()]
        directory.entries = len(kinds)
        directory.nlink = 2 + kinds.count(_DTYPE_DIRECTORY) if directory.nlink else 0

    def _zeroed(self, content: Content, medium: StoreMedium, lost: list[tuple[int, int]]) -> None:
        """The file keeps what can be read of it; the rest is zeros."""
        base, size, changed = content.base, content.size, dict(content.leaves)
        counts = min(content.base_size, content.base_leaves * medium.chunk)
        kept = []
        if base is not None:
            for start, stop in complement(lost, content.base_size):
                for at in range(start, min(stop, counts), _STEP):
                    end = min(at + _STEP, stop, counts)
                    kept.append((at, list(medium.placed_pieces(base, at, end))))
        content.replace(None, 0, 0)
        for at, pieces in kept:
            content.write_pieces(at, pieces)
        content.truncate(size)
        for index, leaf in changed.items():
            content.put_leaf(index, leaf)

    def _made_again(self, tree: Tree, ino: int) -> None:
        """The next commit makes the blocks of a directory, or a link, from what the map says."""
        node = tree.node(ino)
        if isinstance(node, Directory):
            tree.names(node)
            node.changed = dict(node.present())
            node.stats = NO_STATS
        elif not isinstance(node, Symlink):
            return
        node.cid = None
        tree.touched(node)

    def _play(self, tree: Tree, logs: Replay, restore: Callable[[int, int, bytes], None]) -> None:
        told = self._report.found("log")
        try:
            for record in logs:
                try:
                    replay(tree, record, restore)
                except (DamagedLog, DamagedRecord, MalformedNode, BlockNotFound, UnixFSError, OSError) as error:
                    if not told:
                        self._find("log", f"a record cannot be played: {error}")
        except LogDamaged as error:
            if not told:
                self._find("log", str(error.strerror))
        self._report.repaired("played as far as it could be", "log")

    def check_log(self, tree: Tree, segments: Segments) -> None:
        """What the log says of files has to be there: where it is not, there are zeros now."""
        for node in list(tree.dirty.values()):
            if not isinstance(node, File):
                continue
            for index, leaf in list(node.content.leaves.items()):
                if leaf.pieces is None:
                    continue
                try:
                    segments.read(leaf.pieces)
                except OSError as error:
                    start = index * node.content.medium.chunk
                    path, *links = paths_of(tree, node) or [b""]
                    where = [(start, start + leaf.length)]
                    self._report.findings.append(
                        Finding("file", str(error), path or None, None, where, "zeros now", links)
                    )
                    node.content.write(start, (0, 0, leaf.length))

    def _find(self, kind: str, what: str) -> None:
        self._report.findings.append(Finding(kind, what))
