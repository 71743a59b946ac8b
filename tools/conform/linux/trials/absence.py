"""ENOSYS: what the caller gets, and whether the kernel asks again, against the real kernel and KernelSession."""

from __future__ import annotations

import errno
import select

from rawfuse import wire as w
from rawfuse.session.absence import INSTEAD, REMEMBERED
from rawfuse.wire import constants as c
from rawfuse.wire.flags import InitFlags

from ..stage.calls import BLOCK_CALLS, BY_OPCODE, OPEN, OPENDIR, D, F, SystemCall, outcome, with_directory, with_file
from ..stage.fake import Fake
from ..stage.kernels import Kernel, connected, kind_alone, unmounting
from ..stage.made_up import FLAGS, error, init_answer, open_buffered
from ..stage.script import using
from ..trial import holds, over, same, trial

SUCCESS = None
CASES = [
    # remembered
    (c.FUSE_ACCESS, 0),
    (c.FUSE_FLUSH, SUCCESS),
    (c.FUSE_FSYNC, SUCCESS),
    (c.FUSE_FSYNCDIR, SUCCESS),
    (c.FUSE_OPEN, SUCCESS),
    (c.FUSE_OPENDIR, SUCCESS),
    (c.FUSE_SETXATTR, "EOPNOTSUPP"),
    (c.FUSE_GETXATTR, "EOPNOTSUPP"),
    (c.FUSE_LISTXATTR, "EOPNOTSUPP"),
    (c.FUSE_REMOVEXATTR, "EOPNOTSUPP"),
    (c.FUSE_FALLOCATE, "EOPNOTSUPP"),
    (c.FUSE_TMPFILE, "EOPNOTSUPP"),
    (c.FUSE_LINK, "EPERM"),
    (c.FUSE_RENAME2, "EINVAL"),
    (c.FUSE_POLL, [select.POLLIN]),
    (c.FUSE_BMAP, 0),
    (c.FUSE_SYNCFS, 0),
    # passed on
    (c.FUSE_LOOKUP, "ENOSYS"),
    (c.FUSE_GETATTR, "ENOSYS"),
    (c.FUSE_SETATTR, "ENOSYS"),
    (c.FUSE_READLINK, "ENOSYS"),
    (c.FUSE_SYMLINK, "ENOSYS"),
    (c.FUSE_MKNOD, "ENOSYS"),
    (c.FUSE_MKDIR, "ENOSYS"),
    (c.FUSE_UNLINK, "ENOSYS"),
    (c.FUSE_RMDIR, "ENOSYS"),
    (c.FUSE_RENAME, "ENOSYS"),
    (c.FUSE_READ, "ENOSYS"),
    (c.FUSE_WRITE, "ENOSYS"),
    (c.FUSE_STATFS, "ENOSYS"),
    (c.FUSE_READDIR, "ENOSYS"),
    (c.FUSE_READDIRPLUS, "ENOSYS"),
    (c.FUSE_GETLK, "ENOSYS"),
    (c.FUSE_SETLK, "ENOSYS"),
    (c.FUSE_SETLKW, "ENOSYS"),
    (c.FUSE_IOCTL, "ENOTTY"),
]


@trial(on=kind_alone)
@over(("opcode", "seen"), CASES)
def enosys_is_seen_as_and_remembered_or_not(kind: str, opcode: int, seen: object) -> None:
    flags = FLAGS | InitFlags.FUSE_DO_READDIRPLUS if opcode == c.FUSE_READDIRPLUS else FLAGS
    block = BY_OPCODE[opcode] in BLOCK_CALLS
    with connected(kind, init_answer(flags), block=block) as kernel, using(kernel, {opcode: errno.ENOSYS}):
        results = [outcome(kernel.call(BY_OPCODE[opcode])) for _ in range(2)]
        same(results, [seen, seen])
        same(kernel.opcodes.count(opcode), 1 if opcode in REMEMBERED else 2)


ELSEWHERE = {c.FUSE_INTERRUPT, c.FUSE_INIT, c.FUSE_DESTROY}
"""Tests of their own: test_kernel_interrupt, test_kernel_init, and below."""
NEVER_SENT = {c.FUSE_SETUPMAPPING, c.FUSE_REMOVEMAPPING, c.CUSE_INIT}
"""Of virtiofs and of CUSE."""


