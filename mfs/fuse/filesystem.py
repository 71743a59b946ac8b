"""One method per opcode, over the tree.

The warm path is plain methods that return bytes.  Three things are waited for, in a task of the request's own: bytes
that are not in the page cache, the log (`fsync`), and a commit (somebody asks for the CID of what is not hashed yet).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Awaitable
from typing import ClassVar

import trio

from mfs.blocks.appender import Appender
from mfs.blocks.pieces import Piece, total_length
from mfs.copy import copy_range
from mfs.fuse.attributes import ABSENT, attr_out, entry_out
from mfs.tree.listing import Listing
from mfs.tree.node import Directory, File, Node, Symlink
from mfs.tree.record import ROOT_INO
from mfs.tree.tree import NAME_MAX, Tree
from mfs.unixfs.cid import CID, cid_str
from mfs.volume import Volume
from rawfuse import Filesystem, wire
from rawfuse.filesystem import Answer, Reply
from rawfuse.session.negotiation import DEFAULT_WANTS
from rawfuse.wire import constants as c
from rawfuse.wire.dirent import DirentBuffer, DirentPlusBuffer
from rawfuse.wire.flags import InitFlags

XATTR_CID = b"ipfs.cid"
"""The extended attribute that holds a node's CID, as kubo names it."""

OWN_SEGMENT = 1 << 20
"""A file that is written beyond this offset gets a segment of its own."""
_APPENDERS = 32
_MAX_READ = 2 << 20
"""Bytes of a reply to READ, READDIR and READDIRPLUS; what was agreed on at INIT keeps the kernel at half of it."""
_SECOND = 1_000_000_000
_SIGNED = 1 << 63

_OPENED = wire.fuse_open_out(open_flags=c.FOPEN_KEEP_CACHE | c.FOPEN_NOFLUSH).pack()
_write_out = wire.fuse_write_out.pack_flat


