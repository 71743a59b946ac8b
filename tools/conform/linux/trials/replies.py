"""What the kernel makes of replies: every case against the real kernel and against KernelSession.

Measured on Linux 6.18; fs/fuse/dev.c (fuse_dev_do_write, fuse_copy_out_args), dir.c, file.c, readdir.c, xattr.c.
"""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rawfuse import wire as w
from rawfuse.session.kernel_session import OFFERED
from rawfuse.session.negotiation import MINOR
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags
from rawfuse.wire.replies import fixed_reply_size

from ..stage.calls import BY_OPCODE, CALLS, OPEN, F, SystemCall, outcome, with_file
from ..stage.fake import Fake
from ..stage.kernels import Kernel, connected, kind_alone
from ..stage.made_up import DIR, LNK, REG, attr_out, dirent, entry, error, ok, usual
from ..stage.real import Real
from ..stage.script import using
from ..trial import NotPossible, case, holds, of, over, same, trial


def good(request: w.Request) -> bytes:
    return ok(request, of(bytes, usual(request)))


@dataclass(frozen=True)
class Frame:
    """A message written in answer to a LOOKUP: what write(2) says to it, and whether the request is used up."""

    name: str
    message: Callable[[w.Request], bytes]
    says: int
    consumed: bool


PENDING = [
    Frame("nothing at all", lambda r: b"", errno.EINVAL, False),
    Frame("fewer bytes than a header", lambda r: good(r)[:15], errno.EINVAL, False),
    Frame("a length below what was written", lambda r: ok(r, bytes(128), length=143), errno.EINVAL, False),
    Frame("a length above what was written", lambda r: ok(r, bytes(128), length=145), errno.EINVAL, False),
    Frame("a length of zero", lambda r: ok(r, bytes(128), length=0), errno.EINVAL, False),
    Frame("a unique nobody has", lambda r: ok(r, bytes(128), unique=r.unique + 2), errno.ENOENT, False),
    Frame("a unique with bit 63", lambda r: ok(r, bytes(128), unique=r.unique | 1 << 63), errno.ENOENT, False),
    Frame("a positive error", lambda r: error(r, -1), errno.EINVAL, False),
    Frame("error -512", lambda r: error(r, 512), errno.EINVAL, False),
    Frame("error -5000", lambda r: error(r, 5000), errno.EINVAL, False),
]
CONSUMED = [
    Frame("an error with a body", lambda r: error(r, errno.ENOENT, bytes(128)), errno.EINVAL, True),
    Frame("an error with one byte", lambda r: error(r, errno.ENOENT, b"x"), errno.EINVAL, True),
    Frame("a body too short", lambda r: ok(r, bytes(127)), errno.EINVAL, True),
    Frame("a body too long", lambda r: ok(r, bytes(129)), errno.EINVAL, True),
    Frame("no body", lambda r: ok(r), errno.EINVAL, True),
    Frame("the body of 7.8", lambda r: ok(r, bytes(120)), errno.EINVAL, True),
]


@trial(on=connected)
@over("frame", PENDING, ids=lambda frame: frame.name)
def a_bad_frame_leaves_the_request_pending(kernel: Kernel, frame: Frame) -> None:
    finish = kernel.call(BY_OPCODE[c.FUSE_LOOKUP])
    request = kernel.expect(c.FUSE_LOOKUP)
    # A socket cannot carry a message of no bytes.
    same(kernel.write(frame.message(request) or b"\0"), frame.says)
    same(kernel.write(good(request)), 0)
    same(outcome(finish), 2)


@trial(on=connected)
@over("frame", CONSUMED, ids=lambda frame: frame.name)
def a_refused_reply_has_failed_the_request(kernel: Kernel, frame: Frame) -> None:
    finish = kernel.call(BY_OPCODE[c.FUSE_LOOKUP])
    request = kernel.expect(c.FUSE_LOOKUP)
    same(kernel.write(frame.message(request)), frame.says)
    same(kernel.write(good(request)), errno.ENOENT)
    same(outcome(finish), "EIO")


