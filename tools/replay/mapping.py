"""Numbers that a server chose: those of the recorded one to those of the one that is played to.

Nodeids come with entries (LOOKUP, CREATE, ..., READDIRPLUS), file handles with OPEN, OPENDIR and CREATE. A FORGET gives
back what replies handed out, and a server that hands out references in other listings is owed other counts.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from rawfuse import wire
from rawfuse.wire import Request, fuse_entry_out, fuse_forget_one, fuse_open_out
from rawfuse.wire.dirent import DirentPlus
from rawfuse.wire.replies import ReplyValue

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


class Unknown(Exception):
    """A request refers to something that was there before the trace began."""


class _Node:
    __slots__ = ("actual", "handed", "recorded")

    def __init__(self, actual: int) -> None:
        self.actual = actual
        self.recorded = 0
        """References that the recorded server handed out and were not given back."""
        self.handed = 0
        """The same, of this one."""


class Mapping:
    """Filled with pairs of replies, asked for requests."""

    def __init__(self) -> None:
        self._nodes: dict[int, _Node] = {ROOT: _Node(ROOT)}
        self._handles: dict[tuple[int, int], int] = {}

    def nodeid(self, recorded: int) -> int:
        """What the server of today calls the inode. Raises :class:`Unknown`."""
        if not recorded:
            return 0
        node = self._nodes.get(recorded)
        if node is None:
            raise Unknown(f"nodeid {recorded} is from before the trace")
        return node.actual

    def handle(self, nodeid: int, recorded: int) -> int:
        """The file handle; as recorded where the trace has no OPEN of it, as after ENOSYS to OPEN."""
        return self._handles.get((nodeid, recorded), recorded)

    def request(self, recorded: Request) -> Request:
        """A copy of `recorded` with today's numbers; its unique is for the caller to set. Raises :class:`Unknown`."""
        request = copy.copy(recorded)
        if isinstance(recorded, wire.Forget):
            return self._forget(recorded)
        if isinstance(recorded, wire.BatchForget):
            return self._forget_many(recorded)
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
            today.fh = self.handle(recorded.nodeid, arg.fh)
        request.arg = today  # type: ignore[attr-defined]
        return request

    def _forget(self, recorded: wire.Forget) -> wire.Forget:
        count = self._returned(recorded.nodeid, recorded.arg.nlookup)
        return wire.Forget(
            unique=recorded.unique,
            nodeid=self.nodeid(recorded.nodeid),
            arg=wire.fuse_forget_in(nlookup=count),
        )

    def _forget_many(self, recorded: wire.BatchForget) -> wire.BatchForget:
        forgets = []
        for one in recorded.forgets:
            if one.nodeid in self._nodes:
                count = self._returned(one.nodeid, one.nlookup)
                forgets.append(fuse_forget_one(nodeid=self.nodeid(one.nodeid), nlookup=count))
        return wire.BatchForget(
            unique=recorded.unique, arg=wire.fuse_batch_forget_in(count=len(forgets)), forgets=forgets
        )

    def _returned(self, recorded: int, count: int) -> int:
        """How many of today's references are as much as `count` of the recorded ones: all for all."""
        node = self._nodes.get(recorded)
        if node is None:
            raise Unknown(f"nodeid {recorded} is from before the trace")
        share = node.handed if count >= node.recorded else node.handed * count // node.recorded
        node.recorded = max(0, node.recorded - count)
        node.handed -= share
        return share

    def learn(self, request: Request, recorded: ReplyValue, actual: ReplyValue) -> None:
        """Two successful replies to one request (as recorded): which numbers are the same thing."""
        if isinstance(recorded, list) or isinstance(actual, list):
            self._listed(recorded, actual)
            return
        mine = recorded if isinstance(recorded, tuple) else (recorded,)
        theirs = actual if isinstance(actual, tuple) else (actual,)
        nodeid = request.nodeid
        for one, other in zip(mine, theirs, strict=False):
            if isinstance(one, fuse_entry_out) and isinstance(other, fuse_entry_out):
                self._entry(one.nodeid, other.nodeid)
                nodeid = one.nodeid
            elif isinstance(one, fuse_open_out) and isinstance(other, fuse_open_out):
                self._handles[nodeid, one.fh] = other.fh
        if isinstance(request, wire.Release | wire.ReleaseDir):
            self._handles.pop((request.nodeid, request.arg.fh), None)

    def _listed(self, recorded: ReplyValue, actual: ReplyValue) -> None:
        if not isinstance(recorded, list) or not isinstance(actual, list):
            return
        names = {one.dirent.name: one.entry.nodeid for one in recorded if isinstance(one, DirentPlus)}
        for one in actual:
            if isinstance(one, DirentPlus) and one.dirent.name in names and one.dirent.name not in (b".", b".."):
                self._entry(names.pop(one.dirent.name), one.entry.nodeid)

    def _entry(self, recorded: int, actual: int) -> None:
        if not recorded or not actual:
            return
        node = self._nodes.get(recorded)
        if node is None or node.actual != actual:
            node = self._nodes[recorded] = _Node(actual)
        node.recorded += 1
        node.handed += 1
