"""Modes, owners, times, inode numbers and permissions, as programs see them and after a remount."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount
from mfs.tests.programs import NOBODY, as_user, run

pytestmark = [
    pytest.mark.kernel("root"),
    # Other tests may have left idle worker threads behind; the forked processes touch nothing of theirs.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

SECOND = 1_000_000_000
PAUSE = 0.005
"""Seconds after which the kernel's clock shows another time."""


def shown(path: Path) -> dict[str, int]:
    """All that stat shows but the number of the device, which every mount has another of."""
    status = path.lstat()
    return {field: getattr(status, field) for field in dir(status) if field.startswith("st_") and field != "st_dev"}


def make_all(top: Path) -> list[Path]:
    """A node of every type."""
    (top / "file").write_bytes(b"content")
    (top / "directory").mkdir()
    (top / "link").symlink_to("file")
    os.mkfifo(top / "fifo")
    os.mknod(top / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(top / "block", stat.S_IFBLK | 0o600, os.makedev(259, 70_000))
    os.mknod(top / "socket", stat.S_IFSOCK | 0o600)
    return sorted(top.iterdir())


# -- kept ---------------------------------------------------------------------------------------------------------


def test_everything_stat_shows_is_kept_across_a_remount(mfs_mount: Mount) -> None:
    paths = make_all(mfs_mount.path)
    for number, path in enumerate(paths):
        os.lchown(path, 1000 + number, (1 << 32) - 10 + number)
        when = 1_700_000_000 * SECOND + number * 1_111_111_111
        os.utime(path, ns=(when, when + 1), follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o1111 * number & 0o7777)
    paths.append(mfs_mount.path)
    before = [shown(path) for path in paths]
    for _ in range(2):
        mfs_mount.remount()
        assert [shown(path) for path in paths] == before
    assert stat.S_IMODE((mfs_mount.path / "socket").lstat().st_mode) == 0o1111 * 6


def test_everything_stat_shows_is_kept_across_a_kill_after_fsync(mfs_mount: Mount) -> None:
    paths = make_all(mfs_mount.path)
    for number, path in enumerate(paths):
        os.lchown(path, 1000 + number, 2000 + number)
        os.utime(path, ns=(number, number * SECOND), follow_symlinks=False)
    directory = os.open(mfs_mount.path, os.O_RDONLY)
    for path in (mfs_mount.path / "file", mfs_mount.path / "directory"):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    os.fsync(directory)
    os.close(directory)
    before = [shown(path) for path in paths]
    mfs_mount.kill()
    mfs_mount.remount()
    assert [shown(path) for path in paths] == before
    assert (mfs_mount.path / "file").read_bytes() == b"content"


def test_times_far_away_are_kept_and_those_beyond_are_the_farthest_there_are(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.touch()
    latest = (1 << 63) - 1
    for seconds, kept in (
        (0, None),
        (-1, None),
        (-(1 << 31) - 1, None),
        (1 << 31, None),
        (1 << 33, None),
        (1 << 34, latest),
        (-(1 << 40), -latest - 1),
        ((1 << 63) - 1, latest),
        (-(1 << 63), -latest - 1),
    ):
        os.utime(path, ns=(seconds * SECOND + 5, seconds * SECOND + 5))
        expected = seconds * SECOND + 5 if kept is None else kept
        assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (expected, expected)
        mfs_mount.remount()
        assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (expected, expected)


def test_inode_numbers_are_stable_unique_and_positive(mfs_mount: Mount) -> None:
    paths = [mfs_mount.path, *make_all(mfs_mount.path)]
    numbers = [path.lstat().st_ino for path in paths]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number < 1 << 63 for number in numbers)
    (mfs_mount.path / "file").rename(mfs_mount.path / "directory" / "file")
    paths[paths.index(mfs_mount.path / "file")] = mfs_mount.path / "directory" / "file"
    run("find", mfs_mount.path)
    listed = {entry.name: entry.inode() for entry in os.scandir(mfs_mount.path)}
    assert listed == {path.name: path.lstat().st_ino for path in mfs_mount.path.iterdir()}
    mfs_mount.remount()
    assert [path.lstat().st_ino for path in paths] == numbers
    (mfs_mount.path / "new").touch()
    assert (mfs_mount.path / "new").stat().st_ino not in numbers


# -- times --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "new").touch(),
        lambda top: (top / "new").mkdir(),
        lambda top: (top / "new").symlink_to("x"),
        lambda top: os.mkfifo(top / "new"),
        lambda top: os.link(top / "file", top / "new"),
        lambda top: (top / "file").unlink(),
        lambda top: (top / "directory").rmdir(),
        lambda top: (top / "file").rename(top / "other"),
        lambda top: (top / "file").rename(top.parent / "outside"),
    ],
    ids=["create", "mkdir", "symlink", "mknod", "link", "unlink", "rmdir", "rename", "rename away"],
)
def test_an_entry_that_comes_or_goes_changes_its_directorys_times(
    mfs_mount: Mount, change: Callable[[Path], None]
) -> None:
    top = mfs_mount.path / "top"
    (top / "directory").mkdir(parents=True)
    (top / "file").touch()
    before = top.stat()
    time.sleep(PAUSE)
    change(top)
    after = top.stat()
    assert after.st_mtime_ns == after.st_ctime_ns > before.st_mtime_ns
    kept = shown(top)
    mfs_mount.remount()
    assert shown(top) == kept


