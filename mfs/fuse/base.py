"""What the subjects of the file system share: the volume, its tree, and the reply that names a node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import wraps
from typing import TypeVar

import trio

from mfs.file.content import Content, Unexamined
from mfs.fuse.attributes import entry_out
from mfs.tree.node import Node
from mfs.tree.tree import Tree
from mfs.views import is_view
from mfs.volume import CROWDED, Volume
from rawfuse import Filesystem, wire
from rawfuse.filesystem import Answer, Reply
from rawfuse.session.negotiation import Negotiated
from rawfuse.wire.flags import InitFlags

SIGNED = 1 << 63
"""The first offset that is none."""
MAX_READ = 2 << 20
"""Bytes of a reply to READ, READDIR and READDIRPLUS; what was agreed on at INIT keeps the kernel at half of it."""


class Base(Filesystem):
    """One volume, answered for in parts: each subject's module derives from this, :class:`~mfs.fuse.MFS` from all."""

    def __init__(self, volume: Volume, *, read_only: bool = False) -> None:
        self._volume = volume
        self._tree: Tree = volume.tree
        self._views = volume.views
        self._segments = volume.store.segments
        self._chunk = volume.profile.chunk_size
        self._read_only = read_only
        self._acls = False
        """Whether the kernel checks by access control lists (FUSE_POSIX_ACL)."""
        self._masks = False
        """Whether the umask is left to us (FUSE_DONT_MASK)."""

    def init(self, negotiated: Negotiated) -> None:
        self._acls = bool(negotiated.flags & InitFlags.FUSE_POSIX_ACL)
        self._masks = bool(negotiated.flags & InitFlags.FUSE_DONT_MASK)

    def forget(self, nodeid: int, nlookup: int) -> None:
        if is_view(nodeid):
            self._views.forget(nodeid, nlookup)
        else:
            self._tree.forget(nodeid, nlookup)

    def _entry(self, node: Node) -> bytes:
        """The reply that gives the kernel one more reference."""
        ino = node.ino
        self._tree.lookups.add(ino)
        return node.packed or entry_out(node, self._chunk)

    async def room(self) -> None:
        """Wait until so little is to be committed that more may be changed.  OSError: the disk takes no commit."""
        await self._volume.room()

    async def examine(self, content: Content) -> None:
        """Look a file over that somebody else laid out.  OSError: EIO, EFBIG; it cannot be changed."""
        await self._volume.examine(content)


S = TypeVar("S", bound=Base)
R = TypeVar("R", bound=wire.Request)


def changing(handler: Callable[[S, R], Reply]) -> Callable[[S, R], Reply]:
    """A handler that makes nodes dirty: it waits while too many of them are, so that memory stays bounded.

    It is called again when a file of another layout was looked over, before which that cannot be changed.
    """

    @wraps(handler)
    def bounded(self: S, request: R) -> Reply:
        if len(self._tree.dirty) < CROWDED:
            try:
                return handler(self, request)
            except Unexamined as found:
                return examined(self, request, found.content)
        return later(self, request)

    async def later(self: S, request: R) -> Answer:
        await self.room()
        reply = bounded(self, request)
        return await _answer(reply)

    async def examined(self: S, request: R, content: Content) -> Answer:
        await self.examine(content)
        reply = bounded(self, request)
        return await _answer(reply)

    return bounded


async def _answer(reply: Reply) -> Answer:
    if isinstance(reply, Future):
        answer: Answer = await trio.to_thread.run_sync(reply.result)
        return answer
    return await reply if isinstance(reply, Awaitable) else reply