@trial(on=connected)
def a_second_reply_finds_nothing(kernel: Kernel) -> None:
    finish = kernel.call(BY_OPCODE[c.FUSE_LOOKUP])
    request = kernel.expect(c.FUSE_LOOKUP)
    same([kernel.write(good(request)) for _ in range(2)], [0, errno.ENOENT])
    same(outcome(finish), 2)


@trial(on=connected)
def one_reply_in_two_writes_is_two_bad_frames(kernel: Kernel) -> None:
    finish = kernel.call(BY_OPCODE[c.FUSE_LOOKUP])
    request = kernel.expect(c.FUSE_LOOKUP)
    whole = good(request)
    same([kernel.write(part) for part in (whole[:16], whole[16:])], [errno.EINVAL] * 2)
    same(kernel.write(whole), 0)
    same(outcome(finish), 2)


@trial(on=connected)
@over("number", [1, errno.EINTR, 133, 200, 511])
def an_errno_reaches_the_caller_unfiltered(kernel: Kernel, number: int) -> None:
    finish = kernel.call(BY_OPCODE[c.FUSE_GETATTR])
    same(kernel.write(error(kernel.expect(c.FUSE_GETATTR), number)), 0)
    same(outcome(finish), errno.errorcode.get(number, number))


def wrong_sizes() -> list[Any]:
    sizes = ((call, fixed_reply_size(call.opcode, 45)) for call in CALLS)
    return [
        case(call, size, wrong, id=f"{call.opcode}-{wrong}")
        for call, size in sizes
        if size is not None
        for wrong in (size - 1, size + 1)
        if wrong >= 0
    ]


@trial(on=connected)
@over(("call", "size", "wrong"), wrong_sizes())
def a_fixed_reply_has_its_size_exactly(kernel: Kernel, call: SystemCall, size: int, wrong: int) -> None:
    finish = kernel.call(call)
    request = kernel.expect(call.opcode)
    same(kernel.write(ok(request, bytes(wrong))), errno.EINVAL)
    same(kernel.write(ok(request, bytes(size))), errno.ENOENT)
    same(outcome(finish), "EIO")


@trial(on=connected)
@over("call", CALLS, ids=lambda call: str(call.opcode))
def the_usual_reply_is_taken(kernel: Kernel, call: SystemCall) -> None:
    finish = kernel.call(call)
    same(kernel.write(good(kernel.expect(call.opcode))), 0)
    came_to = outcome(finish)
    holds(not isinstance(came_to, str), f"the call succeeds, and not {came_to}")


VARIABLE = [
    (c.FUSE_READ, 100),
    (c.FUSE_READLINK, 4095),
    (c.FUSE_READDIR, 32768),
    (c.FUSE_GETXATTR, 128),
    (c.FUSE_LISTXATTR, 256),
]


@trial(on=connected)
@over(("opcode", "limit"), VARIABLE)
def a_reply_longer_than_asked_has_failed_the_request(kernel: Kernel, opcode: int, limit: int) -> None:
    finish = kernel.call(BY_OPCODE[opcode])
    request = kernel.expect(opcode)
    if opcode != c.FUSE_READLINK:
        limit = request.arg.size  # type: ignore[attr-defined]
    same(kernel.write(ok(request, bytes(limit + 1))), errno.EINVAL)
    same(kernel.write(ok(request, b"x")), errno.ENOENT)
    same(outcome(finish), "EIO")