@trial(on=connected)
@over(
    ("opcode", "value"),
    [
        (c.FUSE_CREATE, None),
        (c.FUSE_STATX, 0),
        (c.FUSE_COPY_FILE_RANGE_64, 100),
        (c.FUSE_LSEEK, 1 << 20),
    ],
)
def other_requests_take_the_place_of_an_absent_one(kernel: Kernel, opcode: int, value: object) -> None:
    finish = kernel.call(BY_OPCODE[opcode])
    kernel.answer(kernel.expect(opcode), errno.ENOSYS)
    before = len(kernel.opcodes)
    first = outcome(finish)
    # What the kernel has in its caches it does not ask for: CREATE knows the name to be absent, LSEEK the size.
    asked = kernel.opcodes[before:]
    same(first, 4096 if opcode == c.FUSE_COPY_FILE_RANGE_64 and isinstance(kernel, Fake) else value)
    cached = {c.FUSE_LOOKUP, c.FUSE_GETATTR}
    holds({*INSTEAD[opcode]} - cached <= {*asked}, f"{sorted({*INSTEAD[opcode]} - cached)} are asked, and not {asked}")
    outcome(kernel.call(BY_OPCODE[opcode]))
    same(kernel.opcodes.count(opcode), 1)


@trial(on=connected)
def copying_ends_with_read_and_write_when_both_opcodes_are_absent(kernel: Kernel) -> None:
    absent: dict[int, bytes | int] = {c.FUSE_COPY_FILE_RANGE_64: errno.ENOSYS, c.FUSE_COPY_FILE_RANGE: errno.ENOSYS}
    with using(kernel, absent):
        for _ in range(2):
            copied = outcome(kernel.call(BY_OPCODE[c.FUSE_COPY_FILE_RANGE_64]))
            holds(isinstance(copied, int | None), f"the copy succeeds, and not {copied}")
    same([kernel.opcodes.count(opcode) for opcode in absent], [1, 1])
    holds({c.FUSE_READ, c.FUSE_WRITE} <= {*kernel.opcodes}, "READ and WRITE come in the copy's place")


@trial(on=connected)
def an_open_that_is_absent_has_no_release(kernel: Kernel) -> None:
    with using(kernel, {c.FUSE_OPEN: errno.ENOSYS}):
        kernel.run(BY_OPCODE[c.FUSE_OPEN])
        kernel.run(BY_OPCODE[c.FUSE_STATFS])
    same(kernel.opcodes.count(c.FUSE_RELEASE), 0, "RELEASEs")


IGNORED = {c.FUSE_RELEASE, c.FUSE_RELEASEDIR}


@trial(on=connected)
@over("opcode", sorted(IGNORED))
def a_release_that_is_absent_is_passed_over_and_comes_again(kernel: Kernel, opcode: int) -> None:
    listing = SystemCall(opcode, with_directory(lambda fd: None), (D, OPENDIR, lambda: w.ReleaseDir(nodeid=3)))
    file = SystemCall(opcode, with_file(lambda fd: None), (F, OPEN, lambda: w.Release(nodeid=2)))
    with using(kernel, {opcode: errno.ENOSYS}):
        for _ in range(2):
            same(outcome(kernel.call(file if opcode == c.FUSE_RELEASE else listing)), None)
        kernel.run(BY_OPCODE[c.FUSE_STATFS])
    same(kernel.opcodes.count(opcode), 2)


@trial(on=kind_alone)
def a_destroy_that_is_absent_is_passed_over(kind: str) -> None:
    with connected(kind, block=True) as kernel:
        finish = unmounting(kernel)
        same(kernel.write(error(kernel.expect(c.FUSE_DESTROY), errno.ENOSYS)), 0)
        finish()


@trial(on=kind_alone)
@over("absent", [False, True])
def getxattr_absent_ends_the_question_for_capabilities_before_a_first_write(kind: str, absent: bool) -> None:
    with connected(kind) as kernel, using(kernel, {c.FUSE_GETXATTR: errno.ENOSYS if absent else errno.ENODATA}):
        outcome(kernel.call(BY_OPCODE[c.FUSE_GETXATTR]))
        kernel.opcodes.clear()
        kernel.run(BY_OPCODE[c.FUSE_WRITE], open_buffered())
        same(c.FUSE_GETXATTR in kernel.opcodes, not absent, "GETXATTR is asked")


@trial(on=kind_alone)
def an_opendir_that_is_absent_has_its_listing_kept(kind: str) -> None:
    with connected(kind) as kernel, using(kernel, {c.FUSE_OPENDIR: errno.ENOSYS}):
        for _ in range(2):
            same(outcome(kernel.call(BY_OPCODE[c.FUSE_READDIR])), [b"one", b"two"])
        same(kernel.opcodes.count(c.FUSE_READDIR), 2, "once with entries, once at the end")