class MFS(Filesystem):
    """The files of a :class:`~mfs.volume.Volume`.

    Closing a file has nothing to do, so FLUSH is not asked for (FOPEN_NOFLUSH, 7.35) and answered at once by older
    kernels.  Locks are the kernel's own; it checks permissions too (``default_permissions``).
    """

    wants: ClassVar[InitFlags] = (
        (DEFAULT_WANTS & ~InitFlags.FUSE_AUTO_INVAL_DATA)
        | InitFlags.FUSE_ATOMIC_O_TRUNC
        | InitFlags.FUSE_HANDLE_KILLPRIV_V2
        | InitFlags.FUSE_ALLOW_IDMAP
        | (InitFlags.FUSE_DIRECT_IO_ALLOW_MMAP)
    )

    def __init__(self, volume: Volume, *, read_only: bool = False) -> None:
        self._volume = volume
        self._tree: Tree = volume.tree
        self._segments = volume.store.segments
        self._chunk = volume.profile.chunk_size
        self._read_only = read_only
        self._listings: dict[int, Listing] = {}
        self._next_handle = 1
        self._appenders: dict[Appender, File] = {}
        self._buffer = memoryview(bytearray(_MAX_READ))

    def forget(self, nodeid: int, nlookup: int) -> None:
        self._tree.forget(nodeid, nlookup)

    # -- names ----------------------------------------------------------------------------------------------------

    def _entry(self, node: Node) -> bytes:
        """The reply that gives the kernel one more reference."""
        lookups = self._tree.lookups
        ino = node.ino
        lookups[ino] = lookups.get(ino, 0) + 1
        return node.packed or entry_out(node, self._chunk)

    def lookup(self, request: wire.Lookup) -> Reply:
        tree = self._tree
        name = request.name
        if len(name) > NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        entry = tree.entry(tree.directory(request.nodeid), name)
        if entry is None:
            return ABSENT
        return self._entry(tree.nodes.get(entry.ino) or tree.node(entry.ino))

    def _make(self, request: wire.Request, name: bytes, mode: int, *, rdev: int = 0, target: bytes = b"") -> Node:
        tree = self._tree
        return tree.create(
            tree.directory(request.nodeid), name, mode, request.uid, request.gid, rdev=rdev, target=target
        )

    def mknod(self, request: wire.MkNod) -> Reply:
        return self._entry(self._make(request, request.name, request.arg.mode, rdev=request.arg.rdev))

    def mkdir(self, request: wire.MkDir) -> Reply:
        return self._entry(self._make(request, request.name, stat.S_IFDIR | request.arg.mode & 0o7777))

    def symlink(self, request: wire.Symlink) -> Reply:
        return self._entry(self._make(request, request.name, stat.S_IFLNK | 0o777, target=request.target))

    def create(self, request: wire.Create) -> Reply:
        node = self._make(request, request.name, stat.S_IFREG | request.arg.mode & 0o7777)
        return self._entry(node) + _OPENED

    def link(self, request: wire.Link) -> Reply:
        node = self._tree.node(request.arg.oldnodeid)
        self._tree.link(node, self._tree.directory(request.nodeid), request.name)
        return self._entry(node)

    def unlink(self, request: wire.Unlink) -> Reply:
        self._tree.unlink(self._tree.directory(request.nodeid), request.name)
        return None

    def rmdir(self, request: wire.RmDir) -> Reply:
        self._tree.rmdir(self._tree.directory(request.nodeid), request.name)
        return None

    def rename(self, request: wire.Rename) -> Reply:
        tree = self._tree
        tree.rename(tree.directory(request.nodeid), request.name, tree.directory(request.arg.newdir), request.newname)
        return None

    def rename2(self, request: wire.Rename2) -> Reply:
        tree = self._tree
        parent, into = tree.directory(request.nodeid), tree.directory(request.arg.newdir)
        flags = request.arg.flags
        if flags == _RENAME_EXCHANGE:
            tree.exchange(parent, request.name, into, request.newname)
        elif flags & ~_RENAME_NOREPLACE:
            raise OSError(errno.EINVAL, f"rename flags {flags:#x}")
        else:
            tree.rename(parent, request.name, into, request.newname, replace=not flags)
        return None

    def readlink(self, request: wire.ReadLink) -> Reply:
        node = self._tree.node(request.nodeid)
        if not isinstance(node, Symlink):
            raise OSError(errno.EINVAL, "not a symbolic link")
        return node.target

    # -- attributes -----------------------------------------------------------------------------------------------

    def getattr(self, request: wire.GetAttr) -> Reply:
        tree = self._tree
        return attr_out(tree.nodes.get(request.nodeid) or tree.node(request.nodeid), self._chunk)

    def setattr(self, request: wire.SetAttr) -> Reply:
        tree, arg = self._tree, request.arg
        valid = arg.valid
        node = tree.node(request.nodeid)
        now = tree.clock()
        if valid & c.FATTR_SIZE:
            file = tree.file(request.nodeid)
            if arg.size >= _SIGNED:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            if arg.size != file.content.size:
                file.content.truncate(arg.size)
            file.mtime = now
        if valid & c.FATTR_KILL_SUIDGID:
            _kill_suidgid(node)
        if valid & c.FATTR_MODE:
            node.mode = stat.S_IFMT(node.mode) | arg.mode & 0o7777
        if valid & c.FATTR_UID:
            node.uid = arg.uid
        if valid & c.FATTR_GID:
            node.gid = arg.gid
        if valid & c.FATTR_ATIME:
            node.atime = now if valid & c.FATTR_ATIME_NOW else _nanoseconds(arg.atime, arg.atimensec)
        if valid & c.FATTR_MTIME:
            node.mtime = now if valid & c.FATTR_MTIME_NOW else _nanoseconds(arg.mtime, arg.mtimensec)
        node.ctime = now
        tree.touched(node)
        return attr_out(node, self._chunk)

    def statfs(self, request: wire.StatFs) -> Reply:
        on = os.statvfs(self._volume.path)
        return wire.fuse_statfs_out(
            wire.fuse_kstatfs(
                on.f_blocks,
                on.f_bfree,
                on.f_bavail,
                on.f_files,
                on.f_ffree,
                on.f_bsize,
                NAME_MAX,
                on.f_frsize,
            )
        )

    def getxattr(self, request: wire.GetXAttr) -> Reply:
        if request.name != XATTR_CID:
            # Without FUSE_POSIX_ACL the kernel asks for them as for any attribute, and ENODATA would promise support.
            code = errno.EOPNOTSUPP if request.name.startswith(b"system.posix_acl_") else errno.ENODATA
            raise OSError(code, os.strerror(code))
        node = self._tree.node(request.nodeid)
        if isinstance(node, File) and node.content.clean and node.content.base is not None:
            return _sized(cid_str(node.content.base).encode(), request.arg.size)
        if node.cid is not None and (
            isinstance(node, Symlink) or (isinstance(node, Directory) and self._volume.settled)
        ):
            return _sized(cid_str(node.cid).encode(), request.arg.size)
        return self._committed_cid(node, request.arg.size)

    async def _committed_cid(self, node: Node, size: int) -> Answer:
        await self._volume.commit()
        if node.cid is None:
            raise OSError(errno.ENODATA, "it has no CID")
        return _sized(cid_str(CID(node.cid)).encode(), size)

    def listxattr(self, request: wire.ListXAttr) -> Reply:
        node = self._tree.node(request.nodeid)
        names = XATTR_CID + b"\0" if isinstance(node, File | Directory | Symlink) else b""
        return _sized(names, request.arg.size)

    # -- files ----------------------------------------------------------------------------------------------------

    def open(self, request: wire.Open) -> Reply:
        arg = request.arg
        if arg.flags & os.O_TRUNC:
            file = self._tree.file(request.nodeid)
            if file.content.size:
                file.content.truncate(0)
            file.mtime = file.ctime = self._tree.clock()
            if arg.open_flags & c.FUSE_OPEN_KILL_SUIDGID:
                _kill_suidgid(file)
            self._tree.touched(file)
        return _OPENED

    def flush(self, request: wire.Flush) -> Reply:
        return None

    def release(self, request: wire.Release) -> Reply:
        return None

    def read(self, request: wire.Read) -> Reply:
        arg = request.arg
        tree = self._tree
        content = tree.file(request.nodeid).content
        offset, size = arg.offset, arg.size
        if size > _MAX_READ:
            raise OSError(errno.EINVAL, f"a read of {size} bytes")
        pieces = content.read(offset, size)
        if not pieces:
            return b""
        length = total_length(pieces)
        out = self._buffer[:length]
        try:
            self._segments.read_nowait(pieces, 0, out)
        except BlockingIOError:
            return self._read_cold(pieces, length)
        return out

    async def _read_cold(self, pieces: list[Piece], length: int) -> Answer:
        out = memoryview(bytearray(length))
        self._tree.pinned += 1
        try:
            await trio.to_thread.run_sync(self._segments.read_into, pieces, 0, out)
        finally:
            self._tree.pinned -= 1
        return out

    def write(self, request: wire.Write) -> Reply:
        arg = request.arg
        tree = self._tree
        file = tree.file(request.nodeid)
        data = request.data
        size = len(data)
        offset = arg.offset
        if offset + size >= _SIGNED:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if offset + size > OWN_SEGMENT:
            piece = self._appender(file).append(data)
        else:
            piece = self._segments.shared.append(data)
        file.content.write(offset, piece)
        if arg.write_flags & c.FUSE_WRITE_KILL_SUIDGID:
            _kill_suidgid(file)
        file.mtime = file.ctime = tree.clock()
        tree.touched(file)
        return _write_out(size)

    def _appender(self, file: File) -> Appender:
        appender = file.appender
        if isinstance(appender, Appender):
            return appender
        if len(self._appenders) >= _APPENDERS:
            oldest = next(iter(self._appenders))
            file_of_it = self._appenders.pop(oldest)
            oldest.close()
            if file_of_it.appender is oldest:
                file_of_it.appender = None
        appender = file.appender = self._segments.appender()
        self._appenders[appender] = file
        return appender

    def copy_file_range(self, request: wire.CopyFileRange) -> Reply:
        return _write_out(self._copy(request.nodeid, request.arg, 0xFFFF_F000))

    def copy_file_range_64(self, request: wire.CopyFileRange64) -> Reply:
        return wire.fuse_copy_file_range_out(self._copy(request.nodeid, request.arg, _SIGNED))

    def _copy(self, nodeid: int, arg: wire.fuse_copy_file_range_in, most: int) -> int:
        tree = self._tree
        source, target = tree.file(nodeid), tree.file(arg.nodeid_out)
        length = min(arg.len, most)
        if arg.flags or arg.off_in >= _SIGNED or arg.off_out + min(length, source.size) >= _SIGNED:
            raise OSError(errno.EINVAL, "a copy with flags or beyond the largest offset")
        copied = copy_range(source.content, arg.off_in, target.content, arg.off_out, length)
        if copied:
            target.mtime = target.ctime = tree.clock()
            tree.touched(target)
        return copied

    def lseek(self, request: wire.LSeek) -> Reply:
        arg = request.arg
        content = self._tree.file(request.nodeid).content
        offset = arg.offset
        if offset >= content.size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        ranges = content.data_from(offset)
        if arg.whence == os.SEEK_DATA:
            for start, _ in ranges:
                return wire.fuse_lseek_out(start)
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        if arg.whence != os.SEEK_HOLE:
            raise OSError(errno.EINVAL, f"whence {arg.whence}")
        for start, stop in ranges:
            if start > offset:
                break
            offset = stop
        return wire.fuse_lseek_out(min(offset, content.size))

    def fsync(self, request: wire.FSync) -> Reply:
        return self._sync(self._tree.node(request.nodeid))

    def fsyncdir(self, request: wire.FSyncDir) -> Reply:
        return self._sync(self._tree.node(request.nodeid))

    def _sync(self, node: Node) -> Awaitable[None]:
        return self._volume.sync(node)

    # -- directories ----------------------------------------------------------------------------------------------

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
        buffer = DirentBuffer(min(arg.size, _MAX_READ))
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
        buffer = DirentPlusBuffer(min(arg.size, _MAX_READ))
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
                tree.lookups[entry.ino] = tree.lookups.get(entry.ino, 0) + 1
        return buffer.data

    def _dots(self, directory: Directory) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
        parent = directory.references[0][0] if directory.references else ROOT_INO
        return (b".", directory.ino), (b"..", parent)


_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2


def _kill_suidgid(node: Node) -> None:
    """What a write by somebody else does: no set-user-ID, and no set-group-ID where it means that."""
    if node.mode & stat.S_ISUID:
        node.mode &= ~stat.S_ISUID
    if node.mode & stat.S_ISGID and node.mode & stat.S_IXGRP:
        node.mode &= ~stat.S_ISGID


def _nanoseconds(seconds: int, nanoseconds: int) -> int:
    """The time, from 1677 to 2262 in 64 bits; what lies beyond becomes the nearest of these, as Linux has it."""
    if seconds >= _SIGNED:
        seconds -= 2 * _SIGNED
    return max(-_SIGNED, min(seconds * _SECOND + nanoseconds, _SIGNED - 1))


def _sized(value: bytes, size: int) -> Answer:
    """The reply to GETXATTR and LISTXATTR: how long it is where `size` is 0, else the value.  ERANGE."""
    if not size:
        return wire.fuse_getxattr_out(len(value))
    if len(value) > size:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return value