@trial(on=connected)
@over(
    ("opcode", "body", "seen"),
    [
        (c.FUSE_READ, b"", b""),
        (c.FUSE_READ, b"short", b"short"),
        (c.FUSE_READ, b"y" * 100, b"y" * 100),
        (c.FUSE_READLINK, b"", b""),
        (c.FUSE_READLINK, b"t\0", b"t"),
        (c.FUSE_READLINK, b"t" * 4095, b"t" * 4095),
        (c.FUSE_GETXATTR, b"", b""),
        (c.FUSE_GETXATTR, b"\0x", b"\0x"),
        (c.FUSE_LISTXATTR, b"", []),
        (c.FUSE_LISTXATTR, b"a\0bc\0", ["a", "bc"]),
    ],
)
def a_shorter_reply_is_what_there_is(kernel: Kernel, opcode: int, body: bytes, seen: object) -> None:
    finish = kernel.call(BY_OPCODE[opcode])
    same(kernel.write(ok(kernel.expect(opcode), body)), 0)
    same(outcome(finish), seen)


def open_out() -> bytes:
    return w.fuse_open_out(fh=7).pack()


FILE = REG | 0o644
NOT_BELIEVED = [
    case(c.FUSE_LOOKUP, entry(1, DIR | 0o755), id="LOOKUP that finds the root"),
    case(c.FUSE_LOOKUP, entry(2, 0o644), id="LOOKUP of no type"),
    case(c.FUSE_LOOKUP, entry(2, 0o170644), id="LOOKUP of an impossible type"),
    case(c.FUSE_LOOKUP, entry(2, FILE, 1 << 63), id="LOOKUP of a size beyond LLONG_MAX"),
    case(c.FUSE_GETATTR, attr_out(1, FILE), id="GETATTR of another type"),
    case(c.FUSE_GETATTR, attr_out(1, 0o755), id="GETATTR of no type"),
    case(c.FUSE_GETATTR, attr_out(1, DIR, 1 << 63), id="GETATTR of a size beyond LLONG_MAX"),
    case(c.FUSE_SETATTR, attr_out(2, DIR), id="SETATTR of another type"),
    case(c.FUSE_MKDIR, entry(0, DIR), id="MKDIR of inode 0"),
    case(c.FUSE_MKDIR, entry(1, DIR), id="MKDIR of the root"),
    case(c.FUSE_MKDIR, entry(9, FILE), id="MKDIR of a file"),
    case(c.FUSE_MKNOD, entry(9, DIR), id="MKNOD of a directory"),
    case(c.FUSE_SYMLINK, entry(9, FILE), id="SYMLINK of a file"),
    case(c.FUSE_LINK, entry(2, DIR), id="LINK to a directory"),
    case(c.FUSE_CREATE, entry(9, DIR) + open_out(), id="CREATE of a directory"),
    case(c.FUSE_CREATE, entry(0, FILE) + open_out(), id="CREATE of inode 0"),
    case(c.FUSE_TMPFILE, entry(9, LNK) + open_out(), id="TMPFILE of a link"),
    case(c.FUSE_WRITE, w.fuse_write_out(size=101).pack(), id="WRITE of more than asked"),
    case(c.FUSE_COPY_FILE_RANGE_64, w.fuse_copy_file_range_out(101).pack(), id="COPY of more than asked"),
    case(c.FUSE_LISTXATTR, b"a", id="LISTXATTR without a NUL"),
    case(c.FUSE_LISTXATTR, b"a\0\0", id="LISTXATTR with an empty name"),
    case(c.FUSE_READDIR, dirent(b"a/b"), id="READDIR with a slash"),
    case(c.FUSE_READDIR, dirent(b""), id="READDIR with an empty name"),
    case(c.FUSE_READDIR, dirent(b"n" * 4096), id="READDIR with a name of 4096 bytes"),
    case(c.FUSE_STATX, w.fuse_statx_out(stat=w.fuse_statx(mask=1, mode=DIR)).pack(), id="STATX of another type"),
    case(c.FUSE_GETLK, w.fuse_lk_out(w.fuse_file_lock(type=9)).pack(), id="GETLK of no type"),
    case(c.FUSE_GETLK, w.fuse_lk_out(w.fuse_file_lock(5, 4, 1)).pack(), id="GETLK that ends before it begins"),
]


