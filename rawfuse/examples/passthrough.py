"""Another directory, shown here: `rawfuse mount rawfuse.examples.passthrough:Passthrough DIR SOURCE`, as root.

Names and attributes pass through this program; bytes do not: where the kernel agrees (PASSTHROUGH, Linux 6.9, and root,
as it takes CAP_SYS_ADMIN) it reads and writes the files of SOURCE itself. DIR must not lie in SOURCE, or this program
would wait for its own answers.

Everything is a plain method that asks SOURCE and waits for it, as is right where it is a local disk.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import resource
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import time_ns
from typing import ClassVar, Final

from rawfuse import DEFAULT_WANTS, DeviceChannel, Filesystem, Negotiated, Reply, wire
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

__all__ = ["Passthrough"]

_log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)  # Python has posix_fallocate alone, which makes no holes

VALID: Final = 1
"""Seconds for which the kernel may believe us: others may change SOURCE."""
_NO_ENTRY: Final = wire.fuse_entry_out().pack()
_SECOND: Final = 1_000_000_000
_U64: Final = (1 << 64) - 1


@dataclass
class Inode:
    """An inode of SOURCE, kept by an O_PATH descriptor: whatever becomes of its names, it stays this one.

    A file that one handle passes through may not be read by way of the page cache by another (EIO): so `backing_id` (0:
    none) is decided by the first of the handles that are open together, and holds for all of them.
    """

    nodeid: int
    fd: int
    key: tuple[int, int]
    nlookup: int = 0
    handles: int = 0
    backing_id: int = 0

    @property
    def path(self) -> str:
        """A path that leads to it even when it is a symbolic link or has lost its name."""
        return f"/proc/self/fd/{self.fd}"


@dataclass
class Listing:
    fd: int
    entries: list[tuple[bytes, int, int]] = field(default_factory=list)


class Passthrough(Filesystem):
    wants: ClassVar[InitFlags] = DEFAULT_WANTS | InitFlags.FUSE_PASSTHROUGH
    max_stack_depth: ClassVar[int] = 1

    def __init__(self, source: str) -> None:
        os.umask(0)  # the kernel has applied the caller's
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # one descriptor for each inode the kernel knows
        fd = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        root = Inode(1, fd, _key(os.fstat(fd)))
        self.inodes = {1: root}
        self.by_key = {root.key: root}
        self.listings: dict[int, Listing] = {}
        self.last_nodeid = 1
        self.passes = False

    def init(self, negotiated: Negotiated) -> None:
        self.passes = bool(negotiated.flags & InitFlags.FUSE_PASSTHROUGH)
        if not self.passes:
            _log.warning("this kernel has no passthrough (Linux 6.9): reads and writes go through this program")

    # Names

    def lookup(self, request: wire.Lookup) -> Reply:
        outwards = request.name == b".." and request.nodeid == 1
        return self._entry(self.inodes[request.nodeid], b"." if outwards else request.name)

    def _entry(self, parent: Inode, name: bytes) -> bytes:
        """fuse_entry_out; the kernel holds one more reference then."""
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.fd)
        found = os.fstat(fd)
        inode = self.by_key.get(_key(found))
        if inode is None:
            self.last_nodeid += 1
            inode = Inode(self.last_nodeid, fd, _key(found))
            self.inodes[inode.nodeid] = self.by_key[inode.key] = inode
        else:
            os.close(fd)
        inode.nlookup += 1
        return wire.fuse_entry_out(inode.nodeid, 0, VALID, VALID, 0, 0, _attributes(found)).pack()

    def forget(self, nodeid: int, nlookup: int) -> None:
        inode = self.inodes[nodeid]
        inode.nlookup -= nlookup
        if inode.nlookup <= 0 and nodeid != 1:
            os.close(inode.fd)
            del self.inodes[nodeid], self.by_key[inode.key]

    def mkdir(self, request: wire.MkDir) -> Reply:
        parent = self.inodes[request.nodeid]
        os.mkdir(request.name, request.arg.mode, dir_fd=parent.fd)
        return self._made(request, parent, request.name)

    def mknod(self, request: wire.MkNod) -> Reply:
        parent = self.inodes[request.nodeid]
        os.mknod(request.name, request.arg.mode, request.arg.rdev, dir_fd=parent.fd)
        return self._made(request, parent, request.name)

    def symlink(self, request: wire.Symlink) -> Reply:
        parent = self.inodes[request.nodeid]
        os.symlink(request.target, request.name, dir_fd=parent.fd)
        return self._made(request, parent, request.name)

    def _made(self, request: wire.Request, parent: Inode, name: bytes) -> bytes:
        """Gives to the caller what this program has made, but for the group where the directory is set-gid."""
        inherits = os.fstat(parent.fd).st_mode & stat.S_ISGID
        before = os.stat(name, dir_fd=parent.fd, follow_symlinks=False).st_mode
        os.chown(name, request.uid, -1 if inherits else request.gid, dir_fd=parent.fd, follow_symlinks=False)
        if before & (stat.S_ISUID | stat.S_ISGID) and not stat.S_ISLNK(before):
            os.chmod(name, stat.S_IMODE(before), dir_fd=parent.fd)  # chown has cleared these bits
        return self._entry(parent, name)

    def link(self, request: wire.Link) -> Reply:
        parent = self.inodes[request.nodeid]
        os.link(self.inodes[request.arg.oldnodeid].path, request.name, dst_dir_fd=parent.fd, follow_symlinks=True)
        return self._entry(parent, request.name)

    def unlink(self, request: wire.Unlink) -> Reply:
        os.unlink(request.name, dir_fd=self.inodes[request.nodeid].fd)
        return None

    def rmdir(self, request: wire.RmDir) -> Reply:
        os.rmdir(request.name, dir_fd=self.inodes[request.nodeid].fd)
        return None

    def rename(self, request: wire.Rename) -> Reply:
        old, new = self.inodes[request.nodeid], self.inodes[request.arg.newdir]
        os.rename(request.name, request.newname, src_dir_fd=old.fd, dst_dir_fd=new.fd)
        return None

    def rename2(self, request: wire.Rename2) -> Reply:
        old, new = self.inodes[request.nodeid], self.inodes[request.arg.newdir]
        if _libc.renameat2(old.fd, request.name, new.fd, request.newname, request.arg.flags):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return None

    def readlink(self, request: wire.ReadLink) -> Reply:
        return os.readlink(b"", dir_fd=self.inodes[request.nodeid].fd)

    def opendir(self, request: wire.OpenDir) -> Reply:
        fd = os.open(self.inodes[request.nodeid].path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.listings[fd] = Listing(fd)
        return wire.fuse_open_out(fd)

    def readdir(self, request: wire.ReadDir) -> Reply:
        reply = wire.DirentBuffer(request.arg.size)
        for cookie, name, ino, kind in self._listed(request.arg):
            if not reply.add(name, ino, cookie, kind):
                break
        return reply.data

    def readdirplus(self, request: wire.ReadDirPlus) -> Reply:
        parent = self.inodes[request.nodeid]
        reply = wire.DirentPlusBuffer(request.arg.size)
        for cookie, name, ino, kind in self._listed(request.arg):
            try:
                entry = self._entry(parent, name)
            except OSError:  # removed meanwhile: no entry, which the kernel then looks up itself
                entry = _NO_ENTRY
            if not reply.add(name, ino, cookie, kind, entry):
                if entry is not _NO_ENTRY:
                    self.forget(wire.fuse_entry_out.unpack_from(entry).nodeid, 1)
                break
        return reply.data

    def _listed(self, arg: wire.fuse_read_in) -> Iterator[tuple[int, bytes, int, int]]:
        """What follows the offset: the next offset, name, inode number and type."""
        listing, offset = self.listings[arg.fh], arg.offset
        if offset == 0:  # opened, or rewound
            with os.scandir(listing.fd) as found:
                listing.entries = [(os.fsencode(one.name), one.inode(), _type(one)) for one in found]
        for number, entry in enumerate(listing.entries[offset:], offset + 1):
            yield number, *entry

    def releasedir(self, request: wire.ReleaseDir) -> Reply:
        os.close(self.listings.pop(request.arg.fh).fd)
        return None

    # Attributes

    def getattr(self, request: wire.GetAttr) -> Reply:
        return wire.fuse_attr_out(VALID, 0, _attributes(os.fstat(self.inodes[request.nodeid].fd)))

    def setattr(self, request: wire.SetAttr) -> Reply:
        inode, arg, valid = self.inodes[request.nodeid], request.arg, request.arg.valid
        if valid & (c.FATTR_UID | c.FATTR_GID):
            os.chown(inode.path, arg.uid if valid & c.FATTR_UID else -1, arg.gid if valid & c.FATTR_GID else -1)
        if valid & c.FATTR_MODE:
            os.chmod(inode.path, stat.S_IMODE(arg.mode))
        if valid & c.FATTR_SIZE:
            os.truncate(inode.path, arg.size)
        if valid & (c.FATTR_ATIME | c.FATTR_MTIME):
            now, was = time_ns(), os.fstat(inode.fd)
            atime, mtime = was.st_atime_ns, was.st_mtime_ns
            if valid & c.FATTR_ATIME:
                atime = now if valid & c.FATTR_ATIME_NOW else _nanoseconds(arg.atime, arg.atimensec)
            if valid & c.FATTR_MTIME:
                mtime = now if valid & c.FATTR_MTIME_NOW else _nanoseconds(arg.mtime, arg.mtimensec)
            os.utime(inode.path, ns=(atime, mtime))
        return wire.fuse_attr_out(VALID, 0, _attributes(os.fstat(inode.fd)))

    def statfs(self, request: wire.StatFs) -> Reply:
        on = os.fstatvfs(self.inodes[1].fd)
        return wire.fuse_statfs_out(
            wire.fuse_kstatfs(
                on.f_blocks, on.f_bfree, on.f_bavail, on.f_files, on.f_ffree, on.f_bsize, on.f_namemax, on.f_frsize
            )
        )

    def getxattr(self, request: wire.GetXAttr) -> Reply:
        return _sized(os.getxattr(self.inodes[request.nodeid].path, _plain(request.name)), request.arg.size)

    def listxattr(self, request: wire.ListXAttr) -> Reply:
        names = os.listxattr(self.inodes[request.nodeid].path)
        return _sized(b"".join(os.fsencode(name) + b"\0" for name in names), request.arg.size)

    def setxattr(self, request: wire.SetXAttr) -> Reply:
        os.setxattr(self.inodes[request.nodeid].path, _plain(request.name), request.value, request.arg.flags)
        return None

    def removexattr(self, request: wire.RemoveXAttr) -> Reply:
        os.removexattr(self.inodes[request.nodeid].path, _plain(request.name))
        return None

    # Open files: their handle is the descriptor itself

    def create(self, request: wire.Create) -> Reply:
        parent, arg = self.inodes[request.nodeid], request.arg
        fd = os.open(request.name, arg.flags | os.O_CREAT | os.O_CLOEXEC, arg.mode, dir_fd=parent.fd)
        try:
            entry = self._made(request, parent, request.name)
        except BaseException:
            os.close(fd)
            raise
        return entry + self._opened(self.by_key[_key(os.fstat(fd))], fd)

    def open(self, request: wire.Open) -> Reply:
        inode = self.inodes[request.nodeid]
        return self._opened(inode, os.open(inode.path, request.arg.flags & ~os.O_NOFOLLOW | os.O_CLOEXEC))

    def _opened(self, inode: Inode, fd: int) -> bytes:
        """fuse_open_out: with FOPEN_PASSTHROUGH the kernel reads and writes `fd`'s file, and asks us no more."""
        if inode.handles == 0 and self.passes:
            inode.backing_id = self._backing(fd)
        inode.handles += 1
        flags = c.FOPEN_PASSTHROUGH if inode.backing_id else 0
        return wire.fuse_open_out(fd, flags, inode.backing_id).pack()

    def _backing(self, fd: int) -> int:
        """The file's number in the kernel, or 0 where it cannot pass it through."""
        channel = self.server.channel
        if not isinstance(channel, DeviceChannel):
            return 0
        try:
            return channel.backing_open(fd)
        except PermissionError:
            self.passes = False
            _log.warning("only root's files pass through the kernel: reads and writes go through this program")
        except OSError as error:
            _log.info("this file cannot pass through the kernel: %s", error)
        return 0

    def release(self, request: wire.Release) -> Reply:
        inode = self.inodes[request.nodeid]
        os.close(request.arg.fh)
        inode.handles -= 1
        if inode.handles == 0 and inode.backing_id:
            backing_id, inode.backing_id = inode.backing_id, 0
            if isinstance(self.server.channel, DeviceChannel):
                self.server.channel.backing_close(backing_id)
        return None

    def read(self, request: wire.Read) -> Reply:
        return os.pread(request.arg.fh, request.arg.size, request.arg.offset)

    def write(self, request: wire.Write) -> Reply:
        return wire.fuse_write_out(os.pwrite(request.arg.fh, request.data, request.arg.offset))

    def flush(self, request: wire.Flush) -> Reply:
        os.close(os.dup(request.arg.fh))  # so that closing tells its errors
        return None

    def fsync(self, request: wire.FSync) -> Reply:
        (os.fdatasync if request.arg.fsync_flags & c.FUSE_FSYNC_FDATASYNC else os.fsync)(request.arg.fh)
        return None

    def fsyncdir(self, request: wire.FSyncDir) -> Reply:
        os.fsync(request.arg.fh)
        return None

    def lseek(self, request: wire.LSeek) -> Reply:
        return wire.fuse_lseek_out(os.lseek(request.arg.fh, request.arg.offset, request.arg.whence))

    def fallocate(self, request: wire.Fallocate) -> Reply:
        arg = request.arg
        if _libc.fallocate(arg.fh, arg.mode, ctypes.c_long(arg.offset), ctypes.c_long(arg.length)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return None

    def copy_file_range_64(self, request: wire.CopyFileRange64) -> Reply:
        arg = request.arg
        return wire.fuse_copy_file_range_out(
            os.copy_file_range(arg.fh_in, arg.fh_out, arg.len, arg.off_in, arg.off_out)
        )


def _key(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _type(entry: os.DirEntry[str]) -> int:
    if entry.is_symlink():
        return stat.S_IFLNK >> 12
    if entry.is_dir():
        return stat.S_IFDIR >> 12
    return stat.S_IFREG >> 12 if entry.is_file() else 0  # 0: it will be asked


def _nanoseconds(seconds: int, rest: int) -> int:
    """Times before 1970 come as two's complement."""
    return (seconds - (1 << 64) if seconds >> 63 else seconds) * _SECOND + rest


def _attributes(found: os.stat_result) -> wire.fuse_attr:
    atime, mtime, ctime = (
        divmod(moment, _SECOND) for moment in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    )
    return wire.fuse_attr(
        found.st_ino,
        found.st_size,
        found.st_blocks,
        atime[0] & _U64,
        mtime[0] & _U64,
        ctime[0] & _U64,
        atime[1],
        mtime[1],
        ctime[1],
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_rdev,
        found.st_blksize,
    )


def _plain(name: bytes) -> bytes:
    """Not ACLs: they would be SOURCE's, and the kernel would check without them here."""
    if name.startswith(b"system.posix_acl_"):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    return name


def _sized(value: bytes, size: int) -> Reply:
    if size == 0:
        return wire.fuse_getxattr_out(len(value))
    if len(value) > size:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    return value
