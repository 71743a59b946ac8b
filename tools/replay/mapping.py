"""Numbers that a server chose: those of the recorded one to those of the one that is played to.

Nodeids come with entries (LOOKUP, CREATE, ..., READDIRPLUS), file handles with OPEN, OPENDIR and CREATE. A FORGET gives
back what replies handed out; a server that hands out references in other listings, or other nodeids for the names of
one file, is owed other counts.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from rawfuse import wire
from rawfuse.wire import Request, fuse_entry_out, fuse_open_out
from rawfuse.wire import constants as c
from rawfuse.wire.replies import ReplyValue

from .listings import Listing

__all__ = ["Mapping", "Unknown"]

ROOT: Final = 1
_NODEIDS: Final = {
    wire.Link: ("oldnodeid",),
    wire.Rename: ("newdir",),
    wire.Rename2: ("newdir",),
    wire.CopyFileRange: ("nodeid_out",),
    wire.CopyFileRange64: ("nodeid_out",),
}
"""Members of a request's struct that hold a nodeid; the header's is mapped in all."""
_COPIES: Final = (wire.CopyFileRange, wire.CopyFileRange64)
_HANDLE_IF: Final = {
    wire.GetAttr: ("getattr_flags", c.FUSE_GETATTR_FH),
    wire.Statx: ("getattr_flags", c.FUSE_GETATTR_FH),
    wire.SetAttr: ("valid", c.FATTR_FH),
}
"""Requests in which a flag says whether the handle is one."""
_RELEASES: Final = (wire.Release, wire.ReleaseDir)
_OPENS: Final = {wire.OpenDir: c.FUSE_OPENDIR, wire.Open: c.FUSE_OPEN}
_OF_DIRECTORIES: Final = (wire.ReadDir, wire.ReadDirPlus, wire.ReleaseDir, wire.FSyncDir)


class Unknown(Exception):
    """A request refers to something that this server has not given: the message says to what."""


class _Node:
    __slots__ = ("actual", "owed", "recorded")

    def __init__(self) -> None:
        self.actual = 0
        """What the server of today called it last."""
        self.recorded = 0
        """References that the recorded server handed out and were not given back."""
        self.owed: dict[int, int] = {}
        """The same of today's, by its nodeids."""


