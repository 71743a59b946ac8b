"""`mfs.sync` on btrfs and xfs: blocks that were shared stay shared, and what is new is shared with the source."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.sync import Options, sync
from mfs.tests.images import Image, all_shared, image, layout, places

pytestmark = pytest.mark.kernel("root", programs=("mkfs.btrfs", "mkfs.xfs"))

MIB = 1 << 20
FILES = ("first", "second", "third")


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


@pytest.fixture
def target(place: Path) -> Path:
    """A tree of three files of 4 MiB."""
    top = place / "target"
    top.mkdir()
    for name in FILES:
        (top / name).write_bytes(os.urandom(4 * MIB + 5))
    return top


def copied(source: Path, target: Path, reflink: str) -> Path:
    subprocess.run(["cp", "-a", f"--reflink={reflink}", source, target], check=True)
    return target


def used(disk: Image) -> int:
    os.sync()
    status = os.statvfs(disk.path)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_files_with_the_same_bytes_keep_their_blocks_and_their_backup_s(place: Path, target: Path) -> None:
    backup = copied(target, place / "backup", "always")
    source = copied(target, place / "source", "never")
    before = {name: places(target / name) for name in FILES}
    times = {name: (target / name).stat() for name in FILES}
    report = sync(source, target, Options(delete=True))
    assert (report.kept, report.replaced, report.written) == (4, 0, 0)
    assert report.shared == 3 * (4 * MIB + 5)
    for name in FILES:
        assert places(target / name) == before[name] == places(backup / name) == places(source / name)
        status = (target / name).stat()
        assert (status.st_mtime_ns, status.st_ctime_ns, status.st_ino) == (
            times[name].st_mtime_ns,
            times[name].st_ctime_ns,
            times[name].st_ino,
        )


def test_a_dry_run_shares_nothing(place: Path, target: Path) -> None:
    source = copied(target, place / "source", "never")
    before = {name: places(source / name) for name in FILES}
    assert sync(source, target, Options(dry_run=True)).kept == 4
    assert {name: places(source / name) for name in FILES} == before


@pytest.mark.parametrize("in_place", [False, True])
def test_changed_files_share_everything_with_the_source(disk: Image, place: Path, target: Path, in_place: bool) -> None:
    source = copied(target, place / "source", "never")
    with open(source / "second", "r+b") as file:
        file.seek(2 * MIB)
        file.write(b"new")
    (source / "third").write_bytes(os.urandom(3 * MIB))
    before = used(disk)
    report = sync(source, target, Options(in_place=in_place))
    assert (report.replaced, report.kept) == (2, 2)
    assert report.written < 4096
    assert used(disk) <= before + MIB
    for name in FILES:
        assert (target / name).read_bytes() == (source / name).read_bytes()
        assert all_shared(layout(target / name)[:1])
    assert places(target / "second") == places(source / "second")


@pytest.mark.parametrize("in_place", [False, True])
def test_from_another_file_system_only_the_blocks_that_differ_are_written(
    place: Path, target: Path, tmp_path: Path, in_place: bool
) -> None:
    backup = copied(target, place / "backup", "always")
    source = copied(target, tmp_path / "source", "auto")
    with open(source / "second", "r+b") as file:
        file.seek(2 * MIB)
        file.write(b"new")
    (source / "third").write_bytes((target / "third").read_bytes() + b"more")
    report = sync(source, target, Options(in_place=in_place))
    assert (report.replaced, report.kept) == (2, 2)
    assert report.written <= 2 * 4096 + 4
    for name in FILES:
        assert (target / name).read_bytes() == (source / name).read_bytes()
    assert places(target / "first") == places(backup / "first")
    theirs = set(places(backup / "second"))
    kept = [place for place in layout(target / "second") if place.flags & 0x2000]
    assert sum(place.stop - place.start for place in kept) >= 4 * MIB - 2 * 4096, theirs


def test_a_snapshot_of_the_target_is_a_source_that_may_not_be_changed(disk: Image, place: Path, target: Path) -> None:
    """Sharing asks for the right to the source; without it bytes are compared."""
    source = copied(target, place / "source", "never")
    for name in FILES:
        subprocess.run(["chattr", "+i", source / name], check=True)
    try:
        report = sync(source, target)
        assert (report.kept, report.shared + report.skipped) == (4, 3 * (4 * MIB + 5))
        (target / "first").write_bytes(b"other")
        assert sync(source, target).replaced == 1
        assert (target / "first").read_bytes() == (source / "first").read_bytes()
    finally:
        for name in FILES:
            subprocess.run(["chattr", "-i", source / name], check=True)
