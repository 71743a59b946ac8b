"""A plain, well-formed request for each opcode, about things that are there.

They show whether a server offers an opcode at all (:mod:`.offers`), what its replies look like (the `shape` probes),
and they are what malformed messages are made from.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from typing import Final

from rawfuse import wire
from rawfuse.wire import Request
from rawfuse.wire.constants import FATTR_MODE
from rawfuse.wire.flags import InitFlags

from .kernel import ROOT, ConformKernel
from .probe import Unready

__all__ = ["FLAGS", "SAMPLES", "sample"]

XATTR: Final = b"user.conform"
_CMD_OF_NOBODY: Final = 0x80086601  # FS_IOC_GETFLAGS, an ioctl that file systems know
_STATX_BASIC: Final = 0x7FF
_WHOLE: Final = (1 << 63) - 1


def _locked(k: ConformKernel) -> tuple[int, wire.fuse_lk_in]:
    made = k.file()
    return made.nodeid, wire.fuse_lk_in(made.fh, 1, wire.fuse_file_lock(0, _WHOLE, fcntl.F_WRLCK, os.getpid()))


def _setattr(k: ConformKernel) -> Request:
    return wire.SetAttr(nodeid=k.file().nodeid, arg=wire.fuse_setattr_in(FATTR_MODE, mode=stat.S_IFREG | 0o600))


def _renaming(k: ConformKernel) -> tuple[int, bytes, bytes]:
    made, newname = k.file(), k.name("renamed")
    k.created(made.parent, newname)
    return made.parent, made.name, newname


def _rename(k: ConformKernel) -> Request:
    parent, name, newname = _renaming(k)
    return wire.Rename(nodeid=parent, arg=wire.fuse_rename_in(parent), name=name, newname=newname)


def _rename2(k: ConformKernel) -> Request:
    parent, name, newname = _renaming(k)
    return wire.Rename2(nodeid=parent, arg=wire.fuse_rename2_in(parent, 1), name=name, newname=newname)


def _named(k: ConformKernel, *, directory: bool = False) -> tuple[int, bytes]:
    parent, name = k.place(), k.name("new")
    k.created(parent, name, directory=directory)
    return parent, name


def _symlink(k: ConformKernel) -> Request:
    parent, name = _named(k)
    return wire.Symlink(nodeid=parent, name=name, target=b"to/where")


def _mknod(k: ConformKernel) -> Request:
    parent, name = _named(k)
    return wire.MkNod(nodeid=parent, arg=wire.fuse_mknod_in(stat.S_IFREG | 0o644, 0, 0o022), name=name)


def _mkdir(k: ConformKernel) -> Request:
    parent, name = _named(k, directory=True)
    return wire.MkDir(nodeid=parent, arg=wire.fuse_mkdir_in(0o755, 0o022), name=name)


def _link(k: ConformKernel) -> Request:
    made = k.file()
    parent, name = _named(k)
    return wire.Link(nodeid=parent, arg=wire.fuse_link_in(made.nodeid), name=name)


def _create(k: ConformKernel) -> Request:
    parent, name = _named(k)
    arg = wire.fuse_create_in(os.O_RDWR | os.O_CREAT, stat.S_IFREG | 0o644, 0o022)
    return wire.Create(nodeid=parent, arg=arg, name=name)


def _tmpfile(k: ConformKernel) -> Request:
    arg = wire.fuse_create_in(os.O_RDWR | os.O_TMPFILE, stat.S_IFREG | 0o600, 0o022)
    return wire.TmpFile(nodeid=k.place(), arg=arg, name=b"/")


def _unlink(k: ConformKernel) -> Request:
    made = k.file()
    return wire.Unlink(nodeid=made.parent, name=made.name)


def _rmdir(k: ConformKernel) -> Request:
    made = k.directory()
    return wire.RmDir(nodeid=made.parent, name=made.name)


def _read(k: ConformKernel) -> Request:
    made = k.any_file()
    return wire.Read(nodeid=made.nodeid, arg=wire.fuse_read_in(made.fh, 0, 4096))


def _write(k: ConformKernel) -> Request:
    made = k.file()
    return wire.Write(nodeid=made.nodeid, arg=wire.fuse_write_in(made.fh, 0), data=memoryview(b"sixteen bytes...\n"))


def _with_handle(make: Callable[[int, int], Request]) -> Callable[[ConformKernel], Request]:
    def build(k: ConformKernel) -> Request:
        made = k.any_file()
        return make(made.nodeid, made.fh)

    return build


def _with_new_file(make: Callable[[int, int], Request]) -> Callable[[ConformKernel], Request]:
    def build(k: ConformKernel) -> Request:
        made = k.file(b"conform\n" * 1000)
        return make(made.nodeid, made.fh)

    return build


def _with_directory(make: Callable[[int, int], Request]) -> Callable[[ConformKernel], Request]:
    def build(k: ConformKernel) -> Request:
        made = k.opened_directory()
        return make(ROOT, made.fh)

    return build


def _copy(kind: type[wire.CopyFileRange] | type[wire.CopyFileRange64]) -> Callable[[ConformKernel], Request]:
    def build(k: ConformKernel) -> Request:
        source, target = k.file(b"copied bytes\n" * 100), k.file()
        arg = wire.fuse_copy_file_range_in(source.fh, 0, target.nodeid, target.fh, 0, 1300)
        return kind(nodeid=source.nodeid, arg=arg)

    return build


def _setxattr(k: ConformKernel) -> Request:
    return wire.SetXAttr(nodeid=k.file().nodeid, arg=wire.fuse_setxattr_in(), name=XATTR, value=b"value")


def _getxattr(k: ConformKernel) -> Request:
    made = k.file()
    k.need(wire.SetXAttr(nodeid=made.nodeid, arg=wire.fuse_setxattr_in(), name=XATTR, value=b"value"))
    return wire.GetXAttr(nodeid=made.nodeid, arg=wire.fuse_getxattr_in(256), name=XATTR)


def _removexattr(k: ConformKernel) -> Request:
    made = k.file()
    k.need(wire.SetXAttr(nodeid=made.nodeid, arg=wire.fuse_setxattr_in(), name=XATTR, value=b"value"))
    return wire.RemoveXAttr(nodeid=made.nodeid, name=XATTR)


def _getlk(k: ConformKernel) -> Request:
    nodeid, arg = _locked(k)
    return wire.GetLk(nodeid=nodeid, arg=arg)


def _setlk(k: ConformKernel) -> Request:
    nodeid, arg = _locked(k)
    return wire.SetLk(nodeid=nodeid, arg=arg)


def _setlkw(k: ConformKernel) -> Request:
    nodeid, arg = _locked(k)
    return wire.SetLkW(nodeid=nodeid, arg=arg)


def _lookup(k: ConformKernel) -> Request:
    made = k.any_file()
    return wire.Lookup(nodeid=made.parent, name=made.name)


def _statx(k: ConformKernel) -> Request:
    return wire.Statx(nodeid=ROOT, arg=wire.fuse_statx_in(0, 0, 0, _STATX_BASIC))


SAMPLES: Final[dict[str, Callable[[ConformKernel], Request]]] = {
    "LOOKUP": _lookup,
    "GETATTR": lambda k: wire.GetAttr(nodeid=ROOT, arg=wire.fuse_getattr_in()),
    "SETATTR": _setattr,
    "READLINK": lambda k: wire.ReadLink(nodeid=k.symlink().nodeid),
    "SYMLINK": _symlink,
    "MKNOD": _mknod,
    "MKDIR": _mkdir,
    "UNLINK": _unlink,
    "RMDIR": _rmdir,
    "RENAME": _rename,
    "LINK": _link,
    "OPEN": _with_handle(lambda nodeid, fh: wire.Open(nodeid=nodeid, arg=wire.fuse_open_in(os.O_RDONLY))),
    "READ": _read,
    "WRITE": _write,
    "STATFS": lambda k: wire.StatFs(nodeid=ROOT),
    "RELEASE": _with_handle(lambda nodeid, fh: wire.Release(nodeid=nodeid, arg=wire.fuse_release_in(fh))),
    "FSYNC": _with_new_file(lambda nodeid, fh: wire.FSync(nodeid=nodeid, arg=wire.fuse_fsync_in(fh))),
    "SETXATTR": _setxattr,
    "GETXATTR": _getxattr,
    "LISTXATTR": lambda k: wire.ListXAttr(nodeid=k.any_file().nodeid, arg=wire.fuse_getxattr_in(4096)),
    "REMOVEXATTR": _removexattr,
    "FLUSH": _with_handle(lambda nodeid, fh: wire.Flush(nodeid=nodeid, arg=wire.fuse_flush_in(fh, 1))),
    "OPENDIR": lambda k: wire.OpenDir(nodeid=ROOT, arg=wire.fuse_open_in(os.O_RDONLY | os.O_DIRECTORY)),
    "READDIR": _with_directory(lambda nodeid, fh: wire.ReadDir(nodeid=nodeid, arg=wire.fuse_read_in(fh, 0, 4096))),
    "RELEASEDIR": _with_directory(lambda nodeid, fh: wire.ReleaseDir(nodeid=nodeid, arg=wire.fuse_release_in(fh))),
    "FSYNCDIR": _with_directory(lambda nodeid, fh: wire.FSyncDir(nodeid=nodeid, arg=wire.fuse_fsync_in(fh))),
    "GETLK": _getlk,
    "SETLK": _setlk,
    "SETLKW": _setlkw,
    "ACCESS": lambda k: wire.Access(nodeid=ROOT, arg=wire.fuse_access_in(os.R_OK)),
    "CREATE": _create,
    "BMAP": _with_handle(lambda nodeid, fh: wire.BMap(nodeid=nodeid, arg=wire.fuse_bmap_in(0, 512))),
    "IOCTL": _with_handle(
        lambda nodeid, fh: wire.Ioctl(nodeid=nodeid, arg=wire.fuse_ioctl_in(fh, 0, _CMD_OF_NOBODY, 0, 0, 8))
    ),
    "POLL": _with_handle(lambda nodeid, fh: wire.Poll(nodeid=nodeid, arg=wire.fuse_poll_in(fh, 0, 0, 1))),
    "FALLOCATE": _with_new_file(
        lambda nodeid, fh: wire.Fallocate(nodeid=nodeid, arg=wire.fuse_fallocate_in(fh, 0, 8192, 0))
    ),
    "READDIRPLUS": _with_directory(
        lambda nodeid, fh: wire.ReadDirPlus(nodeid=nodeid, arg=wire.fuse_read_in(fh, 0, 4096))
    ),
    "RENAME2": _rename2,
    "LSEEK": _with_new_file(lambda nodeid, fh: wire.LSeek(nodeid=nodeid, arg=wire.fuse_lseek_in(fh, 0, os.SEEK_DATA))),
    "COPY_FILE_RANGE": _copy(wire.CopyFileRange),
    "SETUPMAPPING": _with_handle(
        lambda nodeid, fh: wire.SetupMapping(nodeid=nodeid, arg=wire.fuse_setupmapping_in(fh, 0, 4096, 1, 0))
    ),
    "REMOVEMAPPING": lambda k: wire.RemoveMapping(
        nodeid=ROOT, arg=wire.fuse_removemapping_in(), mappings=[wire.fuse_removemapping_one(0, 4096)]
    ),
    "SYNCFS": lambda k: wire.SyncFs(nodeid=ROOT, arg=wire.fuse_syncfs_in()),
    "TMPFILE": _tmpfile,
    "STATX": _statx,
    "COPY_FILE_RANGE_64": _copy(wire.CopyFileRange64),
}
"""By label. Not in it is what takes no reply, INIT and DESTROY, which come once, and CUSE_INIT."""

FLAGS: Final = {
    "READDIRPLUS": InitFlags.FUSE_DO_READDIRPLUS,
    "GETLK": InitFlags.FUSE_POSIX_LOCKS,
    "SETLK": InitFlags.FUSE_POSIX_LOCKS,
    "SETLKW": InitFlags.FUSE_POSIX_LOCKS,
}
"""What must have been agreed on before Linux sends an opcode."""


def sample(k: ConformKernel, opcode: str) -> Request:
    """The request, all that it needs being there. Raises Unready where that cannot be."""
    flag = FLAGS.get(opcode)
    if flag is not None and not k.session.flags & flag:
        raise Unready(f"Linux does not send {opcode}: {flag.name} was not agreed on")
    return SAMPLES[opcode](k)