class Mapping:
    """Filled with pairs of replies, asked for requests.

    Attributes:
        surplus: references (nodeid, count) that today's server handed out where the recorded one did not: to be given
            back, as nobody else will.
    """

    def __init__(self) -> None:
        self.surplus: list[tuple[int, int]] = []
        self._nodes: dict[int, _Node] = {ROOT: _Node()}
        self._nodes[ROOT].actual = ROOT
        self._handles: dict[tuple[int, int], list[int]] = {}
        self._without_open: set[int] = set()

    @property
    def owed(self) -> dict[int, int]:
        """References that today's server has handed out and not got back, by nodeid."""
        total: dict[int, int] = {}
        for node in self._nodes.values():
            for actual, count in node.owed.items():
                total[actual] = total.get(actual, 0) + count
        return total

    def nodeid(self, recorded: int) -> int:
        """What the server of today calls the inode. Raises :class:`Unknown`."""
        if not recorded:
            return 0
        node = self._nodes.get(recorded)
        if node is None:
            raise Unknown("its inode is not known here: from before the trace, or from a request that went otherwise")
        return node.actual

    def handle(self, recorded_nodeid: int, recorded: int, opcode: int = c.FUSE_OPEN) -> int:
        """The file handle of an OPEN, or OPENDIR. Raises :class:`Unknown`.

        As recorded where the server did without that operation (ENOSYS): the kernel then fills in 0.
        """
        handles = self._handles.get((recorded_nodeid, recorded))
        if handles:
            return handles[-1]
        if opcode in self._without_open:
            return recorded
        raise Unknown("its file was opened before the trace, or that went otherwise")

    def request(self, recorded: Request) -> Request:
        """A copy of `recorded` with today's numbers; its unique is for the caller to set. Raises :class:`Unknown`."""
        request = copy.copy(recorded)
        request.nodeid = self.nodeid(recorded.nodeid)
        arg: Any = getattr(recorded, "arg", None)
        if arg is None:
            return request
        today: Any = copy.copy(arg)
        for member in _NODEIDS.get(type(recorded), ()):
            setattr(today, member, self.nodeid(getattr(arg, member)))
        if isinstance(recorded, _COPIES):
            today.fh_in = self.handle(recorded.nodeid, arg.fh_in)
            today.fh_out = self.handle(arg.nodeid_out, arg.fh_out)
        elif "fh" in arg.FIELDS:
            member, flag = _HANDLE_IF.get(type(recorded), ("", 0))
            if not member or getattr(arg, member) & flag:
                opcode = c.FUSE_OPENDIR if isinstance(recorded, _OF_DIRECTORIES) else c.FUSE_OPEN
                today.fh = self.handle(recorded.nodeid, arg.fh, opcode)
            if isinstance(recorded, _RELEASES):
                self._released((recorded.nodeid, arg.fh))
        request.arg = today  # type: ignore[attr-defined]
        return request

    def _released(self, key: tuple[int, int]) -> None:
        handles = self._handles.get(key, [])
        if handles:
            handles.pop()
        if not handles:
            self._handles.pop(key, None)

    def forgets(self, recorded: wire.Forget | wire.BatchForget) -> list[tuple[int, int]]:
        """Today's (nodeid, count) for what was given back; fewer or more than were recorded."""
        if isinstance(recorded, wire.Forget):
            return self._returned(recorded.nodeid, recorded.arg.nlookup)
        return [pair for one in recorded.forgets for pair in self._returned(one.nodeid, one.nlookup)]

    def _returned(self, recorded: int, count: int) -> list[tuple[int, int]]:
        """How many of today's references are as much as `count` of the recorded ones: all for all."""
        node = self._nodes.get(recorded)
        if node is None or recorded == ROOT:
            return []
        last = count >= node.recorded
        found = []
        for actual, owed in list(node.owed.items()):
            share = owed if last else owed * count // node.recorded
            node.owed[actual] -= share
            if share:
                found.append((actual, share))
        node.recorded -= count
        if last:
            # The kernel has dropped the inode; the number may come again for another one.
            del self._nodes[recorded]
        return found

    def learn(self, request: Request, recorded: ReplyValue, actual: ReplyValue) -> None:
        """What two replies to one request (as recorded) say is the same thing; None for one that failed."""
        mine = recorded if isinstance(recorded, tuple) else (recorded,)
        theirs = actual if isinstance(actual, tuple) else (actual,)
        nodeid = request.nodeid
        for place in range(max(len(mine), len(theirs))):
            one = mine[place] if place < len(mine) else None
            other = theirs[place] if place < len(theirs) else None
            if isinstance(one, fuse_entry_out) or isinstance(other, fuse_entry_out):
                was = one.nodeid if isinstance(one, fuse_entry_out) else 0
                self._entry(was, other.nodeid if isinstance(other, fuse_entry_out) else 0)
                nodeid = was
            elif isinstance(one, fuse_open_out) and isinstance(other, fuse_open_out):
                self._handles.setdefault((nodeid, one.fh), []).append(other.fh)

    def listed(self, listing: Listing, *, over: bool = False) -> None:
        """What a listing has said by now, and, when it is `over`, what only one side said."""
        for recorded, actual in listing.matched():
            self._entry(recorded, actual)
        if over:
            for recorded, actual in listing.left():
                self._entry(recorded, actual)

    def without(self, request: Request) -> None:
        """The recorded server answered ENOSYS: OPEN and OPENDIR are not asked again, and handles are 0."""
        opcode = _OPENS.get(type(request))
        if opcode is not None:
            self._without_open.add(opcode)

    def _entry(self, recorded: int, actual: int) -> None:
        """One reference on each side; 0: none."""
        if ROOT in (recorded, actual):
            return
        node = self._nodes.get(recorded) if recorded else None
        if recorded and actual:
            if node is None:
                node = self._nodes[recorded] = _Node()
            node.actual = actual
            node.owed[actual] = node.owed.get(actual, 0) + 1
        elif actual:
            self.surplus.append((actual, 1))
        if node is not None:
            node.recorded += 1
