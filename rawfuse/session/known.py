"""Inodes and names that the kernel's side knows: what its checks of types, and of notifications, refer to."""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass, field

from rawfuse.wire import (
    BatchForget,
    Forget,
    GetAttr,
    Lookup,
    ReadDirPlus,
    Release,
    Rename,
    Rename2,
    Request,
    RmDir,
    SetAttr,
    Unlink,
    fuse_attr_out,
    fuse_entry_out,
    fuse_open_out,
)
from rawfuse.wire.constants import FOPEN_DIRECT_IO
from rawfuse.wire.dirent import DirentPlus
from rawfuse.wire.replies import ReplyValue

__all__ = ["Known", "ROOT"]

ROOT = 1
_MOST_ABSENT = 4096
"""Names known to be absent; the oldest go first, as under memory pressure."""


@dataclass
class _Inode:
    type: int
    lookups: int = 0
    names: set[tuple[int, bytes]] = field(default_factory=set)


class Known:
    """The kernel's inodes and names as the replies built them up; forgotten as FORGET says."""

    def __init__(self) -> None:
        self._inodes: dict[int, _Inode] = {ROOT: _Inode(stat.S_IFDIR, 1)}
        self._names: dict[tuple[int, bytes], int] = {}
        self._absent: dict[tuple[int, bytes], None] = {}
        self._direct: set[tuple[int, int]] = set()

    def type_of(self, nodeid: int) -> int | None:
        """The type bits of an inode's mode; None for an inode that is not known."""
        inode = self._inodes.get(nodeid)
        return None if inode is None else inode.type

    def lookups(self, nodeid: int) -> int:
        """How many references were handed out for an inode and not forgotten yet."""
        inode = self._inodes.get(nodeid)
        return 0 if inode is None else inode.lookups

    def child(self, parent: int, name: bytes) -> int | None:
        """The inode under a name: 0 where it is known to be absent, None where nothing is known."""
        place = (parent, name)
        return 0 if place in self._absent else self._names.get(place)

    def direct(self, nodeid: int, handle: int) -> bool:
        """Whether an open file bypasses the page cache."""
        return (nodeid, handle) in self._direct

    def drop_name(self, parent: int, name: bytes, *, absent: bool = False) -> None:
        place = (parent, name)
        inode = self._inodes.get(self._names.pop(place, 0))
        if inode is not None:
            inode.names.discard(place)
        self._absent.pop(place, None)
        if absent:
            self._absent[place] = None
            if len(self._absent) > _MOST_ABSENT:
                del self._absent[next(iter(self._absent))]

    def learn(self, request: Request, number: int, value: ReplyValue) -> None:
        """Takes in a reply that passed every check, or `number`, the errno it brought instead."""
        if number:
            if number == errno.ENOENT and isinstance(request, Lookup):
                self.drop_name(request.nodeid, request.name, absent=True)
            return
        entry = value[0] if isinstance(value, tuple) else value
        self._opened(request, entry, value)
        if isinstance(entry, fuse_entry_out):
            self._entry(request.nodeid, getattr(request, "name", b""), entry)
        elif isinstance(entry, fuse_attr_out) and isinstance(request, (GetAttr, SetAttr)):
            self._inodes.setdefault(request.nodeid, _Inode(stat.S_IFMT(entry.attr.mode)))
        elif isinstance(request, ReadDirPlus) and isinstance(value, list):
            for plus in value:
                if isinstance(plus, DirentPlus):
                    self._entry(request.nodeid, plus.dirent.name, plus.entry)
        elif isinstance(request, (Unlink, RmDir)):
            self.drop_name(request.nodeid, request.name, absent=True)
        elif isinstance(request, (Rename, Rename2)):
            self._moved(request)

    def _opened(self, request: Request, entry: object, value: ReplyValue) -> None:
        opened = value[1] if isinstance(value, tuple) else value
        if isinstance(opened, fuse_open_out) and opened.open_flags & FOPEN_DIRECT_IO:
            nodeid = entry.nodeid if isinstance(entry, fuse_entry_out) else request.nodeid
            self._direct.add((nodeid, opened.fh))

    def _entry(self, parent: int, name: bytes, entry: fuse_entry_out) -> None:
        self.drop_name(parent, name, absent=not entry.nodeid)
        if entry.nodeid:
            inode = self._inodes.setdefault(entry.nodeid, _Inode(0))
            inode.type = stat.S_IFMT(entry.attr.mode)
            inode.lookups += 1
            if name:
                inode.names.add((parent, name))
                self._names[parent, name] = entry.nodeid

    def _moved(self, request: Rename | Rename2) -> None:
        nodeid = self._names.get((request.nodeid, request.name))
        self.drop_name(request.nodeid, request.name)
        self.drop_name(request.arg.newdir, request.newname)
        if nodeid is not None:
            self._names[request.arg.newdir, request.newname] = nodeid
            self._inodes[nodeid].names.add((request.arg.newdir, request.newname))

    def sent(self, request: Request) -> None:
        """Takes note of what a request gives back: references (FORGET), an open file (RELEASE)."""
        if isinstance(request, Release):
            self._direct.discard((request.nodeid, request.arg.fh))
            return
        if isinstance(request, Forget):
            self._forget(request.nodeid, request.arg.nlookup)
        elif isinstance(request, BatchForget):
            for one in request.forgets:
                self._forget(one.nodeid, one.nlookup)

    def _forget(self, nodeid: int, count: int) -> None:
        inode = self._inodes.get(nodeid)
        if inode is None or nodeid == ROOT:
            return
        inode.lookups -= count
        if inode.lookups <= 0:
            for place in inode.names:
                self._names.pop(place, None)
            del self._inodes[nodeid]
