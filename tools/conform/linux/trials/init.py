"""What follows from the answer to INIT, against the real kernel and against KernelSession (Linux 6.18)."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from typing import Any

from rawfuse import wire as w
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

from ..stage.calls import BY_OPCODE, OPENDIR, D, F, SystemCall, opened, outcome, with_directory
from ..stage.kernels import KERNELS, connected, kind_alone
from ..stage.made_up import FLAGS, SIZE, entry, error, init_answer, ok, open_buffered
from ..stage.script import using
from ..trial import case, holds, needs_root, over, same, trial

PAGE = 4096


def init_size(size: int) -> Callable[[w.Request], bytes]:
    return lambda request: ok(request, init_answer().ljust(size, b"\0")[:size])


REFUSED = [
    case(lambda r: error(r, errno.EPROTO), 0, id="an error"),
    case(lambda r: ok(r), 0, id="no bytes"),
    case(init_size(65), errno.EINVAL, id="65 bytes"),
    case(lambda r: ok(r, b"\6\0\0\0" + init_answer()[4:]), 0, id="major 6"),
    case(lambda r: ok(r, b"\10\0\0\0" + init_answer()[4:]), 0, id="major 8"),
    case(lambda r: ok(r, init_answer(FLAGS | InitFlags.FUSE_ALLOW_IDMAP)), 0, id="ALLOW_IDMAP unchecked"),
]


@trial(on=kind_alone)
@over(("message", "says"), REFUSED)
def a_bad_answer_to_init_ends_the_connection(kind: str, message: Callable[[w.Request], bytes], says: int) -> None:
    kernel = KERNELS[kind]()
    try:
        same(kernel.write(message(kernel.expect(c.FUSE_INIT))), says)
        for _ in range(2):
            same(outcome(kernel.call(BY_OPCODE[c.FUSE_GETATTR])), "ECONNREFUSED")
        holds(kernel.next() is None, "no second INIT")
    finally:
        kernel.close()


@trial(on=kind_alone)
@over("size", [8, 16, 24, 63, 64])
@over("minor", [5, 22, 23, 45])
def init_may_be_answered_with_8_to_64_bytes_at_any_minor(kind: str, size: int, minor: int) -> None:
    with connected(kind, init_answer(minor=minor)[:size], minor=minor) as kernel:
        same(kernel.run(BY_OPCODE[c.FUSE_GETATTR], {c.FUSE_GETATTR: _attr(minor)}), 1)


def _attr(minor: int) -> bytes:
    return w.fuse_attr_out(attr_valid=9, attr=w.fuse_attr(ino=1, mode=0o40755)).pack()[: 96 if minor < 9 else 104]


@trial(on=kind_alone)
@over("flag", [InitFlags.FUSE_POSIX_ACL, None], ids=["POSIX_ACL", "default_permissions"])
def idmapped_mounts_need_modes_to_be_checked(kind: str, flag: InitFlags | None) -> None:
    flags = FLAGS | InitFlags.FUSE_ALLOW_IDMAP | (flag or InitFlags(0))
    with connected(kind, init_answer(flags), default_permissions=flag is None) as kernel:
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_LOOKUP])), 2)


MINORS = [3, 4, 8, 9, 11, 12, 15, 16, 22, 23, 44, 45]


@trial(on=kind_alone)
@over("minor", MINORS)
@over(
    ("opcode", "first", "before", "since"),
    [
        (c.FUSE_LOOKUP, 9, 120, 128),
        (c.FUSE_GETATTR, 9, 96, 104),
        (c.FUSE_STATFS, 4, 48, 80),
        (c.FUSE_MKNOD, 9, 120, 128),
        (c.FUSE_CREATE, 9, 136, 144),
    ],
)
def replies_have_the_size_of_the_minor_answered(
    kind: str, minor: int, opcode: int, first: int, before: int, since: int
) -> None:
    right, wrong = (since, before) if minor >= first else (before, since)
    for size, says in ((right, 0), (wrong, errno.EINVAL)):
        with connected(kind, init_answer(minor=minor), minor=minor) as kernel:
            old = {c.FUSE_LOOKUP: errno.ENOENT} if opcode != c.FUSE_LOOKUP else {}
            with using(kernel, dict(old)):
                finish = kernel.call(BY_OPCODE[opcode])
                request = kernel.expect(opcode)
                same(kernel.write(ok(request, bytes(size))), says)
                with using(kernel, {c.FUSE_LOOKUP: errno.EIO, c.FUSE_GETATTR: errno.EIO}):
                    outcome(finish)


@trial(on=kind_alone)
@over("minor", MINORS)
@over(
    ("opcode", "name", "first", "before", "since"),
    [
        (c.FUSE_MKNOD, 4, 12, 8, 16),
        (c.FUSE_CREATE, 4, 12, 8, 16),
        (c.FUSE_WRITE, 100, 9, 24, 40),
        (c.FUSE_READ, 0, 9, 24, 40),
    ],
)
def requests_have_the_size_of_the_minor_answered(
    kind: str, minor: int, opcode: int, name: int, first: int, before: int, since: int
) -> None:
    found = entry(2, 0o100644)[: 120 if minor < 9 else 128]
    absent = opcode in (c.FUSE_MKNOD, c.FUSE_CREATE)
    with connected(kind, init_answer(minor=minor), minor=minor) as kernel:
        with using(kernel, {c.FUSE_LOOKUP: errno.ENOENT if absent else found}):
            finish = kernel.call(BY_OPCODE[opcode])
            request = kernel.expect(opcode)
            expected = since if minor >= first or opcode == c.FUSE_READ else before
            same(kernel.lengths[-1], 40 + expected + name)
            kernel.write(error(request, errno.EIO))
            same(outcome(finish), "EIO")


@trial(on=kind_alone)
@over(("ext", "size"), [(True, 16), (False, 8)])
@over("minor", [23, 45])
def setxattr_is_longer_with_setxattr_ext_whatever_the_minor(kind: str, ext: bool, size: int, minor: int) -> None:
    flags = FLAGS if ext else FLAGS & ~InitFlags.FUSE_SETXATTR_EXT
    with connected(kind, init_answer(flags, minor=minor), minor=minor, setxattr_ext=ext) as kernel:
        finish = kernel.call(BY_OPCODE[c.FUSE_SETXATTR])
        kernel.answer(kernel.expect(c.FUSE_SETXATTR))
        same(kernel.lengths[-1], 40 + size + len(b"user.a\0" + b"1"))
        finish()


@trial(on=kind_alone)
def a_copy_is_asked_for_by_opcode_53_even_below_minor_45(kind: str) -> None:
    with connected(kind, init_answer(minor=44), minor=44) as kernel:
        finish = kernel.call(BY_OPCODE[c.FUSE_COPY_FILE_RANGE_64])
        kernel.answer(kernel.expect(c.FUSE_COPY_FILE_RANGE_64))
        same(outcome(finish), 100)


def directory_ioctl(fd: int) -> object:
    return fcntl.ioctl(fd, 0x1234)


HELD_BACK = [
    # opcode, the call, what it comes to below the minor and from it on
    case(BY_OPCODE[c.FUSE_RENAME2], 23, "EINVAL", 0, id="RENAME2"),
    case(
        SystemCall(
            c.FUSE_IOCTL,
            with_directory(directory_ioctl),
            (D, OPENDIR, lambda: w.Ioctl(nodeid=3, arg=w.fuse_ioctl_in(flags=c.FUSE_IOCTL_DIR))),
            lambda value: value.result,
        ),
        18,
        "ENOTTY",
        0,
        id="IOCTL of a directory",
    ),
]


@trial(on=kind_alone)
@over(("call", "first", "before", "since"), HELD_BACK)
@over("behind", [-1, 0])
def below_a_minor_a_request_is_held_back(
    kind: str, call: SystemCall, first: int, before: object, since: object, behind: int
) -> None:
    with connected(kind, init_answer(minor=first + behind), minor=first + behind) as kernel:
        same(outcome(kernel.call(call)) or 0, before if behind else since)
        same(call.opcode in kernel.opcodes, not behind)


@trial(on=kind_alone)
def flags2_is_passed_over_without_init_ext(kind: str) -> None:
    flags = (FLAGS | InitFlags.FUSE_ALLOW_IDMAP) & ~InitFlags.FUSE_INIT_EXT
    with connected(kind, init_answer(flags)) as kernel:  # with it, this INIT would have failed
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_LOOKUP])), 2)


SIZES = [
    # flags beyond BIG_WRITES, max_write, max_pages, max_read: largest READ, WRITE, buffered WRITE
    case(InitFlags.FUSE_BIG_WRITES, 1 << 20, 256, None, 32, 32, 32, id="no MAX_PAGES"),
    case(InitFlags.FUSE_MAX_PAGES, 1 << 20, 64, None, 64, 64, 1, id="no BIG_WRITES"),
    case(FLAGS, 1 << 20, 256, None, 256, 256, 256, id="all"),
    case(FLAGS, 1 << 20, 1000, None, 256, 256, 256, id="more pages than the limit"),
    case(FLAGS, 1 << 16, 256, None, 256, 16, 16, id="max_write"),
    case(FLAGS, 1 << 20, 16, None, 16, 16, 16, id="max_pages"),
    case(FLAGS, 1 << 20, 0, None, 1, 1, 1, id="no pages"),
    case(FLAGS, 0, 256, None, 256, 1, 1, id="max_write 0"),
    case(FLAGS, 1 << 20, 256, 65536, 16, 256, 256, id="max_read"),
]


def aligned() -> mmap.mmap:
    """Memory of whole pages, which direct I/O takes in the fewest pieces."""
    memory = mmap.mmap(-1, SIZE)
    memory.write(os.urandom(SIZE))
    return memory


def reading(root: int) -> object:
    return opened("f", os.O_RDWR, lambda fd: os.preadv(fd, [aligned()], 0), root)


def writing(root: int) -> object:
    return opened("f", os.O_RDWR, lambda fd: os.pwrite(fd, aligned(), 0), root)


@trial(on=kind_alone)
@over(("flags", "max_write", "max_pages", "max_read", "read", "write", "buffered"), SIZES)
def the_largest_messages_follow_from_init(
    kind: str,
    flags: InitFlags,
    max_write: int,
    max_pages: int,
    max_read: int | None,
    read: int,
    write: int,
    buffered: int,
) -> None:
    answer = init_answer(flags | InitFlags.FUSE_INIT_EXT, max_write=max_write, max_pages=max_pages)
    options: dict[str, Any] = {} if max_read is None else {"max_read": max_read}
    with connected(kind, answer, setxattr_ext=False, **options) as kernel:
        if kind == "fake":
            holds = kernel.session.holds  # type: ignore[union-attr]
            same((holds.read, holds.write, holds.buffered_write), (read * PAGE, write * PAGE, buffered * PAGE))
            return
        seen = []
        for act, opcode, fields in (
            (reading, c.FUSE_READ, {}),
            (writing, c.FUSE_WRITE, {}),
            (writing, c.FUSE_WRITE, open_buffered()),
        ):
            kernel.requests.clear()
            kernel.run(SystemCall(opcode, act, (F,)), fields)
            seen.append(max(r.arg.size for r in kernel.requests if r.opcode == opcode))  # type: ignore[attr-defined]
    same(seen, [read * PAGE, write * PAGE, buffered * PAGE])


@trial(on=kind_alone)
@over(("flags", "longest"), [(FLAGS, 4095), (FLAGS & ~InitFlags.FUSE_MAX_PAGES, 1024)])
def max_pages_lifts_the_longest_name(kind: str, flags: InitFlags, longest: int) -> None:

    with connected(kind, init_answer(flags)) as kernel:
        if kind == "fake":
            same(kernel.session.holds.name, longest)  # type: ignore[union-attr]
            return
        # The VFS itself takes no component of more than 255 bytes in a path but passes it on to the file system;
        # a path has at most 4095.
        for length, result in ((min(longest, 4090), "ENOENT"), (longest + 1, "ENAMETOOLONG")):
            call = SystemCall(c.FUSE_LOOKUP, lambda root, n=length: os.stat(b"n" * n, dir_fd=root), ())  # type: ignore[misc]
            same(outcome(kernel.call(call)), result)


@trial(on=kind_alone)
def passthrough_stands_back_for_the_writeback_cache(kind: str) -> None:
    if kind == "real":
        needs_root("open backing files")
    both = FLAGS | InitFlags.FUSE_PASSTHROUGH | InitFlags.FUSE_WRITEBACK_CACHE
    for flags, depth, number in (
        (both, 1, errno.EPERM),
        (both & ~InitFlags.FUSE_WRITEBACK_CACHE, 0, errno.EPERM),
        (both & ~InitFlags.FUSE_WRITEBACK_CACHE, 1, 0),
    ):
        with connected(kind, init_answer(flags, max_stack_depth=depth)) as kernel:
            same(kernel.backing_open(), number)
