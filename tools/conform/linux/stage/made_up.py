"""A small made-up tree, and the messages of a server that has it.

In the root (1) are the file "f" (inode 2), the directory "d" (3), the symbolic link "l" (4), and files "n0" (100), "n1"
(101) and so on.
"""

from __future__ import annotations

import errno
import select
import stat
from typing import Final

from rawfuse import wire as w
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags as F

FLAGS: Final = (
    F.FUSE_BIG_WRITES | F.FUSE_MAX_PAGES | F.FUSE_ATOMIC_O_TRUNC | F.FUSE_SETXATTR_EXT | F.FUSE_INIT_EXT
    | F.FUSE_HAS_RESEND | F.FUSE_HAS_EXPIRE_ONLY | F.FUSE_POSIX_LOCKS | F.FUSE_HAS_IOCTL_DIR
)  # fmt: skip
REG, DIR, LNK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK
NODES: Final = {b"f": (2, REG | 0o644), b"d": (3, DIR | 0o755), b"l": (4, LNK | 0o777)}
MODES: Final = {1: DIR | 0o755, **dict(NODES.values())}
SIZE: Final = 1 << 20
LONG: Final = 1000
"""Seconds that names and attributes stay valid."""


def init_answer(flags: F = FLAGS, *, minor: int = 45, max_write: int = 1 << 20, **fields: int) -> bytes:
    word = int(flags)
    fields = {"max_pages": 256, "max_readahead": 1 << 17, "time_gran": 1, **fields}
    return w.fuse_init_out(
        major=7, minor=minor, flags=word & 0xFFFFFFFF, flags2=word >> 32, max_write=max_write, **fields
    ).pack()


def ok(request: w.Request, body: bytes = b"", *, number: int = 0, length: int | None = None, unique: int = -1) -> bytes:
    """A reply, or something like one."""
    size = 16 + len(body) if length is None else length
    return w.fuse_out_header(size, -number, request.unique if unique < 0 else unique).pack() + body


def error(request: w.Request, number: int, body: bytes = b"") -> bytes:
    return ok(request, body, number=number)


def attr(nodeid: int, mode: int, size: int | None = None) -> w.fuse_attr:
    length = (SIZE if stat.S_ISREG(mode) else 5) if size is None else size
    return w.fuse_attr(ino=nodeid, size=length, blocks=length + 511 >> 9, mode=mode, nlink=1, blksize=4096)


def entry(nodeid: int, mode: int, size: int | None = None, valid: int = LONG) -> bytes:
    return w.fuse_entry_out(nodeid=nodeid, entry_valid=valid, attr_valid=LONG, attr=attr(nodeid, mode, size)).pack()


def attr_out(nodeid: int, mode: int, size: int | None = None) -> bytes:
    return w.fuse_attr_out(attr_valid=LONG, attr=attr(nodeid, mode, size)).pack()


def dirent(name: bytes, ino: int = 9, off: int = 1, kind: int = 8, namelen: int | None = None) -> bytes:
    head = w.fuse_dirent(ino=ino, off=off, namelen=len(name) if namelen is None else namelen, type=kind).pack()
    return head + name + bytes(-len(name) % 8)


def direntplus(name: bytes, nodeid: int, off: int = 1, mode: int = REG | 0o644, **fields: int) -> bytes:
    return (entry(nodeid, mode) if nodeid else bytes(128)) + dirent(name, fields.pop("ino", nodeid or 9), off, **fields)


def open_buffered() -> dict[int, bytes | int]:
    """Answers that let files use the page cache."""
    return {c.FUSE_OPEN: w.fuse_open_out(fh=7).pack()}


def _statx(request: w.Statx) -> bytes:
    mode = MODES.get(request.nodeid, REG)
    found = w.fuse_statx(mask=0xFFF, mode=mode, size=SIZE, blksize=4096, nlink=1, ino=request.nodeid)
    return w.fuse_statx_out(attr_valid=LONG, stat=found).pack()


def usual(request: w.Request) -> bytes | int:
    """What the made-up tree answers: a body, or an errno."""
    match request:
        case w.Lookup(name=name):
            found = (100 + int(name[1:]), REG | 0o644) if name[:1] == b"n" and name[1:].isdigit() else NODES.get(name)
            return entry(*found) if found else errno.ENOENT
        case w.GetAttr(nodeid=nodeid) | w.SetAttr(nodeid=nodeid):
            return attr_out(nodeid, MODES.get(nodeid, REG | 0o644))
        case w.Open() | w.OpenDir():
            return w.fuse_open_out(fh=7, open_flags=c.FOPEN_DIRECT_IO if isinstance(request, w.Open) else 0).pack()
        case w.Read(arg=arg):
            return b"x" * min(arg.size, max(0, SIZE - arg.offset))
        case w.Write(arg=arg):
            return w.fuse_write_out(size=arg.size).pack()
        case w.MkDir(arg=arg) | w.MkNod(arg=arg):
            return entry(11, arg.mode if isinstance(request, w.MkNod) else DIR | 0o755)
        case w.Symlink():
            return entry(12, LNK | 0o777)
        case w.Link(arg=arg):
            return entry(arg.oldnodeid, MODES[arg.oldnodeid])
        case w.Create() | w.TmpFile():
            return entry(13, REG | 0o644, 0) + w.fuse_open_out(fh=7).pack()
        case w.StatFs():
            return w.fuse_statfs_out(w.fuse_kstatfs(blocks=10, bsize=4096, namelen=255)).pack()
        case w.ReadLink():
            return b"target"
        case w.ReadDir(arg=arg):
            return b"" if arg.offset else dirent(b"one") + dirent(b"two", off=2)
        case w.ReadDirPlus(arg=arg):
            return b"" if arg.offset else direntplus(b"one", 9) + direntplus(b"two", 10, off=2)
        case w.BMap():
            return w.fuse_bmap_out(block=77).pack()
        case w.GetXAttr(arg=arg) | w.ListXAttr(arg=arg):
            value = b"user.a\0"
            return value if arg.size else w.fuse_getxattr_out(size=len(value)).pack()
        case w.LSeek():
            return w.fuse_lseek_out(offset=3).pack()
        case w.CopyFileRange(arg=arg):
            return w.fuse_write_out(size=min(arg.len, SIZE)).pack()
        case w.CopyFileRange64(arg=arg):
            return w.fuse_copy_file_range_out(bytes_copied=min(arg.len, SIZE)).pack()
        case w.Statx():
            return _statx(request)
        case w.Poll():
            return w.fuse_poll_out(revents=select.POLLIN).pack()
        case w.Ioctl():
            return w.fuse_ioctl_out(result=0).pack()
        case w.GetLk():
            return w.fuse_lk_out(w.fuse_file_lock(type=2)).pack()
    return b""
