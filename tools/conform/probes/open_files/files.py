"""OPEN, CREATE, READ, RELEASE, FLUSH, FSYNC: open files."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, Final

from rawfuse import wire
from rawfuse.wire import constants as c

from ...kernel import ConformKernel
from ...probe import Table, Tier, Unready

__all__ = ["TABLE"]

TABLE: Final = Table("files", "OPEN, CREATE, READ, FLUSH, FSYNC, RELEASE: open files")

_MEASURED: Final = "measured on Linux 6.18"
_WRITABLE: Final = ("CREATE", "WRITE")
_REGULAR: Final = stat.S_IFREG | 0o644
_FAR: Final = 1 << 62


def _create(parent: int, name: bytes, flags: int = os.O_RDWR, mode: int = _REGULAR) -> wire.Create:
    return wire.Create(nodeid=parent, arg=wire.fuse_create_in(flags | os.O_CREAT, mode, 0o022), name=name)


@TABLE.probe(
    "create",
    Tier.MUST,
    "CREATE makes a regular file and opens it: the entry is a reference, the handle works at once, the name is there.",
    "fuse_kernel.h 7.3",
    opcodes=("CREATE",),
    needs=("CREATE",),
)
def create(k: ConformKernel) -> None:
    parent, name = k.place(), k.name()
    k.created(parent, name)
    entry, opened = k.success(_create(parent, name), "an entry and a handle")
    k.expect(stat.S_ISREG(entry.attr.mode), "a regular file", f"mode {entry.attr.mode:#o}")
    k.success(wire.Read(nodeid=entry.nodeid, arg=wire.fuse_read_in(opened.fh, 0, 10)), "a READ of no bytes")
    k.equal(entry.nodeid, k.success(wire.Lookup(nodeid=parent, name=name)).nodeid, "nodeid")
    k.ask(wire.Release(nodeid=entry.nodeid, arg=wire.fuse_release_in(opened.fh)))


@TABLE.probe(
    "create_mode",
    Tier.MUST,
    "A new file has the mode that is asked for; the caller's umask is off it already, but for DONT_MASK.",
    f"fuse_kernel.h 7.12; {_MEASURED}",
    opcodes=("CREATE",),
    needs=("CREATE",),
)
def create_mode(k: ConformKernel) -> None:
    parent, name = k.place(), k.name()
    k.created(parent, name)
    entry, opened = k.success(_create(parent, name, mode=stat.S_IFREG | 0o640), "an entry and a handle")
    k.ask(wire.Release(nodeid=entry.nodeid, arg=wire.fuse_release_in(opened.fh)))
    k.equal(oct(stat.S_IFREG | 0o640), oct(entry.attr.mode), "mode")


@TABLE.probe(
    "create_exclusive",
    Tier.SHOULD,
    "CREATE with O_EXCL of a name that is there is EEXIST: another client may have made it since the LOOKUP.",
    "POSIX: open(2)",
    opcodes=("CREATE",),
    needs=("CREATE",),
)
def create_exclusive(k: ConformKernel) -> None:
    made = k.file()
    k.refused(_create(made.parent, made.name, os.O_RDWR | os.O_EXCL), errno.EEXIST)


@TABLE.probe(
    "create_owner",
    Tier.SHOULD,
    "A new file belongs to the caller, whose uid and gid are in the header.",
    "POSIX: open(2)",
    opcodes=("CREATE",),
    needs=("CREATE",),
)
def create_owner(k: ConformKernel) -> None:
    parent, name = k.place(), k.name()
    k.created(parent, name)
    request = _create(parent, name)
    request.uid, request.gid, request.pid = k.uid, k.gid, os.getpid()
    entry, opened = k.success(request, "an entry and a handle")
    k.ask(wire.Release(nodeid=entry.nodeid, arg=wire.fuse_release_in(opened.fh)))
    k.equal((k.uid, k.gid), (entry.attr.uid, entry.attr.gid), "uid and gid")


@TABLE.probe(
    "open_directory",
    Tier.SHOULD,
    "OPEN of a directory is refused, EISDIR best: that is what OPENDIR is for.",
    "POSIX; Linux knows the type and does not ask",
    opcodes=("OPEN",),
    needs=("OPEN",),
)
def open_directory(k: ConformKernel) -> None:
    k.refused(wire.Open(nodeid=k.place(), arg=wire.fuse_open_in(os.O_RDWR)))


@TABLE.probe(
    "two_opens",
    Tier.MUST,
    "What is written by one handle is read by another: they are of one file.",
    "POSIX: write(2)",
    opcodes=("OPEN", "READ", "WRITE"),
    needs=("OPEN", *_WRITABLE),
)
def two_opens(k: ConformKernel) -> None:
    made = k.file(b"first")
    other = k.success(wire.Open(nodeid=made.nodeid, arg=wire.fuse_open_in(os.O_RDONLY)), "a handle")
    k.fill(made, b"again", 0)
    answer = k.ask(wire.Read(nodeid=made.nodeid, arg=wire.fuse_read_in(other.fh, 0, 100)))
    k.ask(wire.Release(nodeid=made.nodeid, arg=wire.fuse_release_in(other.fh)))
    k.expect(answer.value == b"again", "b'again'", answer)


@TABLE.probe(
    "open_truncates",
    Tier.MUST,
    "With ATOMIC_O_TRUNC agreed on, OPEN with O_TRUNC empties the file; no SETATTR comes.",
    f"fuse_kernel.h 7.9; {_MEASURED}",
    opcodes=("OPEN",),
    needs=("OPEN", "FUSE_ATOMIC_O_TRUNC", *_WRITABLE),
)
def open_truncates(k: ConformKernel) -> None:
    made = k.file(b"to be lost")
    other = k.success(wire.Open(nodeid=made.nodeid, arg=wire.fuse_open_in(os.O_WRONLY | os.O_TRUNC)), "a handle")
    k.ask(wire.Release(nodeid=made.nodeid, arg=wire.fuse_release_in(other.fh)))
    k.equal(0, k.attributes(made.nodeid).size, "size")


@TABLE.probe(
    "read",
    Tier.MUST,
    "READ gives the bytes that were written, from the offset on.",
    "POSIX: pread(2)",
    opcodes=("READ",),
    needs=_WRITABLE,
)
def read(k: ConformKernel) -> None:
    made = k.file(bytes(range(256)) * 40)
    answer = k.read(made, 1000, 300)
    k.equal((bytes(range(256)) * 40)[1000:1300], answer.value)


@TABLE.probe(
    "read_whole",
    Tier.MUST,
    "READ in the middle of a file gives all bytes that were asked for: Linux takes fewer for the end and the rest for "
    "zeros, unless the file is open with FOPEN_DIRECT_IO.",
    _MEASURED,
    opcodes=("READ",),
    needs=_WRITABLE,
)
def read_whole(k: ConformKernel) -> None:
    made = k.file(b"0123456789abcdef" * 16384)
    if made.open_flags & c.FOPEN_DIRECT_IO:
        raise Unready("its files bypass the page cache")
    for offset, size in ((0, 4096), (4096, 131072), (8191, 65536)):
        answer = k.read(made, offset, size)
        k.expect(not answer.errno and len(answer.body) == size, f"{size} bytes", answer)


@TABLE.probe(
    "read_across_end",
    Tier.MUST,
    "READ across the end gives the bytes before it, and no more.",
    "POSIX: read(2)",
    opcodes=("READ",),
    needs=_WRITABLE,
)
def read_across_end(k: ConformKernel) -> None:
    answer = k.read(k.file(b"0123456789"), 4, 4096)
    k.expect(answer.value == b"456789", "b'456789'", answer)


@TABLE.probe(
    "read_behind_end",
    Tier.MUST,
    "READ behind the end is no error: it gives no bytes.",
    "POSIX: read(2)",
    opcodes=("READ",),
    needs=_WRITABLE,
)
def read_behind_end(k: ConformKernel) -> None:
    answer = k.read(k.file(b"0123456789"), 4096, 4096)
    k.expect(not answer.errno and not answer.body, "no bytes", answer)


@TABLE.probe(
    "read_far",
    Tier.SHOULD,
    "READ at an offset of 2^62 gives no bytes, or EINVAL.",
    "POSIX: read(2); Linux does not ask behind the size that it knows",
    opcodes=("READ",),
    needs=("READ",),
)
def read_far(k: ConformKernel) -> None:
    answer = k.read(k.any_file(), _FAR, 4096)
    k.expect(not answer.body, "no bytes", answer)
    k.alive()


@TABLE.probe(
    "read_largest",
    Tier.MUST,
    "The largest READ that INIT allows is answered in one message, a MiB where max_pages is 256.",
    f"fuse_kernel.h 7.28; {_MEASURED}: READ <= max_pages * 4096, else 128 KiB",
    opcodes=("READ",),
    needs=_WRITABLE,
    depends=("files.read",),
)
def read_largest(k: ConformKernel) -> None:
    size = min(k.session.holds.read, 1 << 20)
    made = k.file(b"largest!" * (size // 8))
    answer = k.read(made, 0, size)
    short = made.open_flags & c.FOPEN_DIRECT_IO
    kept = not answer.errno and (len(answer.body) == size or short) and answer.body.startswith(b"largest!")
    k.expect(kept, f"{size} bytes", answer)


@TABLE.probe(
    "read_nothing",
    Tier.SHOULD,
    "READ of no bytes gives none.",
    "POSIX: read(2)",
    opcodes=("READ",),
    needs=("READ",),
)
def read_nothing(k: ConformKernel) -> None:
    answer = k.read(k.any_file(), 0, 0)
    k.expect(not answer.errno and not answer.body, "no bytes", answer)


@TABLE.probe(
    "read_write_only",
    Tier.MUST,
    "With WRITEBACK_CACHE agreed on, READ works on handles that were opened write-only: Linux fills up pages by them.",
    "fuse_kernel.h 7.23; measured on Linux 6.18",
    opcodes=("READ",),
    needs=("OPEN", "FUSE_WRITEBACK_CACHE", *_WRITABLE),
)
def read_write_only(k: ConformKernel) -> None:
    made = k.file(b"page")
    other = k.success(wire.Open(nodeid=made.nodeid, arg=wire.fuse_open_in(os.O_WRONLY)), "a handle")
    answer = k.ask(wire.Read(nodeid=made.nodeid, arg=wire.fuse_read_in(other.fh, 0, 4096)))
    k.ask(wire.Release(nodeid=made.nodeid, arg=wire.fuse_release_in(other.fh)))
    k.expect(answer.value == b"page", "b'page'", answer)


@TABLE.probe(
    "flush_often",
    Tier.MUST,
    "FLUSH comes with every close(2) of a descriptor, so often for one OPEN; the handle is good for more after it.",
    "fuse_kernel.h 7.45; measured on Linux 6.18",
    opcodes=("FLUSH",),
    needs=("FLUSH", *_WRITABLE),
)
def flush_often(k: ConformKernel) -> None:
    made = k.file(b"one")
    for _ in range(3):
        k.success(wire.Flush(nodeid=made.nodeid, arg=wire.fuse_flush_in(made.fh, 1)))
    k.fill(made, b" two", 3)
    answer = k.read(made, 0, 100)
    k.expect(answer.value == b"one two", "b'one two'", answer)


@TABLE.probe(
    "release_one",
    Tier.MUST,
    "RELEASE ends one handle and no other of the same file.",
    "fuse_kernel.h 7.45",
    opcodes=("RELEASE", "OPEN"),
    needs=("OPEN", "RELEASE", *_WRITABLE),
    depends=("files.release_keeps",),
)
def release_one(k: ConformKernel) -> None:
    made = k.file(b"still open")
    other = k.success(wire.Open(nodeid=made.nodeid, arg=wire.fuse_open_in(os.O_RDONLY)), "a handle")
    k.success(wire.Release(nodeid=made.nodeid, arg=wire.fuse_release_in(other.fh)))
    answer = k.read(made, 0, 100)
    k.expect(answer.value == b"still open", "b'still open'", answer)


@TABLE.probe(
    "release_keeps",
    Tier.MUST,
    "What was written is there after RELEASE, for whoever opens the file next.",
    "POSIX: close(2)",
    opcodes=("RELEASE",),
    needs=_WRITABLE,
)
def release_keeps(k: ConformKernel) -> None:
    made = k.file(b"kept bytes")
    k.close(made)
    k.open(made)
    k.equal(b"kept bytes", k.content(made))


@TABLE.probe(
    "fsync_kinds",
    Tier.MUST,
    "FSYNC succeeds with FSYNC_FDATASYNC and without, and the handle is good for more after it.",
    "fuse_kernel.h 7.45; POSIX: fsync(2)",
    opcodes=("FSYNC",),
    needs=("FSYNC", *_WRITABLE),
)
def fsync_kinds(k: ConformKernel) -> None:
    made = k.file(b"durable")
    for flags in (0, c.FUSE_FSYNC_FDATASYNC):
        k.success(wire.FSync(nodeid=made.nodeid, arg=wire.fuse_fsync_in(made.fh, flags)))
    answer = k.read(made, 0, 100)
    k.expect(answer.value == b"durable", "b'durable'", answer)


@TABLE.probe(
    "fsyncdir",
    Tier.MUST,
    "FSYNCDIR of an open directory succeeds: databases and installers sync the directory of a new file.",
    "fuse_kernel.h 7.2; POSIX: fsync(2)",
    opcodes=("FSYNCDIR",),
    needs=("FSYNCDIR",),
)
def fsyncdir(k: ConformKernel) -> None:
    made = k.opened_directory()
    k.success(wire.FSyncDir(nodeid=made.nodeid, arg=wire.fuse_fsync_in(made.fh)))


@TABLE.probe(
    "syncfs",
    Tier.MUST,
    "SYNCFS of the root succeeds: sync(2).",
    "fuse_kernel.h 7.34",
    opcodes=("SYNCFS",),
    needs=("SYNCFS",),
)
def syncfs(k: ConformKernel) -> None:
    k.success(wire.SyncFs(nodeid=1, arg=wire.fuse_syncfs_in()))


@TABLE.probe(
    "mknod_opens",
    Tier.MUST,
    "MKNOD makes a regular file, which OPEN opens: what Linux does where CREATE is ENOSYS.",
    _MEASURED,
    opcodes=("MKNOD", "OPEN"),
    needs=("MKNOD",),
)
def mknod_opens(k: ConformKernel) -> None:
    parent, name = k.place(), k.name()
    k.created(parent, name)
    arg = wire.fuse_mknod_in(_REGULAR, 0, 0o022)
    entry = k.success(wire.MkNod(nodeid=parent, arg=arg, name=name), "an entry")
    k.expect(stat.S_ISREG(entry.attr.mode), "a regular file", f"mode {entry.attr.mode:#o}")
    answer = k.ask(wire.Open(nodeid=entry.nodeid, arg=wire.fuse_open_in(os.O_RDWR)))
    value: Any = answer.value
    k.expect(answer.errno in (0, errno.ENOSYS), "a handle", answer)
    if value is not None:
        k.ask(wire.Release(nodeid=entry.nodeid, arg=wire.fuse_release_in(value.fh)))


@TABLE.probe(
    "tmpfile",
    Tier.MUST,
    "TMPFILE makes an open file without a name, of which O_TMPFILE says that it has no links; it is written and read.",
    "fuse_kernel.h 7.37; open(2)",
    opcodes=("TMPFILE",),
    needs=("TMPFILE", "WRITE"),
)
def tmpfile(k: ConformKernel) -> None:
    arg = wire.fuse_create_in(os.O_RDWR | os.O_TMPFILE, stat.S_IFREG | 0o600, 0o022)
    entry, opened = k.success(wire.TmpFile(nodeid=k.place(), arg=arg, name=b"/"), "an entry and a handle")
    k.equal(0, entry.attr.nlink, "nlink")
    data = memoryview(b"nameless")
    k.success(wire.Write(nodeid=entry.nodeid, arg=wire.fuse_write_in(opened.fh, 0), data=data))
    answer = k.ask(wire.Read(nodeid=entry.nodeid, arg=wire.fuse_read_in(opened.fh, 0, 100)))
    k.ask(wire.Release(nodeid=entry.nodeid, arg=wire.fuse_release_in(opened.fh)))
    k.expect(answer.value == b"nameless", "b'nameless'", answer)


@TABLE.probe(
    "unknown_handle",
    Tier.SHOULD,
    "A handle that was never given out is EBADF, or not looked at; never the end of the server.",
    "Linux sends those that it was given",
    opcodes=("READ",),
    needs=("READ",),
)
def unknown_handle(k: ConformKernel) -> None:
    made = k.any_file()
    for fh in (made.fh + 12345, (1 << 64) - 1):
        k.ask(wire.Read(nodeid=made.nodeid, arg=wire.fuse_read_in(fh, 0, 16)))
    k.alive()
    k.expect(True, "a server that goes on", "it does")
