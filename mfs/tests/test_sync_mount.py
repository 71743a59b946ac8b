"""`mfs.sync` on a mount of mfs: CIDs are compared, bytes are not read; copies are pointers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfs.sync import Options, sync
from mfs.sync.identity import cid_of_bytes
from mfs.tests.mounting import Mount, mounted
from mfs.tests.recording import asked
from mfs.unixfs.profile import DEFAULT_PROFILE

pytestmark = pytest.mark.kernel("root")

MIB = 1 << 20


@pytest.fixture
def mount() -> Iterator[Mount]:
    with mounted(filesystem="mfs.tests.recording:Recording") as made:
        yield made


def tree(top: Path) -> Path:
    """Two directories of files of any size, and a file with a hole."""
    for directory in ("one", "two"):
        (top / directory).mkdir(parents=True)
        for number, size in enumerate((0, 10, MIB, 3 * MIB + 7)):
            (top / directory / str(number)).write_bytes(os.urandom(size))
    with open(top / "sparse", "wb") as file:
        file.seek(200 * MIB)
        file.write(b"data")
        file.truncate(1 << 34)
    return top


def cid(path: Path) -> str:
    return os.getxattr(path, "ipfs.cid").decode()


def reads(mount: Mount) -> list[str]:
    return [one.name for one in asked(mount) if one.name != "lseek"]


def test_an_identical_tree_is_not_read(mount: Mount) -> None:
    source = tree(mount.path / "source")
    subprocess.run(["cp", "-r", source, mount.path / "target"], check=True)
    subprocess.run(["chmod", "600", mount.path / "target" / "one" / "3"], check=True)
    mount.remount()
    asked(mount)
    before = cid(mount.path)
    report = sync(source, mount.path / "target", Options(delete=True))
    assert (report.kept, report.attributes, report.written, report.shared) == (11, 1, 0, 0)
    assert report.skipped == (1 << 34) + 2 * (4 * MIB + 17)
    assert reads(mount) == []
    assert cid(mount.path) == before


def test_files_that_are_the_same_are_not_read_where_others_differ(mount: Mount) -> None:
    source = tree(mount.path / "source")
    target = mount.path / "target"
    subprocess.run(["cp", "-r", source, target], check=True)
    (target / "one" / "2").write_bytes(os.urandom(MIB))
    (target / "two" / "0").write_bytes(b"text")
    times = (target / "two" / "3").stat().st_mtime_ns
    mount.remount()
    asked(mount)
    report = sync(source, target)
    assert (report.kept, report.replaced, report.failed) == (10, 2, 0)
    assert (report.shared, report.written) == (MIB, 0)
    assert [name for name in reads(mount) if "copy" not in name] == []
    assert (target / "two" / "3").stat().st_mtime_ns == times
    assert cid(target) == cid(source)


def test_a_new_tree_is_pointers(mount: Mount) -> None:
    source = tree(mount.path / "source")
    cid(mount.path)
    asked(mount)
    report = sync(source, mount.path / "target")
    assert report.written == 0
    assert not {"read", "write"} & set(reads(mount))
    assert cid(mount.path / "target") == cid(source)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_tree_from_elsewhere_is_hashed_and_the_mount_not_read(mount: Mount, tmp_path: Path, in_place: bool) -> None:
    source = tree(tmp_path / "source")
    target = mount.path / "target"
    assert sync(source, target).failed == 0
    before = cid(target)
    asked(mount)
    report = sync(source, target, Options(delete=True, in_place=in_place))
    assert (report.kept, report.written) == (12, 0)
    assert reads(mount) == []
    (source / "one" / "1").write_bytes(b"0123456789")
    report = sync(source, target, Options(delete=True, in_place=in_place))
    assert (report.kept, report.replaced, report.failed) == (11, 1, 0)
    assert cid(target) != before
    assert (target / "one" / "1").read_bytes() == b"0123456789"


def test_a_tree_is_synced_out_of_the_mount(mount: Mount, tmp_path: Path) -> None:
    source = tree(mount.path / "source")
    sync(source, tmp_path / "target")
    asked(mount)
    report = sync(source, tmp_path / "target")
    assert (report.kept, report.written) == (12, 0)
    assert reads(mount) == []
    assert (tmp_path / "target" / "sparse").stat().st_blocks < 10_000


def test_what_was_synced_is_committed(mount: Mount, tmp_path: Path) -> None:
    sync(tree(tmp_path / "source"), mount.path / "target")
    mount.kill()
    mount.remount()
    assert sync(tmp_path / "source", mount.path / "target").kept == 12


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, 3 * MIB + 1])
def test_the_cid_of_bytes_is_the_mount_s(mount: Mount, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    (mount.path / "file").write_bytes(data)
    with open(tmp_path / "file", "rb") as file:
        assert cid_of_bytes(file.fileno(), os.fstat(file.fileno()), DEFAULT_PROFILE) == cid(mount.path / "file")


def test_where_cids_say_times_too_the_bytes_are_compared(tmp_path: Path) -> None:
    with mounted(profile="+mtime") as mount:
        source, target = mount.path / "source", mount.path / "target"
        source.mkdir()
        for number, size in enumerate((0, 10, MIB, 3 * MIB + 7)):
            (source / str(number)).write_bytes(os.urandom(size))
        for copy in (target, tmp_path / "outside"):
            subprocess.run(["cp", "-r", source, copy], check=True)
        before = cid(target / "3")
        assert before != cid(source / "3")
        for one in (source, tmp_path / "outside"):
            assert sync(one, target).kept == 5
        assert cid(target / "3") == before
