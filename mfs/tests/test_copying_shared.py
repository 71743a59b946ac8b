"""`mfs.copying.copy` on btrfs and xfs: what shared its blocks goes on sharing them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.copying import Outcome, copy
from mfs.copying.extents import SHARED
from mfs.tests.images import Image, all_shared, image, layout, places

pytestmark = pytest.mark.kernel("root", programs=("mkfs.btrfs", "mkfs.xfs"))

MIB = 1 << 20
SIZE = 24 * MIB + 17


@pytest.fixture(scope="module", params=["btrfs", "xfs"])
def disk(request: pytest.FixtureRequest) -> Iterator[Image]:
    with image(request.param) as made:
        yield made


@pytest.fixture
def place(disk: Image) -> Iterator[Path]:
    path = disk.path / "place"
    path.mkdir()
    yield path
    subprocess.run(["rm", "-r", path], check=True)


def write(path: Path, data: bytes | bytearray) -> Path:
    path.write_bytes(data)
    return path


def reflink(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "--reflink=always", source, target], check=True)
    return target


def test_a_new_target_shares_everything_with_the_source(place: Path) -> None:
    source = write(place / "source", os.urandom(SIZE))
    assert copy(source, place / "target") == Outcome(SIZE, shared=SIZE)
    assert places(place / "target") == places(source)
    assert all_shared(layout(place / "target"))


def test_identical_content_is_shared_and_neither_written_nor_touched(place: Path) -> None:
    data = os.urandom(SIZE)
    source, target = write(place / "source", data), write(place / "target", data)
    reflink(target, place / "snapshot")
    os.utime(target, ns=(1, 1))
    before = target.stat()
    assert copy(source, target) == Outcome(SIZE, shared=SIZE, changed=False)
    after = target.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_ino) == (1, before.st_ctime_ns, before.st_ino)
    assert all_shared(layout(target))
    assert places(target) == places(source)


def test_a_target_that_shares_with_the_source_already_stays_where_it_is(place: Path) -> None:
    source = write(place / "source", os.urandom(SIZE))
    target = reflink(source, place / "target")
    before = places(target)
    assert not copy(source, target).changed
    assert places(target) == before == places(source)


def test_identical_content_costs_two_reads_and_no_write(disk: Image, place: Path) -> None:
    data = os.urandom(SIZE)
    source, target = write(place / "source", data), write(place / "target", data)
    reflink(target, place / "snapshot")
    disk.forget()
    os.listdir(place)
    read, written = disk.transferred()
    copy(source, target)
    os.sync()
    read, written = (after - before for after, before in zip(disk.transferred(), (read, written), strict=True))
    assert 2 * SIZE <= read < 2 * SIZE + 6 * MIB
    assert written < 2 * MIB


def test_bytes_before_the_first_difference_are_shared_by_comparing_and_the_rest_by_pointers(place: Path) -> None:
    data = bytearray(os.urandom(SIZE))
    source = write(place / "source", data)
    data[20 * MIB] ^= 1
    target = write(place / "target", data)
    snapshot = reflink(target, place / "snapshot")
    outcome = copy(source, target)
    assert outcome == Outcome(SIZE, shared=SIZE)
    assert target.read_bytes() == source.read_bytes()
    assert snapshot.read_bytes() == data
    assert places(target) == places(source)


@pytest.mark.parametrize("where", [0, SIZE - 1])
def test_a_difference_at_either_end_is_copied(place: Path, where: int) -> None:
    data = bytearray(os.urandom(SIZE))
    source = write(place / "source", data)
    data[where] ^= 1
    target = write(place / "target", data)
    reflink(target, place / "snapshot")
    assert copy(source, target).changed
    assert target.read_bytes() == source.read_bytes()


def test_a_target_whose_blocks_are_its_own_is_not_compared(place: Path) -> None:
    data = os.urandom(SIZE)
    source, target = write(place / "source", data), write(place / "target", data)
    os.utime(target, ns=(1, 1))
    assert copy(source, target) == Outcome(SIZE, shared=SIZE)
    assert target.stat().st_mtime_ns != 1
    assert places(target) == places(source)


@pytest.mark.parametrize("more", [1, 4096, MIB + 5])
def test_a_longer_target_shares_all_but_the_last_block_and_loses_its_tail(place: Path, more: int) -> None:
    source = write(place / "source", os.urandom(SIZE))
    target = write(place / "target", os.urandom(SIZE + more))
    outcome = copy(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert (outcome.shared, outcome.written) == (SIZE // 4096 * 4096, SIZE % 4096)
    assert layout(target)[0].flags & SHARED


def test_holes_of_both_are_neither_read_nor_filled(place: Path) -> None:
    source, target = place / "source", place / "target"
    with open(source, "wb") as file:
        file.write(bytes(range(256)) * 4096)
        file.truncate(1 << 36)
        file.seek((1 << 36) - MIB)
        file.write(os.urandom(MIB))
    reflink(source, target)
    outcome = copy(source, target)
    assert (outcome.changed, outcome.shared, outcome.skipped) == (False, 2 * MIB, (1 << 36) - 2 * MIB)
    assert places(target) == places(source)


def test_zeros_that_one_has_as_a_hole_are_the_same_bytes(place: Path) -> None:
    data = os.urandom(MIB) + bytes(MIB) + os.urandom(MIB)
    source = write(place / "source", data)
    target = place / "target"
    with open(target, "wb") as file:
        file.write(data[:MIB])
        file.seek(2 * MIB)
        file.write(data[2 * MIB :])
    reflink(target, place / "snapshot")
    assert not copy(source, target).changed
    assert target.read_bytes() == data


def test_a_snapshot_keeps_its_bytes_when_the_target_gets_others(place: Path) -> None:
    target = write(place / "target", old := os.urandom(SIZE))
    snapshot = reflink(target, place / "snapshot")
    source = write(place / "source", os.urandom(MIB))
    copy(source, target)
    assert snapshot.read_bytes() == old
    assert target.read_bytes() == source.read_bytes()


def test_small_files_are_copied(place: Path) -> None:
    for size in (1, 100, 2047, 4095, 4096, 4097):
        source = write(place / "source", os.urandom(size))
        for target in (place / f"new-{size}", reflink(source, place / f"shared-{size}")):
            copy(source, target)
            assert target.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("disk", ["btrfs"], indirect=True)
def test_a_source_on_another_subvolume_is_shared(place: Path) -> None:
    subprocess.run(["btrfs", "-q", "subvolume", "create", place / "other"], check=True)
    source = write(place / "other" / "source", os.urandom(SIZE))
    assert copy(source, place / "target") == Outcome(SIZE, shared=SIZE)


def test_a_source_on_another_file_system_is_copied(disk: Image, place: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "source", os.urandom(SIZE))
    assert copy(source, place / "target").written == SIZE
    assert (place / "target").read_bytes() == source.read_bytes()


_AS_NOBODY = """
import os, sys
from mfs.copying import copy
os.setgid(65534); os.setuid(65534)
print(copy(sys.argv[1], sys.argv[2]))
"""


def test_a_target_that_may_not_be_read_is_compared_by_the_kernel_all_the_same(place: Path) -> None:
    data = os.urandom(SIZE)
    source, target = write(place / "source", data), write(place / "target", data)
    reflink(target, place / "snapshot")
    for path in (source, target):
        os.chown(path, 65534, 65534)
    target.chmod(0o200)
    before = target.stat().st_mtime_ns
    command = [sys.executable, "-c", _AS_NOBODY, str(source), str(target)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert ran.stdout.strip() == str(Outcome(SIZE, shared=SIZE, changed=False))
    assert target.stat().st_mtime_ns == before
    assert places(target) == places(source)
