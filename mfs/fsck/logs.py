"""The log held against the tree: played in memory, and looked at where its records end."""

from __future__ import annotations

import os
from pathlib import Path

from mfs.blocks.errors import BlockNotFound
from mfs.commit.record import Commit
from mfs.file.medium import StoreMedium
from mfs.fsck.paths import paths_of
from mfs.fsck.report import Finding, Report
from mfs.fsck.sound import Sound
from mfs.journal.items import DamagedLog, NextItem, unpack_items
from mfs.journal.replay import replay
from mfs.log import LogDamaged, Replay, broken_end, log_numbers
from mfs.meta.btree import BTree
from mfs.meta.node import MalformedNode
from mfs.tree.node import Directory, File
from mfs.tree.record import FIRST_INO, ROOT_INO, DamagedRecord
from mfs.tree.tree import Tree
from mfs.unixfs.errors import UnixFSError
from mfs.unixfs.profile import Profile

__all__ = ["LogCheck"]


class LogCheck:
    """Plays the log in `directory` onto the tree of `head`, changing nothing.

    ``next_ino``: inode numbers from there on are not in the log either.
    """

    def __init__(self, sound: Sound, profile: Profile, directory: Path, head: Commit | None, report: Report) -> None:
        self._sound = sound
        self._profile = profile
        self._directory = directory
        self._head = head
        self._report = report
        self._restored: dict[int, int] = {}
        self.next_ino = FIRST_INO

    def run(self) -> bool:
        """Play it; says whether it is damaged."""
        head, report = self._head, self._report
        if head is None and not log_numbers(self._directory):
            return False
        before = len(report.findings)
        store = self._sound.store
        medium = StoreMedium(store, self._profile)
        meta = BTree(self._sound.get, store.put, head.meta if head is not None else None)
        tree = Tree(meta, medium, head.next_ino if head is not None else FIRST_INO)
        if head is None:
            tree.nodes[ROOT_INO] = root = Directory(ROOT_INO, 0o40755, 0, 0, 0)
            tree.touched(root)
        self._play(tree, head.log if head is not None else 1)
        for node in list(tree.dirty.values()):
            if isinstance(node, File):
                self._written(tree, node)
        return len(report.findings) > before

    def _play(self, tree: Tree, first: int) -> None:
        records = Replay(self._directory, first)
        played = True
        try:
            for record in records:
                for item in unpack_items(record):
                    if isinstance(item, NextItem):
                        self.next_ino = max(self.next_ino, item.ino)
                played = played and self._replayed(tree, record)
        except LogDamaged as error:
            self._find(str(error.strerror))
        except DamagedLog as error:
            self._find(str(error))
        else:
            self._end(records, first)

    def _replayed(self, tree: Tree, record: bytes) -> bool:
        try:
            replay(tree, record, self._restore)
        except (DamagedLog, DamagedRecord, MalformedNode, BlockNotFound, UnixFSError, OSError) as error:
            # What it says may be of a file that is lost: then it is no damage of its own.
            if not self._report.found("file", "map", "inode", "block", "commit"):
                self._find(str(error))
            return False
        return True

    def _restore(self, segment: int, offset: int, data: bytes) -> None:
        self._restored[segment] = max(self._restored.get(segment, 0), offset + len(data))

    def _end(self, records: Replay, first: int) -> None:
        """Behind the last record that is whole there is nothing, or what was being written when it ended."""
        for number in log_numbers(self._directory):
            found = broken_end(self._directory, number) if number >= max(first, records.end.seq) else None
            if found is None:
                continue
            where = f"record {found.place} of {os.path.basename(found.path)}, {found.length} bytes"
            if found.followed:
                self._find(f"{where}, is not what was written: it had been acknowledged")
            else:
                what = f"the last record of the log is not whole ({where})"
                self._report.notes.append(f"{what}: that of an fsync that never returned, or damaged")

    def _written(self, tree: Tree, file: File) -> None:
        segments = self._sound.store.segments
        chunk = file.content.medium.chunk
        lost = []
        for index, leaf in sorted(file.content.leaves.items()):
            for number, offset, length in leaf.pieces or ():
                if number and offset + length > max(segments.size(number), self._restored.get(number, 0)):
                    lost.append((index * chunk, index * chunk + leaf.length))
                    break
        if lost:
            paths = paths_of(tree, file)
            self._report.findings.append(
                Finding(
                    "file",
                    "bytes that were fsynced after the last commit are lost",
                    paths[0] if paths else None,
                    ranges=lost,
                    links=paths[1:],
                )
            )

    def _find(self, what: str) -> None:
        self._report.findings.append(Finding("log", what))
