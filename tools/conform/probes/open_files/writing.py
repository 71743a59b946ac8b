"""WRITE, FALLOCATE, LSEEK, BMAP: bytes, holes, and where they are."""

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

TABLE: Final = Table("writing", "WRITE, FALLOCATE, LSEEK: bytes and holes")

_MEASURED: Final = "measured on Linux 6.18"
_WRITABLE: Final = ("CREATE", "WRITE")
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_LLONG_MAX: Final = (1 << 63) - 1


@TABLE.probe(
    "count",
    Tier.MUST,
    "WRITE says how many bytes it took, at least one and no more than there were; Linux gives the caller EIO for 0.",
    _MEASURED,
    opcodes=("WRITE",),
    needs=_WRITABLE,
)
def count(k: ConformKernel) -> None:
    value = k.success(
        wire.Write(nodeid=(made := k.file()).nodeid, arg=wire.fuse_write_in(made.fh, 0), data=memoryview(b"x" * 1000))
    )
    k.expect(0 < value.size <= 1000, "1 to 1000", f"{value.size}")


@TABLE.probe(
    "largest",
    Tier.MUST,
    "A WRITE of max_write bytes is taken whole.",
    f"fuse_kernel.h 7.45; {_MEASURED}: WRITE <= min(max_write, max_pages * 4096)",
    opcodes=("WRITE",),
    needs=_WRITABLE,
)
def largest(k: ConformKernel) -> None:
    made, size = k.file(), min(k.session.holds.write, 1 << 20)
    data = (b"%015d\n" * 65536 % tuple(range(65536)))[:size]
    answer = k.write(made, 0, data)
    value: Any = answer.value
    k.expect(not answer.errno and value.size == size, f"{size} bytes written", answer)
    k.equal(data[-64:], k.content(made)[-64:], "the last bytes")


@TABLE.probe(
    "overwrite",
    Tier.MUST,
    "WRITE changes the bytes at its offset and no others.",
    "POSIX: pwrite(2)",
    opcodes=("WRITE",),
    needs=_WRITABLE,
)
def overwrite(k: ConformKernel) -> None:
    made = k.file(b"0123456789")
    answer = k.write(made, 3, b"abc")
    k.expect(not answer.errno, "success", answer)
    k.equal(b"012abc6789", k.content(made), "content")


@TABLE.probe(
    "hole",
    Tier.MUST,
    "What lies between the old end and a WRITE behind it reads as zeros.",
    "POSIX: lseek(2)",
    opcodes=("WRITE",),
    needs=_WRITABLE,
)
def hole(k: ConformKernel) -> None:
    made = k.file(b"begin")
    answer = k.write(made, 10000, b"end")
    k.expect(not answer.errno, "success", answer)
    k.equal(b"begin" + bytes(9995) + b"end", k.content(made), "content")


@TABLE.probe(
    "grows",
    Tier.MUST,
    "A WRITE behind the end makes the file longer at once: GETATTR after it says so.",
    _MEASURED,
    opcodes=("WRITE", "GETATTR"),
    needs=_WRITABLE,
)
def grows(k: ConformKernel) -> None:
    made = k.file(b"abc")
    answer = k.write(made, 5000, b"more")
    k.expect(not answer.errno, "success", answer)
    k.equal(5004, k.attributes(made.nodeid).size, "size")


@TABLE.probe(
    "unaligned",
    Tier.MUST,
    "A file written in pieces that cross pages, back to front, has all of them.",
    "POSIX: pwrite(2)",
    opcodes=("WRITE",),
    needs=_WRITABLE,
)
def unaligned(k: ConformKernel) -> None:
    made = k.file()
    wanted = bytes(number * 7 % 251 for number in range(70000))
    for at in reversed(range(0, len(wanted), 9973)):
        k.fill(made, wanted[at : at + 9973], at)
    k.equal(wanted, k.content(made), "content")


@TABLE.probe(
    "from_cache",
    Tier.MUST,
    "A WRITE with WRITE_CACHE comes from the page cache, for whoever, with pid 0 and any handle of the file that may "
    "write: it is taken as any other.",
    f"fuse_kernel.h 7.9; {_MEASURED}",
    opcodes=("WRITE",),
    needs=_WRITABLE,
)
def from_cache(k: ConformKernel) -> None:
    made = k.file()
    arg = wire.fuse_write_in(made.fh, 0, 0, c.FUSE_WRITE_CACHE)
    request = wire.Write(nodeid=made.nodeid, arg=arg, data=memoryview(b"cached"))
    request.uid, request.gid, request.pid = k.uid, k.gid, 0
    k.equal(6, k.success(request).size, "size")
    k.equal(b"cached", k.content(made), "content")


