"""What programs do to one file: mapped pages, appending, locks, unlinked and sparse files."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount
from mfs.tests.programs import pattern

pytestmark = [
    pytest.mark.kernel("root"),
    # Other tests may have left idle worker threads behind; the forked processes touch nothing of theirs.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

HUGE = 999_999_999_999_999
SHARED, EXCLUSIVE = fcntl.LOCK_SH | fcntl.LOCK_NB, fcntl.LOCK_EX | fcntl.LOCK_NB


@contextmanager
def opened(path: Path, flags: int, mode: int = 0o644) -> Iterator[int]:
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def python(code: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


# -- mapped pages -------------------------------------------------------------------------------------------------


def test_what_is_written_to_a_shared_map_is_in_the_file_and_stays(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    data = bytearray(pattern((2 << 20) + 100))
    path.write_bytes(data)
    with opened(path, os.O_RDWR) as fd, mmap.mmap(fd, 0) as mapped:
        for at in (0, 4095, 1 << 20, (2 << 20) + 99):
            mapped[at] = data[at] = data[at] ^ 0xFF
        assert os.pread(fd, len(data), 0) == data
        mapped.flush()
        assert path.read_bytes() == data
        mapped[5:10] = data[5:10] = b"later"
    mfs_mount.remount()
    assert path.read_bytes() == data


def test_a_shared_map_shows_what_others_write(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(bytes(8192))
    with opened(path, os.O_RDWR) as fd, mmap.mmap(fd, 0) as one, opened(path, os.O_RDWR) as other:
        os.pwrite(other, b"written", 5000)
        assert one[5000:5007] == b"written"
        with mmap.mmap(other, 0) as two:
            two[100:103] = b"map"
            assert one[100:103] == b"map"
        os.ftruncate(other, 20_000)
        os.pwrite(other, b"end", 12_000)
        one.resize(20_000)
        assert one[12_000:12_003] == b"end"
        assert one[8192:12_000] == bytes(12_000 - 8192)


def test_a_private_map_changes_no_file(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(b"original")
    with opened(path, os.O_RDONLY) as fd, mmap.mmap(fd, 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[:] = b"replaced"
    assert path.read_bytes() == b"original"


def test_a_mapped_file_may_be_unlinked_and_its_process_forked(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(bytes(4096))
    with opened(path, os.O_RDWR) as fd:
        mapped = mmap.mmap(fd, 0)
    path.unlink()
    with mapped:
        child = os.fork()
        if not child:
            mapped[:5] = b"child"
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert mapped[:5] == b"child"
        mapped.flush()


# -- writing ------------------------------------------------------------------------------------------------------

APPENDER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for line in range(200):
    os.write(fd, (sys.argv[2] + " %d\\n" % line).encode() * 3)
"""


