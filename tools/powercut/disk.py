"""A disk whose power may fail: every event is told to it, and at any time it says what could be left.

Two kinds of file systems are known:

"ordered"
    As ext4, XFS and others with a journal. Names, cuts and holes are changed in order: after a cut there are the first
    so many of them. fsync of a file or a directory brings the journal as far as the last change of the names or the
    length of *that* inode, fdatasync as far as reading the bytes back takes (the file's first name, its cuts). Data are
    written in any order, and a file has the size that its data on the disk gave it.
"strict"
    What POSIX promises and no more. fsync makes a file's bytes and size durable but no name of it; names are made
    durable by fsync of their directory. Changes of names are lost or kept one by one, as far as they are not about the
    same name or the same inode; each is atomic, a rename too. The size of a file may reach the disk before its bytes
    do, which then are zeros or, for a whole disk at a time, old bytes of others.

Both: a sector (`Content`) is written whole or not at all. What a failed sync was to write may be lost or not, whatever
later syncs say. Modes, owners and times are not followed: they are as they were last.
"""

from __future__ import annotations

import stat
from typing import Literal, TypeAlias

from .content import Content, Pick
from .events import ROOT, Event, Inode, Mark, Names, Resize, Sync, SyncFailed, Write, Zero
from .rebuilt import Rebuilt, RebuiltNode

__all__ = ["MODELS", "Disk", "Model"]

Model: TypeAlias = Literal["ordered", "strict"]
MODELS: tuple[Model, ...] = ("ordered", "strict")

_Entries: TypeAlias = dict[tuple[int, bytes], int]


class Disk:
    """One disk; `sector` is what it writes whole, bytes."""

    def __init__(self, model: Model, sector: int = 512) -> None:
        self._strict = model == "strict"
        self._sector = sector
        self._inodes: dict[int, Inode] = {ROOT: Inode(ROOT, stat.S_IFDIR | 0o755)}
        self._contents: dict[int, Content] = {}
        self._entries: _Entries = {}
        self._names: list[tuple[int, Names]] = []
        self._cuts: list[int] = []
        self._events = 0
        # For each inode the last event that fsync, or fdatasync, has to bring the journal to.
        self._touched: dict[int, int] = {}
        self._needed: dict[int, int] = {}
        self._journal = 0
        self.marks: list[str] = []

    def apply(self, event: Event) -> None:
        """The next event. Raises KeyError for an inode that never came into being."""
        self._events += 1
        index = self._events
        match event:
            case Inode(ino, mode):
                self._inodes[ino] = event
                if stat.S_ISREG(mode):
                    self._contents.setdefault(ino, Content(self._sector))
            case Names(edits):
                self._names.append((index, event))
                for directory, _, ino in edits:
                    # Names are a directory's data.
                    self._touched[directory] = self._needed[directory] = self._touched[ino] = index
                    self._needed.setdefault(ino, index)
            case Write(ino, offset, data):
                self._contents[ino].write(index, offset, data)
            case Zero(ino, offset, length):
                self._contents[ino].zero(index, offset, length)
                self._metadata(ino, index)
            case Resize(ino, size):
                self._contents[ino].resize(index, size)
                if self._contents[ino].pending[-1].metadata:
                    self._metadata(ino, index)
            case Sync(ino, data_only):
                self._sync(ino, data_only)
            case SyncFailed(ino):
                if ino in self._contents:
                    self._contents[ino].sync_failed()
            case Mark(text):
                self.marks.append(text)

    def _metadata(self, ino: int, index: int) -> None:
        self._touched[ino] = self._needed[ino] = index
        self._cuts.append(index)

    def _sync(self, ino: int, data_only: bool) -> None:
        if ino in self._contents:
            self._contents[ino].sync()
        if self._strict:
            if ino not in self._contents:
                self._sync_names(ino)
            return
        self._journal = max(self._journal, (self._needed if data_only else self._touched).get(ino, 0))
        for index, names in self._names:
            if index <= self._journal:
                _edit(self._entries, names)
        self._names = [(index, names) for index, names in self._names if index > self._journal]
        self._cuts = [index for index in self._cuts if index > self._journal]

    def _sync_names(self, directory: int) -> None:
        """Strict: what is about names in this directory is durable, and what that builds on."""
        wanted: set[object] = {directory}
        durable: list[int] = []
        for index, names in reversed(self._names):
            keys = _keys(names)
            if any(where == directory for where, _, _ in names.edits) or keys & wanted:
                wanted |= keys
                durable.append(index)
        for index, names in self._names:
            if index in durable:
                _edit(self._entries, names)
        self._names = [(index, names) for index, names in self._names if index not in durable]

    def rebuild(self, pick: Pick) -> Rebuilt:
        """What is left when the power fails now, as `pick` decides."""
        entries = self._entries.copy()
        journal: int | None = None
        if self._strict:
            lost: set[object] = set()
            for _, names in self._names:
                keys = _keys(names)
                if keys & lost or pick("names", 2):
                    lost |= keys
                else:
                    _edit(entries, names)
        else:
            waiting = sorted([*(index for index, _ in self._names), *self._cuts])
            kept = len(waiting) - pick("names", 1 + len(waiting)) if waiting else 0
            journal = max(self._journal, waiting[kept - 1] if kept else 0)
            for index, names in self._names:
                if index <= journal:
                    _edit(entries, names)
        stale = self._strict and any(content.pending for content in self._contents.values()) and bool(pick("stale", 2))
        nodes: dict[int, RebuiltNode] = {}
        names_of: dict[int, dict[bytes, int]] = {}
        for (directory, name), ino in entries.items():
            names_of.setdefault(directory, {})[name] = ino
        waiting_nodes = [ROOT]
        while waiting_nodes:
            ino = waiting_nodes.pop()
            if ino in nodes:
                continue
            inode = self._inodes[ino]
            node = nodes[ino] = RebuiltNode(inode.mode, inode.target)
            if ino in self._contents:
                node.sectors, node.size = self._contents[ino].left(pick, journal=journal, stale=stale)
            elif stat.S_ISDIR(inode.mode):
                node.names = names_of.get(ino, {})
                waiting_nodes += node.names.values()
        return Rebuilt(nodes, self._sector)

    def whole(self) -> Rebuilt:
        """Everything as it is without a cut."""
        return self.rebuild(lambda what, options: 0)


def _keys(names: Names) -> set[object]:
    """What two changes of names must have in common for the later one to build on the earlier."""
    keys: set[object] = {("inode", ino) for _, _, ino in names.edits if ino}
    keys.update((directory, name) for directory, name, _ in names.edits)
    return keys


def _edit(entries: _Entries, names: Names) -> None:
    for directory, name, ino in names.edits:
        if ino:
            entries[directory, name] = ino
        else:
            entries.pop((directory, name), None)