@TABLE.probe(
    "kill_suidgid",
    Tier.SHOULD,
    "A WRITE with WRITE_KILL_SUIDGID takes the set-uid bit away: with HANDLE_KILLPRIV_V2 that is left to the server.",
    "fuse_kernel.h 7.33",
    opcodes=("WRITE",),
    needs=("SETATTR", "FUSE_HANDLE_KILLPRIV_V2", *_WRITABLE),
)
def kill_suidgid(k: ConformKernel) -> None:
    made = k.file()
    mode = stat.S_IFREG | 0o4755
    if k.need(wire.SetAttr(nodeid=made.nodeid, arg=wire.fuse_setattr_in(c.FATTR_MODE, mode=mode))).attr.mode != mode:
        raise Unready("it gives no set-uid bit")
    arg = wire.fuse_write_in(made.fh, 0, 0, c.FUSE_WRITE_KILL_SUIDGID)
    k.success(wire.Write(nodeid=made.nodeid, arg=arg, data=memoryview(b"x")))
    k.equal(oct(stat.S_IFREG | 0o755), oct(k.attributes(made.nodeid).mode), "mode")


@TABLE.probe(
    "nothing",
    Tier.SHOULD,
    "A WRITE of no bytes writes none.",
    "POSIX: write(2); Linux does not send it",
    opcodes=("WRITE",),
    needs=_WRITABLE,
)
def nothing(k: ConformKernel) -> None:
    made = k.file(b"abc")
    k.write(made, 10, b"")
    k.equal(3, k.attributes(made.nodeid).size, "size")


@TABLE.probe(
    "far",
    Tier.SHOULD,
    "A WRITE whose end is behind 2^63 - 1 is EFBIG, EINVAL or ENOSPC, and the server goes on.",
    "POSIX: write(2); Linux looks at the limit first",
    opcodes=("WRITE",),
    needs=_WRITABLE,
)
def far(k: ConformKernel) -> None:
    answer = k.write(k.file(), _LLONG_MAX - 2, b"0123456789")
    k.expect(answer.errno, "an errno", answer)
    k.alive()


@TABLE.probe(
    "fallocate",
    Tier.MUST,
    "FALLOCATE with mode 0 makes the file at least that long, with zeros, and keeps what is there.",
    "fuse_kernel.h 7.19; fallocate(2)",
    opcodes=("FALLOCATE",),
    needs=("FALLOCATE", *_WRITABLE),
)
def fallocate(k: ConformKernel) -> None:
    made = k.file(b"kept")
    k.success(wire.Fallocate(nodeid=made.nodeid, arg=wire.fuse_fallocate_in(made.fh, 0, 10000, 0)))
    k.equal(b"kept" + bytes(9996), k.content(made), "content")


@TABLE.probe(
    "keep_size",
    Tier.MUST,
    "FALLOCATE with FALLOC_FL_KEEP_SIZE leaves the size as it is.",
    "fallocate(2)",
    opcodes=("FALLOCATE",),
    needs=("FALLOCATE", *_WRITABLE),
)
def keep_size(k: ConformKernel) -> None:
    made = k.file(b"kept")
    arg = wire.fuse_fallocate_in(made.fh, 0, 10000, _KEEP_SIZE)
    answer = k.ask(wire.Fallocate(nodeid=made.nodeid, arg=arg))
    if answer.errno == errno.EOPNOTSUPP:
        raise Unready("FALLOC_FL_KEEP_SIZE is EOPNOTSUPP")
    k.expect(not answer.errno, "success", answer)
    k.equal(4, k.attributes(made.nodeid).size, "size")


