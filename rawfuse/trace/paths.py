"""Names of the inodes in a trace, learned from its replies."""

from __future__ import annotations

import os
from typing import Final, TypeAlias

from rawfuse import wire
from rawfuse.wire import Request, fuse_entry_out
from rawfuse.wire.dirent import DirentPlus
from rawfuse.wire.replies import ReplyValue

__all__ = ["Paths"]

ROOT: Final = 1
_KEPT: Final = 1 << 18
_DEEPEST: Final = 4096
_EXCHANGE: Final = 2
_Place: TypeAlias = tuple[int, bytes]


class Paths:
    """Where inodes were seen last; the oldest of `kept` go when there are more.

    A trace that began after INIT refers to inodes whose names it never says: these are `#NODEID`.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._places: dict[int, _Place] = {}
        self._nodes: dict[_Place, int] = {}
        self._lookups: dict[int, int] = {}

    def of(self, nodeid: int) -> bytes:
        """The path of an inode from the root of the mount, `/` for that."""
        names: list[bytes] = []
        while nodeid != ROOT:
            place = self._places.get(nodeid)
            if place is None or len(names) > _DEEPEST:
                names.append(b"#%d" % nodeid)
                return b"/".join(reversed(names))
            nodeid, name = place
            names.append(name)
        return b"/" + b"/".join(reversed(names))

    def at(self, nodeid: int, name: bytes) -> bytes:
        """The path of a name in a directory."""
        return os.path.join(self.of(nodeid), name)

    def node(self, parent: int, name: bytes) -> int | None:
        """The inode that a name was seen to refer to."""
        return self._nodes.get((parent, name))

    def sent(self, request: Request) -> None:
        """What a request by itself changes: references that the kernel gives back."""
        if isinstance(request, wire.Forget):
            self._forget(request.nodeid, request.arg.nlookup)
        elif isinstance(request, wire.BatchForget):
            for one in request.forgets:
                self._forget(one.nodeid, one.nlookup)

    def learn(self, request: Request, value: ReplyValue) -> None:
        """What a successful reply changes."""
        entry = value[0] if isinstance(value, tuple) else value
        if isinstance(entry, fuse_entry_out):
            name = getattr(request, "name", b"")
            self._enter(request.nodeid, name, entry.nodeid)
        elif isinstance(value, list):
            for plus in value:
                if isinstance(plus, DirentPlus) and plus.dirent.name not in (b".", b".."):
                    self._enter(request.nodeid, plus.dirent.name, plus.entry.nodeid)
        elif isinstance(request, wire.Rename | wire.Rename2):
            self._moved(request)
        elif isinstance(request, wire.Unlink | wire.RmDir):
            self._leave(request.nodeid, request.name)

    def _enter(self, parent: int, name: bytes, nodeid: int) -> None:
        if not nodeid:
            self._leave(parent, name)
            return
        self._lookups[nodeid] = self._lookups.get(nodeid, 0) + 1
        if nodeid == ROOT or name in (b"", b".", b"..", b"/"):
            return
        self._leave(parent, name)
        self._places[nodeid] = (parent, name)
        self._nodes[parent, name] = nodeid
        if len(self._places) > self._kept:
            self._drop(next(iter(self._places)))

    def _leave(self, parent: int, name: bytes) -> None:
        # The inode keeps its place: an open file without a name is still read and written, and what it was called says
        # more than its number.
        self._nodes.pop((parent, name), None)

    def _moved(self, request: wire.Rename | wire.Rename2) -> None:
        old, new = (request.nodeid, request.name), (request.arg.newdir, request.newname)
        moved, replaced = self._nodes.pop(old, None), self._nodes.pop(new, None)
        if moved is not None:
            self._nodes[new] = moved
            self._places[moved] = new
        if isinstance(request, wire.Rename2) and request.arg.flags & _EXCHANGE and replaced is not None:
            self._nodes[old] = replaced
            self._places[replaced] = old

    def _forget(self, nodeid: int, count: int) -> None:
        left = self._lookups.get(nodeid, 0) - count
        if left > 0:
            self._lookups[nodeid] = left
        elif nodeid != ROOT:
            self._drop(nodeid)

    def _drop(self, nodeid: int) -> None:
        self._lookups.pop(nodeid, None)
        place = self._places.pop(nodeid, None)
        if place is not None and self._nodes.get(place) == nodeid:
            del self._nodes[place]
