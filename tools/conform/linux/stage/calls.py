"""System calls by opcode: as a program makes them, and as requests of a kernel of our own."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

from rawfuse import wire as w
from rawfuse.session import Answered
from rawfuse.wire import constants as c

_libc: Final = ctypes.CDLL(None, use_errno=True)
Steps = Generator[w.Request, Answered, object]
Make = Callable[[], w.Request]


def ask(request: w.Request) -> Generator[w.Request, Answered, Answered]:
    """One request and what the caller gets of it; requests in its place where the kernel sends such."""
    answered = yield request
    if answered.instead:
        for opcode in answered.instead:
            try:
                answered = yield from ask(IN_PLACE[opcode]())
            except FileNotFoundError:
                if opcode != c.FUSE_LOOKUP:
                    raise
        return answered
    if answered.seen:
        raise OSError(answered.seen, os.strerror(answered.seen))
    return answered


@dataclass(frozen=True)
class SystemCall:
    """`real` on a dir_fd; for the other kernel `requests` in order, and `value` of the last answer."""

    opcode: int
    act: Callable[[int], object]
    requests: tuple[Make, ...]
    value: Callable[[Any], object] = lambda value: None

    def real(self, root: int) -> object:
        return self.act(root)

    def fake(self) -> Steps:
        last: Answered | None = None
        for make in self.requests:
            request = make()
            try:
                last = yield from ask(request)
            except FileNotFoundError:
                if not isinstance(request, w.Lookup) or request.name not in (b"new", b"g"):
                    raise
        return self.value(last.value) if last is not None else None


def path(root: int, name: str) -> str:
    return f"/proc/self/fd/{root}/{name}"


def opened(name: str, flags: int, use: Callable[[int], object], root: int) -> object:
    fd = os.open(name, flags, dir_fd=root)
    try:
        return use(fd)
    finally:
        os.close(fd)


def with_file(use: Callable[[int], object], flags: int = os.O_RDWR) -> Callable[[int], object]:
    return lambda root: opened("f", flags, use, root)


def with_directory(use: Callable[[int], object]) -> Callable[[int], object]:
    return lambda root: opened("d", os.O_RDONLY | os.O_DIRECTORY, use, root)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def rename2(root: int) -> object:
    return _checked(_libc.renameat2(root, b"f", root, b"g", 1))  # RENAME_NOREPLACE


def statx(root: int) -> object:
    # The time of birth is what GETATTR does not give.
    return _checked(_libc.statx(root, b"f", 0, 0x800, ctypes.create_string_buffer(256)))


def copy(root: int) -> object:
    source = os.open("f", os.O_RDONLY, dir_fd=root)
    target = os.open("f", os.O_WRONLY, dir_fd=root)
    try:
        return os.copy_file_range(source, target, 100, 0, 4096)
    finally:
        os.close(source)
        os.close(target)


def close(root: int) -> object:
    os.close(os.open("f", os.O_RDWR, dir_fd=root))
    return None


def poll(fd: int) -> object:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    events = [event for _, event in poller.poll(0)]
    if select.POLLERR in events:  # how poll(2) shows that the file system failed
        raise OSError(errno.EIO, "POLLERR")
    return events


def fallocate(fd: int) -> object:
    # posix_fallocate(3) would write zeros where the file system does not know it.
    _checked(_libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(10)))
    return None


def getlk(fd: int) -> object:
    return fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))[:2]


def posix_lock(command: int) -> Callable[[int], object]:
    return lambda fd: fcntl.fcntl(fd, command, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)) and None


def first_block(fd: int) -> object:
    block = bytearray(struct.pack("i", 0))
    fcntl.ioctl(fd, 1, block)  # FIBMAP
    return struct.unpack("i", block)[0]


def listed(root: int) -> object:
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    try:
        return [name.encode() for name in os.listdir(fd)]
    finally:
        os.close(fd)


def lookup(name: bytes) -> Make:
    return lambda: w.Lookup(nodeid=1, name=name)


F: Final = lookup(b"f")
D: Final = lookup(b"d")
OPEN: Final[Make] = lambda: w.Open(nodeid=2)  # noqa: E731
OPENDIR: Final[Make] = lambda: w.OpenDir(nodeid=3)  # noqa: E731
IN_PLACE: Final[dict[int, Make]] = {
    c.FUSE_LOOKUP: lookup(b"new"),
    c.FUSE_MKNOD: lambda: w.MkNod(nodeid=1, arg=w.fuse_mknod_in(mode=0o100644), name=b"new"),
    c.FUSE_OPEN: lambda: w.Open(nodeid=11),
    c.FUSE_GETATTR: lambda: w.GetAttr(nodeid=2),
    c.FUSE_COPY_FILE_RANGE: lambda: w.CopyFileRange(nodeid=2, arg=w.fuse_copy_file_range_in(nodeid_out=2, len=4096)),
    c.FUSE_READ: lambda: w.Read(nodeid=2, arg=w.fuse_read_in(size=4096)),
    c.FUSE_WRITE: lambda: w.Write(nodeid=2, arg=w.fuse_write_in(fh=7), data=bytes(4096)),
}

CALLS: Final = [
    SystemCall(c.FUSE_LOOKUP, lambda root: os.stat("f", dir_fd=root).st_ino, (F,), lambda value: value.attr.ino),
    SystemCall(
        c.FUSE_GETATTR, lambda root: os.stat(root).st_ino, (lambda: w.GetAttr(nodeid=1),), lambda value: value.attr.ino
    ),
    SystemCall(c.FUSE_SETATTR, lambda root: os.chmod("f", 0o600, dir_fd=root), (F, lambda: w.SetAttr(nodeid=2))),
    SystemCall(
        c.FUSE_READLINK,
        lambda root: os.readlink(b"l", dir_fd=root),
        (lookup(b"l"), lambda: w.ReadLink(nodeid=4)),
        lambda value: value.partition(b"\0")[0],
    ),
    SystemCall(
        c.FUSE_SYMLINK,
        lambda root: os.symlink("t", "new", dir_fd=root),
        (lookup(b"new"), lambda: w.Symlink(nodeid=1, name=b"new", target=b"t")),
    ),
    SystemCall(
        c.FUSE_MKNOD,
        lambda root: os.mknod("new", 0o100644, dir_fd=root),
        (lookup(b"new"), IN_PLACE[c.FUSE_MKNOD]),
    ),
    SystemCall(
        c.FUSE_MKDIR,
        lambda root: os.mkdir("new", dir_fd=root),
        (lookup(b"new"), lambda: w.MkDir(nodeid=1, name=b"new")),
    ),
    SystemCall(c.FUSE_UNLINK, lambda root: os.unlink("f", dir_fd=root), (F, lambda: w.Unlink(nodeid=1, name=b"f"))),
    SystemCall(c.FUSE_RMDIR, lambda root: os.rmdir("d", dir_fd=root), (D, lambda: w.RmDir(nodeid=1, name=b"d"))),
    SystemCall(
        c.FUSE_RENAME,
        lambda root: os.rename("f", "g", src_dir_fd=root, dst_dir_fd=root),
        (F, lookup(b"g"), lambda: w.Rename(nodeid=1, arg=w.fuse_rename_in(1), name=b"f", newname=b"g")),
    ),
    SystemCall(
        c.FUSE_RENAME2,
        rename2,
        (F, lookup(b"g"), lambda: w.Rename2(nodeid=1, arg=w.fuse_rename2_in(1, 1), name=b"f", newname=b"g")),
    ),
    SystemCall(
        c.FUSE_LINK,
        lambda root: os.link("f", "g", src_dir_fd=root, dst_dir_fd=root),
        (F, lookup(b"g"), lambda: w.Link(nodeid=1, arg=w.fuse_link_in(2), name=b"g")),
    ),
    SystemCall(c.FUSE_OPEN, with_file(lambda fd: None), (F, OPEN)),
    SystemCall(
        c.FUSE_READ,
        with_file(lambda fd: os.pread(fd, 100, 0)),
        (F, OPEN, lambda: w.Read(nodeid=2, arg=w.fuse_read_in(size=100))),
        lambda value: value,
    ),
    SystemCall(
        c.FUSE_WRITE,
        with_file(lambda fd: os.pwrite(fd, bytes(100), 0)),
        (F, OPEN, lambda: w.Write(nodeid=2, arg=w.fuse_write_in(fh=7), data=bytes(100))),
        lambda value: value.size,
    ),
    SystemCall(
        c.FUSE_STATFS, lambda root: os.fstatvfs(root).f_blocks, (lambda: w.StatFs(nodeid=1),), lambda v: v.st.blocks
    ),
    SystemCall(c.FUSE_FLUSH, close, (F, OPEN, lambda: w.Flush(nodeid=2))),
    SystemCall(c.FUSE_FSYNC, with_file(os.fsync), (F, OPEN, lambda: w.FSync(nodeid=2))),
    SystemCall(c.FUSE_FSYNCDIR, with_directory(os.fsync), (D, OPENDIR, lambda: w.FSyncDir(nodeid=3))),
    SystemCall(
        c.FUSE_SETXATTR,
        lambda root: os.setxattr(path(root, "f"), "user.a", b"1"),
        (F, lambda: w.SetXAttr(nodeid=2, name=b"user.a", value=b"1")),
    ),
    SystemCall(
        c.FUSE_GETXATTR,
        lambda root: os.getxattr(path(root, "f"), "user.a"),
        (F, lambda: w.GetXAttr(nodeid=2, arg=w.fuse_getxattr_in(size=128), name=b"user.a")),
        lambda value: value,
    ),
    SystemCall(
        c.FUSE_LISTXATTR,
        lambda root: os.listxattr(path(root, "f")),
        (F, lambda: w.ListXAttr(nodeid=2, arg=w.fuse_getxattr_in(size=256))),
        lambda value: [name.decode() for name in value.split(b"\0")[:-1]],
    ),
    SystemCall(
        c.FUSE_REMOVEXATTR,
        lambda root: os.removexattr(path(root, "f"), "user.a"),
        (F, lambda: w.RemoveXAttr(nodeid=2, name=b"user.a")),
    ),
    SystemCall(c.FUSE_OPENDIR, with_directory(lambda fd: None), (D, OPENDIR)),
    SystemCall(
        c.FUSE_READDIR,
        with_directory(lambda fd: [name.encode() for name in os.listdir(fd)]),
        (D, OPENDIR, lambda: w.ReadDir(nodeid=3, arg=w.fuse_read_in(size=32768))),
        lambda value: [one.name for one in value if one.ino and one.name],
    ),
    SystemCall(
        c.FUSE_ACCESS,
        lambda root: _checked(_libc.faccessat(root, b"f", os.R_OK, 0)),
        (F, lambda: w.Access(nodeid=2)),
        lambda value: 0,
    ),
    SystemCall(
        c.FUSE_CREATE,
        lambda root: opened("new", os.O_CREAT | os.O_RDWR, lambda fd: None, root),
        (lookup(b"new"), lambda: w.Create(nodeid=1, name=b"new")),
    ),
    SystemCall(
        c.FUSE_FALLOCATE,
        with_file(fallocate),
        (F, OPEN, lambda: w.Fallocate(nodeid=2)),
    ),
    SystemCall(
        c.FUSE_LSEEK,
        with_file(lambda fd: os.lseek(fd, 0, os.SEEK_HOLE)),
        (F, OPEN, lambda: w.LSeek(nodeid=2)),
        lambda value: getattr(value, "offset", 1 << 20),
    ),
    SystemCall(
        c.FUSE_COPY_FILE_RANGE_64,
        copy,
        (F, OPEN, OPEN, lambda: w.CopyFileRange64(nodeid=2, arg=w.fuse_copy_file_range_in(nodeid_out=2, len=100))),
        lambda value: getattr(value, "bytes_copied", getattr(value, "size", None)),
    ),
    SystemCall(
        c.FUSE_TMPFILE,
        lambda root: opened(".", os.O_TMPFILE | os.O_RDWR, lambda fd: None, root),
        (lambda: w.TmpFile(nodeid=1, name=b"/"),),
    ),
    SystemCall(c.FUSE_STATX, statx, (F, lambda: w.Statx(nodeid=2)), lambda value: 0),
    SystemCall(
        c.FUSE_IOCTL,
        with_file(lambda fd: fcntl.ioctl(fd, 0x1234)),
        (F, OPEN, lambda: w.Ioctl(nodeid=2)),
        lambda value: value.result,
    ),
    SystemCall(
        c.FUSE_POLL,
        with_file(poll),
        (F, OPEN, lambda: w.Poll(nodeid=2)),
        lambda value: [value.revents if value else select.POLLIN],
    ),
    SystemCall(
        c.FUSE_GETLK,
        with_file(getlk),
        (F, OPEN, lambda: w.GetLk(nodeid=2)),
        lambda value: struct.pack("h", value.lk.type),
    ),
    SystemCall(c.FUSE_SETLK, with_file(posix_lock(fcntl.F_SETLK)), (F, OPEN, lambda: w.SetLk(nodeid=2))),
    SystemCall(c.FUSE_SETLKW, with_file(posix_lock(fcntl.F_SETLKW)), (F, OPEN, lambda: w.SetLkW(nodeid=2))),
]
PLUS: Final = SystemCall(
    c.FUSE_READDIRPLUS,
    listed,
    (lambda: w.OpenDir(nodeid=1), lambda: w.ReadDirPlus(nodeid=1, arg=w.fuse_read_in(size=32768))),
    lambda value: [
        one.dirent.name for one in value if one.dirent.ino and one.dirent.name and one.dirent.name not in (b".", b"..")
    ],
)
"""Comes only where READDIRPLUS was agreed on."""

BLOCK_CALLS: Final = [
    SystemCall(c.FUSE_BMAP, with_file(first_block), (F, OPEN, lambda: w.BMap(nodeid=2)), lambda v: v.block if v else 0),
    SystemCall(
        c.FUSE_SYNCFS,
        with_directory(lambda fd: _checked(_libc.syncfs(fd))),
        (D, OPENDIR, lambda: w.SyncFs(nodeid=1)),
        lambda value: 0,
    ),
]
"""Come only from mounts of block devices."""

BY_OPCODE: Final = {call.opcode: call for call in (*CALLS, PLUS, *BLOCK_CALLS)}


def outcome(finish: Callable[[], object]) -> object:
    """The value of a call, or the name of its errno."""
    try:
        return finish()
    except OSError as failed:
        if failed.errno == errno.EOPNOTSUPP:  # which Python calls ENOTSUP
            return "EOPNOTSUPP"
        return errno.errorcode.get(failed.errno or 0, failed.errno)
