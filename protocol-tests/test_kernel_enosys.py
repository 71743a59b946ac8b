"""ENOSYS: what the caller gets, and whether the kernel asks again, against the real kernel and KernelSession."""

from __future__ import annotations

import errno
from collections.abc import Generator

import pytest
from calls import BY_OPCODE, outcome
from two_kernels import Fake, Real, connected, using

from rawfuse.session.absence import INSTEAD, REMEMBERED
from rawfuse.wire import constants as c

Kernel = Real | Fake
KINDS = [pytest.param("real", marks=pytest.mark.kernel("root")), "fake"]


@pytest.fixture(params=KINDS)
def kernel(request: pytest.FixtureRequest) -> Generator[Kernel, None, None]:
    with connected(request.param) as one:
        yield one


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
    (c.FUSE_GETLK, "ENOSYS"),
    (c.FUSE_IOCTL, "ENOTTY"),
]


@pytest.mark.parametrize(("opcode", "seen"), CASES)
def test_enosys_is_seen_as_and_remembered_or_not(kernel: Kernel, opcode: int, seen: object) -> None:
    with using(kernel, {opcode: errno.ENOSYS}):
        results = [outcome(kernel.call(BY_OPCODE[opcode])) for _ in range(2)]
    assert results == [seen, seen]
    assert kernel.opcodes.count(opcode) == (1 if opcode in REMEMBERED else 2)


@pytest.mark.parametrize(
    ("opcode", "value"),
    [
        (c.FUSE_CREATE, None),
        (c.FUSE_STATX, 0),
        (c.FUSE_COPY_FILE_RANGE_64, 100),
        (c.FUSE_LSEEK, 1 << 20),
    ],
)
def test_other_requests_take_the_place_of_an_absent_one(kernel: Kernel, opcode: int, value: object) -> None:
    finish = kernel.call(BY_OPCODE[opcode])
    kernel.answer(kernel.expect(opcode), errno.ENOSYS)
    before = len(kernel.opcodes)
    first = outcome(finish)
    # What the kernel has in its caches it does not ask for: CREATE knows the name to be absent, LSEEK the size.
    asked = kernel.opcodes[before:]
    assert first == (4096 if opcode == c.FUSE_COPY_FILE_RANGE_64 and isinstance(kernel, Fake) else value)
    cached = {c.FUSE_LOOKUP, c.FUSE_GETATTR}
    assert {*INSTEAD[opcode]} - cached <= {*asked}
    outcome(kernel.call(BY_OPCODE[opcode]))
    assert kernel.opcodes.count(opcode) == 1


def test_copying_ends_with_read_and_write_when_both_opcodes_are_absent(kernel: Kernel) -> None:
    absent: dict[int, bytes | int] = {c.FUSE_COPY_FILE_RANGE_64: errno.ENOSYS, c.FUSE_COPY_FILE_RANGE: errno.ENOSYS}
    with using(kernel, absent):
        for _ in range(2):
            assert not isinstance(outcome(kernel.call(BY_OPCODE[c.FUSE_COPY_FILE_RANGE_64])), str)
    assert [kernel.opcodes.count(opcode) for opcode in absent] == [1, 1]
    assert c.FUSE_READ in kernel.opcodes and c.FUSE_WRITE in kernel.opcodes


def test_an_open_that_is_absent_has_no_release(kernel: Kernel) -> None:
    with using(kernel, {c.FUSE_OPEN: errno.ENOSYS}):
        kernel.run(BY_OPCODE[c.FUSE_OPEN])
        kernel.run(BY_OPCODE[c.FUSE_STATFS])
    assert c.FUSE_RELEASE not in kernel.opcodes


def test_a_release_that_is_absent_is_passed_over(kernel: Kernel) -> None:
    with using(kernel, {c.FUSE_RELEASE: errno.ENOSYS}):
        assert outcome(kernel.call(BY_OPCODE[c.FUSE_READ])) == b"x" * 100
