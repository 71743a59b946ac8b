"""Listing directories."""

from __future__ import annotations

import errno
import stat

from mfs.fuse.attributes import ABSENT, entry_out
from mfs.fuse.base import MAX_READ, Base
from mfs.tree.listing import Listing
from mfs.tree.node import Directory
from mfs.tree.record import ROOT_INO
from mfs.volume import Volume
from rawfuse import wire
from rawfuse.filesystem import Reply
from rawfuse.wire import constants as c
from rawfuse.wire.dirent import DirentBuffer, DirentPlusBuffer


class Directories(Base):
    """Open directories."""

    def __init__(self, volume: Volume, *, read_only: bool = False) -> None:
        super().__init__(volume, read_only=read_only)
        self._listings: dict[int, Listing] = {}
        self._next_handle = 1

    def opendir(self, request: wire.OpenDir) -> Reply:
        directory = self._tree.directory(request.nodeid)
        handle = self._next_handle
        self._next_handle = handle + 1
        self._listings[handle] = Listing(self._tree, directory)
        return wire.fuse_open_out(fh=handle, open_flags=c.FOPEN_KEEP_CACHE | c.FOPEN_CACHE_DIR)

    def releasedir(self, request: wire.ReleaseDir) -> Reply:
        self._listings.pop(request.arg.fh, None)
        return None

    def _listing(self, nodeid: int, handle: int) -> tuple[Directory, Listing]:
        listing = self._listings.get(handle)
        if listing is None:
            raise OSError(errno.EBADF, "a directory handle that is not open")
        return self._tree.directory(nodeid), listing

    def readdir(self, request: wire.ReadDir) -> Reply:
        arg = request.arg
        directory, listing = self._listing(request.nodeid, arg.fh)
        buffer = DirentBuffer(min(arg.size, MAX_READ))
        offset = arg.offset
        for place, (name, ino) in enumerate(self._dots(directory), 1):
            if offset < place and not buffer.add(name, ino, place, stat.S_IFDIR >> 12):
                return buffer.data
        while listed := listing.after(offset):
            for offset, name, entry in listed:
                if not buffer.add(name, entry.ino, offset, entry.dtype):
                    return buffer.data
        return buffer.data

    def readdirplus(self, request: wire.ReadDirPlus) -> Reply:
        arg, tree = request.arg, self._tree
        directory, listing = self._listing(request.nodeid, arg.fh)
        buffer = DirentPlusBuffer(min(arg.size, MAX_READ))
        offset = arg.offset
        for place, (name, ino) in enumerate(self._dots(directory), 1):
            if offset < place and not buffer.add(name, ino, place, stat.S_IFDIR >> 12, ABSENT):
                return buffer.data
        while listed := listing.after(offset):
            for offset, name, entry in listed:
                node = tree.nodes.get(entry.ino) or tree.node(entry.ino)
                packed = node.packed or entry_out(node, self._chunk)
                if not buffer.add(name, entry.ino, offset, entry.dtype, packed):
                    return buffer.data
                tree.lookups.add(entry.ino)
        return buffer.data

    def _dots(self, directory: Directory) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
        parent = directory.references[0][0] if directory.references else ROOT_INO
        return (b".", directory.ino), (b"..", parent)
