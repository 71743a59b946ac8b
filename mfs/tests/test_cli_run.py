"""`mfs run` as root: a mount for one command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.repo import holder_of
from mfs.tests.commanding import MFS, PATIENCE, Place, is_running, new_place, until
from rawfuse.mount import mount_entries

pytestmark = pytest.mark.kernel("root")


@pytest.fixture
def place() -> Iterator[Place]:
    """All that `mfs run` leaves in the directory for temporary files is found there."""
    with new_place() as made:
        (made.path / "tmp").mkdir()
        made.environment["TMPDIR"] = str(made.path / "tmp")
        yield made
        assert os.listdir(made.path / "tmp") == []


def shell(place: Place, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return place.mfs("run", *options, "--", "sh", "-c", script)


def test_the_command_sees_the_mount_and_nobody_else_does(place: Place) -> None:
    ran = shell(place, 'echo content > "$MFS/file" && cat "$MFS/file" && echo "$MFS"')
    content, where = ran.stdout.splitlines()
    assert (ran.returncode, ran.stderr, content) == (0, "", "content")
    assert not any(entry.mountpoint == where for entry in mount_entries())
    assert not os.path.exists(where)


def test_the_repository_is_that_of_mount(place: Place) -> None:
    assert shell(place, 'echo content > "$MFS/file"').returncode == 0
    place.mount()
    assert (place.mnt / "file").read_text() == "content\n"


def test_everything_is_committed_when_it_returns(place: Place) -> None:
    shell(place, 'head -c 20000000 /dev/zero | tr "\\0" x > "$MFS/file"')
    assert holder_of(place.repo) is None
    ran = shell(place, 'stat -c %s "$MFS/file"')
    assert ran.stdout == "20000000\n"


def test_a_temporary_repository_goes_away(place: Place) -> None:
    ran = shell(place, 'echo content > "$MFS/file" && cat "$MFS/file"', "--temp")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "content\n", "")
    assert not place.repo.exists()


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_the_exit_status_is_that_of_the_command(place: Place, status: int) -> None:
    assert shell(place, f"exit {status}", "--temp").returncode == status


def test_a_command_ended_by_a_signal_is_128_and_its_number(place: Place) -> None:
    assert shell(place, "kill -KILL $$", "--temp").returncode == 128 + signal.SIGKILL


def test_a_command_that_is_not_found(place: Place) -> None:
    ran = place.mfs("run", "--temp", "--", "no-such-command")
    assert (ran.returncode, ran.stderr) == (127, "mfs run: no-such-command: No such file or directory\n")


def test_a_command_that_cannot_be_run(place: Place) -> None:
    ran = place.mfs("run", "--temp", "--", "/etc/passwd")
    assert (ran.returncode, ran.stderr) == (126, "mfs run: /etc/passwd: Permission denied\n")


def test_a_program_in_the_mount_can_be_run(place: Place) -> None:
    ran = shell(place, 'cp /bin/sh "$MFS/shell" && "$MFS/shell" -c "echo from within"', "--temp")
    assert (ran.returncode, ran.stdout) == (0, "from within\n")


def test_the_command_has_our_directory_and_streams(place: Place) -> None:
    ran = subprocess.run(
        [*MFS, "run", "--temp", "--", "sh", "-c", "pwd; cat; echo wrong >&2"],
        cwd=place.home,
        env=place.environment,
        input="read\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == (f"{place.home}\nread\n", "wrong\n")


def test_options_of_the_command_are_its_own(place: Place) -> None:
    assert place.mfs("run", "--temp", "echo", "--repo", "--help").stdout == "--repo --help\n"


def test_a_command_ends_by_sigpipe_as_it_would_without_us(place: Place) -> None:
    ran = shell(place, "yes | head -n 1; grep SigIgn /proc/self/status; grep SigBlk /proc/self/status", "--temp")
    # What the caller ignores stays so: under pytest that is nothing of ours.
    assert ran.stdout.splitlines()[0] == "y"
    blocked = int(ran.stdout.splitlines()[2].split()[1], 16)
    ignored = int(ran.stdout.splitlines()[1].split()[1], 16)
    assert not ignored >> (signal.SIGPIPE - 1) & 1
    assert not blocked >> (signal.SIGTERM - 1) & 1


def test_a_signal_reaches_the_command(place: Place) -> None:
    script = 'trap "echo caught; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
    with place.start("run", "--temp", "--", "sh", "-c", script) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        output, errors = running.communicate(timeout=PATIENCE)
    assert (running.returncode, output, errors) == (7, "caught\n", "")


def test_it_waits_for_what_the_command_left_behind(place: Place) -> None:
    release = place.path / "release"
    late = f'(until [ -e {release} ]; do sleep 0.05; done; echo late > "$MFS/late") > /dev/null 2>&1 &'
    script = f'exec 3< "$MFS"; {late} exit 3'
    with place.start("run", "--", "sh", "-c", script) as running:
        assert running.stderr is not None
        waiting = running.stderr.readline()
        release.touch()
        running.communicate(timeout=PATIENCE)
    assert running.returncode == 3
    assert re.fullmatch(r"mfs run: waiting for process \d+ \(sh\) has open .*/mnt(; .*)?\n", waiting)
    assert shell(place, 'cat "$MFS/late"').stdout == "late\n"


def test_a_signal_ends_the_waiting(place: Place) -> None:
    script = 'exec 3< "$MFS"; sleep 100 > /dev/null 2>&1 & echo $!; echo content > "$MFS/file"'
    with place.start("run", "--", "sh", "-c", script) as running:
        assert running.stdout is not None and running.stderr is not None
        sleeping = int(running.stdout.readline())
        assert "waiting for process" in running.stderr.readline()
        running.send_signal(signal.SIGTERM)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=PATIENCE)
        os.kill(sleeping, signal.SIGKILL)
    assert running.returncode == 0
    assert shell(place, 'cat "$MFS/file"').stdout == "content\n"


def test_a_server_that_dies_is_told_and_its_callers_get_errors(place: Place) -> None:
    ran = shell(place, 'kill -9 $(cat "$MFS_PATH/lock"); sleep 0.3; ls "$MFS" && exit 1; exit 0')
    assert "the server is gone, so nothing works in" in ran.stderr
    assert "the server ended with exit status -9" in ran.stderr
    assert ran.returncode == 1


def test_nothing_outlives_a_killed_run(place: Place) -> None:
    with place.start("run", "--", "sh", "-c", 'echo content > "$MFS/file"; echo ready; exec sleep 100') as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        server = holder_of(place.repo)
        assert server is not None
        command = next(child for child in _children(running.pid) if child != server)
        running.kill()
        running.wait()
        assert until(lambda: not is_running(server))
        os.kill(command, signal.SIGKILL)
    ran = shell(place, 'cat "$MFS/file"')
    assert ran.stdout == "content\n"
    for left in (place.path / "tmp").iterdir():
        (left / "mnt").rmdir()
        left.rmdir()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_command_has_a_mount_that_is_read_only(place: Place) -> None:
    assert "Read-only file system" in shell(place, 'touch "$MFS/file"', "--temp", "--read-only").stderr


def test_a_repository_in_use_is_not_run_twice(place: Place) -> None:
    place.mount()
    ran = shell(place, "true")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[1] == f"  It is mounted on {place.mnt}; mfs umount {place.mnt} ends that."


def test_a_device_that_is_missing(place: Place) -> None:
    ran = place.mfs("run", "--device", "/dev/no-such", "--", "true")
    assert ran.returncode == 1
    assert ran.stderr.startswith("mfs run: /dev/no-such: there is no FUSE device")


def test_the_shell_is_run_where_no_command_is_named(place: Place) -> None:
    ran = subprocess.run(
        [*MFS, "run", "--temp"],
        cwd=place.path,
        env=place.environment | {"SHELL": "/bin/sh"},
        input='echo "in $MFS"; exit 5',
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.returncode, ran.stdout.startswith(f"in {place.path}/tmp/mfs-")) == (5, True)
