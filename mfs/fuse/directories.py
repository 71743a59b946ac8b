"""Listing directories."""

from __future__ import annotations

import errno
import stat
from typing import TypeAlias

from mfs.fuse.attributes import ABSENT, brief_entry_out, entry_out
from mfs.fuse.base import MAX_READ, Base
from mfs.tree.listing import Listing
from mfs.tree.node import Directory
from mfs.tree.numbers import FIRST_VIEW, IPFS_INO, SNAPSHOTS_INO
from mfs.tree.record import ROOT_INO, Entry
from mfs.views import is_view
from mfs.views.view import Listing as ViewListing
from mfs.volume import Volume
from rawfuse import wire
from rawfuse.filesystem import Reply
from rawfuse.wire import constants as c
from rawfuse.wire.dirent import DirentBuffer, DirentPlusBuffer

AnyListing: TypeAlias = Listing | ViewListing

_REMEMBERED = 32_768
"""Directories of which is remembered whether they changed: 3 MiB, and a tree of more is listed anew each time."""


class Directories(Base):
    """Open directories."""

    def __init__(self, volume: Volume, *, read_only: bool = False) -> None:
        super().__init__(volume, read_only=read_only)
        self._listings: dict[int, AnyListing] = {}
        self._opened: dict[int, int] = {}
        """The ctime of directories when they were opened last."""
        self._next_handle = 1

    def opendir(self, request: wire.OpenDir) -> Reply:
        nodeid = request.nodeid
        handle = self._next_handle
        self._next_handle = handle + 1
        if not is_view(nodeid):
            directory = self._tree.directory(nodeid)
            self._listings[handle] = Listing(self._tree, directory)
            if not self._is_as_before(directory):
                return wire.fuse_open_out(fh=handle, open_flags=c.FOPEN_CACHE_DIR)
        elif nodeid == IPFS_INO:
            # It can be opened, to name things relative to it, and not be listed.
            return wire.fuse_open_out(fh=handle)
        else:
            view = self._views.of(nodeid)
            self._listings[handle] = view.listing(view.directory(nodeid))
            if nodeid == SNAPSHOTS_INO:
                return wire.fuse_open_out(fh=handle)
        return wire.fuse_open_out(fh=handle, open_flags=c.FOPEN_KEEP_CACHE | c.FOPEN_CACHE_DIR)

    def _is_as_before(self, directory: Directory) -> bool:
        """Whether nothing has changed since it was opened the last time.

        By itself the kernel lets go of a listing that it keeps only when somebody reads from the beginning: who opens
        the directory and goes on at an offset (NFS does) would be shown what is long gone (measured on Linux 6.18).
        """
        before = self._opened.pop(directory.ino, None)
        if len(self._opened) >= _REMEMBERED:
            del self._opened[next(iter(self._opened))]
        self._opened[directory.ino] = directory.ctime
        return before == directory.ctime

    def releasedir(self, request: wire.ReleaseDir) -> Reply:
        self._listings.pop(request.arg.fh, None)
        return None

    def _listing(self, nodeid: int, handle: int) -> tuple[Directory, AnyListing]:
        listing = self._listings.get(handle)
        if listing is None:
            if nodeid == IPFS_INO:
                raise OSError(errno.EPERM, "what is stored cannot be listed: name a CID")
            raise OSError(errno.EBADF, "a directory handle that is not open")
        return self._views.directory(nodeid), listing

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
                if is_view(entry.ino):
                    if not self._add_from_view(buffer, directory, offset, name, entry):
                        return buffer.data
                    continue
                node = tree.nodes.get(entry.ino) or tree.node(entry.ino)
                packed = node.packed or entry_out(node, self._chunk)
                if not buffer.add(name, entry.ino, offset, entry.dtype, packed):
                    return buffer.data
                tree.lookups.add(entry.ino)
        return buffer.data

    def _add_from_view(
        self, buffer: DirentPlusBuffer, directory: Directory, offset: int, name: bytes, entry: Entry
    ) -> bool:
        """The same for an entry of a view; one that cannot be read is listed all the same, without attributes."""
        try:
            node = self._views.of(directory.ino).child(directory, name)
        except OSError:
            node = None
        if node is None:
            return buffer.add(name, entry.ino, offset, entry.dtype, ABSENT)
        packed = entry_out if directory.ino >= FIRST_VIEW else brief_entry_out
        if not buffer.add(name, node.ino, offset, node.dtype, packed(node, self._chunk)):
            return False
        self._views.of(node.ino).add(node)
        return True

    def _dots(self, directory: Directory) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
        parent = directory.references[0][0] if directory.references else ROOT_INO
        return (b".", directory.ino), (b"..", parent)
