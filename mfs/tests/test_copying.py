"""`mfs.copying.copy` on whatever file system the tests run on: bytes, permissions, errors."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mfs.copying import NotRegular, Outcome, copy
from mfs.copying.outcome import Tally

MIB = 1 << 20
DATA = os.urandom(3 * MIB + 17)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("size", [None, 0, 5, MIB, len(DATA) - 1, len(DATA), len(DATA) + 1, 2 * len(DATA)])
def test_the_target_has_the_bytes_of_the_source_whatever_it_had(source: Path, tmp_path: Path, size: int | None) -> None:
    target = tmp_path / "target"
    if size is not None:
        target.write_bytes(os.urandom(size))
    outcome = copy(source, target)
    assert target.read_bytes() == DATA
    assert outcome.size == len(DATA) == outcome.shared + outcome.skipped + outcome.holes + outcome.written
    assert outcome.changed


def test_a_tally_says_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(os.urandom(3 << 20))
    tally = Tally()
    copy(tmp_path / "source", tmp_path / "target", tally=tally)
    assert tally.total == 3 << 20


def test_an_empty_source_makes_an_empty_target(tmp_path: Path) -> None:
    (tmp_path / "source").touch()
    (tmp_path / "target").write_bytes(b"text")
    assert copy(tmp_path / "source", tmp_path / "target") == Outcome(0, changed=True)
    assert (tmp_path / "target").read_bytes() == b""
    assert copy(tmp_path / "source", tmp_path / "target") == Outcome(0, changed=False)


def test_a_file_that_does_not_know_its_size_is_read_to_its_end(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(bytes(MIB))
    outcome = copy("/proc/self/status", target)
    assert target.read_bytes().startswith(b"Name:")
    assert outcome.written == outcome.size == target.stat().st_size


@pytest.mark.parametrize("link", [os.symlink, os.link, None])
def test_a_file_copied_onto_itself_survives(source: Path, tmp_path: Path, link: object) -> None:
    target = tmp_path / "target" if link else source
    if callable(link):
        link(source, target)
    assert copy(source, target) == Outcome(len(DATA), skipped=len(DATA), changed=False)
    assert source.read_bytes() == DATA


def test_symbolic_links_are_followed_at_both_ends(source: Path, tmp_path: Path) -> None:
    (tmp_path / "to-source").symlink_to(source)
    (tmp_path / "to-target").symlink_to("target")
    copy(tmp_path / "to-source", tmp_path / "to-target")
    assert (tmp_path / "target").read_bytes() == DATA
    assert (tmp_path / "to-target").is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o4755, 0o2750, 0o444])
@pytest.mark.parametrize("existing", [None, 0o644, 0o6777])
def test_the_target_gets_the_permissions_of_the_source(
    source: Path, tmp_path: Path, mode: int, existing: int | None
) -> None:
    target = tmp_path / "target"
    source.chmod(mode)
    if existing is not None:
        target.write_bytes(b"text")
        target.chmod(existing)
    copy(source, target)
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_the_umask_does_not_count(source: Path, tmp_path: Path) -> None:
    source.chmod(0o666)
    before = os.umask(0o077)
    try:
        copy(source, tmp_path / "target")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o666


def test_the_target_stays_the_same_inode(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"text")
    before = target.stat().st_ino
    copy(source, target)
    assert target.stat().st_ino == before


def test_holes_stay_holes_and_what_the_target_had_in_them_is_gone(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with open(source, "wb") as file:
        file.seek(8 * MIB)
        file.write(DATA)
        file.truncate(40 * MIB)
    target.write_bytes(os.urandom(16 * MIB))
    outcome = copy(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks + 128
    assert outcome.size == 40 * MIB
    assert outcome.written < 4 * MIB


def test_a_tebibyte_that_is_one_hole_is_copied_at_once(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.touch()
    os.truncate(source, 1 << 40)
    assert copy(source, target).written == 0
    assert target.stat().st_size == 1 << 40
    assert target.stat().st_blocks == 0


def test_bytes_go_through_memory_where_the_kernel_does_not_copy(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "copy_file_range", refused)
    outcome = copy(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA
    assert (outcome.written, outcome.offered) == (len(DATA), 0)


def test_a_source_that_gets_shorter_meanwhile_makes_a_shorter_target(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.write_bytes(bytes(2 * len(DATA)))
    honest = os.copy_file_range

    def shortening(reading: int, writing: int, count: int, start: int, at: int) -> int:
        os.truncate(source, MIB + 1)
        return honest(reading, writing, min(count, MIB), start, at)

    monkeypatch.setattr(os, "copy_file_range", shortening)
    assert copy(source, target).size == MIB + 1
    assert target.read_bytes() == DATA[: MIB + 1]


def test_a_source_that_grows_meanwhile_is_copied_as_far_as_it_went(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = os.copy_file_range

    def growing(reading: int, writing: int, count: int, start: int, at: int) -> int:
        with open(source, "ab") as file:
            file.write(b"more")
        return honest(reading, writing, count, start, at)

    monkeypatch.setattr(os, "copy_file_range", growing)
    copy(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == DATA


def test_another_file_system_is_only_written_to(source: Path) -> None:
    target = Path("/dev/shm") / f"mfs-copying-{os.getpid()}"
    try:
        assert copy(source, target).written == len(DATA)
        assert target.read_bytes() == DATA
    finally:
        target.unlink()


def test_errors_name_the_path_they_are_about(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        copy(tmp_path / "none", tmp_path / "target")
    assert missing.value.filename == str(tmp_path / "none")
    assert not (tmp_path / "target").exists()
    with pytest.raises(FileNotFoundError) as nowhere:
        copy(source, tmp_path / "none" / "target")
    assert nowhere.value.filename == str(tmp_path / "none" / "target")
    with pytest.raises(IsADirectoryError) as directory:
        copy(source, tmp_path)
    assert directory.value.filename == str(tmp_path)
    with pytest.raises(IsADirectoryError) as other:
        copy(tmp_path, tmp_path / "target")
    assert other.value.filename == str(tmp_path)


def test_a_full_target_says_both_paths(source: Path) -> None:
    with pytest.raises(OSError, match="No space left") as full:
        copy(source, "/dev/full")
    assert (full.value.errno, full.value.filename, full.value.filename2) == (errno.ENOSPC, str(source), "/dev/full")


def test_a_device_is_written_to(source: Path) -> None:
    assert copy(source, "/dev/null").written == len(DATA)


def test_pipes_sockets_and_devices_are_no_sources_and_nothing_waits(source: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for special in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(NotRegular) as refused:
            copy(special, tmp_path / "target")
        assert refused.value.filename == str(special)
    with pytest.raises(NotRegular) as target:
        copy(source, tmp_path / "pipe")
    assert target.value.filename == str(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="No such device") as unconnected:
            copy(source, tmp_path / "socket")
        assert unconnected.value.filename == str(tmp_path / "socket")
    assert not (tmp_path / "target").exists()


def test_a_program_that_runs_is_not_written_to(source: Path, tmp_path: Path) -> None:
    program = tmp_path / "sleep"
    copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as running:
        try:
            with pytest.raises(OSError, match="Text file busy") as busy:
                copy(source, program)
            assert busy.value.filename == str(program)
        finally:
            running.kill()
    assert program.read_bytes() == Path("/bin/sleep").read_bytes()


_AS_NOBODY = """
import os, sys
from mfs.copying import copy
os.setgid(65534); os.setuid(65534)
try:
    print(copy(sys.argv[1], sys.argv[2]).written)