@trial(on=connected)
@over(("opcode", "body"), NOT_BELIEVED)
def content_that_is_not_believed_is_eio_for_the_caller(kernel: Kernel, opcode: int, body: bytes) -> None:
    finish = kernel.call(BY_OPCODE[opcode])
    same(kernel.write(ok(kernel.expect(opcode), body)), 0)
    same(outcome(finish), "EIO")


BELIEVED = [
    case(c.FUSE_LOOKUP, entry(2, FILE, (1 << 63) - 1), 2, id="LOOKUP of a size of LLONG_MAX"),
    case(c.FUSE_WRITE, w.fuse_write_out(size=60).pack(), 60, id="WRITE of less"),
    case(c.FUSE_WRITE, w.fuse_write_out(size=0).pack(), 0, id="direct WRITE of nothing"),
    case(c.FUSE_COPY_FILE_RANGE_64, w.fuse_copy_file_range_out(60).pack(), 60, id="COPY of less"),
    case(c.FUSE_READDIR, dirent(b"one") + dirent(b"a/b") + dirent(b"two"), [b"one"], id="READDIR up to a slash"),
    case(c.FUSE_READDIR, dirent(b"one") + dirent(b"two")[:-1], [b"one"], id="READDIR up to a cut"),
    case(c.FUSE_READDIR, dirent(b"one") + bytes(23), [b"one"], id="READDIR up to half a head"),
    case(c.FUSE_READDIR, dirent(b"one") + dirent(b"two", ino=0), [b"one"], id="READDIR without inode 0"),
    case(c.FUSE_READDIR, dirent(b"on\0e") + dirent(b"two"), [b"on", b"two"], id="READDIR of a name with NUL"),
    case(c.FUSE_READDIR, dirent(b"one", kind=0) + dirent(b"x", kind=99), [b"one", b"x"], id="READDIR of types"),
    case(c.FUSE_READDIR, b"", [], id="READDIR of nothing"),
]


@trial(on=connected)
@over(("opcode", "body", "seen"), BELIEVED)
def content_that_is_taken_as_it_is(kernel: Kernel, opcode: int, body: bytes, seen: object) -> None:
    finish = kernel.call(BY_OPCODE[opcode])
    same(kernel.write(ok(kernel.expect(opcode), body)), 0)
    same(outcome(finish), seen)


@trial(on=connected)
@over(("size", "seen"), [(0, "EIO"), (60, 60), (100, 100), (101, "EIO")])
def a_write_of_nothing_is_eio_through_the_page_cache(kernel: Kernel, size: int, seen: object) -> None:
    answers = {c.FUSE_OPEN: w.fuse_open_out(fh=7).pack(), c.FUSE_WRITE: w.fuse_write_out(size=size).pack()}
    with using(kernel, {**answers}):
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_WRITE])), seen)


def reading_ioctl(fd: int) -> object:
    data = bytearray(8)
    return fcntl.ioctl(fd, READ_8, data), bytes(data)


READ_8 = 0x80087801
IOCTL = SystemCall(
    c.FUSE_IOCTL,
    with_file(reading_ioctl),
    (F, OPEN, lambda: w.Ioctl(nodeid=2, arg=w.fuse_ioctl_in(cmd=READ_8, out_size=8))),
    lambda value: value.result,
)


@trial(on=connected)
@over("length", [16 + 9, 16 + 4096])
def an_ioctl_that_gives_more_than_was_asked_is_eio(kernel: Kernel, length: int) -> None:
    finish = kernel.call(IOCTL)
    same(kernel.write(ok(kernel.expect(c.FUSE_IOCTL), bytes(length))), 0, "there always is room for a page")
    same(outcome(finish), "EIO")


@trial(on=connected)
@over("length", [0, 15, 16 + 4097])
def an_ioctl_is_answered_with_its_struct_and_at_most_a_page(kernel: Kernel, length: int) -> None:
    finish = kernel.call(IOCTL)
    request = of(w.Ioctl, kernel.expect(c.FUSE_IOCTL))
    same(request.arg.out_size, 8)
    same(kernel.write(ok(request, bytes(length))), errno.EINVAL)
    same(kernel.write(ok(request, bytes(16))), errno.ENOENT)
    same(outcome(finish), "EIO")