def test_appending_processes_lose_no_line(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "log"
    path.touch()
    processes = [python(APPENDER, path, name) for name in "ABC"]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    lines = path.read_text().splitlines()
    for name in "ABC":
        expected = [f"{name} {line}" for line in range(200) for _ in range(3)]
        assert [line for line in lines if line.startswith(name)] == expected


def test_o_append_writes_at_the_end_wherever_one_reads(mfs_mount: Mount) -> None:
    with opened(mfs_mount.path / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND) as fd:
        os.write(fd, b"one")
        os.lseek(fd, 0, os.SEEK_SET)
        assert os.read(fd, 2) == b"on"
        os.write(fd, b"two")
        assert os.pread(fd, 10, 0) == b"onetwo"
        os.ftruncate(fd, 1)
        os.write(fd, b"three")
        assert os.pread(fd, 10, 0) == b"othree"


def test_o_excl_lets_one_win(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "lock"
    code = "import os, sys; sys.stdin.read(1); os.open(sys.argv[1], os.O_CREAT | os.O_EXCL); print('won')"
    processes = [python(code, path) for _ in range(4)]
    said = [process.communicate(b"x")[0] for process in processes]
    assert sorted(said) == [b""] * 3 + [b"won\n"]
    with pytest.raises(FileExistsError):
        os.open(path, os.O_CREAT | os.O_EXCL)
    (mfs_mount.path / "dangling").symlink_to("nothing")
    with pytest.raises(FileExistsError):
        os.open(mfs_mount.path / "dangling", os.O_CREAT | os.O_EXCL)


def test_o_trunc_o_directory_and_o_nofollow(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(b"something")
    (mfs_mount.path / "link").symlink_to("file")
    with pytest.raises(NotADirectoryError):
        os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(OSError) as caught:
        os.open(mfs_mount.path / "link", os.O_RDONLY | os.O_NOFOLLOW)
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(IsADirectoryError):
        os.open(mfs_mount.path, os.O_WRONLY)
    with opened(path, os.O_WRONLY | os.O_TRUNC):
        assert path.stat().st_size == 0


def test_vectored_and_direct_writes(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    with opened(path, os.O_RDWR | os.O_CREAT) as fd:
        assert os.pwritev(fd, [b"one", b"", b"two" * 5000, b"end"], 10) == 15_006
    with opened(path, os.O_RDWR | os.O_DIRECT) as fd, mmap.mmap(-1, 8192) as aligned:
        aligned[:] = pattern(8192)
        assert os.pwrite(fd, aligned, 4096) == 8192
        assert os.preadv(fd, [aligned], 8192) == 15_016 - 8192
    assert (
        path.read_bytes()
        == bytes(10) + b"one" + (b"two" * 5000)[: 4096 - 13] + pattern(8192) + (b"two" * 5000)[12_288 - 13 :] + b"end"
    )


# -- open and unlinked --------------------------------------------------------------------------------------------


def test_an_unlinked_file_lives_until_it_is_closed(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    data = pattern(3 << 20)
    path.write_bytes(data)
    with opened(path, os.O_RDWR) as fd:
        path.unlink()
        assert os.fstat(fd).st_nlink == 0
        os.pwrite(fd, b"still", 1 << 20)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(fd, 5 << 20, 0) == data[: 1 << 20] + b"still" + data[(1 << 20) + 5 :]
        os.getxattr(mfs_mount.path, "ipfs.cid")  # A commit passes over it.
        os.ftruncate(fd, 10)
        os.fsync(fd)
        path.write_bytes(b"another of the same name")
        assert os.pread(fd, 100, 0) == data[:10]
        assert os.stat(f"/proc/self/fd/{fd}").st_ino != path.stat().st_ino


def test_a_replaced_file_lives_until_it_is_closed(mfs_mount: Mount) -> None:
    old, new = mfs_mount.path / "old", mfs_mount.path / "new"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    with opened(old, os.O_RDWR) as fd:
        new.rename(old)
        os.pwrite(fd, b"more", 3)
        assert os.pread(fd, 10, 0) == b"oldmore"
        assert old.read_bytes() == b"new"


def test_nothing_can_be_made_in_a_removed_directory(mfs_mount: Mount) -> None:
    (mfs_mount.path / "directory").mkdir()
    with opened(mfs_mount.path / "directory", os.O_RDONLY | os.O_DIRECTORY) as fd:
        (mfs_mount.path / "directory").rmdir()
        assert os.listdir(fd) == []
        assert os.fstat(fd).st_nlink == 0
        with pytest.raises(FileNotFoundError):
            os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd)


def test_tempfiles_of_python_work(mfs_mount: Mount) -> None:
    code = """
import sys, tempfile
with tempfile.TemporaryFile(dir=sys.argv[1]) as file, tempfile.NamedTemporaryFile(dir=sys.argv[1]) as named:
    file.write(b"x" * 100_000); file.seek(0); assert len(file.read()) == 100_000
    named.write(b"y"); named.flush(); assert open(named.name, "rb").read() == b"y"
"""
    with python(code, mfs_mount.path) as process:
        assert process.wait() == 0
    assert os.listdir(mfs_mount.path) == []


# -- lengths ------------------------------------------------------------------------------------------------------


def test_a_file_of_almost_a_petabyte_is_sparse(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(b"start")
    os.truncate(path, HUGE)
    with opened(path, os.O_RDWR) as fd:
        assert os.fstat(fd).st_size == HUGE
        os.pwrite(fd, b"middle", HUGE // 2)
        assert os.pread(fd, 8, HUGE // 2 - 1) == b"\0middle\0"
        assert os.pread(fd, 100, HUGE - 3) == bytes(3)
        assert os.lseek(fd, 5000, os.SEEK_DATA) <= HUGE // 2
        os.fsync(fd)
    cid = os.getxattr(path, "ipfs.cid")
    mfs_mount.remount()
    assert path.stat().st_size == HUGE
    assert os.getxattr(path, "ipfs.cid") == cid
    with opened(path, os.O_RDWR) as fd:
        assert os.pread(fd, 8, HUGE // 2 - 1) == b"\0middle\0"
        os.ftruncate(fd, 7)
        assert os.pread(fd, 100, 0) == b"start\0\0"


def test_truncating_and_growing_again_leaves_zeros(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(pattern(3 << 20))
    expected = bytearray(pattern(3 << 20))
    with opened(path, os.O_RDWR) as fd:
        for size in ((2 << 20) + 1, 3 << 20, 100, 1 << 20, (1 << 20) - 1, 5000, 5001, 0, 10):
            os.ftruncate(fd, size)
            expected = expected[:size] + bytes(max(0, size - len(expected)))
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(fd, 4 << 20, 0) == expected


def test_a_write_past_the_end_leaves_zeros_before_it(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(b"x")
    with opened(path, os.O_RDWR) as fd:
        os.pwrite(fd, b"end", 3_000_000)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(fd, 4_000_000, 0) == b"x" + bytes(2_999_999) + b"end"


def test_a_file_may_have_all_lengths_there_are_and_not_one_more(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(b"x")
    largest = (1 << 63) - 1
    os.truncate(path, largest)
    with opened(path, os.O_RDWR) as fd:
        os.pwrite(fd, b"end", largest - 4)
        with pytest.raises(OSError) as caught:
            os.pwrite(fd, b"end", largest - 2)
        assert caught.value.errno in (errno.EFBIG, errno.EINVAL)
    mfs_mount.remount()
    with opened(path, os.O_RDWR) as fd:
        assert os.fstat(fd).st_size == largest
        assert os.pread(fd, 4, largest - 5) == b"\0end"


def test_seek_data_and_hole_tell_the_truth(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    with opened(path, os.O_RDWR | os.O_CREAT) as fd:
        os.pwrite(fd, b"d" * 4096, 10 << 20)
        os.pwrite(fd, b"d", 30 << 20)
        os.ftruncate(fd, 40 << 20)
    for _ in range(2):
        with opened(path, os.O_RDONLY) as fd:
            data = os.lseek(fd, 0, os.SEEK_DATA)
            assert 9 << 20 <= data <= 10 << 20
            hole = os.lseek(fd, 10 << 20, os.SEEK_HOLE)
            assert (10 << 20) + 4096 <= hole <= 11 << 20
            assert os.lseek(fd, hole, os.SEEK_DATA) <= 30 << 20
            assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
            with pytest.raises(OSError) as caught:
                os.lseek(fd, 32 << 20, os.SEEK_DATA)
            assert caught.value.errno == errno.ENXIO
        mfs_mount.remount()


# -- locks --------------------------------------------------------------------------------------------------------

LOCKER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
{lock}
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "lock, attempt, busy",
    [
        ("fcntl.flock(file, fcntl.LOCK_EX)", lambda fd: fcntl.flock(fd, SHARED), True),
        ("fcntl.flock(file, fcntl.LOCK_SH)", lambda fd: fcntl.flock(fd, SHARED), False),
        ("fcntl.lockf(file, fcntl.LOCK_EX, 10, 5)", lambda fd: fcntl.lockf(fd, EXCLUSIVE, 5, 8), True),
        ("fcntl.lockf(file, fcntl.LOCK_EX, 10, 5)", lambda fd: fcntl.lockf(fd, EXCLUSIVE, 5, 15), False),
    ],
    ids=["flock", "flock shared", "overlapping", "beside"],
)
def test_locks_hold_between_processes_until_the_holder_ends(
    mfs_mount: Mount, lock: str, attempt: Callable[[int], None], busy: bool
) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(bytes(100))
    with python(LOCKER.format(lock=lock), path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with opened(path, os.O_RDWR) as fd:
            if busy:
                with pytest.raises(BlockingIOError):
                    attempt(fd)
            else:
                attempt(fd)
        holder.kill()
    with opened(path, os.O_RDWR) as fd:
        attempt(fd)


# -- the volume ---------------------------------------------------------------------------------------------------


def test_statvfs_tells_of_the_volume_beneath_and_names_of_255_bytes(mfs_mount: Mount) -> None:
    here, beneath = os.statvfs(mfs_mount.path), os.statvfs(mfs_mount.repo)
    assert here.f_namemax == 255
    assert here.f_blocks * here.f_frsize == beneath.f_blocks * beneath.f_frsize
    assert abs(here.f_bavail * here.f_frsize - beneath.f_bavail * beneath.f_frsize) < 1 << 30


def test_syncing_files_directories_and_the_whole(mfs_mount: Mount) -> None:
    with opened(mfs_mount.path / "file", os.O_RDWR | os.O_CREAT | os.O_SYNC) as fd:
        os.write(fd, b"x")
        os.fdatasync(fd)
    with opened(mfs_mount.path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)
    mfs_mount.kill()
    mfs_mount.remount()
    assert (mfs_mount.path / "file").read_bytes() == b"x"
