"""`mfs mount` and `mfs umount` as root: starting, stopping, dying, and what stands in the way."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.repo import holder_of
from mfs.tests.commanding import MFS, PATIENCE, Place, is_running, new_place, until
from rawfuse.mount import dead_mount, find_mount, umount

pytestmark = pytest.mark.kernel("root")


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


def test_mount_returns_when_the_mount_answers(place: Place) -> None:
    place.mount()
    assert os.listdir(place.mnt) == []
    (place.mnt / "file").write_text("content")
    assert (place.mnt / "file").read_text() == "content"


def test_the_mount_table_names_the_repository(place: Place) -> None:
    place.mount()
    entry = find_mount(place.mnt)
    assert entry is not None
    assert (entry.fstype, entry.source) == ("fuse.mfs", str(place.repo))
    assert "default_permissions" in entry.super_options
    assert "allow_other" not in entry.super_options
    assert not {"nosuid", "nodev"} & set(entry.options)


def test_allow_other_lets_others_in(place: Place) -> None:
    place.mount("--allow-other")
    entry = find_mount(place.mnt)
    assert entry is not None
    assert "allow_other" in entry.super_options


def test_read_only_refuses_changes_and_shows_what_is_there(place: Place) -> None:
    place.mount()
    (place.mnt / "file").write_text("content")
    place.umount()
    place.mount("--read-only")
    assert (place.mnt / "file").read_text() == "content"
    with pytest.raises(OSError) as caught:
        (place.mnt / "other").touch()
    assert caught.value.errno == errno.EROFS


def test_a_relative_mount_point_and_repository(place: Place) -> None:
    ran = place.mfs("mount", "--repo", "elsewhere", "mnt")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (place.path / "elsewhere" / "mfs.repo").exists()
    assert place.mfs("umount", "mnt").returncode == 0


def test_a_mount_point_that_is_a_symbolic_link(place: Place) -> None:
    link = place.path / "link"
    link.symlink_to(place.mnt)
    assert place.mfs("mount", link).returncode == 0
    assert find_mount(place.mnt) is not None
    assert place.mfs("umount", link).returncode == 0
    assert find_mount(place.mnt) is None


def test_names_with_blanks_and_other_letters(place: Place) -> None:
    directory = place.path / "a mount\tpoint, \\ \u00fc"
    repo = place.path / "a repo, \u00fc"
    directory.mkdir()
    assert place.mfs("mount", "--repo", repo, directory).stderr == ""
    assert place.mfs("mount", "--repo", repo, place.mnt).stderr.splitlines()[1:] == [
        f"  It is mounted on {directory}; mfs umount {directory} ends that."
    ]
    assert place.mfs("umount", directory).stderr == ""
    assert find_mount(directory) is None


def test_the_profile_is_chosen_when_the_repository_is_made(place: Place) -> None:
    place.mount("--profile", "unixfs-v0-2015")
    (place.mnt / "file").write_text("hello\n")
    # `ipfs add` of kubo with its defaults of 2015.
    assert os.getxattr(place.mnt / "file", "ipfs.cid") == b"QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN"
    place.umount()
    place.mount()
    assert os.getxattr(place.mnt / "file", "ipfs.cid").startswith(b"Qm")


def test_the_server_holds_nothing_of_its_caller(place: Place) -> None:
    """Whoever waits for the end of our output gets it, and our directory may go."""
    reading, writing = os.pipe()
    subprocess.run(
        [*MFS, "mount", place.mnt],
        env=place.environment,
        cwd=place.home,
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        pass_fds=(writing,),
        check=True,
        timeout=PATIENCE,
    )
    os.close(writing)
    with open(reading, "rb") as output:
        assert output.read() == b""
    server = holder_of(place.repo)
    assert server is not None
    assert os.readlink(f"/proc/{server}/cwd") == "/"
    assert os.readlink(f"/proc/{server}/fd/0") == "/dev/null"
    assert os.getsid(server) == server


def test_the_log_says_who_serves_what(place: Place) -> None:
    server = place.mount()
    log = (place.repo / "mfs.log").read_text()
    assert f"process {server} serves {place.repo} on {place.mnt}" in log


def test_content_and_attributes_are_there_after_umount_and_mount(place: Place) -> None:
    place.mount()
    (place.mnt / "dir").mkdir(0o750)
    file = place.mnt / "dir" / "file"
    file.write_bytes(bytes(range(256)) * 5000)
    file.chmod(0o640)
    os.chown(file, 12, 34)
    before, cid = os.stat(file), os.getxattr(place.mnt, "ipfs.cid")
    place.umount()
    place.mount()
    after = os.stat(file)
    assert file.read_bytes() == bytes(range(256)) * 5000
    assert (after.st_mode, after.st_uid, after.st_gid, after.st_mtime_ns, after.st_ino) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert os.getxattr(place.mnt, "ipfs.cid") == cid


def test_umount_returns_when_the_server_has_let_go(place: Place) -> None:
    server = place.mount()
    (place.mnt / "file").write_bytes(os.urandom(30_000_000))
    place.umount()
    assert not is_running(server)
    assert holder_of(place.repo) is None
    assert find_mount(place.mnt) is None


def test_umount_of_a_busy_mount_says_who_holds_it(place: Place) -> None:
    place.mount()
    (place.mnt / "dir").mkdir()
    file = place.mnt / "open"
    with (
        open(file, "w"),
        subprocess.Popen([sys.executable, "-c", "input()"], cwd=place.mnt / "dir", stdin=subprocess.PIPE) as other,
    ):
        ran = place.mfs("umount", place.mnt)
        other.communicate(b"\n")
    assert ran.returncode == 1
    first, *who, last = ran.stderr.splitlines()
    assert first == f"mfs umount: {place.mnt} is busy:"
    assert sorted(line.strip().partition(") ")[2] for line in who) == [f"has open {file}", f"works in {place.mnt}/dir"]
    assert f"process {other.pid} (" in ran.stderr and f"process {os.getpid()} (" in ran.stderr
    assert last == f"  End that, or take the mount away under it: mfs umount --lazy {place.mnt}"
    assert (place.mnt / "dir").exists()


def test_lazy_umount_leaves_the_server_to_its_last_user(place: Place) -> None:
    server = place.mount()
    with open(place.mnt / "file", "w") as file:
        ran = place.mfs("umount", "--lazy", place.mnt)
        assert ran.returncode == 0
        assert f"process {server} goes on serving {place.repo} until nobody uses it" in ran.stderr
        assert find_mount(place.mnt) is None
        file.write("written afterwards")
    assert until(lambda: holder_of(place.repo) is None)
    place.mount()
    assert (place.mnt / "file").read_text() == "written afterwards"


def test_lazy_umount_of_an_idle_mount_waits_as_ever(place: Place) -> None:
    server = place.mount()
    assert place.mfs("umount", "--lazy", place.mnt).stderr == ""
    assert not is_running(server)


def test_umount_8_commits_too(place: Place) -> None:
    server = place.mount()
    (place.mnt / "file").write_text("content")
    umount(place.mnt)
    assert until(lambda: not is_running(server))
    place.mount()
    assert (place.mnt / "file").read_text() == "content"


def test_a_server_that_is_ending_is_waited_for(place: Place) -> None:
    place.mount()
    (place.mnt / "file").write_bytes(os.urandom(40_000_000))
    umount(place.mnt)
    place.mount()
    assert (place.mnt / "file").stat().st_size == 40_000_000


def test_umount_tells_of_a_commit_that_failed(place: Place) -> None:
    disk = place.repo
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    place.mount()
    write_until_full(disk / "segments" / "filler")
    for i in range(2000):
        (place.mnt / f"{i:0>200}").symlink_to("nowhere" * 100)
    ran = place.mfs("umount", place.mnt)
    assert ran.returncode == 1
    assert "the last commit failed" in ran.stderr
    assert "No space left on device" in ran.stderr
    assert find_mount(place.mnt) is None


def write_until_full(path: Path) -> None:
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts_and_commits(place: Place, number: signal.Signals) -> None:
    server = place.mount()
    (place.mnt / "file").write_bytes(b"content" * 1_000_000)
    os.kill(server, number)
    assert until(lambda: not is_running(server))
    assert find_mount(place.mnt) is None
    place.mount()
    assert (place.mnt / "file").read_bytes() == b"content" * 1_000_000


def test_a_signal_ends_it_though_somebody_uses_the_mount(place: Place) -> None:
    server = place.mount()
    with open(place.mnt / "file", "w") as file:
        file.write("content")
        file.flush()
        os.kill(server, signal.SIGTERM)
        assert until(lambda: find_mount(place.mnt) is None)
        os.kill(server, signal.SIGTERM)
        assert until(lambda: not is_running(server))
        with pytest.raises(OSError) as caught:
            os.stat(file.fileno())
            os.fsync(file.fileno())
        assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
    place.mount()
    assert (place.mnt / "file").read_text() == "content"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_in_the_foreground_ends_with_a_signal_and_status_0(place: Place, number: signal.Signals) -> None:
    with place.start("mount", "--foreground", place.mnt) as server:
        assert until(lambda: find_mount(place.mnt) is not None)
        (place.mnt / "file").write_text("content")
        assert holder_of(place.repo) == server.pid
        server.send_signal(number)
        output, log = server.communicate(timeout=PATIENCE)
    assert (server.returncode, output) == (0, "")
    assert f"{number.name}: unmounting {place.mnt}" in log
    assert not (place.repo / "mfs.log").exists()
    place.mount()
    assert (place.mnt / "file").read_text() == "content"


def test_a_server_in_the_foreground_ends_with_umount(place: Place) -> None:
    with place.start("mount", "--foreground", place.mnt) as server:
        assert until(lambda: find_mount(place.mnt) is not None)
        place.umount()
        server.communicate(timeout=PATIENCE)
    assert server.returncode == 0


def test_a_mounted_directory_is_busy(place: Place) -> None:
    place.mount()
    ran = place.mfs("mount", "--repo", place.path / "other", place.mnt)
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        f"mfs mount: {place.mnt} is busy: it is a mount of the repository {place.repo} already",
        f"  End that with mfs umount {place.mnt}, or mount on another directory.",
    ]


def test_a_locked_repository_names_the_process_and_the_mount(place: Place) -> None:
    server = place.mount()
    elsewhere = place.path / "elsewhere"
    elsewhere.mkdir()
    ran = place.mfs("mount", elsewhere)
    assert ran.returncode == 1
    first, second = ran.stderr.splitlines()
    assert first.startswith(f"mfs mount: the repository {place.repo} is in use: process {server} (")
    assert first.endswith(f"-m mfs mount {place.mnt}) holds its lock")
    assert second == f"  It is mounted on {place.mnt}; mfs umount {place.mnt} ends that."


def test_a_device_that_is_no_fuse_device(place: Place) -> None:
    ran = place.mfs("mount", "--device", "/dev/null", place.mnt)
    assert ran.returncode == 1
    assert ran.stderr == "mfs mount: /dev/null: not a FUSE device, whose number is 10:229\n"
    assert find_mount(place.mnt) is None
    assert holder_of(place.repo) is None


def test_a_killed_server_leaves_no_hanging_callers(place: Place) -> None:
    server = place.mount()
    gone = (errno.ENOTCONN, errno.ECONNABORTED)
    told: list[int | None] = []

    def ask() -> None:
        try:
            os.stat(place.mnt / "never heard of")
        except OSError as error:
            told.append(error.errno)

    with open(place.mnt / "file", "w+") as file:
        os.kill(server, signal.SIGSTOP)  # so that who asks now waits for an answer
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        os.kill(server, signal.SIGKILL)
        asking.join(PATIENCE)
        assert len(told) == 1 and told[0] in gone
        assert until(lambda: not is_running(server))
        for call in (lambda: os.stat(place.mnt), lambda: os.fsync(file.fileno()), lambda: os.listdir(place.mnt)):
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno in gone


def test_mounting_again_clears_a_dead_mount_and_shows_what_was_fsynced(place: Place) -> None:
    server = place.mount()
    with open(place.mnt / "file", "wb") as file:
        file.write(b"safe" * 100_000)
        file.flush()
        os.fsync(file.fileno())
    os.kill(server, signal.SIGKILL)
    assert until(lambda: dead_mount(place.mnt))
    place.mount()
    assert (place.mnt / "file").read_bytes() == b"safe" * 100_000
    entry = find_mount(place.mnt)
    assert entry is not None
    place.umount()
    assert find_mount(place.mnt) is None, "only one mount was left"


def test_umount_takes_a_dead_mount_away(place: Place) -> None:
    server = place.mount()
    os.kill(server, signal.SIGKILL)
    assert until(lambda: dead_mount(place.mnt))
    assert place.mfs("umount", place.mnt).stderr == ""
    assert find_mount(place.mnt) is None


def test_stat_of_a_dead_mount_says_so(place: Place) -> None:
    server = place.mount()
    os.kill(server, signal.SIGKILL)
    assert until(lambda: dead_mount(place.mnt))
    ran = place.mfs("stat", place.mnt / "file")
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (
        1,
        f"mfs stat: {place.mnt}/file: the server of this mount is gone",
    )


def test_a_start_that_is_broken_off_leaves_nothing(place: Place) -> None:
    with place.start("mount", place.mnt) as starting:
        until(lambda: (place.repo / "lock").exists())
        starting.send_signal(signal.SIGINT)
        starting.communicate(timeout=PATIENCE)
    if starting.returncode != 0:
        assert starting.returncode == 130
        assert find_mount(place.mnt) is None
    assert until(lambda: holder_of(place.repo) is None or starting.returncode == 0)


def test_a_damaged_index_says_where(place: Place) -> None:
    place.mount()
    (place.mnt / "file").write_text("content")
    place.umount()
    data = place.repo / "index" / "data.mdb"
    data.write_bytes(b"nonsense" * 1000)
    ran = place.mfs("mount", place.mnt)
    assert ran.returncode == 1
    assert str(place.repo / "index") in ran.stderr
    assert "damaged" in ran.stderr
    assert find_mount(place.mnt) is None


def test_a_mount_seen_from_elsewhere_too_goes_on(place: Place) -> None:
    server = place.mount()
    view: Path = place.path / "view"
    view.mkdir()
    subprocess.run(["mount", "--bind", place.mnt, view], check=True)
    place.umount()
    assert is_running(server)
    (view / "file").write_text("content")
    assert place.mfs("umount", view).returncode == 0
    assert not is_running(server)
