"""Files without a name, names of nothing, and files found by their handles."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mfs.tests.handles import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, birth, handle_of, link, open_handle
from mfs.tests.handles import rename as rename2
from mfs.tests.mounting import Mount
from mfs.tests.programs import run

pytestmark = pytest.mark.kernel("root")

DATA = os.urandom(3 << 20)


def code_of(action: Callable[[], object]) -> int:
    """The errno that `action` fails with."""
    with pytest.raises(OSError) as caught:
        action()
    assert caught.value.errno is not None
    return caught.value.errno


# -- files without a name -----------------------------------------------------------------------------------------


def test_a_file_without_a_name_gets_one(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    fd = os.open(top, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, DATA)
    assert os.fstat(fd).st_nlink == 0
    assert os.listdir(top) == []
    os.setxattr(fd, "user.a", b"1")
    link(fd, top / "named")
    assert os.fstat(fd).st_nlink == 1
    os.close(fd)
    for _ in range(2):
        assert (top / "named").read_bytes() == DATA
        assert stat.S_IMODE((top / "named").stat().st_mode) == 0o640
        assert os.getxattr(top / "named", "user.a") == b"1"
        mfs_mount.remount()


def test_a_file_without_a_name_is_gone_when_it_is_closed(mfs_mount: Mount) -> None:
    fd = os.open(mfs_mount.path, os.O_TMPFILE | os.O_RDWR)
    os.write(fd, DATA)
    os.getxattr(mfs_mount.path, "ipfs.cid")
    assert os.pread(fd, len(DATA), 0) == DATA
    os.close(fd)
    mfs_mount.remount()
    assert os.listdir(mfs_mount.path) == []


def test_what_was_fsynced_without_a_name_is_there_when_the_name_is(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    fd = os.open(top, os.O_TMPFILE | os.O_RDWR)
    os.write(fd, DATA)
    os.setxattr(fd, "user.a", b"1")
    os.fsync(fd)
    link(fd, top / "named")
    directory = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)
    mfs_mount.kill()
    os.close(fd)
    mfs_mount.remount()
    assert (top / "named").read_bytes() == DATA
    assert os.getxattr(top / "named", "user.a") == b"1"


def test_with_o_excl_it_never_gets_a_name(mfs_mount: Mount) -> None:
    fd = os.open(mfs_mount.path, os.O_TMPFILE | os.O_RDWR | os.O_EXCL)
    assert code_of(lambda: link(fd, mfs_mount.path / "named")) == errno.ENOENT
    os.close(fd)
    unlinked = os.open(mfs_mount.path / "file", os.O_CREAT | os.O_RDWR)
    os.unlink(mfs_mount.path / "file")
    assert code_of(lambda: link(unlinked, mfs_mount.path / "named")) == errno.ENOENT
    os.close(unlinked)


# -- renameat2 ----------------------------------------------------------------------------------------------------


def test_a_whiteout_stays_where_the_name_was(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    (top / "old").write_bytes(DATA)
    (top / "over").touch()
    rename2(top / "old", top / "new", RENAME_WHITEOUT)
    rename2(top / "new", top / "over", RENAME_WHITEOUT)
    for _ in range(2):
        for name in ("old", "new"):
            status = (top / name).lstat()
            assert (stat.S_ISCHR(status.st_mode), status.st_rdev, stat.S_IMODE(status.st_mode)) == (True, 0, 0)
        assert (top / "over").read_bytes() == DATA
        mfs_mount.remount()


def test_flags_that_exclude_each_other_are_refused(mfs_mount: Mount) -> None:
    one, two = mfs_mount.path / "one", mfs_mount.path / "two"
    one.touch()
    two.touch()
    for flags in (RENAME_EXCHANGE | RENAME_NOREPLACE, RENAME_EXCHANGE | RENAME_WHITEOUT, 8):
        assert code_of(lambda flags=flags: rename2(one, two, flags)) == errno.EINVAL  # type: ignore[misc]
    for flags in (RENAME_NOREPLACE, RENAME_NOREPLACE | RENAME_WHITEOUT):
        assert code_of(lambda flags=flags: rename2(one, two, flags)) == errno.EEXIST  # type: ignore[misc]
    rename2(one, mfs_mount.path / "three", RENAME_NOREPLACE)
    inode = two.stat().st_ino
    rename2(mfs_mount.path / "three", two, RENAME_EXCHANGE)
    assert (mfs_mount.path / "three").stat().st_ino == inode


# -- handles ------------------------------------------------------------------------------------------------------


def test_a_handle_opens_its_file_across_remounts_and_renames(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    (top / "a" / "b").mkdir(parents=True)
    file = top / "a" / "b" / "file"
    file.write_bytes(DATA)
    (top / "link").symlink_to("a")
    handles = {path: handle_of(path) for path in (top, top / "a" / "b", file)}
    inodes = {path: path.stat().st_ino for path in handles}
    rename2(top / "a", top / "moved", 0)
    mfs_mount.remount()
    mount = os.open(top, os.O_RDONLY)
    for path, handle in handles.items():
        fd = open_handle(mount, handle)
        assert os.fstat(fd).st_ino == inodes[path]
        if path is file:
            assert os.pread(fd, len(DATA), 0) == DATA
        os.close(fd)
    fd = open_handle(mount, handles[top / "a" / "b"], os.O_RDONLY | os.O_DIRECTORY)
    before = os.getcwd()
    os.fchdir(fd)
    assert os.getcwd() == os.fspath(top / "moved" / "b")
    os.chdir(before)
    os.close(fd)
    os.close(mount)


def test_the_handle_of_a_removed_file_is_stale(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.touch()
    handle = handle_of(path)
    path.unlink()
    mfs_mount.remount()
    mount = os.open(mfs_mount.path, os.O_RDONLY)
    assert code_of(lambda: open_handle(mount, handle)) == errno.ESTALE
    os.close(mount)


def test_a_handle_of_what_a_crash_took_does_not_open_what_got_its_number(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.touch()
    lost, handle = path.stat().st_ino, handle_of(path)
    mfs_mount.kill()
    mfs_mount.remount()
    assert not path.exists()
    path.touch()
    assert path.stat().st_ino == lost
    mount = os.open(mfs_mount.path, os.O_RDONLY)
    assert code_of(lambda: open_handle(mount, handle)) == errno.ESTALE
    os.close(os.open(path, os.O_RDONLY))
    os.close(mount)


# -- times, and programs that run ---------------------------------------------------------------------------------


def test_the_time_of_birth_is_kept(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    before = time.time_ns()
    path.touch()
    born = birth(path)
    assert before <= born <= time.time_ns()
    path.write_bytes(b"later")
    os.utime(path, ns=(1, 2))
    rename2(path, mfs_mount.path / "renamed", 0)
    for _ in range(2):
        assert birth(mfs_mount.path / "renamed") == born
        mfs_mount.remount()
    path = mfs_mount.path / "null"
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(260, 300))
    birth(path)
    assert path.stat().st_rdev == os.makedev(260, 300)


def test_a_program_that_runs_is_neither_written_nor_emptied(mfs_mount: Mount) -> None:
    program = mfs_mount.path / "sleep"
    run("cp", "/usr/bin/sleep", program)
    size = program.stat().st_size
    with subprocess.Popen([program, "60"]) as running:
        try:
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_TRUNC):
                assert code_of(lambda flags=flags: os.open(program, flags)) == errno.ETXTBSY  # type: ignore[misc]
            assert program.stat().st_size == size
            assert Path(program).read_bytes() == Path("/usr/bin/sleep").read_bytes()
        finally:
            running.send_signal(signal.SIGKILL)


def test_reading_does_not_change_atime_and_utime_does(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(DATA)
    os.utime(path, ns=(123_456_789, 987_654_321))
    path.read_bytes()
    assert path.stat().st_atime_ns == 123_456_789
    mfs_mount.remount()
    path.read_bytes()
    assert path.stat().st_atime_ns == 123_456_789