@trial(on=connected)
@over("data", [b"", b"four", b"all of 8"])
def an_ioctl_may_give_less_than_was_asked(kernel: Kernel, data: bytes) -> None:
    finish = kernel.call(IOCTL)
    same(kernel.write(ok(kernel.expect(c.FUSE_IOCTL), w.fuse_ioctl_out(result=5).pack() + data)), 0)
    same(outcome(finish), (5, data.ljust(8, b"\0")) if isinstance(kernel, Real) else 5)


@trial(on=connected)
def an_ioctl_is_not_tried_again_whose_command_says_its_sizes(kernel: Kernel) -> None:
    finish = kernel.call(IOCTL)
    again = w.fuse_ioctl_out(flags=c.FUSE_IOCTL_RETRY).pack()
    same(kernel.write(ok(kernel.expect(c.FUSE_IOCTL), again)), 0)
    same(outcome(finish), "EIO")


@trial(on=connected)
@over("valid", [0, 1000])
def a_negative_entry_is_an_absent_name_for_as_long_as_it_says(kernel: Kernel, valid: int) -> None:
    finish = kernel.call(BY_OPCODE[c.FUSE_LOOKUP])
    same(kernel.write(ok(kernel.expect(c.FUSE_LOOKUP), entry(0, 0, valid=valid))), 0)
    if isinstance(kernel, Fake):
        same(kernel.session.known.child(1, b"f"), 0)
        return
    same(outcome(finish), "ENOENT")
    with using(kernel, {c.FUSE_LOOKUP: errno.ENOENT}):
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_LOOKUP])), "ENOENT")
    same(kernel.opcodes.count(c.FUSE_LOOKUP), 1 if valid else 2)


@trial(on=connected)
def a_negative_entry_has_all_of_its_bytes(kernel: Kernel) -> None:
    finish = kernel.call(BY_OPCODE[c.FUSE_LOOKUP])
    same(kernel.write(ok(kernel.expect(c.FUSE_LOOKUP), bytes(8))), errno.EINVAL)
    same(outcome(finish), "EIO")


@trial(on=connected)
def nanoseconds_of_validity_are_not_checked(kernel: Kernel) -> None:
    body = w.fuse_attr_out(attr_valid=1, attr_valid_nsec=2_000_000_000, attr=w.fuse_attr(ino=1, mode=DIR | 0o755))
    finish = kernel.call(BY_OPCODE[c.FUSE_GETATTR])
    same(kernel.write(ok(kernel.expect(c.FUSE_GETATTR), body.pack())), 0)
    same(outcome(finish), 1)


@trial(on=connected)
def init_is_the_first_message_and_has_104_bytes(kernel: Kernel) -> None:
    with connected(kernel.name) as one:
        (init,) = one.requests
    of(w.Init, init)
    same((init.unique, init.nodeid, init.uid, init.gid, init.pid), (2, 0, 0, 0, 0))
    same(len(w.encode_request(init)), 104)


@trial(on=kind_alone)
def what_a_kernel_of_this_minor_offers_is_what_ours_offers(_: str) -> None:
    with connected("real") as one:
        (first,) = one.requests
    init = of(w.Init, first)
    if init.arg.minor != MINOR:
        raise NotPossible(f"this kernel speaks 7.{init.arg.minor}; what 7.{MINOR} offers is known")
    offered = InitFlags(init.arg.flags | init.arg.flags2 << 32)
    same(offered & ~InitFlags.FUSE_OVER_IO_URING, OFFERED)


@trial(on=connected)
def uniques_are_even_and_step_by_two(kernel: Kernel) -> None:
    kernel.run(BY_OPCODE[c.FUSE_READ])
    uniques = [request.unique for request in kernel.requests]
    same(uniques, [2 * number for number in range(1, len(uniques) + 1)], "INIT is 2")
    same(kernel.requests[0].nodeid, 0)