def test_what_changes_which_time_of_a_file(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(b"x")
    top = mfs_mount.path.stat()

    def changed(action: Callable[[], object]) -> tuple[bool, bool]:
        before = path.stat()
        time.sleep(PAUSE)
        action()
        after = path.stat()
        assert after.st_mtime_ns >= before.st_mtime_ns
        return after.st_mtime_ns > before.st_mtime_ns, after.st_ctime_ns > before.st_ctime_ns

    assert changed(lambda: path.write_bytes(b"y")) == (True, True)
    assert changed(lambda: os.truncate(path, 0)) == (True, True)
    assert changed(lambda: os.truncate(path, 100)) == (True, True)
    assert changed(lambda: path.chmod(0o600)) == (False, True)
    assert changed(lambda: os.chown(path, 1, 1)) == (False, True)
    assert changed(lambda: os.link(path, mfs_mount.path / "link")) == (False, True)
    assert changed(lambda: (mfs_mount.path / "link").unlink()) == (False, True)
    assert changed(lambda: path.read_bytes()) == (False, False)
    assert changed(lambda: os.getxattr(path, "ipfs.cid")) == (False, False)
    assert mfs_mount.path.stat().st_mtime_ns > top.st_mtime_ns


def test_a_directory_has_a_link_for_every_subdirectory(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    for name in "abc":
        (top / name).mkdir()
    (top / "file").touch()
    assert top.stat().st_nlink == 5
    (top / "a").rename(top / "b" / "a")
    assert (top.stat().st_nlink, (top / "b").stat().st_nlink) == (4, 3)
    mfs_mount.remount()
    assert (top.stat().st_nlink, (top / "b").stat().st_nlink) == (4, 3)
    (top / "b" / "a").rename(top / "c")
    assert (top.stat().st_nlink, (top / "b").stat().st_nlink) == (4, 2)


# -- permissions --------------------------------------------------------------------------------------------------


def test_new_nodes_belong_to_the_caller_and_honour_the_umask(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    top.chmod(0o777)

    def make() -> None:
        os.umask(0o027)
        (top / "file").touch(0o666)
        (top / "directory").mkdir(0o777)
        (top / "link").symlink_to("file")
        os.mkfifo(top / "fifo", 0o666)

    assert as_user(make, 1234, 5678) == 0
    found = {
        path.name: (path.lstat().st_uid, path.lstat().st_gid, path.lstat().st_mode & 0o777) for path in top.iterdir()
    }
    assert found == {
        "file": (1234, 5678, 0o640),
        "directory": (1234, 5678, 0o750),
        "link": (1234, 5678, 0o777),
        "fifo": (1234, 5678, 0o640),
    }


def test_the_kernel_checks_permissions_of_others(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    (top / "mine").write_bytes(b"secret")
    (top / "mine").chmod(0o640)
    os.chown(top / "mine", 1, 100)
    (top / "closed").mkdir(0o700)
    (top / "closed" / "file").touch()
    (top / "sticky").mkdir()
    (top / "sticky").chmod(0o1777)
    (top / "sticky" / "file").touch()
    refusals: list[tuple[Callable[[], object], int]] = [
        (lambda: (top / "mine").read_bytes(), errno.EACCES),
        (lambda: (top / "new").touch(), errno.EACCES),
        (lambda: (top / "mine").unlink(), errno.EACCES),
        (lambda: (top / "closed" / "file").stat(), errno.EACCES),
        (lambda: os.listdir(top / "closed"), errno.EACCES),
        (lambda: (top / "mine").chmod(0o666), errno.EPERM),
        (lambda: os.chown(top / "mine", NOBODY, NOBODY), errno.EPERM),
        (lambda: os.utime(top / "mine", (1, 1)), errno.EPERM),
        (lambda: (top / "sticky" / "file").unlink(), errno.EPERM),
        (lambda: (top / "sticky" / "file").rename(top / "sticky" / "other"), errno.EPERM),
        (lambda: os.mknod(top / "sticky" / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3)), errno.EPERM),
    ]
    for number, (action, refusal) in enumerate(refusals):
        assert as_user(action) == refusal, number
    assert as_user(lambda: (top / "mine").read_bytes(), gid=100) == 0
    assert as_user(lambda: (top / "mine").read_bytes(), groups=(7, 100)) == 0
    assert as_user(lambda: (top / "mine").write_bytes(b""), groups=(7, 100)) == errno.EACCES
    assert as_user(lambda: (top / "mine").write_bytes(b"own"), uid=1) == 0
    assert (top / "mine").read_bytes() == b"own"


def test_a_set_gid_directory_passes_its_group_on(mfs_mount: Mount) -> None:
    shared = mfs_mount.path / "shared"
    shared.mkdir()
    os.chown(shared, 0, 4321)
    shared.chmod(0o2777)

    def make() -> None:
        (shared / "file").touch()
        (shared / "directory" / "below").mkdir(parents=True)
        (shared / "link").symlink_to("file")

    assert as_user(make) == 0
    for name in ("file", "directory", "directory/below", "link"):
        assert ((shared / name).lstat().st_uid, (shared / name).lstat().st_gid) == (NOBODY, 4321)
    assert (shared / "directory" / "below").stat().st_mode & stat.S_ISGID
    assert not (shared / "file").stat().st_mode & stat.S_ISGID


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"more than there was"),
        lambda path: path.open("ab").write(b"appended"),
        lambda path: os.truncate(path, 1),
        lambda path: path.open("r+b").truncate(0),
    ],
    ids=["write", "append", "truncate", "ftruncate"],
)
def test_a_change_by_another_user_takes_set_uid_and_set_gid(mfs_mount: Mount, change: Callable[[Path], None]) -> None:
    path = mfs_mount.path / "program"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o6777)
    assert as_user(lambda: change(path)) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    mfs_mount.remount()
    assert stat.S_IMODE(path.stat().st_mode) == 0o777