@TABLE.probe(
    "punch_hole",
    Tier.MUST,
    "FALLOCATE with FALLOC_FL_PUNCH_HOLE makes a range zeros; the size and what is beside it stay.",
    "fallocate(2)",
    opcodes=("FALLOCATE",),
    needs=("FALLOCATE", *_WRITABLE),
)
def punch_hole(k: ConformKernel) -> None:
    made = k.file(b"x" * 20000)
    arg = wire.fuse_fallocate_in(made.fh, 5000, 8000, _KEEP_SIZE | _PUNCH_HOLE)
    answer = k.ask(wire.Fallocate(nodeid=made.nodeid, arg=arg))
    if answer.errno == errno.EOPNOTSUPP:
        raise Unready("FALLOC_FL_PUNCH_HOLE is EOPNOTSUPP")
    k.expect(not answer.errno, "success", answer)
    k.equal(b"x" * 5000 + bytes(8000) + b"x" * 7000, k.content(made), "content")


@TABLE.probe(
    "fallocate_unknown",
    Tier.SHOULD,
    "FALLOCATE with a mode that is not known is EOPNOTSUPP, and nothing is changed.",
    "fallocate(2)",
    opcodes=("FALLOCATE",),
    needs=("FALLOCATE", *_WRITABLE),
)
def fallocate_unknown(k: ConformKernel) -> None:
    made = k.file(b"kept")
    arg = wire.fuse_fallocate_in(made.fh, 0, 100, 0x4000_0000)
    k.refused(wire.Fallocate(nodeid=made.nodeid, arg=arg), errno.EOPNOTSUPP, errno.EINVAL)
    k.equal(b"kept", k.content(made), "content")


@TABLE.probe(
    "seek_hole",
    Tier.MUST,
    "LSEEK with SEEK_HOLE in a file without holes finds its end: a hole, by definition.",
    "fuse_kernel.h 7.24; lseek(2)",
    opcodes=("LSEEK",),
    needs=("LSEEK", *_WRITABLE),
)
def seek_hole(k: ConformKernel) -> None:
    made = k.file(b"x" * 10000)
    value = k.success(wire.LSeek(nodeid=made.nodeid, arg=wire.fuse_lseek_in(made.fh, 100, os.SEEK_HOLE)))
    k.equal(10000, value.offset, "offset")


@TABLE.probe(
    "seek_data",
    Tier.MUST,
    "LSEEK with SEEK_DATA where data is finds that very offset.",
    "fuse_kernel.h 7.24; lseek(2)",
    opcodes=("LSEEK",),
    needs=("LSEEK", *_WRITABLE),
)
def seek_data(k: ConformKernel) -> None:
    made = k.file(b"x" * 10000)
    value = k.success(wire.LSeek(nodeid=made.nodeid, arg=wire.fuse_lseek_in(made.fh, 100, os.SEEK_DATA)))
    k.equal(100, value.offset, "offset")


@TABLE.probe(
    "seek_behind",
    Tier.MUST,
    "LSEEK from the end on, or behind it, is ENXIO.",
    "lseek(2)",
    opcodes=("LSEEK",),
    needs=("LSEEK", *_WRITABLE),
)
def seek_behind(k: ConformKernel) -> None:
    made = k.file(b"x" * 10000)
    for whence in (os.SEEK_DATA, os.SEEK_HOLE):
        k.refused(wire.LSeek(nodeid=made.nodeid, arg=wire.fuse_lseek_in(made.fh, 20000, whence)), errno.ENXIO)


@TABLE.probe(
    "seek_before_data",
    Tier.SHOULD,
    "What SEEK_DATA finds from the beginning of a hole is not behind the first byte that is not zero.",
    "lseek(2): a file system may take holes for data, not data for a hole",
    opcodes=("LSEEK",),
    needs=("LSEEK", *_WRITABLE),
)
def seek_before_data(k: ConformKernel) -> None:
    made = k.file()
    k.fill(made, b"data", 1 << 20)
    value = k.success(wire.LSeek(nodeid=made.nodeid, arg=wire.fuse_lseek_in(made.fh, 0, os.SEEK_DATA)))
    k.expect(value.offset <= 1 << 20, f"at most {1 << 20}", f"{value.offset}")


@TABLE.probe(
    "seek_unknown",
    Tier.SHOULD,
    "LSEEK with a whence that is not known is EINVAL.",
    "lseek(2); Linux sends SEEK_DATA and SEEK_HOLE",
    opcodes=("LSEEK",),
    needs=("LSEEK", *_WRITABLE),
)
def seek_unknown(k: ConformKernel) -> None:
    made = k.file(b"x" * 100)
    k.refused(wire.LSeek(nodeid=made.nodeid, arg=wire.fuse_lseek_in(made.fh, 0, 99)))
