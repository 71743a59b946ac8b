"""fallocate(2) under the real kernel: room, zeros and holes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.tests.allocating import (
    FALLOC_COLLAPSE_RANGE,
    FALLOC_INSERT_RANGE,
    FALLOC_KEEP_SIZE,
    FALLOC_PUNCH_HOLE,
    FALLOC_ZERO_RANGE,
    data_ranges,
    fallocate,
)
from mfs.tests.mounting import Mount
from mfs.tests.programs import as_user, run

MIB = 1 << 20
PUNCH = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE
DATA = os.urandom(4 * MIB + 777)

pytestmark = [
    pytest.mark.kernel("root"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture
def fd(mfs_mount: Mount) -> Iterator[int]:
    """A file of `DATA`, open."""
    opened = os.open(mfs_mount.path / "file", os.O_RDWR | os.O_CREAT)
    os.write(opened, DATA)
    yield opened
    os.close(opened)


def contents(fd: int) -> bytes:
    """What the server has, page cache or not."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return os.pread(fd, 16 * MIB, 0)


def test_a_plain_allocation_makes_the_file_longer_and_keeps_its_bytes(fd: int) -> None:
    fallocate(fd, 0, MIB, 9 * MIB)
    assert contents(fd) == DATA.ljust(10 * MIB, b"\0")
    fallocate(fd, 0, 0, 5)
    assert os.fstat(fd).st_size == 10 * MIB


def test_with_keep_size_nothing_is_longer(fd: int) -> None:
    fallocate(fd, FALLOC_KEEP_SIZE, 0, 50 * MIB)
    fallocate(fd, FALLOC_KEEP_SIZE | FALLOC_ZERO_RANGE, len(DATA), 5 * MIB)
    assert contents(fd) == DATA


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize(
    ("start", "length"), [(0, MIB), (100, 200), (MIB - 5, MIB + 10), (MIB, 2 * MIB), (3 * MIB, 5 * MIB), (0, 9 * MIB)]
)
def test_a_punched_range_is_a_hole(fd: int, mfs_mount: Mount, start: int, length: int, committed: bool) -> None:
    if committed:
        os.getxattr(fd, "ipfs.cid")
    fallocate(fd, PUNCH, start, length)
    stop = min(start + length, len(DATA))
    held = [(first, last) for first, last in ((0, start), (stop, len(DATA))) if first < last]
    assert contents(fd) == DATA[:start] + bytes(stop - start) + DATA[stop:]
    assert data_ranges(fd) == held
    os.getxattr(fd, "ipfs.cid")
    assert data_ranges(fd) == held
    os.close(os.dup(fd))
    assert contents(fd) == DATA[:start] + bytes(stop - start) + DATA[stop:]


def test_a_punched_file_has_the_cid_of_its_bytes(fd: int, mfs_mount: Mount) -> None:
    fallocate(fd, PUNCH, MIB, MIB)
    (mfs_mount.path / "same").write_bytes(DATA[:MIB] + bytes(MIB) + DATA[2 * MIB :])
    assert os.getxattr(fd, "ipfs.cid") == os.getxattr(mfs_mount.path / "same", "ipfs.cid")


def test_a_hole_survives_a_kill_after_fsync(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(DATA)
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    fallocate(fd, PUNCH, 5, 2 * MIB)
    os.fsync(fd)
    mfs_mount.kill()
    os.close(fd)
    mfs_mount.remount()
    fd = os.open(path, os.O_RDONLY)
    assert data_ranges(fd) == [(0, 5), (2 * MIB + 5, len(DATA))]
    assert contents(fd) == DATA[:5] + bytes(2 * MIB) + DATA[2 * MIB + 5 :]
    os.close(fd)


def test_zeroing_behind_the_end_makes_the_file_longer(fd: int) -> None:
    fallocate(fd, FALLOC_ZERO_RANGE, 3 * MIB, 5 * MIB)
    assert contents(fd) == DATA[: 3 * MIB].ljust(8 * MIB, b"\0")
    assert data_ranges(fd) == [(0, 3 * MIB)]


def test_a_hole_in_a_sparse_file_of_a_petabyte_costs_what_is_held(fd: int) -> None:
    os.ftruncate(fd, 1 << 50)
    os.pwrite(fd, b"far", (1 << 50) - MIB)
    os.getxattr(fd, "ipfs.cid")
    fallocate(fd, PUNCH, MIB, (1 << 50) - 2 * MIB - 1)
    assert data_ranges(fd) == [(0, MIB), ((1 << 50) - MIB, (1 << 50) - MIB + 3)]
    fallocate(fd, PUNCH, 0, 1 << 50)
    assert data_ranges(fd) == []


def test_more_leaves_than_are_cleared_at_once(fd: int) -> None:
    for at in range(600):
        os.pwrite(fd, b"x", at * MIB)
    fallocate(fd, PUNCH, 1, 599 * MIB - 1)
    assert data_ranges(fd) == [(0, 1), (599 * MIB, 599 * MIB + 1)]


@pytest.mark.parametrize("mode", [FALLOC_COLLAPSE_RANGE, FALLOC_INSERT_RANGE, 0x40])
def test_other_modes_are_refused_and_asked_again(fd: int, mode: int) -> None:
    for _ in range(2):
        with pytest.raises(OSError) as refused:
            fallocate(fd, mode, 0, MIB)
        assert refused.value.errno == errno.EOPNOTSUPP
    fallocate(fd, 0, 0, 9 * MIB)
    assert os.fstat(fd).st_size == 9 * MIB


def test_more_than_the_disk_has_is_enospc_and_changes_nothing(fd: int) -> None:
    with pytest.raises(OSError) as refused:
        fallocate(fd, 0, 0, 1 << 60)
    assert refused.value.errno == errno.ENOSPC
    assert os.fstat(fd).st_size == len(DATA)


def test_times_change(fd: int) -> None:
    os.utime(fd, ns=(1, 1))
    before = os.fstat(fd)
    fallocate(fd, PUNCH, 0, 1)
    after = os.fstat(fd)
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_ctime_ns > before.st_ctime_ns


def test_set_uid_goes_when_another_user_allocates(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "program"
    path.touch()
    path.chmod(0o6777)

    def allocate() -> None:
        fd = os.open(path, os.O_RDWR)
        fallocate(fd, 0, 0, 10)
        os.close(fd)

    allocate()
    assert stat.S_IMODE(path.stat().st_mode) == 0o6777
    assert as_user(allocate) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o777


def test_set_uid_goes_when_another_user_copies(mfs_mount: Mount) -> None:
    source, path = mfs_mount.path / "source", mfs_mount.path / "program"
    source.write_bytes(DATA)
    path.touch()
    path.chmod(0o6777)

    def copy() -> None:
        with source.open("rb") as reading, path.open("r+b") as writing:
            os.copy_file_range(reading.fileno(), writing.fileno(), 10)

    copy()
    assert stat.S_IMODE(path.stat().st_mode) == 0o6777
    assert as_user(copy) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o777


def test_util_linux_fallocate_digs_holes(mfs_mount: Mount) -> None:
    path: Path = mfs_mount.path / "zeros"
    path.write_bytes(DATA + bytes(2 * MIB) + DATA)
    run("fallocate", "--dig-holes", path)
    assert path.read_bytes() == DATA + bytes(2 * MIB) + DATA
