"""The commands without root: a namespace of one's own, the set-uid helper, and what an administrator must give.

The tests are run by root, who makes an ordinary user's surroundings (:mod:`mfs.tests.ordinary`): a home, and a device
node that this user may open or may not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import pytest

from mfs.repo import holder_of
from mfs.tests.commanding import Place, new_place
from mfs.tests.ordinary import FUSE

pytestmark = pytest.mark.kernel("root", "userns")
HELPER = pytest.mark.kernel("root", programs=("fusermount3",))


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made


def test_run_needs_no_root(place: Place) -> None:
    ran = place.ordinary("""
        mfs run -- sh -ec '
            id -u
            head -c 3000000 /dev/urandom > "$MFS/a"
            cp "$MFS/a" "$MFS/b"
            cmp "$MFS/a" "$MFS/b"
            stat -c "%u %g %a" "$MFS/a" "$MFS"
            grep CapEff /proc/self/status'
    """)
    assert (ran.returncode, ran.stderr) == (0, "")
    who, file, root, capabilities = ran.stdout.splitlines()
    assert (who, file, root) == ("65534", "65534 65534 644", "65534 65534 755")
    assert int(capabilities.split()[1], 16) == 0, "the command has no rights that its user has not"


def test_a_program_in_the_mount_runs_without_root(place: Place) -> None:
    ran = place.ordinary("""mfs run -- sh -c 'cp /bin/sh "$MFS/shell"; "$MFS/shell" -c "echo from within; exit 9"'""")
    assert (ran.returncode, ran.stdout, ran.stderr) == (9, "from within\n", "")


def test_runs_without_root_share_a_repository(place: Place) -> None:
    ran = place.ordinary("""mfs run -- sh -c 'echo content > "$MFS/file"'; mfs run -- sh -c 'cat "$MFS/file"'""")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "content\n", "")
    marker = place.home / "repo" / "mfs.repo"
    assert marker.stat().st_uid == 65534


def test_the_default_repository_is_in_the_home(place: Place) -> None:
    assert place.ordinary("unset MFS_PATH; mfs run -- true").returncode == 0
    assert (place.home / ".mfs" / "mfs.repo").exists()


def test_a_temporary_repository_without_root(place: Place) -> None:
    ran = place.ordinary(
        """mkdir tmp; TMPDIR=$PWD/tmp mfs run --temp -- sh -c 'echo $MFS > "$MFS/f"; cat "$MFS/f"'; ls tmp"""
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"{place.home}/tmp/mfs-") and len(ran.stdout.splitlines()) == 1
    assert not (place.home / "repo").exists()


def test_stat_works_within_run_without_root(place: Place) -> None:
    ran = place.ordinary("""mfs run -- sh -c 'echo hello > "$MFS/file"; "$PYTHON" -m mfs stat "$MFS/file"'""")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[1].split("\t")[1:4] == [
        "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am",
        "file",
        "6",
    ]


def test_a_device_node_of_ones_own(place: Place) -> None:
    """What an administrator may give where /dev/fuse is for root alone: another node."""
    node = place.path / "fuse"
    os.mknod(node, stat.S_IFCHR, FUSE)
    os.chmod(node, 0o666)
    ran = place.ordinary(f'mfs run --device "{node}" -- sh -c "echo content > \\$MFS/file"', device="600")
    assert (ran.returncode, ran.stderr) == (0, "")
    ran = place.ordinary("""mfs run -- sh -c 'cat "$MFS/file"'""", device="600", RAWFUSE_DEVICE=str(node))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "content\n", "")


@pytest.mark.parametrize("command", ["mount mnt", "run -- true"])
def test_no_access_to_the_device(place: Place, command: str) -> None:
    ran = place.ordinary(f"mkdir mnt; mfs {command}", device="600")
    assert ran.returncode == 1
    first, *rest = ran.stderr.splitlines()
    assert first == f"mfs {command.split()[0]}: /dev/fuse: may not open the FUSE device (Permission denied)"
    advice = " ".join(rest)
    for word in ("chmod 0666 /dev/fuse", "group", "fusermount3", "mfs run", "--device /dev/fuse"):
        assert word in advice


def test_forbidden_user_namespaces_name_the_switch(place: Place) -> None:
    ran = place.ordinary("mfs run -- true", more=["--no-namespaces"])
    assert ran.returncode == 1
    first, second = ran.stderr.splitlines()
    assert first.startswith("mfs run: may not make a mount of its own: ")
    assert "/proc/sys/user/max_user_namespaces is 0: raise it, e.g. sysctl user.max_user_namespaces=10000" in first
    assert "mfs mount works as root, or with the package fuse3 (fusermount3)" in second


def test_a_mount_without_root_or_helper_names_run(place: Place) -> None:
    ran = place.ordinary("mkdir mnt none; PATH=$PWD/none; mfs mount mnt")
    assert ran.returncode == 1
    assert f"mfs mount: {place.home}/mnt: may not mount (Operation not permitted)" in ran.stderr
    assert "fusermount3 is not installed" in ran.stderr
    assert "mfs run -- COMMAND needs neither" in ran.stderr


def test_a_locked_repository_names_the_process_that_runs_in_a_namespace(place: Place) -> None:
    ran = place.ordinary("""
        mkfifo started go
        mfs run -- sh -c 'echo > started; read line < go' &
        read line < started
        mfs run -- true
        status=$?
        echo > go
        wait
        exit $status
    """)
    assert ran.returncode == 1
    first, second = ran.stderr.splitlines()
    assert first.startswith(f"mfs run: the repository {place.home}/repo is in use: process ")
    assert second == "  It is mounted for one command (mfs run), and free when that has ended."


def test_umount_within_run_is_refused_with_the_reason(place: Place) -> None:
    ran = place.ordinary("""mfs run -- sh -c '"$PYTHON" -m mfs umount "$MFS"; ls "$MFS" && echo still there'""")
    assert ran.stdout == "still there\n"
    assert "may not unmount" in ran.stderr


def test_a_closed_repository_of_somebody_else(place: Place) -> None:
    place.repo.mkdir(mode=0o700)
    ran = place.ordinary(f'mfs run --repo "{place.repo}" -- true')
    assert (ran.returncode, ran.stderr) == (1, f"mfs run: {place.repo}: Permission denied\n")


@HELPER
def test_mount_and_umount_by_the_helper(place: Place) -> None:
    ran = place.ordinary("""
        mkdir mnt
        mfs mount mnt && echo content > mnt/file && cat mnt/file
        grep -c "$PWD/mnt fuse.mfs" /proc/mounts
        mfs umount mnt && ls mnt
        mfs mount mnt && cat mnt/file
        mfs umount mnt
    """)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "content\n1\ncontent\n", "")
    assert holder_of(place.home / "repo") is None


@HELPER
def test_a_signal_unmounts_what_the_helper_mounted(place: Place) -> None:
    ran = place.ordinary("""
        mkdir mnt
        mfs mount mnt && echo content > mnt/file
        kill $(cat repo/lock)
        while grep -q "$PWD/mnt" /proc/mounts; do sleep 0.05; done
        mfs mount mnt && cat mnt/file
        mfs umount mnt
    """)
    assert (ran.stdout, ran.stderr) == ("content\n", "")


@HELPER
def test_a_dead_mount_of_the_helper_is_cleared_away(place: Place) -> None:
    ran = place.ordinary("""
        mkdir mnt
        mfs mount mnt && echo content > mnt/file && sync mnt/file
        kill -9 $(cat repo/lock)
        while ls mnt > /dev/null 2>&1; do sleep 0.05; done
        mfs mount mnt && cat mnt/file
        mfs umount mnt
        grep -c "$PWD/mnt" /proc/mounts
    """)
    assert (ran.stdout, ran.stderr) == ("content\n0\n", "")


@HELPER
def test_allow_other_that_is_not_allowed_says_why(place: Place) -> None:
    ran = place.ordinary("mkdir mnt; mfs mount --allow-other mnt && mfs umount mnt")
    if ran.returncode == 0:
        pytest.skip("/etc/fuse.conf has user_allow_other here")
    assert "user_allow_other" in ran.stderr
