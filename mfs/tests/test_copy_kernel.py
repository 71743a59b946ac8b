"""Copies inside a mount, asked for by the kernel: one message, no byte moved, and every way to get it wrong."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount, mounted
from mfs.tests.programs import pattern
from mfs.tests.recording import Asked, asked
from mfs.tests.unixfs_build import Blocks
from mfs.unixfs.cid import cid_str
from mfs.unixfs.profile import DEFAULT_PROFILE

pytestmark = pytest.mark.kernel("root")

MIB = 1 << 20
GIB = 1 << 30
LARGE = pattern(5 * MIB // 2)
OTHER = pattern(7 * MIB // 2, 1)


@pytest.fixture
def mount() -> Iterator[Mount]:
    with mounted(filesystem="mfs.tests.recording:Recording") as mount:
        yield mount


@pytest.fixture
def older() -> Iterator[Mount]:
    with mounted(filesystem="mfs.tests.recording:Older") as mount:
        yield mount


def copied(source: Path, target: Path, length: int, start: int = 0, at: int = 0) -> int:
    """One copy_file_range(2) between two files; the second is made if it is not there."""
    reading = os.open(source, os.O_RDONLY)
    writing = os.open(target, os.O_RDWR | os.O_CREAT)
    try:
        return os.copy_file_range(reading, writing, length, start, at)
    finally:
        os.close(reading)
        os.close(writing)


def cp(source: Path, target: Path) -> None:
    subprocess.run(["cp", source, target], check=True)


def cid(path: Path) -> str:
    return os.getxattr(path, "ipfs.cid").decode()


def expected(data: bytes) -> str:
    return cid_str(Blocks().file(DEFAULT_PROFILE, data).cid)


def stored(mount: Mount) -> int:
    """Bytes of disk that the segments take, once everything is committed."""
    cid(mount.path)
    return sum(path.stat().st_blocks * 512 for path in (mount.repo / "segments").rglob("*") if path.is_file())


def holes(path: Path) -> list[tuple[int, int]]:
    """The ranges of the file that hold data, as SEEK_DATA and SEEK_HOLE tell."""
    found: list[tuple[int, int]] = []
    fd = os.open(path, os.O_RDONLY)
    try:
        at = 0
        while True:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as error:
                assert error.errno == errno.ENXIO
                return found
            start, at = at, os.lseek(fd, at, os.SEEK_HOLE)
            found.append((start, at))
    finally:
        os.close(fd)


def test_cp_of_4_gib_is_one_message_and_stores_nothing(mount: Mount) -> None:
    source, target = mount.path / "a", mount.path / "b"
    with open(source, "wb") as file:
        for at in (0, GIB - 100, 3 * GIB + 12345):
            file.seek(at)
            file.write(LARGE)
        file.truncate(4 * GIB)
    before = stored(mount)
    asked(mount)
    cp(source, target)
    assert asked(mount) == [Asked("copy_file_range_64", 0, 4 * GIB)]
    assert stored(mount) == before
    assert cid(target) == cid(source)
    assert holes(target) == holes(source)
    subprocess.run(["cmp", "-n", str(2 * MIB), "-i", str(3 * GIB), source, target], check=True)


def test_cp_of_a_file_just_written_has_the_cid_of_its_bytes(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    asked(mount)
    cp(mount.path / "a", mount.path / "b")
    assert asked(mount) == [Asked("copy_file_range_64", 0, len(LARGE))]
    assert cid(mount.path / "b") == cid(mount.path / "a") == expected(LARGE)
    assert (mount.path / "b").read_bytes() == LARGE


def test_cp_of_a_committed_file_to_one_with_other_bytes(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    (mount.path / "b").write_bytes(OTHER)
    assert cid(mount.path / "b") == expected(OTHER)
    asked(mount)
    cp(mount.path / "a", mount.path / "b")
    assert [one.name for one in asked(mount)] == ["copy_file_range_64"]
    assert cid(mount.path / "b") == expected(LARGE)


def test_the_source_has_bytes_that_were_not_flushed(mount: Mount) -> None:
    with open(mount.path / "a", "wb", buffering=0) as file:
        file.write(LARGE)
        assert copied(mount.path / "a", mount.path / "b", len(LARGE)) == len(LARGE)
        file.write(b"later")
    assert (mount.path / "b").read_bytes() == LARGE
    assert (mount.path / "a").read_bytes() == LARGE + b"later"


def test_a_longer_destination_keeps_its_tail(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    (mount.path / "b").write_bytes(OTHER)
    assert copied(mount.path / "a", mount.path / "b", len(LARGE)) == len(LARGE)
    want = LARGE + OTHER[len(LARGE) :]
    assert (mount.path / "b").read_bytes() == want
    assert cid(mount.path / "b") == expected(want)


@pytest.mark.parametrize("committed", [False, True])
def test_the_destination_handle_flushes_nothing_over_the_copy(mount: Mount, committed: bool) -> None:
    (mount.path / "a").write_bytes(LARGE)
    with open(mount.path / "b", "wb", buffering=0) as file, open(mount.path / "a", "rb") as source:
        file.write(OTHER[: 2 * MIB])
        if committed:
            os.fsync(file.fileno())
            cid(mount.path / "b")
        assert os.copy_file_range(source.fileno(), file.fileno(), len(LARGE), 0, 0) == len(LARGE)
        os.fsync(file.fileno())
    assert (mount.path / "b").read_bytes() == LARGE
    mount.kill()
    mount.remount()
    assert (mount.path / "b").read_bytes() == LARGE


def test_more_than_4_gib_through_the_older_opcode(older: Mount) -> None:
    source, target = older.path / "a", older.path / "b"
    with open(source, "wb") as file:
        for at in (0, 4294963200 - 1000, 5 * GIB - 7):
            file.seek(at)
            file.write(LARGE)
    size = 5 * GIB - 7 + len(LARGE)
    before = stored(older)
    asked(older)
    cp(source, target)
    assert asked(older) == [
        Asked("copy_file_range", 0, 4294963200),
        Asked("copy_file_range", 4294963200, size - 4294963200),
    ]
    assert stored(older) == before
    assert target.stat().st_size == size
    assert cid(target) == cid(source)
    with open(target, "rb") as file:
        for at in (0, 4294963200 - 1000, 5 * GIB - 7):
            file.seek(at)
            assert file.read(len(LARGE)) == LARGE


def test_the_older_opcode_while_the_source_is_not_committed(older: Mount) -> None:
    source, target = older.path / "a", older.path / "b"
    with open(source, "wb", buffering=0) as file:
        file.seek(4294963200 - MIB)
        file.write(OTHER)
        cp(source, target)
        assert [one.name for one in asked(older, "read", "copy_file_range")] == ["copy_file_range"] * 2
    with open(target, "rb") as file:
        file.seek(4294963200 - MIB)
        assert file.read() == OTHER
    assert cid(target) == cid(source)


def test_within_one_file(mount: Mount) -> None:
    path = mount.path / "a"
    path.write_bytes(LARGE)
    assert copied(path, path, MIB, 1000, 3 * MIB + 5) == MIB
    want = LARGE.ljust(3 * MIB + 5, b"\0") + LARGE[1000 : 1000 + MIB]
    assert path.read_bytes() == want
    assert copied(path, path, MIB, 0, MIB) == MIB
    want = want[:MIB] + want[:MIB] + want[2 * MIB :]
    assert path.read_bytes() == want
    assert cid(path) == expected(want)


def test_overlapping_ranges_of_one_file_are_refused(mount: Mount) -> None:
    path = mount.path / "a"
    path.write_bytes(LARGE)
    with pytest.raises(OSError, match="Invalid argument"):
        copied(path, path, MIB, 0, 1000)
    assert path.read_bytes() == LARGE


def test_an_empty_file(mount: Mount) -> None:
    (mount.path / "a").touch()
    cp(mount.path / "a", mount.path / "b")
    assert (mount.path / "b").read_bytes() == b""
    (mount.path / "c").write_bytes(LARGE)
    cp(mount.path / "a", mount.path / "c")
    assert (mount.path / "c").read_bytes() == b""
    assert cid(mount.path / "c") == expected(b"")


def test_at_and_past_the_end_of_the_source(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    assert copied(mount.path / "a", mount.path / "b", MIB, len(LARGE)) == 0
    assert copied(mount.path / "a", mount.path / "b", MIB, len(LARGE) + MIB) == 0
    assert (mount.path / "b").stat().st_size == 0
    assert copied(mount.path / "a", mount.path / "b", MIB, len(LARGE) - 10, 3) == 10
    assert (mount.path / "b").read_bytes() == bytes(3) + LARGE[-10:]


@pytest.mark.parametrize("at", [len(OTHER), 4 * MIB, 5 * MIB + 3])
def test_to_the_end_of_the_destination_and_behind_it(mount: Mount, at: int) -> None:
    (mount.path / "a").write_bytes(LARGE)
    (mount.path / "b").write_bytes(OTHER)
    assert copied(mount.path / "a", mount.path / "b", len(LARGE), 0, at) == len(LARGE)
    want = OTHER.ljust(at, b"\0") + LARGE
    assert (mount.path / "b").read_bytes() == want
    assert cid(mount.path / "b") == expected(want)


def test_appending(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    (mount.path / "b").write_bytes(OTHER)
    script = f"cat {mount.path}/a >> {mount.path}/b"
    subprocess.run(["sh", "-c", script], check=True)
    assert (mount.path / "b").read_bytes() == OTHER + LARGE
    with open(mount.path / "a", "rb") as source, open(mount.path / "b", "ab") as file:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.copy_file_range(source.fileno(), file.fileno(), 10)


def test_readers_that_are_open_see_what_they_should(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    (mount.path / "b").write_bytes(OTHER)
    with open(mount.path / "a", "rb", buffering=0) as source, open(mount.path / "b", "rb", buffering=0) as target:
        assert target.read(len(OTHER)) == OTHER
        assert source.read(MIB) == LARGE[:MIB]
        cp(mount.path / "a", mount.path / "b")
        assert os.fstat(target.fileno()).st_size == len(LARGE)
        assert os.pread(target.fileno(), len(OTHER), 0) == LARGE
        assert source.read(len(LARGE)) == LARGE[MIB:]


@pytest.mark.parametrize("committed", [False, True])
def test_writing_to_one_side_leaves_the_other(mount: Mount, committed: bool) -> None:
    a, b = mount.path / "a", mount.path / "b"
    a.write_bytes(LARGE)
    cp(a, b)
    if committed:
        cid(mount.path)
    for path, other in ((a, b), (b, a)):
        want = bytearray(path.read_bytes())
        untouched = other.read_bytes()
        with open(path, "r+b", buffering=0) as file:
            for at, data in ((0, b"first"), (MIB - 3, b"across"), (len(LARGE), b"more")):
                file.seek(at)
                file.write(data)
                want[at : at + len(data)] = data
        assert path.read_bytes() == want
        assert other.read_bytes() == untouched
        assert cid(other) == expected(untouched)
        assert cid(path) == expected(bytes(want))


def test_truncating_one_side_leaves_the_other(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    cp(mount.path / "a", mount.path / "b")
    os.truncate(mount.path / "a", 1000)
    assert (mount.path / "b").read_bytes() == LARGE
    os.truncate(mount.path / "b", MIB + 1)
    os.truncate(mount.path / "b", 3 * MIB)
    assert (mount.path / "b").read_bytes() == LARGE[: MIB + 1].ljust(3 * MIB, b"\0")
    assert (mount.path / "a").read_bytes() == LARGE[:1000]


def test_unlinking_one_side_leaves_the_other(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    cp(mount.path / "a", mount.path / "b")
    os.unlink(mount.path / "a")
    stored(mount)
    mount.remount()
    assert (mount.path / "b").read_bytes() == LARGE


def test_mapped_pages_of_the_source_are_part_of_the_copy(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    with open(mount.path / "a", "r+b") as file, mmap.mmap(file.fileno(), 0) as pages:
        pages[MIB - 2 : MIB + 3] = b"dirty"
        cp(mount.path / "a", mount.path / "b")
        want = LARGE[: MIB - 2] + b"dirty" + LARGE[MIB + 3 :]
        assert (mount.path / "b").read_bytes() == want
        pages[:5] = b"later"
        pages.flush()
    assert (mount.path / "b").read_bytes() == want
    assert (mount.path / "a").read_bytes() == b"later" + want[5:]


def test_mapped_pages_of_the_destination_show_the_copy(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    (mount.path / "b").write_bytes(OTHER)
    with open(mount.path / "b", "r+b") as file, mmap.mmap(file.fileno(), 0) as pages:
        pages[:5] = b"under"
        pages[3 * MIB : 3 * MIB + 6] = b"behind"
        assert copied(mount.path / "a", mount.path / "b", len(LARGE)) == len(LARGE)
        want = LARGE + OTHER[len(LARGE) : 3 * MIB] + b"behind" + OTHER[3 * MIB + 6 :]
        assert pages[:] == want
        pages.flush()
    assert (mount.path / "b").read_bytes() == want
    assert cid(mount.path / "b") == expected(want)


def test_a_sparse_source_stays_sparse(mount: Mount) -> None:
    a = mount.path / "a"
    with open(a, "wb") as file:
        file.seek(10 * MIB)
        file.write(LARGE)
        file.truncate(30 * MIB)
    assert holes(a) == [(10 * MIB, 10 * MIB + len(LARGE))]
    before = stored(mount)
    cp(a, mount.path / "b")
    assert copied(a, mount.path / "c", 30 * MIB, 5 * MIB, 2 * MIB) == 25 * MIB
    assert copied(a, mount.path / "d", 30 * MIB, 7, 8) == 30 * MIB - 7
    assert holes(mount.path / "b") == holes(a)
    assert holes(mount.path / "c") == [(7 * MIB, 7 * MIB + len(LARGE))]
    assert holes(mount.path / "d") == [(10 * MIB + 1, 10 * MIB + 1 + len(LARGE))]
    assert stored(mount) == before


@pytest.mark.parametrize(
    ("start", "at", "length"),
    [(0, 0, 1000), (0, 0, MIB), (MIB, 0, MIB), (1, 1, 2 * MIB), (5, 1000, 2 * MIB), (MIB + 1, 3 * MIB + 1, MIB + 9)],
)
@pytest.mark.parametrize("committed", [False, True])
def test_a_range_shares_its_bytes(mount: Mount, start: int, at: int, length: int, committed: bool) -> None:
    (mount.path / "a").write_bytes(LARGE)
    (mount.path / "b").write_bytes(OTHER)
    before = stored(mount) if committed else GIB
    taken = LARGE[start : start + length]
    assert copied(mount.path / "a", mount.path / "b", length, start, at) == len(taken)
    want = OTHER.ljust(at, b"\0")
    want = want[:at] + taken + want[at + len(taken) :]
    assert (mount.path / "b").read_bytes() == want
    assert cid(mount.path / "b") == expected(want)
    assert stored(mount) <= before
    mount.remount()
    assert (mount.path / "b").read_bytes() == want


def test_a_refused_copy_is_asked_again_the_next_time() -> None:
    with mounted(filesystem="mfs.tests.recording:Refusing") as mount:
        (mount.path / "a").write_bytes(LARGE)
        asked(mount)
        cp(mount.path / "a", mount.path / "b")
        names = [one.name for one in asked(mount)]
        assert names[0] == "refused"
        assert "write" in names
        assert (mount.path / "b").read_bytes() == LARGE
        asked(mount)
        cp(mount.path / "a", mount.path / "c")
        assert [one.name for one in asked(mount)] == ["copy_file_range_64"]
        assert (mount.path / "c").read_bytes() == LARGE


def test_cp_from_and_to_another_file_system(mount: Mount, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LARGE)
    cp(tmp_path / "a", mount.path / "a")
    assert cid(mount.path / "a") == expected(LARGE)
    cp(mount.path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == LARGE


def test_cp_between_two_mounts(mount: Mount) -> None:
    (mount.path / "a").write_bytes(LARGE)
    with mounted() as other:
        cp(mount.path / "a", other.path / "a")
        assert cid(other.path / "a") == cid(mount.path / "a") == expected(LARGE)


def test_writing_the_same_bytes_again_stores_nothing(mount: Mount, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    for name, data in (("large", LARGE), ("small", b"small" * 100), ("other", OTHER)):
        (source / name).write_bytes(data)
    subprocess.run(["cp", "-r", source, mount.path], check=True)
    # Space comes back in pages: what begins or ends within one stays until the rest of it goes.
    before = stored(mount) + 4 * mmap.PAGESIZE
    subprocess.run(["cp", "-r", source, mount.path], check=True)
    assert stored(mount) <= before
    subprocess.run(["install", source / "large", mount.path / "installed"], check=True)
    assert stored(mount) <= before
    subprocess.run(f"tar -C {tmp_path} -c tree | tar -C {mount.path} -x", shell=True, check=True)
    assert stored(mount) <= before