def test_chown_takes_set_uid_and_set_gid(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "program"
    path.touch()
    for owner, group in ((NOBODY, -1), (-1, NOBODY), (5, 6)):
        path.chmod(0o6755)
        os.chown(path, owner, group)
        assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_a_set_uid_program_runs_as_its_owner(mfs_mount: Mount) -> None:
    program, said = mfs_mount.path / "id", mfs_mount.path / "said"
    run("cp", "/usr/bin/id", program)
    os.chown(program, 1, 1)
    program.chmod(0o4755)
    said.touch()
    said.chmod(0o666)

    def execute() -> None:
        os.dup2(os.open(said, os.O_WRONLY), 1)
        os.execv(program, ["id", "-u"])

    assert as_user(execute) == 0
    assert said.read_text() == "1\n"


# -- special files and extended attributes ------------------------------------------------------------------------


def test_devices_and_fifos_work(mfs_mount: Mount) -> None:
    make_all(mfs_mount.path)
    (mfs_mount.path / "device").write_bytes(b"swallowed")
    assert (mfs_mount.path / "device").read_bytes() == b""
    reader = os.open(mfs_mount.path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(mfs_mount.path / "fifo", os.O_WRONLY)
    os.write(writer, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    os.close(writer)


def test_a_socket_takes_connections_as_long_as_somebody_listens(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "socket"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(path))
        listener.listen()
        assert stat.S_ISSOCK(path.stat().st_mode)
        client.connect(str(path))
        server, _ = listener.accept()
        with server:
            client.sendall(b"through")
            assert server.recv(100) == b"through"
    mfs_mount.remount()
    assert stat.S_ISSOCK(path.stat().st_mode)
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(str(path))


def test_ipfs_cid_is_on_files_directories_and_links_and_read_only(mfs_mount: Mount) -> None:
    make_all(mfs_mount.path)
    for name in ("file", "directory", "link", "."):
        path = mfs_mount.path / name
        assert os.listxattr(path, follow_symlinks=False) == ["ipfs.cid"]
        assert os.getxattr(path, "ipfs.cid", follow_symlinks=False).startswith(b"baf")
        with pytest.raises(OSError):
            os.setxattr(path, "ipfs.cid", b"bafkqaaa", follow_symlinks=False)
    with pytest.raises(OSError) as caught:
        os.getxattr(mfs_mount.path / "file", "user.other")
    assert caught.value.errno == errno.ENODATA