except OSError as error:
    print(type(error).__name__, error.filename)
"""


def as_nobody(source: Path, target: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, source, target],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return ran.stdout.strip()


@pytest.mark.kernel("root")
class TestPermissions:
    @pytest.fixture(autouse=True)
    def reachable(self, source: Path, tmp_path: Path) -> None:
        for directory in (tmp_path, *list(tmp_path.parents)[:-2]):
            directory.chmod(0o755)

    def test_a_target_that_may_only_be_written_is_written(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.write_bytes(b"text")
        os.chown(target, 65534, 65534)
        target.chmod(0o200)
        source.chmod(0o644)
        assert as_nobody(source, target) == str(len(DATA))
        assert target.read_bytes() == DATA

    def test_a_target_that_may_not_be_written_is_left_alone(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.write_bytes(b"text")
        assert as_nobody(source, target) == f"PermissionError {target}"
        assert target.read_bytes() == b"text"

    def test_permissions_that_cannot_be_given_cost_no_bytes(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.write_bytes(b"text")
        target.chmod(0o666)
        source.chmod(0o755)
        assert as_nobody(source, target) == f"PermissionError {source}"
        assert target.read_bytes() == b"text"


def test_copies_at_the_same_time_do_not_meet(source: Path, tmp_path: Path) -> None:
    targets = [tmp_path / str(number) for number in range(8)]
    threads = [threading.Thread(target=copy, args=(source, target)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(target.read_bytes() == DATA for target in targets)
